//! `veleroHealth`: backups are made, where to, how old they are, and what is not in them.

mod backups;
mod coverage;
mod credentials;
mod cron;
mod installation;
mod kots;
mod locations;
mod node_agent;
mod plugins;
mod reason;
mod restores;
mod schedules;
mod snapshot_class;
mod volumes;

use bundle::Files;
use bundle::collected::velero::{Backup, Metadata, Schedule};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{is_masked, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, ObjectReference, Verdict};
use crate::message::render_struct;
use crate::outcome::{Operator, Outcome, bad_condition, first_match};
use crate::velero::{Objects, objects};
use installation::{Found, Server};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Velero makes backups that can be restored",
    docs: docs::<VeleroHealth>,
    since: "0.1.0",
    needs: &["clusterResources", "velero"],
    parse: parse::<VeleroHealth>,
    schema: schema::<VeleroHealth>,
};

const NAME: &str = "veleroHealth";
/// Without `maxRestoreAge`: 90 days.
const MAX_RESTORE_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Velero makes backups that can be restored.
///
/// # What it checks
/// One result for each claim: Velero is installed and its server runs; its definitions and plugins are there; the node
/// agent runs on every node that can have volumes to back up; each backup storage location is available, and if not, why;
/// one is the default; each schedule makes backups in time; the last backup of each schedule, of KOTS and by hand
/// completed; none is stuck; repositories are ready; a restore has been tried. With `applicationNamespaces`: every
/// volume of their pods is in a backup, by its files or by a snapshot, and the snapshot class is the one that Velero takes.
/// Where KOTS is, Velero is installed the way KOTS looks for it.
///
/// Without Velero the check is not applicable, unless it is `required`.
///
/// # When it warns or fails
/// Each claim by itself; `docs/probes/velero.md` lists them. A location fails with the reason found in Velero's own
/// message, in the shape of its credentials and in its settings. What Velero said counts only while it is fresh: later
/// than three times the validation frequency, five minutes at least, its server is not reconciling. A schedule warns when
/// the last completed backup is older than one and a half times the longest time between two runs, and an hour; it
/// fails at three times. Times are counted to the collection of the bundle.
///
/// `outcomes` add one result in the spec's own words: `when` is `failed`, `warned`, `passed` or `unknown`, an operator and
/// a number (`"failed > 0"`); messages may use `.Failed`, `.Warned`, `.Passed`, `.Unknown` and `.Reasons`. A `pass` is not
/// given while something is unknown.
///
/// # What to do
/// What each result says: it names the object, the reason and the command or the setting that helps.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists Deployments, `DaemonSets`, pods, claims, nodes and the
/// custom resources of `velero.io`; what may not be read is unknown. The collector `velero`, where the spec has it, tells
/// the shape of the credentials.
///
/// # Example
/// ```yaml
/// veleroHealth:
///   checkName: Snapshots
///   required: true
///   applicationNamespaces: [shop]
///   maxBackupAge: 36h
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct VeleroHealth {
    /// One more result, in the spec's words.
    outcomes: Vec<Outcome>,
    /// Velero's namespace; empty looks for it.
    namespace: String,
    /// Whether a cluster without Velero fails.
    required: bool,
    /// Schedules that must be there.
    schedules: Vec<String>,
    /// The namespaces whose volumes must be in a backup.
    application_namespaces: Vec<String>,
    /// How old the last completed backup may be, `36h`; empty is not asked.
    max_backup_age: String,
    /// How long ago a restore must have been tried, `2160h` (90 days) where it is empty.
    max_restore_age: String,
}

/// What all parts of the check look at.
struct Scene<'a> {
    config: &'a VeleroHealth,
    files: &'a Files,
    /// When the bundle was collected.
    now: Timestamp,
    /// Velero's.
    namespace: String,
    server: Server,
    schedules: Objects<Schedule>,
    backups: Objects<Backup>,
}

/// What the parts of the check say.
#[derive(Debug, Default)]
struct Answers {
    findings: Vec<Finding>,
    /// Which claims could not be judged, and why.
    unknown: Vec<(String, String)>,
}

impl Answers {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn unknown(&mut self, claim: &str, reason: &NotEvaluated) {
        if reason.is_unknown() {
            self.unknown
                .push((claim.to_owned(), reason.reason().to_owned()));
        }
    }

    /// All that is unknown: the claims that have the same reason together.
    fn not_evaluated(&self) -> Option<NotEvaluated> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (claim, reason) in &self.unknown {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, claims)) => claims.push(claim),
                None => reasons.push((reason, vec![claim])),
            }
        }
        let parts: Vec<String> = reasons
            .iter()
            .map(|(reason, claims)| format!("{}: {reason}", claims.join(", ")))
            .collect();
        (!parts.is_empty()).then(|| NotEvaluated::Unknown(parts.join("; ")))
    }

    fn not_found_out(&mut self, claim: &str, reason: impl Into<String>) {
        self.unknown(claim, &NotEvaluated::Unknown(reason.into()));
    }
}

