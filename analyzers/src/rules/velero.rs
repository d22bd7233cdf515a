//! `velero`: troubleshoot's look at Velero's objects and logs.

use std::io::Read;

use bundle::collected::List;
use bundle::collected::template::Templated;
use bundle::collected::velero::Phased;
use bundle::{BundlePath, Files, ReadError};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::version::Version;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, unmasked};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::velero::{namespace_exists, objects, tag};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Velero's objects are in good phases, as troubleshoot sees it",
    docs: docs::<Velero>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<Velero>,
    schema: schema::<Velero>,
};

const NAME: &str = "velero";
const DEPLOYMENTS: &str = "cluster-resources/deployments/velero.json";

/// Velero's objects are in good phases, as troubleshoot sees it.
///
/// `veleroHealth` says more: why a location is unavailable, how old the last backup is, what is not covered.
///
/// # What it checks
/// The version of the Deployment in the namespace `velero`, the phases of Velero's objects in all namespaces, and
/// whether Velero's logs (collected as `velero/logs`) speak of errors.
///
/// # When it warns or fails
/// There are no outcomes. It fails where there is no storage location or no repository, and for each backup, restore,
/// schedule, volume backup, volume restore and snapshot location in a failed phase. It warns for each location and
/// repository that is not ready, for deletions in progress and for a log with `permission denied`, `error`, `panic` or
/// `fatal`. A last result says whether anything failed.
///
/// # What to do
/// `velero backup describe NAME --details`, `velero backup-location get`, `kubectl -n velero logs deployment/velero`.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists the Deployments of the namespace `velero` and the custom
/// resources of `velero.io`. What may not be read is unknown. Logs are read where a `logs` collector named `velero/logs`
/// brought them.
///
/// # Example
/// ```yaml
/// velero: {}
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Velero {}

/// A kind that is looked at object by object: those in a failed phase fail.
struct Kind {
    plural: &'static str,
    /// `Backup`, in the title of a failed one.
    singular: &'static str,
    /// The summary's title.
    summary: &'static str,
    /// `backups`, in the summary's message.
    noun: &'static str,
    failed: &'static [&'static str],
    /// Whether there is a summary beside failed ones.
    sums_up_failures: bool,
}

const BACKUPS: Kind = Kind {
    plural: "backups",
    singular: "Backup",
    summary: "Velero Backups",
    noun: "backups",
    failed: &[
        "Failed",
        "PartiallyFailed",
        "FailedValidation",
        "FinalizingPartiallyFailed",
        "WaitingForPluginOperationsPartiallyFailed",
    ],
    sums_up_failures: true,
};

const OTHERS: [Kind; 5] = [
    Kind {
        plural: "podvolumebackups",
        singular: "Pod Volume Backup",
        summary: "Pod Volume Backups",
        noun: "pod volume backups",
        failed: &["Failed"],
        sums_up_failures: false,
    },
    Kind {
        plural: "podvolumerestores",
        singular: "Pod Volume Restore",
        summary: "Pod Volume Restores",
        noun: "pod volume restores",
        failed: &["Failed"],
        sums_up_failures: false,
    },
    Kind {
        plural: "restores",
        singular: "Restore",
        summary: "Velero Restores",
        noun: "restores",
        failed: &[
            "Failed",
            "PartiallyFailed",
            "FailedValidation",
            "WaitingForPluginOperationsPartiallyFailed",
        ],
        sums_up_failures: false,
    },
    Kind {
        plural: "schedules",
        singular: "Schedule",
        summary: "Velero Schedules",
        noun: "schedules",
        failed: &["FailedValidation"],
        sums_up_failures: false,
    },
    Kind {
        plural: "volumesnapshotlocations",
        singular: "Volume Snapshot Location",
        summary: "Velero Volume Snapshot Locations",
        noun: "volume snapshot locations",
        failed: &["Unavailable"],
        sums_up_failures: false,
    },
];

/// A kind of which at least one has to be ready.
struct Required {
    plural: &'static str,
    /// `Backup Repository`, in titles.
    singular: &'static str,
    /// `backup repositories`, in messages.
    noun: &'static str,
    ready: &'static str,
    /// `ready`, in a sentence.
    readiness: &'static str,
}

const REPOSITORIES: Required = Required {
    plural: "backuprepositories",
    singular: "Backup Repository",
    noun: "backup repositories",
    ready: "Ready",
    readiness: "ready",
};

/// What repositories were called before Velero 1.10.
const RESTIC_REPOSITORIES: Required = Required {
    plural: "resticrepositories",
    singular: "Restic Repository",
    noun: "restic repositories",
    ..REPOSITORIES
};

