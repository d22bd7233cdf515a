use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::registry::{Failure, Image, Reachability, Reason};
use futures::{FutureExt, StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use syntax::config::{self, ConfigError, Parsed};
use tokio::time::{Instant, timeout_at};

use crate::agent::{From, Place};
use crate::collector::{
    CollectError, Collector, CollectorKind, Conduct, Context, Meta, Output, Permission, Scope,
    locked,
};

mod challenge;
mod client;
mod credentials;
mod errors;
mod image;
mod index;
mod layers;
mod link;
mod manifest;
mod mirrors;
mod once;
pub(super) mod peer;
mod proxy;
mod push;
mod question;
mod repository;
mod resolve;
mod secrets;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod told;

use bundle::collected::registry::Tls as Facts;
use client::{Limits, Registries};
use image::Walk;
use proxy::{Proxies, ProxyConfig};
use push::Pushing;
use resolve::{Resolved, SecretName, Workloads};
use tls::Trust;
use told::{hide, told};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "registry",
    type_name: "registry",
    scope: Scope::Cluster,
    summary: "Whether images can be pulled, and where the way to them breaks: name, network, proxy, TLS, token, manifest, layer",
    docs: DOCS,
    since: "0.1.0",
    parse,
    schema: || schemars::schema_for!(Registry).to_value(),
};

const DOCS: &str = "\
# What it collects

Walks the way to each image as a node would, one link after the other, and tells the first that is broken: the registry's
name, the connection, the proxy, TLS (chain, names, expiry, interception), `GET /v2/`, its challenge, a token and what it
allows, the manifest with its digest computed and compared, each platform of an index, each layer, and the server that a
registry sends to for layers. Layers are asked for, not read. Each token, manifest and layer is asked for once, however many
images share it. `Retry-After` is respected; of a limit on pulls a quarter is left to the nodes.

Images are those of the spec, of `imageFiles` (one a line) and of `workloads`, the pods of namespaces. Credentials are those of
`imagePullSecrets` in `namespace`, else of its ServiceAccount, and of pods their own; they are matched to images as the
kubelet does. What plug-ins on nodes give (credential providers) cannot be seen. Platforms are those of the
cluster's nodes, or `platforms`; layers of others are not asked for.

Mirrors: OpenShift's sets, `mirrors.given`, `mirrors.folders` with containerd's `hosts.toml`, and with `thisMachine` what this
machine has for containerd (`hosts.toml`, `config.toml`), CRI-O (`registries.conf`), K3s and RKE2 (`registries.yaml`). What a mirror
of containerd's lacks of an image is asked of the next host, and told. Proxies are those of this process' environment, or `proxy`; none is used for this machine
itself. Authorities are the system's (`SSL_CERT_FILE`) and `tls`. No credential follows a redirect to another
server.

`push` starts an upload in repositories and cancels it at once, if the run has `--allow-writes`; without, it is told that
writing is not allowed.

With `from: pod` the requests come from a pod of assay (`--agent-image`) in `namespace`: what it finds holds for pods.
Secrets and files are read by the caller. Nodes pull by themselves: their proxy and their authorities may be others.

# Files

- `registry/<collectorName>/reachability.json`, `registry/registry/reachability.json` without a name: `servers`, `images`,
  `credentials` (how long a password is, in classes, and a fingerprint), `mirrors`, `pushes`, `requests`

# Permissions

- get secrets, the pull secrets and `tls.secret`; get serviceaccounts, the one whose pull secrets are used
- list pods, with `workloads`; list nodes, unless the spec has `platforms`

- with `from: pod` also create, get and delete pods and secrets, get pods/log; list events, which explain why a pod
  does not start

# Example

```yaml
registry:
  collectorName: release
  namespace: shop
  images:
    - registry.example.com/shop/web:1.4
    - registry.example.com/shop/worker:1.4
  imagePullSecrets: [{name: shop-registry}]
  workloads: {namespaces: [shop]}
```
";

/// What one step has; a third of the whole at most.
const STEP: Duration = Duration::from_secs(10);

/// What all of it has where the spec does not say.
const WHOLE: Duration = Duration::from_mins(5);

/// What reading Secrets and writing the file may take beside.
const BESIDE: Duration = Duration::from_mins(1);

/// Requests at a time, and to one server.
const REQUESTS: usize = 32;
const PER_SERVER: usize = 8;

