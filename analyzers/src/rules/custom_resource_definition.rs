//! `customResourceDefinition`: a CRD is installed.

use bundle::Files;
use bundle::collected::{List, Named};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Outcome, by_presence};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A CustomResourceDefinition is installed",
    docs: docs::<CustomResourceDefinition>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<CustomResourceDefinition>,
    schema: schema::<CustomResourceDefinition>,
};

const NAME: &str = "customResourceDefinition";
const PATH: &str = "cluster-resources/custom-resource-definitions.json";
const ICON: Icon = Icon {
    key: "kubernetes_custom_resource_definition",
    file: "custom-resource-definition.svg?w=13&h=16",
};

/// A `CustomResourceDefinition` is installed.
///
/// # What it checks
/// Whether the cluster has the `CustomResourceDefinition` `customResourceDefinitionName`
/// (`<plural>.<group>`). It says nothing of the operator behind it.
///
/// # When it warns or fails
/// When it is there the last `pass` of the outcomes speaks. When it is not, the outcomes decide: it fails if there is
/// a `fail`, and warns if there is a `warn`, whose verdict then counts. There is no `when`.
///
/// # What to do
/// Install the operator or the chart that brings the definition.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `customresourcedefinitions.apiextensions.k8s.io`.
///
/// # Example
/// ```yaml
/// customResourceDefinition:
///   customResourceDefinitionName: servicemonitors.monitoring.coreos.com
///   outcomes:
///     - fail:
///         message: The Prometheus operator is not installed.
///     - pass:
///         message: The Prometheus operator is installed.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct CustomResourceDefinition {
    /// What to say.
    outcomes: Vec<Outcome>,
    /// `<plural>.<group>`.
    custom_resource_definition_name: String,
}

impl Analyzer for CustomResourceDefinition {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(format!(
            "Custom resource definition {}",
            self.custom_resource_definition_name
        ))
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let name = &self.custom_resource_definition_name;
        let definitions = document::<List<Named>>(files, PATH)?;
        let found = definitions
            .items
            .iter()
            .any(|definition| definition.metadata.name == *name);
        if !found {
            for definition in &definitions.items {
                unmasked(&definition.metadata.name)?;
            }
        }
        let said = if found {
            let (verdict, branch) = by_presence(&self.outcomes, true);
            Finding::of(verdict, &branch)
        } else {
            self.absent()
        };
        let state = if found { "is" } else { "is not" };
        let finding = Finding {
            id: Finding::id(NAME, name),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!(
                "{name} {state} among {} ({PATH})",
                counted(definitions.items.len(), "definition")
            ),
            ..said
        };
        let remedy = format!("Install what brings the CustomResourceDefinition {name}.");
        Ok(finding.with_remedy(remedy).with_icon(&ICON).into())
    }
}

impl CustomResourceDefinition {
    /// The last fail or warn outcome supplies the words; any warn makes it a warning.
    fn absent(&self) -> Finding {
        let mut finding = Finding::default();
        for (verdict, branch) in self.outcomes.iter().filter_map(Outcome::branch) {
            if verdict == Verdict::Pass {
                continue;
            }
            let warned = finding.verdict == Some(Verdict::Warn);
            finding = Finding::of(verdict, branch);
            if warned {
                finding.verdict = Some(Verdict::Warn);
            }
        }
        finding
    }
}