const LOCATIONS: Required = Required {
    plural: "backupstoragelocations",
    singular: "Backup Storage Location",
    noun: "backup storage locations",
    ready: "Available",
    readiness: "available",
};

impl Analyzer for Velero {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Velero")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let version = version(files)?;
        let mut look = Look {
            files,
            judgement: Judgement::default(),
        };
        look.required(if version < Version::make("1.10.0").map_err(spec)? {
            &RESTIC_REPOSITORIES
        } else {
            &REPOSITORIES
        });
        look.logs("node-agent*");
        look.logs("velero*");
        look.kind(&BACKUPS);
        look.required(&LOCATIONS);
        look.deletions();
        for kind in &OTHERS {
            look.kind(kind);
        }
        let mut judgement = look.judgement;
        let is = |verdict| move |finding: &Finding| finding.verdict == Some(verdict);
        if judgement.findings.iter().any(is(Verdict::Fail)) {
            let message = "Velero setup is not entirely healthy";
            let remedy = "See the failed results of this check.";
            let finding = said("status", Verdict::Warn, "Velero Status", message);
            judgement.findings.push(finding.with_remedy(remedy));
        } else if judgement.not_evaluated.is_none() {
            let message = "Velero setup is healthy";
            let finding = said("status", Verdict::Pass, "Velero Status", message);
            judgement.findings.push(finding);
        }
        for finding in &mut judgement.findings {
            finding.strict = meta.strict;
        }
        Ok(judgement)
    }
}

fn spec(error: impl std::fmt::Display) -> NotEvaluated {
    NotEvaluated::Spec(error.to_string())
}

/// The version in the tag of the container `velero`.
fn version(files: &Files) -> Result<Version, NotEvaluated> {
    if !files.contains(DEPLOYMENTS) && namespace_exists(files, "velero") == Some(false) {
        let reason = "there is no namespace velero".to_owned();
        return Err(NotEvaluated::NotApplicable(reason));
    }
    let deployments = document::<List<Templated>>(files, DEPLOYMENTS)?;
    let containers = deployments
        .items
        .iter()
        .flat_map(|deployment| &deployment.spec.template.spec.containers);
    let mut velero = containers.filter(|container| container.name == "velero");
    let Some(container) = velero.next() else {
        let reason = format!(
            "no Deployment in {DEPLOYMENTS} has a container named velero, whose image tells the version"
        );
        return Err(NotEvaluated::Unknown(reason));
    };
    let image = unmasked(&container.image)?;
    let parsed = tag(image).and_then(|tag| Version::parse_tolerant(tag).ok());
    parsed.ok_or_else(|| {
        NotEvaluated::Unknown(format!(
            "the tag of the image {image:?} ({DEPLOYMENTS}) is no version"
        ))
    })
}

fn said(subject: &str, verdict: Verdict, title: &str, message: impl Into<String>) -> Finding {
    Finding {
        id: Finding::id(NAME, subject),
        title: title.to_owned(),
        verdict: Some(verdict),
        message: message.into(),
        ..Finding::default()
    }
}

/// What is found on the way through the bundle.
struct Look<'a> {
    files: &'a Files,
    judgement: Judgement,
}

