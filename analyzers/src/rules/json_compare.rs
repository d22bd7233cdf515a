//! `jsonCompare`: a value in a JSON file against an expected one.

use std::borrow::Cow;
use std::sync::Arc;

use bundle::Files;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::json_path::{JsonPath, JsonPathError, Step, dotted_steps, get_at_path, spine};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::comparison::{Comparison, ICON, bad_path, bounded, has_template, holds_mask};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path, missing, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::message::render_document;
use crate::outcome::Outcome;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A value in a JSON file is the one expected",
    docs: docs::<JsonCompare>,
    since: "0.1.0",
    needs: &["data", "exec", "run", "runPod", "http", "clusterResources"],
    parse: parse::<JsonCompare>,
    schema: schema::<JsonCompare>,
};

pub(super) const HOST_KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "A value in a host's JSON file is the one expected",
    docs: docs::<JsonCompare>,
    since: "0.1.0",
    needs: &["run", "copy"],
    parse: parse::<HostJsonCompare>,
    schema: schema::<JsonCompare>,
};

const NAME: &str = "jsonCompare";
/// The largest document, in bytes: where all of it is needed, its tree takes about six times as much memory.
const LARGEST: u64 = 32 << 20;

/// A value in a JSON file is the one expected.
///
/// # What it checks
/// The file `fileName` in the folder `collectorName`, or the part of it at `path` (`a.b.[0].c`) or `jsonPath` (kubectl's
/// `{.items[*].name}`; a single result is taken out of its list), against `value`, which is JSON: text needs
/// its quotes. Numbers compare as numbers; lists compare in any order, but not lists within them.
///
/// # When it warns or fails
/// `when` is `"true"` for "equal" or `"false"` for "differs"; without it `fail` and `warn` mean "differs" and `pass`
/// means "equal". The first outcome that holds counts; when none does it fails as an invalid analyzer.
/// Messages are templates over the whole document (`{{ .version }}`).
///
/// # What to do
/// The outcome's message says what the value means. `assay` shows the value read beside it.
///
/// # Needs
/// The collector that writes the file.
///
/// # Example
/// ```yaml
/// jsonCompare:
///   collectorName: settings
///   fileName: settings.json
///   path: storage.encrypted
///   value: "true"
///   outcomes:
///     - fail:
///         when: "false"
///         message: Encryption at rest is off.
///     - pass:
///         when: "true"
///         message: Encryption at rest is on.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct JsonCompare {
    /// The folder that the collector writes to.
    collector_name: String,
    /// The file in it.
    file_name: String,
    /// A dotted path; empty takes the whole document.
    path: String,
    /// A path as kubectl reads it, where there is no `path`.
    json_path: String,
    /// The expected value, as JSON.
    value: String,
    /// What to say when it is equal and when it differs.
    outcomes: Vec<Outcome>,
}

/// The same over a host's files.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct HostJsonCompare(JsonCompare);

impl Analyzer for JsonCompare {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(if self.collector_name.is_empty() {
            "Json Compare"
        } else {
            &self.collector_name
        })
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path(&self.collector_name, &self.file_name)?;
        bounded(files, &path, LARGEST)?;
        let whole = self.read(files, &path)?;
        let actual = self.select(&whole)?;
        let expected: Value = serde_json::from_str(&self.value).map_err(|error| {
            NotEvaluated::Spec(format!("value {:?} is not JSON: {error}", self.value))
        })?;
        if holds_mask(&actual) {
            return Err(redacted());
        }
        let part = format!("{}{}", self.path, self.json_path);
        let comparison = Comparison {
            actual: &actual,
            expected: &expected,
            is_equal: equal(&actual, &expected),
            part: &part,
            path: &path,
            place: &format!("where {path} comes from"),
            field: "value",
        };
        let said = comparison.judge(&self.outcomes, |message| render_document(message, &whole))?;
        Ok(Finding {
            id: Finding::id(NAME, &format!("{path}/{part}")),
            title: self.title(meta),
            strict: meta.strict,
            ..said
        }
        .with_icon(&ICON)
        .into())
    }
}

impl Analyzer for HostJsonCompare {
    fn title(&self, meta: &Meta) -> String {
        self.0.title(meta)
    }

    /// A file that nothing wrote is an error of the host's spec, which fails.
    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path(&self.0.collector_name, &self.0.file_name)?;
        if !files.contains(&path) && files.gaps(&path).next().is_none() {
            return Err(NotEvaluated::Spec(format!("{path} was not collected")));
        }
        self.0.analyze(meta, files)
    }
}

impl JsonCompare {
    /// The document, or only what leads to the part that is compared, where no message reads more.
    fn read(&self, files: &Files, path: &str) -> Result<Arc<Value>, NotEvaluated> {
        let steps = self.leading_steps();
        if !steps.is_empty()
            && !has_template(&self.outcomes)
            && let Ok(spine) = spine(&files.read(path)?, &steps)
        {
            return match missing(files, path) {
                Some(reason) => Err(reason),
                None => Ok(Arc::new(spine)),
            };
        }
        // Also for the words about a document that is refused, which a mask may have broken.
        document(files, path)
    }

    fn leading_steps(&self) -> Vec<Step> {
        if !self.path.is_empty() {
            return dotted_steps(&self.path);
        }
        JsonPath::parse(&self.json_path).map_or_else(|_| Vec::new(), |path| path.leading_steps())
    }

    /// The part of the document that is compared.
    fn select(&self, whole: &Value) -> Result<Value, NotEvaluated> {
        if !self.path.is_empty() {
            return get_at_path(whole, &self.path)
                .cloned()
                .map_err(|error| bad_path("path", &self.path, &error));
        }
        if self.json_path.is_empty() {
            return Ok(whole.clone());
        }
        let wrong = |error: JsonPathError| bad_path("jsonPath", &self.json_path, &error);
        let json_path = JsonPath::parse(&self.json_path).map_err(wrong)?;
        let found = json_path.find(whole).map_err(wrong)?;
        // A template gives a list per action; troubleshoot decodes the first and drops the others.
        let Some(first) = found.into_iter().next() else {
            return Err(NotEvaluated::Spec(format!(
                "jsonPath {:?}: it selects nothing",
                self.json_path
            )));
        };
        let mut results: Vec<Value> = first.into_iter().map(Cow::into_owned).collect();
        Ok(match results.len() {
            1 => results.remove(0),
            _ => Value::Array(results),
        })
    }
}

/// Whether the values are equal; two lists are when they hold the same items in whatever order.
fn equal(actual: &Value, expected: &Value) -> bool {
    let (actual, expected) = (canonical(actual), canonical(expected));
    match (actual, expected) {
        (Value::Array(mut actual), Value::Array(mut expected)) => {
            actual.sort_by_cached_key(Value::to_string);
            expected.sort_by_cached_key(Value::to_string);
            actual == expected
        }
        (actual, expected) => actual == expected,
    }
}

/// The value with every number as a float, as Go decodes them: 1 is 1.0.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), canonical(value)))
            .collect(),
        other => other.clone(),
    }
}
