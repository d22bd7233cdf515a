//! `secret`: a Secret, or a key in one, is there.

use bundle::Files;
use bundle::collected::secret::Secret as Collected;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, ObjectReference, Verdict, joined};
use crate::outcome::{Outcome, by_presence};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A Secret, or a key in one, exists",
    docs: docs::<Secret>,
    since: "0.1.0",
    needs: &["secret"],
    parse: parse::<Secret>,
    schema: schema::<Secret>,
};

const NAME: &str = "secret";
const ICON: Icon = Icon {
    key: "kubernetes_analyze_secret",
    file: "secret.svg?w=13&h=16",
};

/// A Secret, or a key in one, exists.
///
/// # What it checks
/// Whether there is the Secret `secretName` and, with `key`, whether it has that key. Values are not looked at.
///
/// # When it warns or fails
/// It passes when the Secret and the key are there and fails when one is not. There is no `when`: the last `pass` and
/// the last `fail` of the outcomes supply the words, and a `warn` says nothing. Without a `fail`, on which troubleshoot
/// crashes, the finding says itself what is missing.
///
/// # What to do
/// Create the Secret, or add the key to it, as the application's installation describes.
///
/// # Needs
/// The collector `secret` with the same name, namespace and key: it is not added by itself, and without it the answer is
/// unknown. With `includeAllData` it writes no file for a key.
///
/// # Example
/// ```yaml
/// secret:
///   secretName: database
///   namespace: shop
///   key: password
///   outcomes:
///     - fail:
///         message: The Secret database lacks the key password.
///     - pass:
///         message: The password of the database is there.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Secret {
    /// What to say.
    outcomes: Vec<Outcome>,
    /// The Secret.
    #[serde(rename = "secretName")]
    name: String,
    /// Its namespace, as the collector has it; without one the collector must have none.
    namespace: String,
    /// A key that it must have.
    key: String,
}

impl Analyzer for Secret {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(format!("Secret {}", self.name))
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        if self.name.is_empty() {
            return Err(NotEvaluated::Spec(
                "secretName is missing: a Secret is looked up by its name".to_owned(),
            ));
        }
        let path = self.path("secrets")?;
        if !files.contains(&path) {
            return Err(self.not_collected(&path, files));
        }
        let collected = document::<Collected>(files, &path)?;
        let name = unmasked(&collected.name)?;
        if ![self.name.as_str(), ""].contains(&name) {
            let reason = format!("{path} tells of the Secret {name}, not of {}", self.shown());
            return Err(NotEvaluated::Unknown(reason));
        }
        let has_key =
            self.key.is_empty() || collected.key_exists && unmasked(&collected.key)? == self.key;
        let state = match (collected.secret_exists, self.key.as_str()) {
            (false, _) => "does not exist".to_owned(),
            (true, "") => "exists".to_owned(),
            (true, key) if has_key => format!("has the key {key}"),
            (true, key) => format!("exists, without the key {key}"),
        };
        let (verdict, mut words) = by_presence(&self.outcomes, collected.secret_exists && has_key);
        if verdict == Verdict::Fail && words.message.is_empty() {
            words.message = format!("The Secret {} {state}", self.shown());
        }
        let finding = Finding {
            id: Finding::id(NAME, &self.subject()),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!("{} {state} ({path})", self.shown()),
            objects: vec![ObjectReference {
                api_version: "v1".to_owned(),
                kind: "Secret".to_owned(),
                namespace: self.namespace.clone(),
                name: self.name.clone(),
            }],
            ..Finding::of(verdict, &words)
        };
        let remedy = self.remedy(collected.secret_exists);
        Ok(finding.with_remedy(remedy).with_icon(&ICON).into())
    }
}

impl Secret {
    /// Where the collector writes: what is told of the Secret (`secrets`), or why that is not known (`secrets-errors`).
    fn path(&self, folder: &str) -> Result<String, NotEvaluated> {
        file_path(folder, &format!("{}.json", self.subject()))
    }

    /// `shop/database/password`
    fn subject(&self) -> String {
        joined(&[&self.namespace, &self.name, &self.key])
    }

    /// `shop/database`
    fn shown(&self) -> String {
        joined(&[&self.namespace, &self.name])
    }

    /// Why there is no file, as far as the bundle knows, and what to add to the spec where it does not.
    fn not_collected(&self, path: &str, files: &Files) -> NotEvaluated {
        if let Some(gap) = files.gaps(path).next() {
            // That no Secret has the labels that a collector looked for is no answer about this one.
            return match NotEvaluated::from_gap(path, gap) {
                NotEvaluated::NotApplicable(reason) => NotEvaluated::Unknown(reason),
                reason => reason,
            };
        }
        // Troubleshoot has no manifest: it writes why it could not read a Secret beside the place of the file.
        let errors = self.path("secrets-errors").ok();
        let errors = errors.and_then(|at| Some((files.decoded::<Vec<String>>(&at).ok()?, at)));
        NotEvaluated::Unknown(match errors {
            Some((errors, at)) if !errors.is_empty() => {
                format!("{path} was not collected: {} ({at})", errors.join("; "))
            }
            _ => format!(
                "{path} was not collected: add to the collectors of the spec `- secret: {}`",
                self.collector()
            ),
        })
    }

    /// The configuration of the collector that writes the file.
    fn collector(&self) -> String {
        let fields = [
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("key", &self.key),
        ];
        let fields: Vec<String> = fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(field, value)| format!("{field}: {value}"))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }

    fn remedy(&self, exists: bool) -> String {
        let with_key = match self.key.as_str() {
            "" => String::new(),
            key => format!(" with the key {key}"),
        };
        if exists {
            format!("Add the key {} to the Secret {}.", self.key, self.shown())
        } else {
            format!("Create the Secret {}{with_key}.", self.shown())
        }
    }
}
