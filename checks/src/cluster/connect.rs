//! From flags, environment and kubeconfig to a client: the way kubectl reads them.

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderValue, Uri, header};
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::access::{Access, AccessError};
use super::error::chain;
use super::request::Timing;
use super::{USER_AGENT, certificate};

/// How to reach the cluster: kubectl's global flags.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--kubeconfig`; else `KUBECONFIG` (several files merge), else `~/.kube/config`, else the pod's own.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--server`
    pub server: Option<String>,
    /// `--token`
    pub token: Option<Secret>,
    /// `--as`
    pub impersonate: Option<String>,
    /// `--as-uid`
    pub impersonate_uid: Option<String>,
    /// `--as-group`, repeated
    pub impersonate_groups: Vec<String>,
    /// `--certificate-authority`
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`
    pub client_key: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--disable-compression`
    pub disable_compression: bool,
    /// `--request-timeout`; `None` keeps the defaults of [`Timing`].
    pub request_timeout: Option<Duration>,
}

/// A credential: `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "no kubeconfig: {tried}, and this is not a pod; pass --kubeconfig FILE or set KUBECONFIG"
    )]
    NoKubeconfig {
        /// Where it was looked for.
        tried: String,
    },
    /// A kubeconfig file cannot be opened.
    #[error("cannot read the kubeconfig {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A kubeconfig file is not one.
    #[error("the kubeconfig {path} is not valid, or not whole: {reason}")]
    Parse {
        /// The file or files.
        path: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// The context asked for is not there.
    #[error("the kubeconfig {path} has no context {name:?}; it has: {known}")]
    NoContext {
        /// The file or files.
        path: String,
        /// The context asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// No context was asked for and the file names none.
    #[error("the kubeconfig {path} names no current context; pass --context with one of: {known}")]
    NoCurrentContext {
        /// The file or files.
        path: String,
        /// Those that are there.
        known: String,
    },
    /// The client certificate is no longer valid.
    #[error(
        "the client certificate of the kubeconfig {path} expired at {expired}; renew it, or fetch a new kubeconfig"
    )]
    Expired {
        /// The file or files.
        path: String,
        /// When.
        expired: Timestamp,
    },
    /// A credential plugin failed.
    #[error("the kubeconfig's credential plugin {command:?} {reason}; run it by hand to see why")]
    Plugin {
        /// The program.
        command: String,
        /// How it failed.
        reason: String,
    },
    /// Something in the configuration cannot be used.
    #[error("cannot use the kubeconfig {path}: {reason}")]
    Configuration {
        /// The file or files.
        path: String,
        /// What and why.
        reason: String,
    },
}

/// A client and what is known of it.
pub(super) struct Connected {
    pub(super) access: Access,
    pub(super) server: String,
    pub(super) namespace: String,
    pub(super) timing: Timing,
}

pub(super) async fn connect(options: &Options) -> Result<Connected, ConnectError> {
    let source = Source::of(options);
    let mut config = configuration(options, &source).await?;
    apply(options, &source, &mut config)?;
    if let Some(expired) = certificate::expired(&config.auth_info) {
        return Err(ConnectError::Expired {
            path: source.shown,
            expired,
        });
    }
    let timing = Timing::with_request_timeout(options.request_timeout);
    config.connect_timeout = Some(timing.connect);
    config.read_timeout = None;
    config.default_retry = false;
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let server = config.cluster_url.to_string();
    let namespace = config.default_namespace.clone();
    let command = config.auth_info.exec.as_ref();
    let command = command.and_then(|exec| exec.command.clone());
    let access = Access::open(config).await.map_err(|error| match error {
        AccessError::Plugin(reason) => ConnectError::Plugin {
            command: command.unwrap_or_default(),
            reason,
        },
        AccessError::Client(reason) => source.unusable(reason),
    })?;
    Ok(Connected {
        access,
        server,
        namespace,
        timing,
    })
}

/// Where the configuration comes from.
struct Source {
    paths: Vec<PathBuf>,
    /// Whether the files have to exist: the one that the user names has to.
    explicit: bool,
    shown: String,
}

