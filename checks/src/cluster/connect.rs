//! From flags, environment and kubeconfig to a client: the way kubectl reads them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Uri};
use kube::config::{AuthInfo, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::error::chain;
use super::request::Timing;

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

/// How long a credential plugin may take: long enough for a browser login, short enough to end.
const PLUGIN_DEADLINE: Duration = Duration::from_mins(1);

/// A client and what is known of it.
pub(super) struct Connected {
    pub(super) client: kube::Client,
    pub(super) server: String,
    pub(super) namespace: String,
    pub(super) timing: Timing,
}

pub(super) async fn connect(options: &Options) -> Result<Connected, ConnectError> {
    let source = Source::of(options);
    let mut config = configuration(options, &source).await?;
    apply(options, &source, &mut config)?;
    let timing = Timing::with_request_timeout(options.request_timeout);
    config.connect_timeout = Some(timing.connect);
    config.read_timeout = None;
    config.default_retry = false;
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE)));
    let server = config.cluster_url.to_string();
    let namespace = config.default_namespace.clone();
    let client = client(config, &source).await?;
    Ok(Connected {
        client,
        server,
        namespace,
        timing,
    })
}

const USER_AGENT_VALUE: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// Where the configuration comes from.
struct Source {
    explicit: Option<PathBuf>,
    shown: String,
}

impl Source {
    fn of(options: &Options) -> Self {
        let explicit = options.kubeconfig.clone();
        let shown = match (&explicit, std::env::var("KUBECONFIG")) {
            (Some(path), _) => path.display().to_string(),
            (None, Ok(paths)) if !paths.is_empty() => paths,
            _ => "~/.kube/config".to_owned(),
        };
        Self { explicit, shown }
    }

    fn unusable(&self, reason: impl fmt::Display) -> ConnectError {
        ConnectError::Configuration {
            path: self.shown.clone(),
            reason: reason.to_string(),
        }
    }
}

async fn configuration(options: &Options, source: &Source) -> Result<kube::Config, ConnectError> {
    let read = match &source.explicit {
        Some(path) => Kubeconfig::read_from(path).map(Some),
        None => Kubeconfig::read().map(Some),
    };
    let kubeconfig = match read {
        Ok(found) => found,
        Err(error) if source.explicit.is_none() && is_absent(&error) => None,
        Err(error) => return Err(kubeconfig_error(error, source)),
    };
    let Some(mut kubeconfig) = kubeconfig.filter(|found| !found.contexts.is_empty()) else {
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
    if !kubeconfig.contexts.iter().any(|each| each.name == name) {
        return Err(ConnectError::NoContext {
            path: source.shown.clone(),
            name,
            known,
        });
    }
    for user in &mut kubeconfig.auth_infos {
        if let Some(auth) = &mut user.auth_info {
            silence(auth);
        }
    }
    let selection = KubeConfigOptions {
        context: Some(name),
        cluster: options.cluster.clone(),
        user: options.user.clone(),
    };
    kube::Config::from_custom_kubeconfig(kubeconfig, &selection)
        .await
        .map_err(|error| source.unusable(chain(&error)))
}

/// Off a terminal a plugin gets no stdin to prompt on, and its stderr comes back to us.
fn silence(auth: &mut AuthInfo) {
    use std::io::IsTerminal;
    if let Some(exec) = &mut auth.exec
        && !std::io::stdin().is_terminal()
    {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(source, _) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn kubeconfig_error(error: KubeconfigError, source: &Source) -> ConnectError {
    match error {
        KubeconfigError::ReadConfig(source, path) => ConnectError::Read { path, source },
        other => ConnectError::Parse {
            path: source.shown.clone(),
            reason: chain(&other),
        },
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
        tried: match &source.explicit {
            Some(path) => format!("{} names no context", path.display()),
            None => format!("{} is absent or empty", source.shown),
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
        config.root_cert = Some(certificates(&pem).ok_or_else(|| {
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

/// The certificates of a PEM text as DER.
fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    use base64::Engine;
    let text = std::str::from_utf8(pem).ok()?;
    let mut found = Vec::new();
    for part in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let body = part.split("-----END CERTIFICATE-----").next()?;
        let packed: String = body.split_whitespace().collect();
        found.push(
            base64::engine::general_purpose::STANDARD
                .decode(packed)
                .ok()?,
        );
    }
    Some(found).filter(|found| !found.is_empty())
}

/// Builds the client on a thread of its own: a credential plugin runs inside, and may never end.
async fn client(config: kube::Config, source: &Source) -> Result<kube::Client, ConnectError> {
    let command = config
        .auth_info
        .exec
        .as_ref()
        .and_then(|exec| exec.command.clone());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _guard = runtime.enter();
        // The receiver is gone when the deadline has passed: nobody waits for the client any more.
        let _ = sender.send(kube::Client::try_from(config));
    });
    let plugin = |reason: String| ConnectError::Plugin {
        command: command.clone().unwrap_or_default(),
        reason,
    };
    match tokio::time::timeout(PLUGIN_DEADLINE, receiver).await {
        Err(_) => Err(plugin(format!(
            "did not end within {} s",
            PLUGIN_DEADLINE.as_secs()
        ))),
        Ok(Err(_)) => Err(source.unusable("the client could not be built")),
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(kube::Error::Auth(error)))) if command.is_some() => {
            Err(plugin(plugin_failure(&error)))
        }
        Ok(Ok(Err(error))) => Err(source.unusable(chain(&error))),
    }
}

/// How a plugin failed, without its stdout: credentials are printed there.
fn plugin_failure(error: &kube::client::AuthError) -> String {
    match error {
        kube::client::AuthError::AuthExecStart(error) => format!("could not be started: {error}"),
        kube::client::AuthError::AuthExecRun { out, .. } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.trim().lines().last().unwrap_or("").trim();
            let code = out.status;
            if last.is_empty() {
                format!("failed ({code})")
            } else {
                format!("failed ({code}): {last}")
            }
        }
        kube::client::AuthError::AuthExecParse(_) => {
            "printed something that is no ExecCredential".to_owned()
        }
        other => format!("failed: {other}"),
    }
}
