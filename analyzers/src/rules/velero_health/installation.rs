//! Is Velero here, does its server run, and has it what it needs: definitions, plugins.

use std::collections::BTreeSet;

use bundle::Files;
use bundle::collected::template::{TemplateContainer, Templated};
use bundle::collected::velero::Phased;
use bundle::collected::{List, ListOrArray, Named, pod, volume};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use syntax::version::Version;

use super::{Answers, Scene, claim, listed, object};
use crate::document::{Documents, counted, decoded, document};
use crate::finding::{Finding, NotEvaluated, Verdict};
use crate::velero::{namespace_exists, objects, tag};

const DEFINITIONS: &str = "cluster-resources/custom-resource-definitions.json";
/// What the server looks for before it starts, since Velero 1.12 with the last two.
const RESOURCES: [&str; 13] = [
    "backuprepositories",
    "backups",
    "backupstoragelocations",
    "deletebackuprequests",
    "downloadrequests",
    "podvolumebackups",
    "podvolumerestores",
    "restores",
    "schedules",
    "serverstatusrequests",
    "volumesnapshotlocations",
    "datadownloads",
    "datauploads",
];

/// Whether there is a Velero.
pub(super) enum Found {
    /// There is none, in a sentence.
    Absent(String),
    /// There is one, or what is left of one.
    Present(Box<Present>),
}

/// A Velero.
pub(super) struct Present {
    pub(super) namespace: String,
    /// Its server's Deployment; none where only definitions are there.
    pub(super) deployment: Option<Templated>,
}

/// What its server was told, with Velero's own defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) version: Option<Version>,
    /// `v1.18.3` as its tag says it, or the image where it has no tag.
    pub(super) version_text: String,
    /// `--features` has `EnableCSI`.
    pub(super) has_csi: bool,
    /// `--default-volumes-to-fs-backup`.
    pub(super) backs_up_files: bool,
    /// `--default-snapshot-move-data`.
    pub(super) moves_data: bool,
    /// `--default-backup-storage-location`.
    pub(super) default_location: String,
    /// `--store-validation-frequency`.
    pub(super) validation_frequency: SignedDuration,
    /// `--fs-backup-timeout`.
    pub(super) files_timeout: SignedDuration,
    /// The images of its init containers.
    pub(super) plugins: Vec<String>,
    /// The Secret that is mounted as its own credentials.
    pub(super) secret: String,
    /// When its container started; the latest where several run.
    pub(super) started: Option<Timestamp>,
}

impl Server {
    /// Takes over what the server's arguments say.
    fn read_arguments(&mut self, container: &TemplateContainer) {
        let mut words = container.command.iter().chain(&container.args).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                continue;
            };
            // A flag without `=` is a switch, or its value follows.
            let (flag, value) = flag.split_once('=').unwrap_or_else(|| {
                let next = words.peek().filter(|next| !next.starts_with('-'));
                (flag, next.map_or("true", |next| next.as_str()))
            });
            let is_on = matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True");
            let duration = || syntax::duration::parse(value).ok();
            match flag {
                "features" => self.has_csi |= value.split(',').any(|one| one == "EnableCSI"),
                "default-volumes-to-fs-backup" | "default-volumes-to-restic" => {
                    self.backs_up_files = is_on;
                }
                "default-snapshot-move-data" => self.moves_data = is_on,
                "default-backup-storage-location" => {
                    value.clone_into(&mut self.default_location);
                }
                "store-validation-frequency" => {
                    self.validation_frequency = duration().unwrap_or(self.validation_frequency);
                }
                "fs-backup-timeout" | "restic-timeout" => {
                    self.files_timeout = duration().unwrap_or(self.files_timeout);
                }
                _ => {}
            }
        }
    }

    /// Whether the version is known to be at least this.
    pub(super) fn is_at_least(&self, version: &str) -> bool {
        let least = Version::make(version).ok();
        self.version.is_some() && self.version >= least
    }

    fn is_before(&self, version: &str) -> bool {
        self.version.is_some() && !self.is_at_least(version)
    }
}

