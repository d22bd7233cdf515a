//! From arguments to specs, redactors and a cluster.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bundle::redact::RedactorSpec;
use bundle::{Profile, Redactor};
use checks::Cluster;
use checks::cluster::{Options, Secret};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::connection::Connection;
use super::{Failure, block_on, say};
use crate::exit::Exit;
use crate::spec::{self, Fetch, ObjectKind, Plan, Request, Response, SpecError, Specs};

/// What the world outside gives to spec loading. The cluster is reached when a source first needs it.
pub(super) struct World<'a> {
    connection: &'a Connection,
    cluster: OnceCell<Result<Cluster, String>>,
}

impl<'a> World<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            cluster: OnceCell::new(),
        }
    }

    /// The cluster of the connection flags, connected once.
    pub(super) async fn cluster(&self) -> anyhow::Result<Cluster> {
        let connected = self
            .cluster
            .get_or_init(|| async {
                let options = options(self.connection).map_err(|error| format!("{error:#}"))?;
                Cluster::connect(&options)
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
        connected.clone().map_err(|reason| anyhow!(reason))
    }
}

impl Fetch for World<'_> {
    async fn http(&self, request: Request) -> Result<Response, String> {
        let fetched = checks::fetch::get(&request.url, &request.headers, request.limit).await;
        let fetched = fetched.map_err(|error| error.to_string())?;
        Ok(Response {
            status: fetched.status,
            body: fetched.body,
        })
    }

    async fn object(&self, kind: ObjectKind, namespace: &str, name: &str) -> Result<Value, String> {
        let cluster = self.cluster().await.map_err(|error| format!("{error:#}"))?;
        let plural = match kind {
            ObjectKind::Secret => "secrets",
            ObjectKind::ConfigMap => "configmaps",
        };
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
        cluster
            .json(&path, &[])
            .await
            .map_err(|error| error.to_string())
    }
}

/// The flags as the cluster reads them.
pub(super) fn options(connection: &Connection) -> anyhow::Result<Options> {
    let request_timeout = match connection.request_timeout.as_deref() {
        None | Some("" | "0") => None,
        Some(text) => Some(duration("--request-timeout", text)?),
    };
    Ok(Options {
        kubeconfig: connection.kubeconfig.clone(),
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
        server: connection.server.clone(),
        token: connection.token.clone().map(Secret),
        impersonate: connection.impersonate.clone(),
        impersonate_uid: connection.impersonate_uid.clone(),
        impersonate_groups: connection.impersonate_groups.clone(),
        certificate_authority: connection.certificate_authority.clone(),
        client_certificate: connection.client_certificate.clone(),
        client_key: connection.client_key.clone(),
        insecure_skip_tls_verify: connection.insecure_skip_tls_verify,
        tls_server_name: connection.tls_server_name.clone(),
        disable_compression: false,
        request_timeout,
    })
}

/// A flag's duration as Go writes it, `30s` or `1h30m`.
pub(super) fn duration(flag: &str, text: &str) -> anyhow::Result<Duration> {
    let parsed = syntax::duration::parse(text).with_context(|| format!("{flag} {text:?}"))?;
    Duration::try_from(parsed).map_err(|_| anyhow!("{flag} {text:?}: it must not be negative"))
}

/// `--since` or `--since-time` as a point in time.
pub(super) fn since(
    since: Option<&str>,
    since_time: Option<&str>,
) -> anyhow::Result<Option<Timestamp>> {
    match (since, since_time) {
        (Some(_), Some(_)) => Err(anyhow!(
            "--since and --since-time exclude each other; pass one"
        )),
        (None, None) => Ok(None),
        (None, Some(time)) => time.parse().map(Some).with_context(|| {
            format!("--since-time {time:?} is not an RFC 3339 time, as 2026-01-31T08:00:00Z")
        }),
        (Some(text), None) => Ok(Some(Timestamp::now() - duration("--since", text)?)),
    }
}

/// Loads specs and tells on stderr what is wrong with them.
pub(super) async fn specs(
    arguments: &[String],
    no_uri: bool,
    world: &World<'_>,
) -> Result<Specs, Failure> {
    let options = spec::Options {
        no_uri,
        namespace: world.connection.namespace.clone(),
    };
    let specs = spec::load(arguments, &options, world)
        .await
        .map_err(Failure::spec)?;
    tell(&specs);
    Ok(specs)
}

/// The keys of a Secret or `ConfigMap` in the cluster that hold specs (troubleshoot's `LoadFromCluster`).
const CLUSTER_KEYS: [&str; 3] = ["support-bundle-spec", "preflight.yaml", "redactor-spec"];

/// Loads specs from arguments and, where `selector` is given, those that lie in the cluster's Secrets and
/// `ConfigMaps` with that label or its older name.
pub(super) async fn specs_with_cluster(
    arguments: &[String],
    selector: Option<&str>,
    no_uri: bool,
    world: &World<'_>,
) -> Result<Specs, Failure> {
    let Some(selector) = selector else {
        return specs(arguments, no_uri, world).await;
    };
    let mut all = Specs {
        documents: Vec::new(),
        diagnostics: Vec::new(),
        lost: 0,
    };
    if !arguments.is_empty() {
        all = specs(arguments, no_uri, world).await?;
    }
    let selectors = [
        selector.to_owned(),
        selector.replace("troubleshoot.sh/", "troubleshoot.io/"),
    ];
    let distinct = if selectors[0] == selectors[1] { 1 } else { 2 };
    for text in &selectors[..distinct] {
        for (name, text) in labelled(text, world).await? {
            match spec::parse(&name, &text) {
                Ok(found) => {
                    tell(&found);
                    all.documents.extend(found.documents);
                    all.lost += found.lost;
                }
                Err(error) => say(&super::log::redacted(&format!("warning: {name}: {error}"))),
            }
        }
    }
    if all.documents.is_empty() {
        return Err(Failure::spec(anyhow!(
            "no spec was given, and no Secret or ConfigMap in the cluster has the label {selector}"
        )));
    }
    Ok(all)
}

