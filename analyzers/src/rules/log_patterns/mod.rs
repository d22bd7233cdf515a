//! `logPatterns`: error messages whose meaning is known, in logs, events and the status of pods.

mod places;
mod scan;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bundle::Files;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use syntax::suggest::nearest;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::counted;
use crate::finding::{Finding, Judgement, NotEvaluated, ObjectReference, Verdict};
use crate::message::render;
use crate::outcome::{Operator, Outcome, bad_condition, first_match};
use scan::{Matcher, Seen};
use table::{PATTERNS, Pattern, Source};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Logs, events and pods say nothing that is known to be an error",
    docs: documentation,
    since: "0.1.0",
    needs: &["clusterResources", "logs", "runPod"],
    parse: parse::<LogPatterns>,
    schema: schema::<LogPatterns>,
};

const NAME: &str = "logPatterns";

/// Objects that get a finding of their own for a pattern; further ones share one.
const MOST_OBJECTS: usize = 5;

/// Objects that the shared finding names.
const MOST_NAMED: usize = 20;

/// Logs, events and pods say nothing that is known to be an error.
///
/// # What it checks
/// Every log in the bundle (`*.log`: of pods, of `logs` collectors, of `runPod`), or the `files` given, what containers
/// said when they ended, the status of pods, and warning events, against the table of known messages below. Each
/// file is read once, whatever its size. A message counts once for each object, with how often it was found.
///
/// # When it warns or fails
/// Each pattern and object gives a finding, which warns or fails as the table says; for a pattern that many objects
/// have, the first five, and one for the rest. Where all was read and nothing is known, it passes; where a log is
/// missing, it is unknown. No log at all is unknown, too, unless `ignoreIfNoFiles`.
/// With `outcomes` there is a single finding instead: `when` is `count <op> <n>`, `count(<id or probe>) <op> <n>`, over
/// patterns and objects; messages are templates over `.Count`, `.Patterns` and `.First`.
///
/// # What to do
/// The finding says what the message means and what to do, and names object, file, line and time. A log may tell of
/// what is long over: compare the time.
///
/// # Needs
/// The collectors `clusterResources` (always added; it has the logs of unhealthy pods) and, for the logs of others,
/// `logs`.
///
/// # Example
/// ```yaml
/// logPatterns:
///   checkName: Known errors of the database
///   namespaces: [shop]
///   include: [postgres, dns]
///   exclude: [postgres-not-ready]
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct LogPatterns {
    /// Globs of files to read instead of all logs; pods and events are not looked at then.
    files: Vec<String>,
    /// Only logs, pods and events of these namespaces; all where none is given. One that does not exist has none; where
    /// none of them does the check does not apply.
    namespaces: Vec<String>,
    /// Only these patterns, by id or probe; all where none is given.
    include: Vec<String>,
    /// Not these, by id or probe.
    exclude: Vec<String>,
    /// Say nothing where there is no log.
    ignore_if_no_files: bool,
    /// One finding over all matches, in place of one for each.
    outcomes: Vec<Outcome>,
}

/// The doc comment with the table.
fn documentation() -> String {
    let mut table = String::from("\n\nThe patterns, by probe:\n\n");
    for row in PATTERNS.iter() {
        let verdict = match row.verdict {
            Verdict::Fail => "fails",
            _ => "warns",
        };
        let line = format!("- `{}` ({}) {verdict}: {}\n", row.id, row.probe, row.means);
        table.push_str(&line);
    }
    docs::<LogPatterns>().replacen("\n\n# What to do", &format!("{table}\n# What to do"), 1)
}