impl Source {
    fn of(options: &Options) -> Self {
        if let Some(path) = &options.kubeconfig {
            return Self {
                paths: vec![path.clone()],
                explicit: true,
                shown: path.display().to_string(),
            };
        }
        let listed = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
        let (paths, shown) = match listed {
            Some(listed) => (
                std::env::split_paths(&listed)
                    .filter(|path| !path.as_os_str().is_empty())
                    .collect(),
                listed.display().to_string(),
            ),
            None => (
                std::env::home_dir()
                    .map(|home| home.join(".kube/config"))
                    .into_iter()
                    .collect(),
                "~/.kube/config".to_owned(),
            ),
        };
        Self {
            paths,
            explicit: false,
            shown,
        }
    }

    /// The files, merged; those of the environment that do not exist are passed over, as kubectl does.
    fn read(&self) -> Result<Option<Kubeconfig>, ConnectError> {
        let mut merged: Option<Kubeconfig> = None;
        for path in &self.paths {
            let next = match Kubeconfig::read_from(path) {
                Ok(next) => next,
                Err(error) if !self.explicit && is_absent(&error) => continue,
                Err(error) => return Err(kubeconfig_error(error, path)),
            };
            merged = Some(match merged {
                None => next,
                Some(first) => first
                    .merge(next)
                    .map_err(|error| kubeconfig_error(error, path))?,
            });
        }
        Ok(merged)
    }

    fn unusable(&self, reason: impl fmt::Display) -> ConnectError {
        ConnectError::Configuration {
            path: self.shown.clone(),
            reason: reason.to_string(),
        }
    }
}

async fn configuration(options: &Options, source: &Source) -> Result<kube::Config, ConnectError> {
    let kubeconfig = source.read()?;
    let Some(kubeconfig) = kubeconfig.filter(|found| !found.contexts.is_empty()) else {
        return without_kubeconfig(options, source);
    };
    let known = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let wanted = options
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone())
        .filter(|name| !name.is_empty());
    let Some(name) = wanted else {
        return Err(ConnectError::NoCurrentContext {
            path: source.shown.clone(),
            known,
        });
    };
    let context = kubeconfig.contexts.iter().find(|each| each.name == name);
    let Some(context) = context else {
        return Err(ConnectError::NoContext {
            path: source.shown.clone(),
            name,
            known,
        });
    };
    let of_context = context.context.as_ref().map(|context| &context.cluster);
    let has_proxy = options.cluster.as_ref().or(of_context).is_some_and(|name| {
        let mut clusters = kubeconfig.clusters.iter();
        let cluster = clusters.find(|each| each.name == *name);
        let proxy = cluster.and_then(|each| each.cluster.as_ref()?.proxy_url.as_deref());
        proxy.is_some_and(|proxy| !proxy.is_empty())
    });
    let selection = KubeConfigOptions {
        context: Some(name),
        cluster: options.cluster.clone(),
        user: options.user.clone(),
    };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &selection)
        .await
        .map_err(|error| source.unusable(chain(&error)))?;
    if !has_proxy && !uses_environment_proxy(&config.cluster_url) {
        config.proxy_url = None;
    }
    Ok(config)
}

/// Whether the environment's proxy is meant for this server, as Go decides it: not for loopback, and not
/// where `NO_PROXY` excludes it. (The client library asks `NO_PROXY` about the proxy instead.)
fn uses_environment_proxy(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !loopback && Matcher::from_env().intercept(server).is_some()
}

fn is_absent(error: &KubeconfigError) -> bool {
    matches!(error, KubeconfigError::ReadConfig(source, _) if source.kind() == ErrorKind::NotFound)
}

fn kubeconfig_error(error: KubeconfigError, path: &Path) -> ConnectError {
    let reason = match error {
        KubeconfigError::ReadConfig(source, path) => return ConnectError::Read { path, source },
        KubeconfigError::Parse(error) => place(&error.to_string()),
        other => chain(&other),
    };
    ConnectError::Parse {
        path: path.display().to_string(),
        reason,
    }
}

/// Where a YAML error is. Its words quote the file, and the file holds credentials.
fn place(error: &str) -> String {
    let mut words = error
        .split([' ', ':', '\n'])
        .skip_while(|word| *word != "line");
    match (words.nth(1), words.next(), words.next()) {
        (Some(line), Some("column"), Some(column)) => {
            format!("it cannot be read as one at line {line}, column {column}")
        }
        _ => "it cannot be read as one".to_owned(),
    }
}