impl Analyzer for VeleroHealth {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Velero makes backups that can be restored")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let max_backup_age = age_limit("maxBackupAge", &self.max_backup_age)?;
        let max_restore_age = age_limit("maxRestoreAge", &self.max_restore_age)?;
        let mut answers = Answers::default();
        match installation::find(files, &self.namespace)? {
            Found::Absent(reason) if !self.required => {
                return Err(NotEvaluated::NotApplicable(reason));
            }
            Found::Absent(reason) => answers.say(installation::absent(&reason)),
            Found::Present(present) => {
                let namespace = present.namespace.clone();
                let mut backups = objects::<Backup>(files, "backups", Some(&namespace));
                if backups.iter().any(|backup| is_masked(&backup.status.phase)) {
                    backups.unseen.get_or_insert_with(redacted);
                }
                let scene = Scene {
                    config: self,
                    files,
                    now: files.collected_at(),
                    server: present.server(files),
                    schedules: objects(files, "schedules", Some(&namespace)),
                    backups,
                    namespace,
                };
                installation::judge(&scene, &present, &mut answers);
                plugins::judge(&scene, &mut answers);
                locations::judge(&scene, &mut answers);
                node_agent::judge(&scene, &mut answers);
                schedules::judge(&scene, &mut answers);
                backups::judge_backups(&scene, max_backup_age, &mut answers);
                restores::judge_repositories(&scene, &mut answers);
                let limit = max_restore_age.unwrap_or(MAX_RESTORE_AGE);
                restores::judge_restores(&scene, limit, &mut answers);
                volumes::judge(&scene, &mut answers);
                kots::judge(&scene, &present, &mut answers);
            }
        }
        self.conclude(meta, answers)
    }
}

impl VeleroHealth {
    fn conclude(&self, meta: &Meta, answers: Answers) -> Result<Judgement, NotEvaluated> {
        let not_evaluated = answers.not_evaluated();
        let unknown = answers.unknown.len();
        let mut findings = answers.findings;
        let summary = self.summary(&findings, unknown)?;
        for finding in &mut findings {
            if !meta.check_name.is_empty() {
                finding.title = format!("{}: {}", meta.check_name, finding.title);
            }
        }
        findings.extend(summary.map(|said| Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            ..said
        }));
        for finding in &mut findings {
            finding.strict = meta.strict;
        }
        Ok(Judgement {
            findings,
            not_evaluated,
        })
    }

    /// The result in the spec's words. Nothing that is unknown becomes a pass by it.
    fn summary(
        &self,
        findings: &[Finding],
        unknown: usize,
    ) -> Result<Option<Finding>, NotEvaluated> {
        if self.outcomes.is_empty() {
            return Ok(None);
        }
        let with = |verdict| {
            findings
                .iter()
                .filter(|finding| finding.verdict == Some(verdict))
                .count()
        };
        let (failed, warned, passed) = (
            with(Verdict::Fail),
            with(Verdict::Warn),
            with(Verdict::Pass),
        );
        let matched = first_match(&self.outcomes, |when| {
            compare(when, |word| match word {
                "failed" => Some(failed),
                "warned" => Some(warned),
                "passed" => Some(passed),
                "unknown" => Some(unknown),
                _ => None,
            })
        })?;
        if matches!(matched, Some((Verdict::Pass, _))) && unknown > 0 {
            return Ok(None);
        }
        let mut said = Finding::of_match(matched);
        let reasons: Vec<&str> = findings
            .iter()
            .filter(|finding| matches!(finding.verdict, Some(Verdict::Fail | Verdict::Warn)))
            .map(|finding| finding.message.as_str())
            .collect();
        let reasons = reasons.join(" ");
        said.message = render_struct(
            &said.message,
            &json!({"Failed": failed, "Warned": warned, "Passed": passed,
                "Unknown": unknown, "Reasons": reasons}),
        )?;
        said.observed =
            format!("{failed} failed, {warned} warned, {passed} passed, {unknown} unknown");
        Ok(Some(said))
    }
}

/// `<word> <operator> <number>`.
fn compare(when: &str, value: impl Fn(&str) -> Option<usize>) -> Result<bool, NotEvaluated> {
    let words: Vec<&str> = when.split_whitespace().collect();
    let [word, operator, number] = words[..] else {
        return Err(bad_condition(when, "expected `<word> <operator> <number>`"));
    };
    let actual = value(word).ok_or_else(|| {
        bad_condition(
            when,
            format!("{word:?} is none of failed, warned, passed, unknown"),
        )
    })?;
    let operator = Operator::parse(operator).ok_or_else(|| {
        bad_condition(
            when,
            format!("unknown operator {operator:?}; = != < > <= >= are known"),
        )
    })?;
    let number: usize = number
        .parse()
        .map_err(|_| bad_condition(when, format!("{number:?} is not a whole number")))?;
    Ok(operator.holds(actual.cmp(&number)))
}

fn age_limit(field: &str, text: &str) -> Result<Option<SignedDuration>, NotEvaluated> {
    if text.is_empty() {
        return Ok(None);
    }
    match syntax::duration::parse(text) {
        Ok(limit) => Ok(Some(limit)),
        Err(error) => Err(NotEvaluated::Spec(format!("{field}: {error}"))),
    }
}

/// A judged claim about `subject`.
fn claim(subject: &str, title: impl Into<String>, verdict: Verdict, message: String) -> Finding {
    Finding {
        id: Finding::id(NAME, subject),
        title: title.into(),
        verdict: Some(verdict),
        message,
        ..Finding::default()
    }
}

fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn velero_object(kind: &str, metadata: &Metadata) -> ObjectReference {
    object("velero.io/v1", kind, &metadata.namespace, &metadata.name)
}

/// How long something is or was ago, in the two greatest units: `3 d 4 h`, `12 min`.
fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// At most five of `items`, and how many more there are.
fn listed<T: AsRef<str>>(items: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = items.len().saturating_sub(SHOWN);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (-5, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3600, "1 h"),
            (3700, "1 h 1 min"),
            (86_400, "1 d"),
            (100_000, "1 d 3 h"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(listed(&["a", "b"]), "a, b");
        assert_eq!(
            listed(&["a", "b", "c", "d", "e", "f", "g"]),
            "a, b, c, d, e and 2 more"
        );
    }
}