impl Analyzer for LogPatterns {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Logs hold no known error")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let mut hits = Hits {
            wanted: self.wanted()?,
            ..Hits::default()
        };
        let namespaces = places::existing(files, &self.namespaces)?;
        let patterns = places::patterns(&self.files, &namespaces);
        let logs = places::logs(files, &patterns, self.files.is_empty())?;
        let mut unseen = places::missing_logs(files, &patterns);
        for path in &logs {
            if let Err(reason) = places::read_log(files, path, &mut hits) {
                unseen.get_or_insert(reason);
            }
        }
        let mut documents = 0;
        if self.files.is_empty() {
            let cluster = places::read_cluster(files, &namespaces, &mut hits);
            documents = cluster.documents;
            if let Some(reason) = cluster.unseen {
                unseen.get_or_insert(reason);
            }
        }
        if logs.is_empty() && unseen.is_none() {
            match self.no_logs(files, &patterns) {
                reason @ NotEvaluated::NotApplicable(_) if hits.all.is_empty() => {
                    return Err(reason);
                }
                NotEvaluated::NotApplicable(_) => {}
                reason => unseen = Some(reason),
            }
        }
        let read = format!(
            "{} and {} of pods and events read",
            counted(logs.len(), "log"),
            counted(documents, "document")
        );
        let findings = if self.outcomes.is_empty() {
            self.each(meta, &hits, &read, unseen.is_none())
        } else {
            self.one(meta, &hits, &read, unseen.is_none())?
        };
        Ok(Judgement {
            findings,
            not_evaluated: unseen,
        })
    }
}

impl LogPatterns {
    /// Which rows of the table are asked for.
    fn wanted(&self) -> Result<Vec<bool>, NotEvaluated> {
        for name in self.include.iter().chain(&self.exclude) {
            known(name)?;
        }
        let named = |names: &[String], row: &Pattern| {
            names
                .iter()
                .any(|name| *name == row.id || *name == row.probe)
        };
        let is_wanted = |row: &Pattern| {
            (self.include.is_empty() || named(&self.include, row)) && !named(&self.exclude, row)
        };
        Ok(PATTERNS.iter().map(is_wanted).collect())
    }

    /// Why there is no log: what the manifest knows of it comes first.
    fn no_logs(&self, files: &Files, patterns: &[String]) -> NotEvaluated {
        let gap = patterns
            .iter()
            .find_map(|pattern| Some((pattern, files.gaps(pattern).next()?)));
        let what = match (gap, self.files.as_slice()) {
            (Some((pattern, gap)), _) => return NotEvaluated::from_gap(pattern, gap),
            (None, []) => "no log was collected; add the collector `logs`".to_owned(),
            (None, files) => format!("there is no file {}", files.join(", ")),
        };
        if self.ignore_if_no_files {
            NotEvaluated::NotApplicable(what)
        } else {
            NotEvaluated::Unknown(what)
        }
    }

    /// A finding for each pattern and object; a pass where nothing was found and nothing is missing.
    fn each(&self, meta: &Meta, hits: &Hits, read: &str, is_all: bool) -> Vec<Finding> {
        let title = self.title(meta);
        if hits.all.is_empty() {
            let passed = Finding {
                id: NAME.to_owned(),
                title,
                verdict: Some(Verdict::Pass),
                message: "No known error was found.".to_owned(),
                strict: meta.strict,
                observed: read.to_owned(),
                ..Finding::default()
            };
            return if is_all { vec![passed] } else { Vec::new() };
        }
        let mut by_row: BTreeMap<usize, Vec<&Hit>> = BTreeMap::new();
        for hit in &hits.all {
            by_row.entry(hit.row).or_default().push(hit);
        }
        let mut findings = Vec::new();
        for (row, hits) in by_row {
            let row = &PATTERNS[row];
            let finding = |id: String, message: String| Finding {
                id,
                title: format!("{title} - {}", row.id),
                verdict: Some(row.verdict),
                message,
                strict: meta.strict,
                remedy: row.remedy.clone(),
                ..Finding::default()
            };
            let (first, more) = hits.split_at(hits.len().min(MOST_OBJECTS));
            findings.extend(first.iter().map(|hit| Finding {
                observed: hit.observed(),
                objects: hit.object.clone().into_iter().collect(),
                ..finding(
                    Finding::id(NAME, &format!("{}/{}", row.id, hit.subject)),
                    hit.message(),
                )
            }));
            if !more.is_empty() {
                let told = more.iter().take(MOST_NAMED);
                let names: Vec<&str> = told.clone().map(|hit| hit.subject.as_str()).collect();
                let rest = match more.len() - names.len() {
                    0 => String::new(),
                    rest => format!(" and {rest} more"),
                };
                findings.push(Finding {
                    observed: format!("{}{rest}", names.join(", ")),
                    objects: told.filter_map(|hit| hit.object.clone()).collect(),
                    ..finding(
                        Finding::id(NAME, &format!("{}/more", row.id)),
                        format!(
                            "{}: also in {}",
                            capitalised(&row.means),
                            counted(more.len(), "other object")
                        ),
                    )
                });
            }
        }
        findings
    }

