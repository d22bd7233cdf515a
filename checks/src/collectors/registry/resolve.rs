//! What is asked for, before anything is asked of a registry: images, credentials, mirrors and platforms, from the spec, the
//! cluster and this machine. All of it can be handed to a pod, which has neither.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::collected::node::Node;
use bundle::collected::registry::{Credential as Told, Unread};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::image_reference::ImageReference;

use super::credentials::Credential;
use super::image::Asked;
use super::mirrors::{Hidden, Rule, Sources, Stand, of_cluster, of_machine};
use super::{Registry, TlsConfig};
use crate::cluster::segment;
use crate::collector::{CollectError, Context, Permission};

/// Images that are looked for.
const MOST: usize = 10_000;

/// Who wants an image, as far as it is told.
const WANTED_BY: usize = 3;

/// The longest file of images, and of certificates.
const FILE: u64 = 4 << 20;

/// The pods whose images are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Workloads {
    /// Their namespaces; that of the run where there is none.
    namespaces: Vec<String>,
}

/// A Secret of the collector's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct SecretName {
    /// Its name.
    pub(super) name: String,
}

/// Everything that is needed, and nothing that leads elsewhere.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Resolved {
    pub(super) images: Vec<Asked>,
    /// Repositories in which an upload is to be started.
    pub(super) pushes: Vec<Asked>,
    pub(super) credentials: Vec<Credential>,
    /// Sources and entries that cannot be used.
    pub(super) unusable: Vec<Told>,
    pub(super) rules: Vec<Rule>,
    pub(super) platforms: Vec<String>,
    pub(super) platforms_from: String,
    pub(super) roots: String,
    pub(super) client_certificate: String,
    pub(super) client_key: String,
    pub(super) unread: Vec<Unread>,
}

impl Resolved {
    fn stands(&self) -> impl Iterator<Item = &Stand> {
        let rules = self.rules.iter();
        rules.flat_map(|rule| rule.mirrors.iter().chain(&rule.fallback))
    }

    /// As whom mirrors are asked by the node's own configuration, each once.
    pub(super) fn logins(&self) -> impl Iterator<Item = &Credential> {
        let mut seen = BTreeSet::new();
        self.stands()
            .filter_map(|stand| stand.login.as_ref())
            .filter(move |it| seen.insert((&it.source, &it.written)))
    }

    /// What is sent to mirrors in headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        let headers = self.stands().flat_map(|stand| &stand.trust.headers);
        headers.map(|(_, Hidden(value))| value.as_str())
    }
}

/// It may hold credentials.
impl std::fmt::Debug for Resolved {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Resolved({} images)", self.images.len())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Pod {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    image_pull_secrets: Option<Vec<SecretName>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
}

fn permission(
    verb: &'static str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Permission {
    Permission {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
    }
}

impl Registry {
    pub(super) fn namespace<'a>(&'a self, run: Option<&'a str>) -> &'a str {
        let own = Some(self.namespace.as_str()).filter(|own| !own.is_empty());
        own.or(run).unwrap_or("default")
    }

    fn workload_namespaces(&self, run: Option<&str>) -> Vec<String> {
        match &self.workloads {
            None => Vec::new(),
            Some(workloads) if workloads.namespaces.is_empty() => {
                vec![self.namespace(run).to_owned()]
            }
            Some(workloads) => workloads.namespaces.clone(),
        }
    }

    pub(super) fn permissions(&self, run: Option<&str>) -> Vec<Permission> {
        if self.resolved.is_some() {
            return Vec::new();
        }
        let own = Some(self.namespace(run));
        let mut permissions = Vec::new();
        for secret in &self.image_pull_secrets {
            permissions.push(permission("get", "", "secrets", own, Some(&secret.name)));
        }
        if self.image_pull_secrets.is_empty() && !self.images.is_empty() {
            let account = Some(self.service_account());
            permissions.push(permission("get", "", "serviceaccounts", own, account));
            permissions.push(permission("get", "", "secrets", own, None));
        }
        if let Some(name) = &self.tls.secret {
            permissions.push(permission("get", "", "secrets", own, Some(&name.name)));
        }
        for namespace in self.workload_namespaces(run) {
            permissions.push(permission("list", "", "pods", Some(&namespace), None));
            permissions.push(permission("get", "", "secrets", Some(&namespace), None));
        }
        if self.platforms.is_empty() {
            permissions.push(permission("list", "", "nodes", None, None));
        }
        permissions.sort();
        permissions.dedup();
        permissions
    }

