//! Where mirrors are written down: files of this machine, objects of the cluster.

use std::collections::BTreeSet;

use bundle::collected::registry::Unread;

use super::containerd;
use super::parse::{self, LONGEST, OPENSHIFT};
use super::{Hidden, Rule, Stand};
use crate::cluster::Cluster;
use crate::collector::CollectError;
use crate::host::{Host, HostError};

/// Files in a folder that are looked at.
const MOST: usize = 64;

/// Where containerd is configured, and with it where its `hosts.toml` lie by default.
const CONTAINERD: [(&str, &str); 4] = [
    ("/etc/containerd/config.toml", "/etc/containerd/certs.d"),
    (
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "/var/lib/rancher/k3s/agent/etc/containerd/certs.d",
    ),
    (
        "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        "/var/lib/rancher/rke2/agent/etc/containerd/certs.d",
    ),
    ("/etc/k0s/containerd.toml", "/etc/k0s/containerd.d/certs.d"),
];

const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
const REGISTRIES_FOLDER: &str = "/etc/containers/registries.conf.d";
const K3S: [&str; 2] = [
    "/etc/rancher/k3s/registries.yaml",
    "/etc/rancher/rke2/registries.yaml",
];

/// Where to look.
#[derive(Clone, Copy)]
pub(in crate::collectors::registry) struct Sources<'a> {
    /// Folders of containerd's hosts, before all else.
    pub(in crate::collectors::registry) folders: &'a [String],
    /// Whether the places of programs are looked at.
    pub(in crate::collectors::registry) this_machine: bool,
}

/// The rules of this machine for registries. What is not there is no problem, what cannot be read is told.
pub(in crate::collectors::registry) async fn of_machine(
    host: &Host,
    places: Sources<'_>,
    registries: &BTreeSet<String>,
    unread: &mut Vec<Unread>,
) -> Vec<Rule> {
    let mut machine = Machine {
        host,
        unread,
        rules: Vec::new(),
    };
    for folder in places.folders {
        for registry in registries {
            machine.hosts(folder, registry).await;
        }
    }
    if places.this_machine {
        machine.programs(registries).await;
    }
    let mut rules = machine.rules;
    for rule in &mut rules {
        read_trust(host, rule).await;
    }
    rules
}

struct Machine<'a> {
    host: &'a Host,
    unread: &'a mut Vec<Unread>,
    rules: Vec<Rule>,
}