    /// The one finding of `outcomes`. A pass is none where something is missing.
    fn one(
        &self,
        meta: &Meta,
        hits: &Hits,
        read: &str,
        is_all: bool,
    ) -> Result<Vec<Finding>, NotEvaluated> {
        let matched = first_match(&self.outcomes, |when| holds(when, hits))?;
        let Some((verdict, branch)) = matched else {
            return Ok(Vec::new());
        };
        if verdict == Verdict::Pass && !is_all {
            return Ok(Vec::new());
        }
        let patterns: BTreeSet<&str> = hits.all.iter().map(|hit| hit.row().id.as_str()).collect();
        let patterns: Vec<&str> = patterns.into_iter().collect();
        let first = hits.all.iter().min_by_key(|hit| hit.row);
        let data = json!({
            "Count": hits.all.len(),
            "Patterns": patterns.join(", "),
            "First": first.map_or_else(String::new, Hit::message),
        });
        let observed = match first {
            Some(first) if hits.all.len() > 1 => {
                format!("{}; and {} more", first.observed(), hits.all.len() - 1)
            }
            Some(first) => first.observed(),
            None => read.to_owned(),
        };
        let finding = Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            message: render(&branch.message, &data)?,
            strict: meta.strict,
            observed,
            objects: hits
                .all
                .iter()
                .filter_map(|hit| hit.object.clone())
                .take(MOST_NAMED)
                .collect(),
            ..Finding::of(verdict, branch)
        };
        Ok(vec![finding.with_remedy(
            first.map_or("", |hit| hit.row().remedy.as_str()),
        )])
    }
}

/// Refuses a name that is neither an id nor a probe.
fn known(name: &str) -> Result<(), NotEvaluated> {
    let names = || {
        PATTERNS
            .iter()
            .flat_map(|row| [row.id.as_str(), row.probe.as_str()])
    };
    if names().any(|known| known == name) {
        return Ok(());
    }
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "`assay explain logPatterns` lists them".to_owned(),
    };
    Err(NotEvaluated::Spec(format!(
        "there is no pattern or probe {name:?}; {hint}"
    )))
}

/// `count <op> <n>`, `count(<id or probe>) <op> <n>`.
fn holds(when: &str, hits: &Hits) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.split_whitespace().collect();
    let [subject, operator, number] = parts[..] else {
        return Err(bad_condition(when, "expected `count <operator> <number>`"));
    };
    let count = match subject
        .strip_prefix("count(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        None if subject == "count" => hits.all.len(),
        None => {
            let expected = "expected `count` or `count(<id or probe>)`";
            return Err(bad_condition(when, expected));
        }
        Some(name) => {
            known(name).map_err(|error| bad_condition(when, error.reason()))?;
            let of = |hit: &&Hit| hit.row().id == name || hit.row().probe == name;
            hits.all.iter().filter(of).count()
        }
    };
    let number: usize = number
        .parse()
        .map_err(|_| bad_condition(when, format!("{number:?} is not a whole number")))?;
    let operator = Operator::parse(operator)
        .ok_or_else(|| bad_condition(when, format!("unknown operator {operator:?}")))?;
    Ok(operator.holds(count.cmp(&number)))
}

/// Where a text stands.
struct Place<'a> {
    source: Source,
    object: Option<&'a ObjectReference>,
    path: &'a str,
    /// Which field of the object; empty for a file of lines.
    field: &'a str,
    /// Its time; where it is empty, that of the line counts.
    time: &'a str,
}

/// A pattern in an object.
#[derive(Debug)]
struct Hit {
    /// The row's place in the table.
    row: usize,
    object: Option<ObjectReference>,
    /// `shop/api-1`, or the file where that is not an object's.
    subject: String,
    /// Where it was found first: the file, and the line or the field.
    path: String,
    place: String,
    /// The line.
    text: String,
    time: String,
    count: u64,
    /// The line where it was found last, in the same file.
    last: usize,
}