/// Images at a time: more would only wait.
const IMAGES: usize = 16;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Registry {
    /// The images.
    images: Vec<String>,
    /// Files of this machine with images, one a line.
    image_files: Vec<String>,
    /// The images of pods.
    workloads: Option<Workloads>,
    /// The namespace of the pull secrets; that of the run where it is empty.
    namespace: String,
    /// The pull secrets; those of the `ServiceAccount` where there is none.
    image_pull_secrets: Vec<SecretName>,
    /// The `ServiceAccount` whose pull secrets are used, `default` where it is empty.
    service_account: String,
    /// Credentials in place of pull secrets.
    credentials: Vec<secrets::Given>,
    /// Certificates.
    tls: TlsConfig,
    /// Registries that are asked by HTTP in clear, `host:port`.
    plain_http: Vec<String>,
    /// The proxies of whoever pulls, where they are not those of the environment.
    proxy: ProxyConfig,
    /// Mirrors.
    mirrors: MirrorConfig,
    /// The platforms whose layers are asked for, `linux/arm64`; those of the cluster's nodes where there is none.
    platforms: Vec<String>,
    /// Repositories, `registry.example.com/team/app`, in which an upload is started and cancelled.
    push: Vec<String>,
    /// Requests at a time to one server; 8 where it is 0.
    requests_per_server: usize,
    /// Where the requests come from: this machine, or a pod in the cluster.
    from: From,
    /// In a pod: what the caller found out.
    #[schemars(skip)]
    resolved: Option<Resolved>,
    /// How long all of it may take, as `2m`. Five minutes if empty.
    timeout: String,
}

/// Certificates and keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct TlsConfig {
    /// Whether servers' certificates are taken as they are.
    skip_verify: bool,
    /// The authorities' certificates, PEM, beside those of the system.
    cacert: String,
    /// A file of this machine with them.
    ca_file: String,
    /// The client's certificate, PEM.
    client_cert: String,
    /// Its key, PEM.
    client_key: String,
    /// A Secret in `namespace` with the keys `cacert` (or `ca.crt`), `clientCert` (`tls.crt`) and `clientKey` (`tls.key`).
    secret: Option<SecretName>,
}

/// Where mirrors are from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct MirrorConfig {
    /// Mirrors that stand here.
    given: Vec<mirrors::Given>,
    /// Folders of this machine with containerd's `<registry>/hosts.toml`, as its `config_path` names them.
    folders: Vec<String>,
    /// Whether this machine's containerd, CRI-O, K3s and RKE2 are asked, as on a node.
    this_machine: bool,
    /// Whether `OpenShift`'s sets of mirrors are read.
    cluster: bool,
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            folders: Vec::new(),
            this_machine: false,
            cluster: true,
        }
    }
}

#[derive(Debug)]
struct Named {
    name: String,
    config: Registry,
    timeout: Duration,
}

fn parse(value: &Value, meta: &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError> {
    let Parsed { config, ignored } = config::parse::<Registry>(value)?;
    let timeout = super::timeout(&config.timeout)?.unwrap_or(WHOLE);
    let refuse = |path: &str, message: &str| {
        Err(ConfigError {
            path: path.to_owned(),
            message: message.to_owned(),
        })
    };
    let is_empty = config.images.is_empty()
        && config.image_files.is_empty()
        && config.workloads.is_none()
        && config.push.is_empty()
        && config.resolved.is_none();
    if is_empty {
        return refuse(
            "images",
            "name images, imageFiles, workloads or push: there is nothing to look for",
        );
    }
    if config.credentials.len() > 64 || config.requests_per_server > 64 {
        return refuse("requestsPerServer", "64 is the most");
    }
    Ok(Parsed {
        config: Box::new(Named {
            name: meta.name.clone(),
            config,
            timeout,
        }),
        ignored,
    })
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn conduct(&self) -> Conduct {
        if self.config.push.is_empty() {
            Conduct::Reads
        } else {
            Conduct::Acts
        }
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        self.config.permissions(namespace)
    }

    /// What may not be read is an answer in its file.
    fn degrades(&self) -> bool {
        true
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().map(String::from).into_iter().collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.timeout.saturating_add(BESIDE))
    }

    fn place(&self, namespace: Option<&str>) -> Place {
        self.config.from.place(&self.config.namespace, namespace)
    }

    async fn portable(
        &self,
        context: &Context,
        _output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        let resolved = self.config.resolve(context).await;
        let resolved = serde_json::to_value(&resolved)
            .map_err(|_| CollectError::Failed("the request cannot be encoded".to_owned()))?;
        Ok(Some(json!({
            "resolved": resolved,
            "tls": {"skipVerify": self.config.tls.skip_verify},
            "plainHttp": self.config.plain_http,
            "proxy": self.config.proxy,
            "requestsPerServer": self.config.requests_per_server,
            "timeout": self.config.timeout,
        })))
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let end = Instant::now() + self.timeout;
        let (from, resolved) = match &self.config.resolved {
            Some(resolved) => ("pod", resolved.clone()),
            None => ("here", self.config.resolve(context).await),
        };
        let mut found = self.probe(&resolved, context, end).await?;
        from.clone_into(&mut found.from);
        hide(&mut found, &resolved);
        output.json(&self.path()?, &found)
    }
}