impl Look<'_> {
    fn say(&mut self, finding: Finding) {
        self.judgement.findings.push(finding);
    }

    fn missed(&mut self, reason: NotEvaluated) {
        self.judgement.not_evaluated.get_or_insert(reason);
    }

    /// One of which some must be ready; nothing is said of a kind that was not seen in full.
    fn required(&mut self, kind: &Required) {
        let found = objects::<Phased>(self.files, kind.plural, None);
        let mut all = 0;
        let mut ready = 0;
        for object in found.iter() {
            let (name, phase) = (&object.metadata.name, &object.status.phase);
            all += 1;
            if phase == kind.ready {
                ready += 1;
                continue;
            }
            let Required { singular, .. } = kind;
            let message = format!("{singular} [{name}] is in phase {phase}");
            let title = format!("{singular} {name}");
            let subject = format!("{}/{name}", kind.plural);
            let finding = said(&subject, Verdict::Warn, &title, message);
            let remedy = describe(kind.plural, &object.metadata.namespace, name);
            self.say(finding.with_remedy(remedy));
        }
        if let Some(reason) = found.unseen {
            self.missed(reason);
            return;
        }
        let Required {
            noun, ready: word, ..
        } = kind;
        let title = format!("At least 1 {} configured", kind.singular);
        let (verdict, message) = match (all, ready) {
            (0, _) => (Verdict::Fail, format!("No {noun} configured")),
            (_, 0) => {
                let none = kind.readiness;
                (
                    Verdict::Warn,
                    format!("Found {all} configured {noun}, but none are {none}"),
                )
            }
            _ => (
                Verdict::Pass,
                format!("Found {all} {noun} configured and {ready} {word}"),
            ),
        };
        let remedy = format!("See `kubectl get {}.velero.io -A`.", kind.plural);
        self.say(said(kind.plural, verdict, &title, message).with_remedy(remedy));
    }

    fn kind(&mut self, kind: &Kind) {
        let found = objects::<Phased>(self.files, kind.plural, None);
        let mut failures = 0;
        let mut all = 0;
        for object in found.iter() {
            let (name, phase) = (&object.metadata.name, &object.status.phase);
            all += 1;
            if !kind.failed.contains(&phase.as_str()) {
                continue;
            }
            failures += 1;
            let title = format!("{} {name}", kind.singular);
            let message = format!("{title} phase is {phase}");
            let subject = format!("{}/{name}", kind.plural);
            let finding = said(&subject, Verdict::Fail, &title, message);
            let remedy = describe(kind.plural, &object.metadata.namespace, name);
            self.say(finding.with_remedy(remedy));
        }
        if let Some(reason) = found.unseen {
            self.missed(reason);
        } else if all > 0 && (failures == 0 || kind.sums_up_failures) {
            let message = format!("Found {all} {}", kind.noun);
            self.say(said(kind.plural, Verdict::Pass, kind.summary, message));
        }
    }

    fn deletions(&mut self) {
        let found = objects::<Phased>(self.files, "deletebackuprequests", None);
        let in_progress = found
            .iter()
            .filter(|request| request.status.phase == "InProgress")
            .count();
        if in_progress > 0 {
            let message = format!("Found {in_progress} delete backup requests in progress");
            let title = "Delete Backup Requests summary";
            let finding = said("deletebackuprequests", Verdict::Warn, title, message);
            self.say(finding.with_remedy(
                "Wait for them; if they stay, see `kubectl -n velero logs deployment/velero`.",
            ));
        }
        if let Some(reason) = found.unseen {
            self.missed(reason);
        }
    }

    /// The logs of the pods that match `pods`.
    fn logs(&mut self, pods: &str) {
        let found = match self.files.glob(&format!("velero/logs/{pods}/*.log")) {
            Ok(found) => found,
            Err(error) => return self.missed(error.into()),
        };
        for path in &found {
            match complaint(self.files, path) {
                Ok(None) => {}
                Ok(Some(complaint)) => {
                    let title = format!("Velero logs for pod [{path}]");
                    let message = format!("Found {complaint} in {pods} pod log file(s)");
                    let finding = said(&format!("logs/{path}"), Verdict::Warn, &title, message);
                    self.say(finding.with_remedy(format!("Read {path} in the bundle.")));
                }
                Err(error) => self.missed(error.into()),
            }
        }
        if !found.is_empty() {
            let title = format!("Velero Logs analysis for kind [{pods}]");
            let message = format!("Found {} log files", found.len());
            self.say(said(
                &format!("logs/{pods}"),
                Verdict::Pass,
                &title,
                message,
            ));
        }
    }
}

fn describe(plural: &str, namespace: &str, name: &str) -> String {
    let namespace = if namespace.is_empty() {
        "velero"
    } else {
        namespace
    };
    format!("See why: kubectl -n {namespace} describe {plural}.velero.io {name}")
}

/// What troubleshoot looks for in a log, `permission denied` before all else.
fn complaint(files: &Files, path: &BundlePath) -> Result<Option<&'static str>, ReadError> {
    const OVERLAP: usize = 32;
    let mut log = files.open(path.as_str())?;
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    let mut found = None;
    loop {
        let read = match log.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) => {
                return Err(ReadError::Unreadable {
                    path: path.to_string(),
                    reason: error.to_string(),
                });
            }
        };
        if read == 0 {
            return Ok(found);
        }
        let end = kept + read;
        let text = String::from_utf8_lossy(&buffer[..end]);
        if text.contains("permission denied") {
            return Ok(Some("'permission denied'"));
        }
        if ["error", "panic", "fatal"]
            .iter()
            .any(|word| text.contains(word))
        {
            found = Some("error|panic|fatal");
        }
        drop(text);
        // A word may lie across two reads.
        kept = end.min(OVERLAP);
        buffer.copy_within(end - kept..end, 0);
    }
}