/// Looks for a Deployment with a container `velero`, named `velero` or labelled as Velero's; failing that, for its
/// definitions.
pub(super) fn find(files: &Files, namespace: &str) -> Result<Found, NotEvaluated> {
    const FOLDER: &str = "cluster-resources/deployments";
    if !namespace.is_empty() && namespace_exists(files, namespace) == Some(false) {
        return Ok(Found::Absent(format!("There is no namespace {namespace}.")));
    }
    let namespaces: Vec<String> = Some(namespace)
        .filter(|namespace| !namespace.is_empty())
        .map(str::to_owned)
        .into_iter()
        .collect();
    let documents = Documents::<List<Templated>>::read(files, FOLDER, &namespaces)?;
    let deployments = documents.read.iter().flat_map(|(_, list)| &list.items);
    let mut found: Vec<&Templated> = deployments.filter(|it| is_velero(it)).collect();
    // Of several the one where the installers put it, else the one that is named as they name it.
    let rank = |it: &Templated| {
        (
            it.metadata.namespace != "velero",
            it.metadata.name != "velero",
        )
    };
    found.sort_by_key(|it| rank(it));
    if let [one, another, ..] = found.as_slice()
        && one.metadata.namespace != "velero"
        && rank(one) == rank(another)
    {
        let namespaces: Vec<&str> = found
            .iter()
            .map(|it| it.metadata.namespace.as_str())
            .collect();
        let reason = format!(
            "Velero is in several namespaces ({}): name one of them in `namespace`",
            listed(&namespaces)
        );
        return Err(NotEvaluated::Unknown(reason));
    }
    if let Some(deployment) = found.first() {
        return Ok(Found::Present(Box::new(Present {
            namespace: deployment.metadata.namespace.clone(),
            deployment: Some((*deployment).clone()),
        })));
    }
    if let Some(reason) = documents.unseen {
        return Err(reason);
    }
    let defined = defined(files)?;
    if !defined.contains("backupstoragelocations") {
        let place = match namespace {
            "" => "No namespace".to_owned(),
            namespace => format!("Namespace {namespace} does not"),
        };
        let has = if namespace.is_empty() { "has" } else { "have" };
        return Ok(Found::Absent(format!(
            "{place} {has} a Deployment of Velero, and the cluster has no definitions of velero.io."
        )));
    }
    let locations = objects::<Phased>(files, "backupstoragelocations", None);
    let namespace = match (namespace, locations.iter().next()) {
        ("", Some(location)) => location.metadata.namespace.clone(),
        ("", None) => "velero".to_owned(),
        (namespace, _) => namespace.to_owned(),
    };
    Ok(Found::Present(Box::new(Present {
        namespace,
        deployment: None,
    })))
}

fn is_velero(deployment: &Templated) -> bool {
    let labels = &deployment.metadata.labels;
    let is = |label: &str| labels.get(label).is_some_and(|value| value == "velero");
    let is_named =
        deployment.metadata.name == "velero" || is("component") || is("app.kubernetes.io/name");
    is_named && container(deployment).is_some()
}

fn container(deployment: &Templated) -> Option<&TemplateContainer> {
    let containers = &deployment.spec.template.spec.containers;
    containers.iter().find(|each| each.name == "velero")
}