    pub(super) fn service_account(&self) -> &str {
        match self.service_account.as_str() {
            "" => "default",
            name => name,
        }
    }

    /// Finds everything out. What cannot be read is told, and the rest goes on.
    pub(super) async fn resolve(&self, context: &Context) -> Resolved {
        let mut resolving = Resolving {
            context,
            resolved: Resolved::default(),
            by_name: BTreeMap::new(),
            secrets: BTreeSet::new(),
        };
        let run = context.namespace.as_deref();
        let own = self.namespace(run);
        resolving.tls(&self.tls, own).await;
        let own_sources = resolving.own_secrets(self, own).await;
        for image in &self.images {
            resolving.add(image, "spec", &own_sources);
        }
        for file in &self.image_files {
            resolving.file(file, &own_sources).await;
        }
        for namespace in self.workload_namespaces(run) {
            resolving.pods(&namespace).await;
        }
        for repository in &self.push {
            resolving.resolved.pushes.push(Asked {
                image: repository.clone(),
                wanted_by: Vec::new(),
                sources: own_sources.clone(),
            });
        }
        resolving.platforms(self).await;
        resolving.mirrors(self).await;
        let mut resolved = resolving.resolved;
        resolved.images = resolving.by_name.into_values().collect();
        resolved
    }
}

pub(super) struct Resolving<'a> {
    pub(super) context: &'a Context,
    pub(super) resolved: Resolved,
    /// By the image as it is written.
    by_name: BTreeMap<String, Asked>,
    /// Those that were read, by namespace and name.
    pub(super) secrets: BTreeSet<(String, String)>,
}

