//! The `redactors[]` of a spec, and what they compile to.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use syntax::glob::GobwasGlob;
use syntax::go_regex::GoRegex;

use super::MASK;
use super::rules::{Action, Rule};
use super::yaml_path::YamlPath;

/// One entry of `redactors[]` of kind `Redactor`.
///
/// Unknown fields are refused: a misspelt `removals` would ship what it was meant to hide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedactorSpec {
    /// The name in reports; `unnamed-<index>` without one.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Which files; all without one.
    #[serde(default, deserialize_with = "or_default")]
    pub file_selector: FileSelector,
    /// What to remove.
    #[serde(default, deserialize_with = "or_default")]
    pub removals: Removals,
}

/// Files by glob over bundle paths: `*` within a segment, `**` across, `{a,b}`, `[a-c]`, `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSelector {
    /// One glob.
    #[serde(default, deserialize_with = "or_default")]
    pub file: String,
    /// More globs; a file that any of all matches is selected.
    #[serde(default, deserialize_with = "or_default")]
    pub files: Vec<String>,
}

/// What a redactor removes, applied in the order of these fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removals {
    /// Literal texts.
    #[serde(default, deserialize_with = "or_default")]
    pub values: Vec<String>,
    /// Regular expressions over lines.
    #[serde(default, deserialize_with = "or_default")]
    pub regex: Vec<RegexRemoval>,
    /// Values of a YAML or JSON document by path: `spec.users.*.password`.
    #[serde(default, deserialize_with = "or_default")]
    pub yaml_path: Vec<String>,
}

/// A regular expression in Go's syntax. The groups named `mask` are masked, those named `drop` removed, the
/// others kept; what the match holds outside of groups is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexRemoval {
    /// With a selector, `redactor` is tried only on the line after one that the selector matches.
    #[serde(default, deserialize_with = "or_default")]
    pub selector: String,
    /// The expression.
    #[serde(default, deserialize_with = "or_default")]
    pub redactor: String,
}

/// A null is the empty value, as for Go.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A redactor that cannot be used, found before anything is collected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redactor {redactor:?}: {path}: {reason}")]
pub struct RedactorError {
    /// The redactor's name, `unnamed-<index>` without one.
    pub redactor: String,
    /// The offending field from the list of redactors, `[2].removals.regex[0].selector`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A compiled entry of `redactors[]`.
#[derive(Debug)]
pub(super) struct Custom {
    globs: Vec<GobwasGlob>,
    pub(super) steps: Vec<Step>,
}

/// One removal.
#[derive(Debug)]
pub(super) enum Step {
    /// Over lines.
    Line(Arc<Rule>),
    /// Over a whole document.
    Document(Arc<YamlPath>),
}

impl Custom {
    /// Compiles the entry at `index` of the list.
    pub(super) fn new(index: usize, spec: &RedactorSpec) -> Result<Self, RedactorError> {
        let name = if spec.name.is_empty() {
            format!("unnamed-{index}")
        } else {
            spec.name.clone()
        };
        let refuse = |field: String, reason: String| RedactorError {
            redactor: name.clone(),
            path: format!("[{index}].{field}"),
            reason,
        };
        let selector = &spec.file_selector;
        let mut globs = Vec::new();
        if !selector.file.is_empty() {
            let glob = GobwasGlob::new(&selector.file)
                .map_err(|error| refuse("fileSelector.file".into(), error.to_string()))?;
            globs.push(glob);
        }
        for (place, pattern) in selector.files.iter().enumerate() {
            let glob = GobwasGlob::new(pattern).map_err(|error| {
                refuse(format!("fileSelector.files[{place}]"), error.to_string())
            })?;
            globs.push(glob);
        }
        let mut steps = Vec::new();
        for (place, value) in spec.removals.values.iter().enumerate() {
            steps.push(Step::Line(Arc::new(Rule {
                name: format!("{name}.literal.{place}").into(),
                action: Action::Literal(value.as_bytes().into()),
            })));
        }
        for (place, removal) in spec.removals.regex.iter().enumerate() {
            let compile = |field: &str, pattern: &str| {
                GoRegex::new(pattern).map_err(|error| {
                    refuse(
                        format!("removals.regex[{place}].{field}"),
                        error.to_string(),
                    )
                })
            };
            let redactor = compile("redactor", &removal.redactor)?;
            let template = replacement(&redactor);
            let (kind, action) = if removal.selector.is_empty() {
                ("regex", Action::Replace { redactor, template })
            } else {
                let selector = compile("selector", &removal.selector)?;
                (
                    "multiLine",
                    Action::ReplaceNext {
                        selector,
                        redactor,
                        template,
                    },
                )
            };
            steps.push(Step::Line(Arc::new(Rule {
                name: format!("{name}.{kind}.{place}").into(),
                action,
            })));
        }
        for (place, path) in spec.removals.yaml_path.iter().enumerate() {
            let name = format!("{name}.yaml.{place}");
            steps.push(Step::Document(Arc::new(YamlPath::new(&name, path))));
        }
        Ok(Self { globs, steps })
    }

    /// Whether this redactor is meant for the file at `path`.
    pub(super) fn selects(&self, path: &str) -> bool {
        self.globs.is_empty() || self.globs.iter().any(|glob| glob.matches(path))
    }
}

/// What a match is replaced with, as a template of Go's `Expand`: every group in turn, masks for those named
/// `mask`, nothing for those named `drop`.
fn replacement(regex: &GoRegex) -> Box<[u8]> {
    let mut template = String::new();
    for (index, name) in regex.group_names().iter().enumerate().skip(1) {
        match name.as_deref() {
            None => {
                template.push('$');
                template.push_str(&index.to_string());
            }
            Some("mask") => template.push_str(MASK),
            Some("drop") => {}
            Some(name) => {
                template.push_str("${");
                template.push_str(name);
                template.push('}');
            }
        }
    }
    template.into_bytes().into()
}
