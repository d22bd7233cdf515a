//! `clusterVersion`: the API server's version against a range.

use bundle::Files;
use bundle::collected::cluster_version::{ClusterVersion as Collected, PATH};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::version::{Range, Version};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated};
use crate::outcome::{Outcome, bad_condition, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The Kubernetes version is one that the application supports",
    docs: docs::<ClusterVersion>,
    since: "0.1.0",
    needs: &["clusterInfo"],
    parse: parse::<ClusterVersion>,
    schema: schema::<ClusterVersion>,
};

const NAME: &str = "clusterVersion";
const ICON: Icon = Icon {
    key: "kubernetes_cluster_version",
    file: "kubernetes.svg?w=16&h=16",
};

/// The Kubernetes version is one that the application supports.
///
/// # What it checks
/// The version that the API server reports, as a semantic version. Pre-releases and build suffixes count
/// (`1.31.2+k3s1`, `1.28.0-gke.100` is lower than `1.28.0`); a suffix that begins with `-eks-` is cut off.
///
/// # When it warns or fails
/// `when` is a range as the Go package `blang/semver` reads it: `>=1.27.0`, `>=1.27.0 <1.33.0`,
/// `<1.20.0 || >=1.25.0`, `1.31.x`, `!1.30.1`. Versions in it have three parts. The first outcome whose range
/// holds the version counts; without `when` it always does.
///
/// # What to do
/// Move the cluster to a version within the range, or use a release of the application that supports the
/// version you run.
///
/// # Needs
/// The collector `clusterInfo`, which asks the API server for `/version`; every account may.
///
/// # Example
/// ```yaml
/// clusterVersion:
///   outcomes:
///     - fail:
///         when: "< 1.27.0"
///         message: Kubernetes 1.27.0 or later is required.
///     - pass:
///         message: This version of Kubernetes is supported.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ClusterVersion {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
}

impl Analyzer for ClusterVersion {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Required Kubernetes Version")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let collected = document::<Collected>(files, PATH)?;
        let text = unmasked(&collected.string)?;
        let version = server_version(text)?;
        let usable = self
            .outcomes
            .iter()
            .take_while(|outcome| outcome.branch().is_some())
            .count();
        let matched = first_match(&self.outcomes[..usable], |when| {
            let range = Range::parse(when).map_err(|error| bad_condition(when, error))?;
            Ok(range.contains(&version))
        })?;
        if matched.is_none() && usable < self.outcomes.len() {
            let problem = format!("outcomes[{usable}] has none of fail, warn and pass");
            return Err(NotEvaluated::Spec(problem));
        }
        let finding = Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!("{text} ({PATH})"),
            ..Finding::of_match(matched)
        };
        let remedy = "Move the cluster to a Kubernetes version within the range, or use a release of the application that supports this one.";
        Ok(finding.with_remedy(remedy).with_icon(&ICON).into())
    }
}

/// The version to compare. Amazon's servers report `v1.31.2-eks-7f9249a`, which as a pre-release would be
/// lower than 1.31.2.
fn server_version(text: &str) -> Result<Version, NotEvaluated> {
    let release = match text.split_once('-') {
        Some((release, _)) if text.contains("-eks-") => release,
        _ => text,
    };
    Version::make(release.trim_start_matches('v'))
        .map_err(|error| NotEvaluated::Malformed(format!("{PATH}: {text:?}: {error}")))
}
