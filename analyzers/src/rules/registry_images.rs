//! `registryImages`: how many images a registry has.

use bundle::Files;
use bundle::collected::registry::RegistryImages as Collected;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated};
use crate::outcome::{Operator, Outcome, bad_condition, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A registry has the images that are needed",
    docs: docs::<RegistryImages>,
    since: "0.1.0",
    needs: &["registryImages"],
    parse: parse::<RegistryImages>,
    schema: schema::<RegistryImages>,
};

const NAME: &str = "registryImages";
const ICON: Icon = Icon {
    key: "kubernetes_registry_analyze",
    file: "registry-analyze.svg",
};

/// What to do, for a warning or a failure.
pub(super) const REMEDY: &str = "Push the images that are missing. Of those that could not be looked for the collector `registry` and the analyzer `registryReachability` say which link is broken.";

/// A registry has the images that are needed.
///
/// # What it checks
/// How many of the collector's images are there (`verified`), are not there (`missing`), or could not be looked for
/// (`errors`). `registryReachability` says why.
///
/// # When it warns or fails
/// `when` is `verified|missing|errors <op> <n>` with `= != < > <= >=`. The first outcome that holds counts; without
/// `when` it always does.
///
/// # What to do
/// Push the images that are missing, or correct their names.
///
/// # Needs
/// The collector `registryImages` with the same `collectorName`.
///
/// # Example
/// ```yaml
/// registryImages:
///   collectorName: release
///   outcomes:
///     - fail:
///         when: missing > 0
///         message: Images are missing from the registry.
///     - warn:
///         when: errors > 0
///         message: Some images could not be looked for.
///     - pass:
///         message: The registry has all images.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RegistryImages {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
}

impl RegistryImages {
    fn name(&self) -> &str {
        if self.collector_name.is_empty() {
            "images"
        } else {
            &self.collector_name
        }
    }
}

impl Analyzer for RegistryImages {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.name())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path("registry", &format!("{}.json", self.name()))?;
        let found = document::<Collected>(files, &path)?;
        let counts = Counts::of(&found);
        let matched = first_match(&self.outcomes, |when| counts.hold(when))?;
        let finding = Finding {
            id: Finding::id(NAME, self.name()),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!("{} ({path})", counts.shown()),
            ..Finding::of_match(matched)
        };
        Ok(finding.with_remedy(REMEDY).with_icon(&ICON).into())
    }
}

/// The images by what became of them.
pub(super) struct Counts<'a> {
    verified: Vec<&'a str>,
    missing: Vec<&'a str>,
    errors: Vec<(&'a str, &'a str)>,
}

impl<'a> Counts<'a> {
    pub(super) fn of(found: &'a Collected) -> Self {
        let mut counts = Self {
            verified: Vec::new(),
            missing: Vec::new(),
            errors: Vec::new(),
        };
        for (image, state) in &found.images {
            if !state.error.is_empty() {
                counts.errors.push((image, &state.error));
            } else if state.exists {
                counts.verified.push(image);
            } else {
                counts.missing.push(image);
            }
        }
        counts
    }

    /// Whether `verified|missing|errors <op> <n>` holds.
    pub(super) fn hold(&self, when: &str) -> Result<bool, NotEvaluated> {
        let words: Vec<&str> = when.split(' ').collect();
        let [subject, operator, number] = words[..] else {
            return Err(bad_condition(
                when,
                "expected three words, as in `missing > 0`",
            ));
        };
        let count = match subject {
            "verified" => self.verified.len(),
            "missing" => self.missing.len(),
            "errors" => self.errors.len(),
            _ => {
                return Err(bad_condition(
                    when,
                    format!("{subject:?} is none of verified, missing, errors"),
                ));
            }
        };
        let operator = Operator::parse(operator)
            .ok_or_else(|| bad_condition(when, format!("unknown operator {operator:?}")))?;
        let number: i64 = number
            .parse()
            .map_err(|_| bad_condition(when, format!("{number:?} is not a whole number")))?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(operator.holds(count.cmp(&number)))
    }

    /// The values read, in a few words.
    pub(super) fn shown(&self) -> String {
        let mut text = format!(
            "{} verified, {} missing, {} errors",
            self.verified.len(),
            self.missing.len(),
            self.errors.len()
        );
        let named = self.missing.iter().map(|image| (*image).to_owned());
        let named = named.chain(
            self.errors
                .iter()
                .map(|(image, why)| format!("{image}: {why}")),
        );
        let named: Vec<String> = named.take(3).collect();
        if !named.is_empty() {
            text.push_str(": ");
            text.push_str(&named.join("; "));
        }
        text
    }

    /// What a message's template may name.
    pub(super) fn fields(&self) -> Value {
        let names: Vec<&str> = self.errors.iter().map(|(image, _)| *image).collect();
        let reasons: serde_json::Map<String, Value> = self
            .errors
            .iter()
            .map(|(image, why)| ((*image).to_owned(), json!(why)))
            .collect();
        json!({
            "Verified": self.verified,
            "Missing": self.missing,
            "Errors": names,
            "UnverifiedReasons": reasons,
        })
    }
}