/// A pod's own service account, or `--server` alone.
fn without_kubeconfig(options: &Options, source: &Source) -> Result<kube::Config, ConnectError> {
    if let Some(name) = &options.context {
        return Err(ConnectError::NoContext {
            path: source.shown.clone(),
            name: name.clone(),
            known: "none".to_owned(),
        });
    }
    if let Some(server) = &options.server {
        let server: Uri = server
            .parse()
            .map_err(|error| source.unusable(format!("--server {server}: {error}")))?;
        return Ok(kube::Config::new(server));
    }
    kube::Config::incluster().map_err(|_| ConnectError::NoKubeconfig {
        tried: if source.explicit {
            format!("{} names no context", source.shown)
        } else {
            format!("{} is absent or names no context", source.shown)
        },
    })
}

/// Flags beat the file.
fn apply(
    options: &Options,
    source: &Source,
    config: &mut kube::Config,
) -> Result<(), ConnectError> {
    if let Some(server) = &options.server {
        config.cluster_url = server
            .parse()
            .map_err(|error| source.unusable(format!("--server {server}: {error}")))?;
    }
    if let Some(path) = &options.certificate_authority {
        let pem = std::fs::read(path).map_err(|error| ConnectError::Read {
            path: path.clone(),
            source: error,
        })?;
        config.root_cert = Some(certificate::certificates(&pem).ok_or_else(|| {
            source.unusable(format!("{} holds no PEM certificate", path.display()))
        })?);
        config.root_cert_file = None;
    }
    let auth = &mut config.auth_info;
    if let Some(token) = &options.token {
        *auth = AuthInfo {
            impersonate: auth.impersonate.take(),
            impersonate_groups: auth.impersonate_groups.take(),
            ..AuthInfo::default()
        };
        auth.token = Some(token.0.clone().into());
    }
    let text = |path: &PathBuf| path.display().to_string();
    if let Some(path) = &options.client_certificate {
        auth.client_certificate = Some(text(path));
        auth.client_certificate_data = None;
    }
    if let Some(path) = &options.client_key {
        auth.client_key = Some(text(path));
        auth.client_key_data = None;
    }
    if options.impersonate.is_some() {
        auth.impersonate.clone_from(&options.impersonate);
    }
    if options.impersonate_uid.is_some() {
        auth.impersonate_uid.clone_from(&options.impersonate_uid);
    }
    if !options.impersonate_groups.is_empty() {
        auth.impersonate_groups = Some(options.impersonate_groups.clone());
    }
    config.accept_invalid_certs |= options.insecure_skip_tls_verify;
    config.disable_compression |= options.disable_compression;
    if options.tls_server_name.is_some() {
        config.tls_server_name.clone_from(&options.tls_server_name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::testing::{Reply, Server};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// A kubeconfig in a folder of its own, and the options that name it.
    struct File {
        _folder: tempfile::TempDir,
        options: Options,
    }

    fn file(text: &str) -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        std::fs::write(&path, text).expect("a file in it");
        File {
            _folder: folder,
            options: Options {
                kubeconfig: Some(path),
                ..Options::default()
            },
        }
    }

    fn kubeconfig(server: &str, user: &str) -> String {
        format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: {server:?}}}}}]
