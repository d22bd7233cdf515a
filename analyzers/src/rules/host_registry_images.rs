//! Host `registryImages`: how many images a registry has, seen from the host.

use bundle::Files;
use bundle::collected::registry::RegistryImages as Collected;
use schemars::JsonSchema;
use serde::Deserialize;

use super::registry_images::{Counts, REMEDY};
use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::file_path;
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::host::host_documents;
use crate::message::render_struct;
use crate::outcome::{Outcome, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "A registry has the images that are needed, seen from the host",
    docs: docs::<RegistryImages>,
    since: "0.1.0",
    needs: &["registryImages"],
    parse: parse::<RegistryImages>,
    schema: schema::<RegistryImages>,
};

const NAME: &str = "registryImages";
const FOLDER: &str = "host-collectors/registry-images";

/// A registry has the images that are needed, seen from the host.
///
/// # What it checks
/// How many of the collector's images are there (`verified`), are not there (`missing`), or could not be looked for
/// (`errors`), from this host or from each node that was collected from.
///
/// # When it warns or fails
/// `when` is `verified|missing|errors <op> <n>` with `= != < > <= >=`. The first outcome that holds counts; without
/// `when` it always does. Messages are templates: `{{ .Verified }}`, `{{ .Missing }}`, `{{ .Errors }}`,
/// `{{ .UnverifiedReasons }}`.
///
/// # What to do
/// Push the images that are missing, or correct their names.
///
/// # Needs
/// The host collector `registryImages` with the same `collectorName`.
///
/// # Example
/// ```yaml
/// registryImages:
///   outcomes:
///     - fail:
///         when: missing > 0
///         message: "Images are missing from the registry: {{ .Missing }}"
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

impl Analyzer for RegistryImages {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Registry Images")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let name = match self.collector_name.as_str() {
            "" => "images",
            name => name,
        };
        let file = file_path("", &format!("{name}.json"))?;
        let mut judgement = Judgement::default();
        let unseen = &mut judgement.not_evaluated;
        for host in host_documents::<Collected>(files, FOLDER, &file, unseen)? {
            let counts = Counts::of(&host.document);
            let matched = first_match(&self.outcomes, |when| counts.hold(when))?;
            let Some((verdict, branch)) = matched else {
                continue;
            };
            let title = if host.node.is_empty() {
                self.title(meta)
            } else {
                format!("{} - Node {}", self.title(meta), host.node)
            };
            let finding = Finding {
                id: Finding::id(NAME, &host.node),
                title,
                observed: format!("{} ({})", counts.shown(), host.path),
                message: render_struct(&branch.message, &counts.fields())?,
                ..Finding::of(verdict, branch)
            };
            judgement.findings.push(finding.with_remedy(REMEDY));
        }
        Ok(judgement)
    }
}