/// The plurals of the definitions in `velero.io`; where definitions may not be listed, of what the API serves.
fn defined(files: &Files) -> Result<BTreeSet<String>, NotEvaluated> {
    let refused = match document::<List<Named>>(files, DEFINITIONS) {
        Ok(definitions) => {
            let plurals = definitions.items.iter().filter_map(|definition| {
                let plural = definition.metadata.name.strip_suffix(".velero.io")?;
                Some(plural.to_owned())
            });
            return Ok(plurals.collect());
        }
        Err(reason) => reason,
    };
    let served: Value = files
        .decoded("cluster-resources/resources.json")
        .map(|lists: std::sync::Arc<Value>| (*lists).clone())
        .map_err(|_| refused)?;
    let lists = served.as_array().into_iter().flatten();
    let ours = lists.filter(|list| {
        list["groupVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("velero.io/"))
    });
    let names = ours
        .flat_map(|list| {
            let resources = list["resources"]
                .as_array()
                .or(list["APIResources"].as_array());
            resources.into_iter().flatten()
        })
        .filter_map(|resource| resource["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

pub(super) fn absent(reason: &str) -> Finding {
    claim(
        "installation",
        "Velero is installed and its server runs",
        Verdict::Fail,
        format!("Velero is not installed: {reason}"),
    )
    .with_remedy(
        "Install Velero with the plugin of your object storage: \
         velero install --provider aws --plugins velero/velero-plugin-for-aws:VERSION --bucket BUCKET --secret-file FILE \
         (https://velero.io/docs/main/basic-install/).",
    )
}

impl Present {
    /// What the server was told.
    pub(super) fn server(&self, files: &Files) -> Server {
        let mut server = Server {
            default_location: "default".to_owned(),
            validation_frequency: SignedDuration::from_mins(1),
            files_timeout: SignedDuration::from_hours(4),
            started: self.started(files),
            ..Server::default()
        };
        let Some(deployment) = &self.deployment else {
            return server;
        };
        let spec = &deployment.spec.template.spec;
        let init = spec.init_containers.iter();
        server.plugins = init.map(|plugin| plugin.image.clone()).collect();
        let mounted = spec.volumes.iter();
        let mut secrets = mounted.filter(|volume| volume["name"] == "cloud-credentials");
        if let Some(name) = secrets.find_map(|volume| volume["secret"]["secretName"].as_str()) {
            name.clone_into(&mut server.secret);
        }
        let Some(container) = container(deployment) else {
            return server;
        };
        let tag = tag(&container.image);
        server.version = tag.and_then(|tag| Version::parse_tolerant(tag).ok());
        tag.unwrap_or(&container.image)
            .clone_into(&mut server.version_text);
        server.read_arguments(container);
        server
    }

    fn started(&self, files: &Files) -> Option<Timestamp> {
        let path = format!("cluster-resources/pods/{}.json", self.namespace);
        let pods = decoded::<ListOrArray<volume::Pod>>(files, &path).ok()?;
        let ours = pods.items.iter().filter(|pod| {
            let mut owners = pod.metadata.owner_references.iter();
            owners.any(|owner| owner.kind == "ReplicaSet" && self.owns(&owner.name))
        });
        ours.flat_map(|pod| &pod.status.container_statuses)
            .filter(|status| status.name == "velero")
            .filter_map(|status| status.state.running.as_ref()?.started_at)
            .max()
    }

    /// Whether a `ReplicaSet` or a pod is the server's, by its name.
    fn owns(&self, name: &str) -> bool {
        let deployment = self.deployment.as_ref();
        let owner = deployment.map_or("velero", |deployment| &deployment.metadata.name);
        let rest = name
            .strip_prefix(owner)
            .and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.split('-').count() <= 2)
    }
}

pub(super) fn judge(scene: &Scene<'_>, present: &Present, answers: &mut Answers) {
    judge_server(scene, present, answers);
    judge_definitions(scene, answers);
}

fn judge_server(scene: &Scene<'_>, present: &Present, answers: &mut Answers) {
    let title = "Velero is installed and its server runs";
    let namespace = &scene.namespace;
    let path = format!("cluster-resources/deployments/{namespace}.json");
    let Some(deployment) = &present.deployment else {
        let message = format!(
            "The definitions of velero.io are installed, and no Deployment of Velero is: nobody makes backups in namespace {namespace}."
        );
        let finding = claim("installation", title, Verdict::Fail, message);
        let observed = format!("no Deployment with a container velero ({path})");
        answers.say(
            Finding { observed, ..finding }.with_remedy(
                "Install Velero's server (https://velero.io/docs/main/basic-install/), or remove its definitions if it is gone for good.",
            ),
        );
        return;
    };
    let name = &deployment.metadata.name;
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let ready = deployment.status.ready_replicas;
    let version = &scene.server.version_text;
    let (verdict, message) = if wanted == 0 {
        let message = format!("Deployment {namespace}/{name} (Velero {version}) is scaled to 0.");
        (Verdict::Fail, message)
    } else if ready < 1 {
        let why = why_not_ready(scene, present);
        let message = format!(
            "Velero {version} is installed in namespace {namespace} and its server is not ready{why}."
        );
        (Verdict::Fail, message)
    } else {
        let message = format!("Velero {version} runs in namespace {namespace}.");
        (Verdict::Pass, message)
    };
    let remedy = if wanted == 0 {
        format!("kubectl -n {namespace} scale deployment {name} --replicas=1")
    } else {
        format!(
            "See kubectl -n {namespace} describe deployment {name} and kubectl -n {namespace} logs deployment/{name}."
        )
    };
    let observed = format!("{ready} of {} ready ({path})", counted(wanted, "replica"));
    let objects = vec![object("apps/v1", "Deployment", namespace, name)];
    let finding = claim("installation", title, verdict, message);
    answers.say(
        Finding {
            observed,
            objects,
            ..finding
        }
        .with_remedy(remedy),
    );
}

/// The word that `kubectl get pods` has for a pod of the server that does not run.
fn why_not_ready(scene: &Scene<'_>, present: &Present) -> String {
    let path = format!("cluster-resources/pods/{}.json", scene.namespace);
    let Ok(pods) = decoded::<ListOrArray<pod::Pod>>(scene.files, &path) else {
        return String::new();
    };
    let mut ours = pods
        .items
        .iter()
        .filter(|pod| present.owns(&pod.metadata.name));
    let Some(pod) = ours.find(|pod| pod.is_unhealthy()) else {
        return String::new();
    };
    let status = pod.status_reason();
    let message = match status.message.as_str() {
        "" => String::new(),
        message => format!(" ({message})"),
    };
    format!(
        ": pod {} is in {}{message}",
        pod.metadata.name, status.reason
    )
}

fn judge_definitions(scene: &Scene<'_>, answers: &mut Answers) {
    let title = "Velero's definitions are installed";
    let defined = match defined(scene.files) {
        Ok(defined) => defined,
        Err(reason) => return answers.unknown(title, &reason),
    };
    let wanted = RESOURCES.iter().filter(|plural| match **plural {
        "datadownloads" | "datauploads" => !scene.server.is_before("1.12.0"),
        "backuprepositories" => !scene.server.is_before("1.10.0"),
        _ => true,
    });
    let missing: Vec<String> = wanted
        .filter(|plural| !defined.contains(**plural))
        .map(|plural| format!("{plural}.velero.io"))
        .collect();
    let observed = format!(
        "{} of velero.io ({DEFINITIONS})",
        counted(defined.len(), "definition")
    );
    let finding = if missing.is_empty() {
        let message = format!(
            "Velero's {} are there.",
            counted(defined.len(), "definition")
        );
        claim("definitions", title, Verdict::Pass, message)
    } else {
        let message = format!(
            "The cluster has no {}: Velero {} does not start without.",
            listed(&missing),
            scene.server.version_text
        );
        claim("definitions", title, Verdict::Fail, message)
    };
    let remedy = "Install those of the server's own version: velero install --crds-only --dry-run -o yaml | kubectl apply -f -";
    answers.say(
        Finding {
            observed,
            ..finding
        }
        .with_remedy(remedy),
    );
}