impl Resolving<'_> {
    pub(super) fn tell(&mut self, what: impl Into<String>, reason: impl std::fmt::Display) {
        self.resolved.unread.push(Unread {
            what: what.into(),
            reason: reason.to_string(),
        });
    }

    fn add(&mut self, image: &str, wanted_by: &str, sources: &[String]) {
        if image.is_empty() {
            return;
        }
        if self.by_name.len() >= MOST && !self.by_name.contains_key(image) {
            let told = self.resolved.unread.iter().any(|it| it.what == "images");
            if !told {
                self.tell(
                    "images",
                    format!("there are more than {MOST}; the rest is left out"),
                );
            }
            return;
        }
        let asked = self
            .by_name
            .entry(image.to_owned())
            .or_insert_with(|| Asked {
                image: image.to_owned(),
                ..Asked::default()
            });
        if asked.wanted_by.len() < WANTED_BY && asked.wanted_by.iter().all(|it| it != wanted_by) {
            asked.wanted_by.push(wanted_by.to_owned());
        }
        for source in sources {
            if !asked.sources.contains(source) {
                asked.sources.push(source.clone());
            }
        }
    }

    async fn tls(&mut self, tls: &TlsConfig, namespace: &str) {
        self.resolved.roots.clone_from(&tls.cacert);
        self.resolved
            .client_certificate
            .clone_from(&tls.client_cert);
        self.resolved.client_key.clone_from(&tls.client_key);
        if !tls.ca_file.is_empty() {
            match self.context.host.file(&tls.ca_file, FILE).await {
                Ok(bytes) => self
                    .resolved
                    .roots
                    .push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => self.tell("tls.caFile", error),
            }
        }
        let Some(secret) = &tls.secret else { return };
        match self.secret(namespace, &secret.name).await {
            Ok(secret) => {
                let data = secret.data.unwrap_or_default();
                let text = |keys: [&str; 2]| {
                    let value = keys.iter().find_map(|key| data.get(*key))?;
                    String::from_utf8(STANDARD.decode(value).ok()?).ok()
                };
                let fields = [
                    (["cacert", "ca.crt"], &mut self.resolved.roots),
                    (
                        ["clientCert", "tls.crt"],
                        &mut self.resolved.client_certificate,
                    ),
                    (["clientKey", "tls.key"], &mut self.resolved.client_key),
                ];
                for (keys, field) in fields {
                    if let Some(value) = text(keys) {
                        *field = value;
                    }
                }
            }
            Err(reason) => self.tell("tls.secret", reason),
        }
    }

    /// One reference a line; `#` begins a comment.
    async fn file(&mut self, file: &str, sources: &[String]) {
        match self.context.host.file(file, FILE).await {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                for line in text.lines() {
                    let image = line.split('#').next().unwrap_or_default().trim();
                    self.add(image, file, sources);
                }
            }
            Err(error) => self.tell(file, error),
        }
    }

    async fn pods(&mut self, namespace: &str) {
        let Some(cluster) = self.context.cluster.clone() else {
            self.tell(format!("pods in {namespace}"), "there is no cluster to ask");
            return;
        };
        let mut found: Vec<(String, Pod)> = Vec::new();
        let path = format!("/api/v1/namespaces/{}/pods", segment(namespace));
        let listed = cluster
            .list(&path, &[], |object| {
                let pod = serde_json::from_slice(object.bytes).map_err(|_| {
                    CollectError::Failed(format!("pod {} is malformed", object.name))
                })?;
                found.push((object.name.to_owned(), pod));
                Ok(())
            })
            .await;
        if let Err(error) = listed {
            self.tell(format!("pods in {namespace}"), error);
        }
        for (name, pod) in found {
            let mut sources = Vec::new();
            for secret in pod.spec.image_pull_secrets.unwrap_or_default() {
                sources.push(self.pull_secret(namespace, &secret.name).await);
            }
            if sources.is_empty() {
                sources.push("none".to_owned());
            }
            let lists = [
                pod.spec.containers,
                pod.spec.init_containers,
                pod.spec.ephemeral_containers,
            ];
            for container in lists.into_iter().flatten().flatten() {
                self.add(
                    &container.image,
                    &format!("{namespace}/Pod {name}"),
                    &sources,
                );
            }
        }
    }

    async fn platforms(&mut self, config: &Registry) {
        if !config.platforms.is_empty() {
            self.resolved.platforms.clone_from(&config.platforms);
            "spec".clone_into(&mut self.resolved.platforms_from);
            return;
        }
        let Some(cluster) = self.context.cluster.clone() else {
            "all, for there is no cluster to ask for its nodes"
                .clone_into(&mut self.resolved.platforms_from);
            return;
        };
        let mut found = BTreeSet::new();
        let listed = cluster
            .list("/api/v1/nodes", &[], |object| {
                let node: Node = serde_json::from_slice(object.bytes).map_err(|_| {
                    CollectError::Failed(format!("node {} is malformed", object.name))
                })?;
                let info = &node.status.node_info;
                if !info.operating_system.is_empty() && !info.architecture.is_empty() {
                    found.insert(format!("{}/{}", info.operating_system, info.architecture));
                }
                Ok(())
            })
            .await;
        self.resolved.platforms_from = match listed {
            Ok(_) if !found.is_empty() => "nodes".to_owned(),
            Ok(_) => "all, for no node tells its own".to_owned(),
            Err(error) => {
                found.clear();
                format!("all, for the nodes cannot be read: {error}")
            }
        };
        self.resolved.platforms = found.into_iter().collect();
    }

    async fn mirrors(&mut self, config: &Registry) {
        let given = config.mirrors.given.iter().map(super::mirrors::Given::rule);
        self.resolved.rules.extend(given);
        if config.mirrors.this_machine || !config.mirrors.folders.is_empty() {
            let parsed = self
                .by_name
                .keys()
                .filter_map(|image| ImageReference::parse_written(image).ok());
            let registries: BTreeSet<String> = parsed.map(|it| it.registry).collect();
            let host = &self.context.host;
            let places = Sources {
                folders: &config.mirrors.folders,
                this_machine: config.mirrors.this_machine,
            };
            let rules = of_machine(host, places, &registries, &mut self.resolved.unread).await;
            self.resolved.rules.extend(rules);
        }
        if config.mirrors.cluster
            && let Some(cluster) = &self.context.cluster
        {
            let rules = of_cluster(cluster, &mut self.resolved.unread).await;
            self.resolved.rules.extend(rules);
        }
    }
}