/// The specs of labelled Secrets and `ConfigMaps`, in all namespaces where that is allowed, else in the
/// connection's own; sorted by kind, namespace and name.
async fn labelled(selector: &str, world: &World<'_>) -> Result<Vec<(String, String)>, Failure> {
    let cluster = world.cluster().await?;
    let own = world
        .connection
        .namespace
        .clone()
        .unwrap_or_else(|| cluster.namespace().to_owned());
    let query = [("labelSelector", selector)];
    let mut found = Vec::new();
    for kind in ["secrets", "configmaps"] {
        let wide = match &world.connection.namespace {
            Some(_) => None,
            None => cluster
                .json::<Value>(&format!("/api/v1/{kind}"), &query)
                .await
                .ok(),
        };
        let list = match wide {
            Some(list) => list,
            None => match cluster
                .json(&format!("/api/v1/namespaces/{own}/{kind}"), &query)
                .await
            {
                Ok(list) => list,
                Err(error) if error.is_refused() => {
                    say(&format!(
                        "warning: no spec is loaded from {kind} in namespace {own:?}: {error}"
                    ));
                    continue;
                }
                Err(error) => return Err(error.into()),
            },
        };
        for item in list["items"].as_array().into_iter().flatten() {
            for key in CLUSTER_KEYS {
                if let Some(text) = item["data"][key].as_str() {
                    let name = format!(
                        "{}/{}/{}/{key}",
                        kind.trim_end_matches('s'),
                        item["metadata"]["namespace"].as_str().unwrap_or_default(),
                        item["metadata"]["name"].as_str().unwrap_or_default(),
                    );
                    found.push((name, decoded(kind, text)?));
                }
            }
        }
    }
    Ok(found)
}

fn decoded(kind: &str, text: &str) -> anyhow::Result<String> {
    use base64::Engine as _;
    if kind == "configmaps" {
        return Ok(text.to_owned());
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .context("a Secret's data is not base64")?;
    String::from_utf8(bytes).context("a Secret's spec is not UTF-8")
}

/// Every diagnostic, one line each.
fn tell(specs: &Specs) {
    for diagnostic in &specs.diagnostics {
        say(&super::log::redacted(&diagnostic.to_string()));
    }
}

/// Says which parts of the documents this run leaves out, never silently.
pub(super) fn tell_left_out(plan: &Plan) {
    for diagnostic in &plan.left_out {
        say(&diagnostic.to_string());
    }
    if plan.run_host_collectors_in_pod {
        say(
            "warning: runHostCollectorsInPod: this release runs host collectors here only, not in pods on the nodes",
        );
    }
    if !plan.upload_results_to.is_empty() {
        say("warning: uploadResultsTo: this release does not upload results");
    }
    if !plan.after_collection.is_empty() {
        say("warning: afterCollection: this release does not upload bundles or call back");
    }
}

/// The redactor of specs given as arguments.
pub(super) fn redactor(
    arguments: &[String],
    profile: Profile,
    connection: &Connection,
) -> Result<Redactor, Failure> {
    if arguments.is_empty() {
        return compile(profile, &[]);
    }
    let world = World::new(connection);
    let specs = block_on(specs(arguments, true, &world))??;
    usable(&specs)?;
    compile(profile, &redactor_specs(specs.redactors())?)
}

/// Compiles a plan's redactors: a broken one ends the run before anything is collected.
pub(super) fn compile(profile: Profile, specs: &[RedactorSpec]) -> Result<Redactor, Failure> {
    Redactor::new(profile, specs).map_err(Failure::spec)
}

/// The typed form of loaded redactors.
pub(super) fn redactor_specs<'a>(
    redactors: impl Iterator<Item = &'a spec::Redactor>,
) -> Result<Vec<RedactorSpec>, Failure> {
    redactors
        .map(|redactor| {
            let parsed = syntax::config::parse::<RedactorSpec>(&redactor.value);
            parsed.map(|parsed| parsed.config).map_err(|error| {
                Failure::spec(anyhow!("{}: {}: {error}", redactor.place, error.path))
            })
        })
        .collect()
}

/// A document that cannot be used at all is exit 2, when there is nobody who relies on the rest.
pub(super) fn usable(specs: &Specs) -> Result<(), Failure> {
    if specs.lost == 0 {
        return Ok(());
    }
    let documents = if specs.lost == 1 {
        "document"
    } else {
        "documents"
    };
    Err(Failure::spec(anyhow!(
        "{} {documents} of the spec cannot be used; see the errors above",
        specs.lost
    )))
}

/// A spec error's exit code: the peer calls "no collectors" an ordinary error.
pub(super) fn merge_failure(error: SpecError, dropin: bool) -> Failure {
    match error {
        SpecError::Kind { .. } if dropin => Failure {
            exit: Exit::Error,
            error: anyhow::Error::new(error).context("no collectors specified to run"),
        },
        error => Failure::spec(error),
    }
}
