//! `yamlCompare`: a value in a YAML file against an expected one.

use std::borrow::Cow;

use bundle::Files;
use bundle::redact::MASK;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::json_path::get_at_path;
use syntax::yaml::{self, Content, Limits, Node, Scalar};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::comparison::{
    Comparison, ICON, bad_path, bounded, equal_yaml, has_template, holds_mask, value_of,
    yaml_of_spec,
};
use crate::config::{docs, parse, schema};
use crate::document::{file_path, is_masked, missing, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::message::render;
use crate::outcome::Outcome;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A value in a YAML file is the one expected",
    docs: docs::<YamlCompare>,
    since: "0.1.0",
    needs: &["data", "exec", "run", "runPod", "copy"],
    parse: parse::<YamlCompare>,
    schema: schema::<YamlCompare>,
};

const NAME: &str = "yamlCompare";

/// A value in a YAML file is the one expected.
///
/// # What it checks
/// The file `fileName` in the folder `collectorName`, or the part of it at `path` (`a.b.[0].c`), against `value`, which
/// is YAML. Of several documents in the file the first is read. A missing key is null. YAML is read as Kubernetes
/// reads it: `yes` and `on` are true, also as a key, so that a path finds `on: x` only where the key is quoted; `010` is 8.
/// Types count: 1.0 is not 1, and `"4"` is not 4. Lists are equal item by item.
///
/// # When it warns or fails
/// `when` is `"true"` for "equal" or `"false"` for "differs"; without it `fail` and `warn` mean "differs" and `pass`
/// means "equal". The first outcome that holds counts; when none does it fails as an invalid analyzer.
/// Messages are templates over the whole document (`{{ .version }}`).
///
/// # What to do
/// The outcome's message says what the value means. `assay` shows the value read beside it, and says where two values
/// differ only in being text or a number.
///
/// # Needs
/// The collector that writes the file, of 16 MiB at most. A value that was redacted is unknown; other values of the
/// file are compared all the same.
///
/// # Example
/// ```yaml
/// yamlCompare:
///   collectorName: settings
///   fileName: settings.yaml
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
struct YamlCompare {
    /// The folder that the collector writes to.
    collector_name: String,
    /// The file in it.
    file_name: String,
    /// A dotted path; empty takes the whole document.
    path: String,
    /// The expected value, as YAML.
    value: String,
    /// What to say when it is equal and when it differs.
    outcomes: Vec<Outcome>,
}

impl Analyzer for YamlCompare {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.collector_name.as_str())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path(&self.collector_name, &self.file_name)?;
        let whole = read(files, &path)?;
        let selected = match self.path.as_str() {
            "" => &whole,
            part => get_at_path(&whole, part).map_err(|error| bad_path("path", part, &error))?,
        };
        let expected = yaml_of_spec("value", &self.value)?;
        let actual = value_of(selected);
        if holds_mask(&actual) {
            return Err(redacted());
        }
        let comparison = Comparison {
            actual: &actual,
            expected: &value_of(&expected),
            is_equal: equal_yaml(selected, &expected),
            part: &self.path,
            path: &path,
            place: &format!("where {path} comes from"),
            field: "value",
        };
        let data = if has_template(&self.outcomes) {
            value_of(&whole)
        } else {
            Value::Null
        };
        let said = comparison.judge(&self.outcomes, |message| render(message, &data))?;
        Ok(Finding {
            id: Finding::id(NAME, format!("{path}/{}", self.path).trim_end_matches('/')),
            title: self.title(meta),
            strict: meta.strict,
            ..said
        }
        .with_icon(&ICON)
        .into())
    }
}

/// The file's first document, which is there as a whole.
fn read(files: &Files, path: &str) -> Result<Node, NotEvaluated> {
    let limits = Limits::default();
    bounded(files, path, limits.bytes as u64)?;
    let malformed = |problem: &dyn std::fmt::Display| {
        NotEvaluated::Malformed(format!("{path} is not the document expected: {problem}"))
    };
    let bytes = files.read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| malformed(&error))?;
    let masked = is_masked(text);
    let readable = if masked {
        Cow::Owned(without_aliases_of_masks(text))
    } else {
        Cow::Borrowed(text)
    };
    let mut root = match yaml::document(&readable, &limits) {
        Ok(document) => document.root,
        Err(error) if error.beyond_limits => {
            let reason = format!("{path} is too large to look values up in: {error}");
            return Err(NotEvaluated::Unknown(reason));
        }
        Err(_) if masked => return Err(redacted()),
        Err(error) => return Err(malformed(&error)),
    };
    if masked {
        restore_masks(&mut root);
    }
    match missing(files, path) {
        Some(reason) => Err(reason),
        None => Ok(root),
    }
}

/// The beginnings of masks, and what stands for them while the text is parsed: a value that begins with `*` is an alias in
/// YAML, and one masked password would break the document around it. Nothing changes its place.
const STANDING_IN: [(&str, &str); 2] = [(MASK, "+++HIDDEN***"), ("***TOKEN_", "+++TOKEN_")];

fn without_aliases_of_masks(text: &str) -> String {
    let [(mask, for_mask), (token, for_token)] = STANDING_IN;
    text.replace(mask, for_mask).replace(token, for_token)
}

fn restore_masks(node: &mut Node) {
    match &mut node.content {
        Content::Scalar(scalar) => restore_mask(scalar),
        Content::Sequence(items) => items.iter_mut().for_each(restore_masks),
        Content::Mapping(entries) => entries.iter_mut().for_each(|entry| {
            restore_mask(&mut entry.key);
            restore_masks(&mut entry.value);
        }),
    }
}

fn restore_mask(scalar: &mut Scalar) {
    let Scalar::String(text) = scalar else {
        return;
    };
    for (mask, standing_in) in STANDING_IN {
        if text.contains(standing_in) {
            *text = text.replace(standing_in, mask);
        }
    }
}