impl Named {
    fn path(&self) -> Result<BundlePath, CollectError> {
        let name = if self.name.is_empty() {
            KIND.name
        } else {
            &self.name
        };
        Ok(BundlePath::join(["registry", name, "reachability.json"])?)
    }

    async fn probe(
        &self,
        resolved: &Resolved,
        context: &Context,
        end: Instant,
    ) -> Result<Reachability, CollectError> {
        let trust = Trust::new(
            &resolved.roots,
            &resolved.client_certificate,
            &resolved.client_key,
            !self.config.tls.skip_verify,
        );
        let trust = Arc::new(trust.map_err(|text| CollectError::Failed(format!("tls: {text}")))?);
        let registries = || {
            let limits = Limits {
                step: STEP.min(self.timeout / 3),
                end,
                all: REQUESTS,
                per_server: match self.config.requests_per_server {
                    0 => PER_SERVER,
                    some => some,
                },
            };
            Registries::new(limits, Proxies::new(&self.config.proxy))
        };
        let pushing = Pushing {
            registries: registries(),
            credentials: resolved.credentials.clone(),
            trust: Arc::clone(&trust),
            in_clear: self.config.plain_http.clone(),
            repositories: resolved.pushes.clone(),
        };
        let registries = registries();
        let walk = Walk {
            rules: &resolved.rules,
            platforms: &resolved.platforms,
            in_clear: &self.config.plain_http,
            ..Walk::new(&registries, &resolved.credentials, trust)
        };
        let images = images(&walk, &resolved.images, end, self.timeout).await;
        let pushed = pushing.run(context, end).await;
        let mut requests = registries.counts.told();
        requests.all += pushed.requests;
        let outcomes = locked(&walk.outcomes).clone();
        Ok(Reachability {
            from: String::new(),
            platforms: resolved.platforms.clone(),
            platforms_from: resolved.platforms_from.clone(),
            servers: registries.seen(),
            images,
            credentials: told(resolved, context, &outcomes),
            mirrors: resolved.rules.iter().map(mirrors::Rule::told).collect(),
            pushes: pushed.pushes,
            requests,
            unread: resolved.unread.clone(),
        })
    }
}

/// Walks to every image. Those that are not reached in time say so.
async fn images(
    walk: &Walk<'_>,
    asked: &[image::Asked],
    end: Instant,
    whole: Duration,
) -> Vec<Image> {
    let ways = stream::iter(0..asked.len()).map(|index| {
        let way = async move { (index, walk.image(&asked[index]).await) };
        way.boxed()
    });
    let mut ways = std::pin::pin!(ways.buffer_unordered(IMAGES));
    let mut found: Vec<Option<Image>> = Vec::new();
    found.resize_with(asked.len(), || None);
    while let Ok(Some((index, image))) = timeout_at(end, ways.next()).await {
        found[index] = Some(image);
    }
    let late = |asked: &image::Asked| Image {
        image: asked.image.clone(),
        wanted_by: asked.wanted_by.clone(),
        failure: Some(Failure {
            reason: Reason::Deadline,
            message: format!("not reached within {} s", whole.as_secs_f32()),
            ..Failure::default()
        }),
        ..Image::default()
    };
    let found = found.into_iter().zip(asked);
    found
        .map(|(image, asked)| image.unwrap_or_else(|| late(asked)))
        .collect()
}