impl Hit {
    fn row(&self) -> &'static Pattern {
        &PATTERNS[self.row]
    }

    fn message(&self) -> String {
        let means = capitalised(&self.row().means);
        match reasons(&self.text) {
            Some(reasons) if self.row().id == "unschedulable" => format!("{means}: {reasons}"),
            _ => format!("{means}: {}", self.text),
        }
    }

    fn observed(&self) -> String {
        let mut observed = format!("{}, {}", self.path, self.place);
        if self.count > 1 {
            observed = format!("{observed}, {} times", self.count);
            if self.last > 0 {
                observed = format!("{observed}, last in line {}", self.last);
            }
        }
        match (self.time.as_str(), self.count) {
            ("", _) => observed,
            (time, 1) => format!("{observed}, at {time}"),
            (time, _) => format!("{observed}, first at {time}"),
        }
    }
}

/// What was found so far, each pattern once for each object.
#[derive(Debug, Default)]
struct Hits {
    /// Which rows are looked for.
    wanted: Vec<bool>,
    all: Vec<Hit>,
    by_subject: HashMap<(usize, String), usize>,
}

impl Hits {
    fn add(&mut self, seen: &Seen<'_>, place: &Place<'_>) {
        let is_wanted = self.wanted.get(seen.row) == Some(&true);
        if !is_wanted || !PATTERNS[seen.row].places.has(place.source) {
            return;
        }
        let subject = match place.object {
            Some(object) if object.namespace.is_empty() => object.name.clone(),
            Some(object) => format!("{}/{}", object.namespace, object.name),
            None => place.path.to_owned(),
        };
        let next = self.all.len();
        let entry = self.by_subject.entry((seen.row, subject.clone()));
        let at = *entry.or_insert(next);
        if let Some(hit) = self.all.get_mut(at) {
            hit.count += 1;
            if place.field.is_empty() && hit.path == place.path {
                hit.last = seen.line;
            }
            return;
        }
        self.all.push(Hit {
            row: seen.row,
            object: place.object.cloned(),
            subject,
            path: place.path.to_owned(),
            place: match place.field {
                "" => format!("line {}", seen.line),
                field => field.to_owned(),
            },
            text: seen.shown(),
            time: match place.time {
                "" => Matcher::table().time(seen),
                time => time.to_owned(),
            },
            count: 1,
            last: 0,
        });
    }
}

/// The scheduler's reasons with their counts, the most frequent first: `3 of 5 nodes: …`.
fn reasons(text: &str) -> Option<String> {
    let (head, rest) = text.split_once(" nodes are available: ")?;
    let total = head.rsplit('/').next()?;
    // What follows the first sentence says why no pod is preempted, and of claims.
    let rest = rest.split(". ").next().unwrap_or(rest);
    let mut reasons: Vec<(u64, String)> = Vec::new();
    for part in rest.trim().trim_end_matches('.').split(", ") {
        let counted = part.split_once(' ');
        let counted = counted.and_then(|(count, words)| Some((count.parse().ok()?, words)));
        if let Some((count, words)) = counted {
            reasons.push((count, words.to_owned()));
        } else {
            // A comma within a reason, as in a list of taints.
            let (_, last) = reasons.last_mut()?;
            last.push_str(", ");
            last.push_str(part);
        }
    }
    reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let each = reasons.iter();
    let each: Vec<String> = each
        .map(|(count, words)| format!("{count} of {total}: {words}"))
        .collect();
    (!each.is_empty()).then(|| each.join("; "))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_reasons_with_their_counts() {
        for (text, expected) in [
            (
                "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint {a: b}. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
                Some(
                    "3 of 5: node(s) had untolerated taint {a: b}; 2 of 5: Insufficient nvidia.com/gpu",
                ),
            ),
            (
                "0/5 nodes are available: 1 node(s) had untolerated taint(s), 4 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
                Some(
                    "4 of 5: Insufficient nvidia.com/gpu; 1 of 5: node(s) had untolerated taint(s)",
                ),
            ),
            (
                "0/1 nodes are available: 1 node(s) had taints {a: b}, {c: d}.",
                Some("1 of 1: node(s) had taints {a: b}, {c: d}"),
            ),
            ("0/1 nodes are available: pod has unbound claims", None),
            ("something else", None),
        ] {
            assert_eq!(reasons(text).as_deref(), expected, "{text}");
        }
    }
}