users: [{{name: u, user: {user}}}]
contexts:
- {{name: here, context: {{cluster: c, user: u, namespace: shop}}}}
- {{name: there, context: {{cluster: c, user: u}}}}
current-context: here
"
        )
    }

    async fn failure(options: &Options) -> String {
        let connected = Cluster::connect(options).await;
        connected
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[tokio::test]
    async fn one_clear_error_for_each_fault() {
        let whole = kubeconfig("https://127.0.0.1:1", "{token: secret}");
        let other = Options {
            context: Some("elsewhere".into()),
            ..file("").options
        };
        let expired = STANDARD.encode(include_str!("testdata/ended-2020.pem"));
        let expired = format!("{{client-certificate-data: {expired}, client-key-data: {expired}}}");
        let failing = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, args: [-c, 'echo please log in >&2; exit 1']}}";
        for (text, context, words) in [
            (
                whole.as_str(),
                Some("elsewhere"),
                "no context \"elsewhere\"; it has: here, there",
            ),
            (
                &whole.replace("current-context: here", ""),
                None,
                "names no current context; pass --context with one of: here, there",
            ),
            (&whole[..whole.len() / 2], None, "not valid, or not whole"),
            ("\u{1}\u{2} binary", None, "not valid, or not whole"),
            ("[1, 2]", None, "not valid, or not whole"),
            (&whole[..whole.len() / 2], None, "at line 5, column 1"),
            (
                &whole.replace("{token: secret}", "secret"),
                None,
                "not valid, or not whole",
            ),
            (
                &kubeconfig("https://127.0.0.1:1", &expired),
                None,
                "expired at 2020-02-03T04:05:06Z",
            ),
            (
                &kubeconfig("https://127.0.0.1:1", failing),
                None,
                "credential plugin \"sh\" failed (exit status: 1): please log in",
            ),
            (
                &kubeconfig("not an address", "{}"),
                None,
                "cannot use the kubeconfig",
            ),
        ] {
            let file = file(text);
            let options = Options {
                context: context.map(str::to_owned),
                ..file.options.clone()
            };
            let failure = failure(&options).await;
            assert!(
                failure.contains(words) && !failure.contains("secret"),
                "{failure}"
            );
        }
        let failure = failure(&other).await;
        assert!(failure.contains("cannot read the kubeconfig"), "{failure}");
    }

    #[test]
    fn several_files_merge_and_absent_ones_are_passed_over() -> Result<(), ConnectError> {
        let first = file(&kubeconfig("https://first.example.org", "{}"));
        let second = kubeconfig("https://second.example.org", "{}");
        let second = file(&second.replace("name: there", "name: third"));
        let path = |file: &File| file.options.kubeconfig.clone().unwrap_or_default();
        let mut source = Source {
            paths: vec![path(&first), PathBuf::from("/no/such/file"), path(&second)],
            explicit: false,
            shown: String::new(),
        };
        let merged = source.read()?.unwrap_or_default();
        let names: Vec<_> = merged
            .contexts
            .iter()
            .map(|each| each.name.as_str())
            .collect();
        assert_eq!(names, ["here", "there", "third"]);
        let server = merged.clusters[0]
            .cluster
            .as_ref()
            .and_then(|each| each.server.clone());
        assert_eq!(server.as_deref(), Some("https://first.example.org"));
        source.explicit = true;
        assert!(matches!(source.read(), Err(ConnectError::Read { .. })));
        Ok(())
    }

    #[tokio::test]
    async fn says_who_it_is_and_for_whom() {
        let server = Server::start(|_| Reply::json("{}")).await;
        let file = file(&kubeconfig(&server.address, "{token: from-file}"));
        let options = Options {
            token: Some(Secret("from-flag".into())),
            impersonate: Some("jane".into()),
            impersonate_groups: vec!["devs".into()],
            ..file.options.clone()
        };
        assert!(!format!("{options:?}").contains("from-flag"));
        let cluster = Cluster::connect(&options).await.expect("a cluster");
        assert_eq!(cluster.namespace(), "shop");
        cluster.document("/version", &[]).await.expect("an answer");
        let seen = server.seen().swap_remove(0).headers;
        assert_eq!(seen["authorization"], "Bearer from-flag");
        assert_eq!(seen["impersonate-user"], "jane");
        assert_eq!(seen["impersonate-group"], "devs");
        assert!(seen["user-agent"].starts_with("assay/"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn refused_credentials_are_renewed_by_their_plugin() {
        let server = Server::start(|request| match request.headers.get("authorization") {
            Some(token) if token == "Bearer t2" => Reply::json("{}"),
            _ => Reply::status(401, "Unauthorized", "Unauthorized"),
        })
        .await;
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count").display().to_string();
        let script = format!(
            r#"echo >> {count}; echo "{{\"status\":{{\"token\":\"t$(wc -l < {count} | tr -d " ")\"}}}}""#
        );
        let exec = serde_json::json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh", "args": ["-c", script], "interactiveMode": "Never"}});
        let file = file(&kubeconfig(&server.address, &exec.to_string()));
        let cluster = Cluster::connect(&file.options).await.expect("a cluster");
        cluster.document("/version", &[]).await.expect("an answer");
        cluster.document("/version", &[]).await.expect("another");
        assert_eq!(server.seen().len(), 3);
        let runs = std::fs::read_to_string(&count).map(|text| text.lines().count());
        assert_eq!(runs.ok(), Some(2));
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let server = Server::start(|_| Reply::status(401, "Unauthorized", "Unauthorized")).await;
        let error = server.cluster().document("/version", &[]).await;
        let text = error.map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("have they expired")));
        let file = file(&kubeconfig("http://127.0.0.1:1", "{}"));
        let cluster = Cluster::connect(&file.options).await.expect("a cluster");
        let error = cluster.document("/version", &[]).await;
        let text = error.map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("is the API server up")));
    }
}