impl Machine<'_> {
    /// What containerd, CRI-O, K3s and RKE2 have.
    async fn programs(&mut self, registries: &BTreeSet<String>) {
        for (config, default) in CONTAINERD {
            let mut folders = vec![default.to_owned()];
            if let Some(text) = self.text(config).await {
                match containerd::config_toml(config, &text) {
                    Ok(found) => {
                        if !found.folders.is_empty() || !found.rules.is_empty() {
                            folders = found.folders;
                        }
                        self.rules.extend(found.rules);
                    }
                    Err(problem) => self.tell(config, &problem),
                }
            }
            for folder in folders {
                for registry in registries {
                    self.hosts(&folder, registry).await;
                }
            }
        }
        self.registries_conf().await;
        for file in K3S {
            if let Some(text) = self.text(file).await {
                let rules = containerd::registries_yaml(file, &text);
                self.rules.extend(rules);
            }
        }
    }

    /// A file's text, where there is one.
    async fn text(&mut self, path: &str) -> Option<String> {
        match self.host.file(path, LONGEST).await {
            Ok(bytes) => {
                if let Ok(text) = String::from_utf8(bytes) {
                    Some(text)
                } else {
                    self.tell(path, "it is not UTF-8");
                    None
                }
            }
            Err(error) => {
                if !is_absent(&error) {
                    self.tell(path, &error.to_string());
                }
                None
            }
        }
    }

    fn tell(&mut self, what: &str, reason: &str) {
        self.unread.push(Unread {
            what: what.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The first of the names under which containerd keeps a registry; the last is for all that have none.
    async fn hosts(&mut self, folder: &str, registry: &str) {
        let with_port = registry
            .rsplit_once(':')
            .map(|(name, port)| format!("{name}_{port}_"));
        let names = with_port
            .into_iter()
            .chain([registry.to_owned(), "_default".to_owned()]);
        for name in names {
            let own = format!("{folder}/{name}");
            let file = format!("{own}/hosts.toml");
            if let Some(text) = self.text(&file).await {
                self.rules
                    .push(containerd::hosts_toml(&file, registry, &own, &text));
                return;
            }
            // The old form: certificates alone.
            let files = self.host.names(&own, MOST).await.unwrap_or_default();
            let roots: Vec<String> = files
                .iter()
                .filter(|name| has_extension(name, "crt"))
                .map(|name| format!("{own}/{name}"))
                .collect();
            let client = files.iter().find_map(|name| {
                let key = format!("{}.key", name.strip_suffix(".cert")?);
                let pair = [name, &key].map(|name| format!("{own}/{name}"));
                files.contains(&key).then(|| pair.to_vec())
            });
            if !roots.is_empty() || client.is_some() {
                let mut rule = containerd::hosts_toml(
                    &own,
                    registry,
                    &own,
                    &format!("server = \"https://{registry}\""),
                );
                if let Some(Stand { trust, .. }) = &mut rule.fallback {
                    trust.files = roots;
                    trust.client_files = client.unwrap_or_default();
                }
                self.rules.push(rule);
                return;
            }
        }
    }

    async fn registries_conf(&mut self) {
        let mut files = vec![REGISTRIES_CONF.to_owned()];
        let further = self
            .host
            .names(REGISTRIES_FOLDER, MOST)
            .await
            .unwrap_or_default();
        let further = further.iter().filter(|name| has_extension(name, "conf"));
        files.extend(further.map(|name| format!("{REGISTRIES_FOLDER}/{name}")));
        for file in files {
            if let Some(text) = self.text(&file).await {
                let rules = parse::registries_conf(&file, &text);
                // A later file takes the place of an earlier one for the same prefix.
                self.rules.retain(|old| {
                    !rules.iter().any(|new| {
                        new.prefix == old.prefix && old.source.starts_with("/etc/containers")
                    })
                });
                self.rules.extend(rules);
            }
        }
    }
}

/// The authorities, and the client's certificates and keys, that a rule names by file.
async fn read_trust(host: &Host, rule: &mut Rule) {
    let stands = rule.mirrors.iter_mut().chain(rule.fallback.as_mut());
    let mut problem = None;
    for Stand { trust, .. } in stands {
        for file in std::mem::take(&mut trust.files) {
            match host.file(&file, LONGEST).await {
                Ok(bytes) => {
                    trust.roots.push_str(&String::from_utf8_lossy(&bytes));
                    trust.roots.push('\n');
                }
                Err(error) => {
                    problem.get_or_insert(format!("the authority's file is not there: {error}"));
                }
            }
        }
        let mut texts = Vec::new();
        for file in std::mem::take(&mut trust.client_files) {
            match host.file(&file, LONGEST).await {
                Ok(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) => {
                    problem.get_or_insert(format!(
                        "the client's certificate or key is not there: {error}"
                    ));
                }
            }
        }
        // One file may hold both.
        if let Some(certificate) = texts.first() {
            trust.client_key = Hidden(texts.get(1).unwrap_or(certificate).clone());
            trust.client_certificate.clone_from(certificate);
        }
    }
    if let Some(problem) = problem {
        rule.wrong(problem);
    }
}

fn is_absent(error: &HostError) -> bool {
    use std::io::ErrorKind;
    matches!(error, HostError::Read { source, .. }
        if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// `OpenShift`'s sets of mirrors, where the API has them.
pub(in crate::collectors::registry) async fn of_cluster(
    cluster: &Cluster,
    unread: &mut Vec<Unread>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (version, plural, ..) in OPENSHIFT {
        let path = format!("/apis/{version}/{plural}");
        let listed = cluster
            .list(&path, &[], |object| {
                match parse::openshift(plural, object.bytes) {
                    Ok(found) => rules.extend(found),
                    Err(problem) => {
                        return Err(CollectError::Failed(format!(
                            "{plural} {}: {problem}",
                            object.name
                        )));
                    }
                }
                Ok(())
            })
            .await;
        if let Err(error) = listed {
            let is_absent =
                matches!(&error, crate::cluster::ListError::Api(error) if error.is_absent());
            if !is_absent {
                unread.push(Unread {
                    what: plural.to_owned(),
                    reason: error.to_string(),
                });
            }
        }
    }
    rules
}
/// Whether a file is of a kind; the runtimes' own readers tell upper and lower case apart.
fn has_extension(name: &str, extension: &str) -> bool {
    std::path::Path::new(name).extension() == Some(extension.as_ref())
}
