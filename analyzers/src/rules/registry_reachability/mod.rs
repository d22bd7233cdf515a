//! `registryReachability`: whether nodes can pull the images, and which link of the way is broken.

use std::collections::BTreeMap;

use bundle::Files;
use bundle::collected::List;
use bundle::collected::node::{Node, PATH as NODES};
use bundle::collected::registry::Reachability;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path};
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::message::render_struct;
use crate::outcome::{Operator, Outcome, bad_condition, first_match};

mod images;
mod servers;
mod words;

use images::{Images, Standing};

pub(in crate::rules) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Nodes can pull the images, whole and for their platforms",
    docs: docs::<RegistryReachability>,
    since: "0.1.0",
    needs: &["registry", "clusterResources"],
    parse: parse::<RegistryReachability>,
    schema: schema::<RegistryReachability>,
};

const NAME: &str = "registryReachability";

/// Nodes can pull the images, whole and for their platforms.
///
/// # What it checks
/// Each server on the way to an image: registries, mirrors, token services, the storage that registries send to; and the
/// images in groups that have the first broken link in common. Images must be there for the platforms of the bundle's
/// nodes. Beside that credentials, mirrors and, where they were asked, uploads.
///
/// # When it warns or fails
/// Without outcomes it fails for each server that images need and cannot have, and for each group of images that cannot be
/// pulled, or not by any node; it warns if a certificate ends within 21 days, TLS is intercepted, a mirror does not have
/// what the registry has, an image lacks the platform of some nodes, a pull secret cannot be used, little of a limit is left.
/// `when` is `<number> <op> <n>` with `= != < > <= >=`. Numbers: `images`; `pullable`; `failed`; `unknown`; `servers`;
/// `brokenServers`. The first outcome that holds counts. Messages are templates: `{{ .Images }}`, `{{ .Pullable }}`,
/// `{{ .Failed }}`, `{{ .Unknown }}`, `{{ .Names }}` of images that failed, `{{ .Reasons }}`.
///
/// # What to do
/// The remedy goes with the link that is broken: that one alone is to be mended. `docs/probes/registry.md` has them
/// all.
///
/// # Needs
/// The collector `registry` with the same `collectorName`; `clusterResources` (always added) for the nodes.
///
/// # Example
/// ```yaml
/// registryReachability:
///   collectorName: release
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RegistryReachability {
    /// The conditions and what to say; its own judgement where there are none.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
}

/// What is judged, and where it was read.
struct Case<'a> {
    found: &'a Reachability,
    path: &'a str,
    /// The platforms that nodes have: those of the bundle, else those that the collector knew.
    platforms: &'a [String],
    images: Images<'a>,
    now: jiff::Timestamp,
    name: &'a str,
    meta: &'a Meta,
    title: String,
}

impl RegistryReachability {
    fn name(&self) -> &str {
        if self.collector_name.is_empty() {
            "registry"
        } else {
            &self.collector_name
        }
    }
}

impl Analyzer for RegistryReachability {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(if self.collector_name.is_empty() {
            "Images can be pulled".to_owned()
        } else {
            format!("Images of {} can be pulled", self.collector_name)
        })
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path("registry", &format!("{}/reachability.json", self.name()))?;
        let found = document::<Reachability>(files, &path)?;
        let platforms = platforms(files, &found);
        let images = Images::judge(&found, &platforms);
        let case = Case {
            found: &found,
            path: &path,
            images,
            platforms: &platforms,
            now: files.collected_at(),
            name: self.name(),
            meta,
            title: self.title(meta),
        };
        if self.outcomes.is_empty() {
            return Ok(case.judge());
        }
        case.by_outcomes(&self.outcomes).map(Judgement::from)
    }
}

/// Numbers titles that are there again: the same server with other authorities, say.
fn tell_apart(findings: &mut [Finding]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for finding in findings {
        let count = seen.entry(finding.title.clone()).or_default();
        *count += 1;
        if *count > 1 {
            finding.title = format!("{} ({count})", finding.title);
            finding.id = format!("{}/{count}", finding.id);
        }
    }
}

/// The platforms of the nodes in the bundle. Without nodes it is those that the collector looked for.
fn platforms(files: &Files, found: &Reachability) -> Vec<String> {
    let Ok(nodes) = document::<List<Node>>(files, NODES) else {
        return found.platforms.clone();
    };
    let infos = nodes.items.iter().map(|node| &node.status.node_info);
    let mut platforms: Vec<String> = infos
        .filter(|info| !info.operating_system.is_empty() && !info.architecture.is_empty())
        .map(|info| format!("{}/{}", info.operating_system, info.architecture))
        .collect();
    platforms.sort();
    platforms.dedup();
    if platforms.is_empty() {
        found.platforms.clone()
    } else {
        platforms
    }
}

impl Case<'_> {
    /// `about` is what of the check this answer is about: no two answers have one title.
    fn finding(&self, subject: &str, about: &str) -> Finding {
        Finding {
            id: format!("{NAME}/{}/{subject}", self.name),
            title: format!("{}: {about}", self.title),
            strict: self.meta.strict,
            ..Finding::default()
        }
    }

    fn judge(&self) -> Judgement {
        let mut judgement = Judgement::default();
        self.servers(&mut judgement);
        self.groups(&mut judgement);
        self.credentials(&mut judgement);
        self.mirrors(&mut judgement);
        self.pushes(&mut judgement);
        self.gaps(&mut judgement);
        tell_apart(&mut judgement.findings);
        if judgement.findings.is_empty() && judgement.not_evaluated.is_none() {
            judgement.not_evaluated = Some(NotEvaluated::NotApplicable(format!(
                "no image was to be looked for ({})",
                self.path
            )));
        }
        judgement
    }

    /// What the collector could not find out makes the answer unknown, as far as it could change it.
    fn gaps(&self, judgement: &mut Judgement) {
        for unread in &self.found.unread {
            let reason = format!("{}: {} ({})", unread.what, unread.reason, self.path);
            judgement
                .not_evaluated
                .get_or_insert(NotEvaluated::Unknown(reason));
        }
    }

    fn by_outcomes(&self, outcomes: &[Outcome]) -> Result<Finding, NotEvaluated> {
        let matched = first_match(outcomes, |when| self.holds(when))?;
        let mut finding = Finding {
            id: Finding::id(NAME, self.name),
            title: self.title.clone(),
            strict: self.meta.strict,
            ..Finding::of_match(matched)
        };
        let failed = self.images.first(Standing::Failed);
        finding.observed = format!(
            "{} of {} images can be pulled ({})",
            self.images.count(Standing::Pullable),
            self.found.images.len(),
            self.path
        );
        if matched.is_some() {
            finding.message = render_struct(&finding.message, &self.fields())?;
        }
        let advice = failed.map_or("See what the collector found.", words::remedy);
        Ok(finding.with_remedy(advice))
    }

    fn holds(&self, when: &str) -> Result<bool, NotEvaluated> {
        let words: Vec<&str> = when.split_whitespace().collect();
        let [subject, operator, number] = words[..] else {
            return Err(bad_condition(
                when,
                "expected three words, as in `failed > 0`",
            ));
        };
        let operator = Operator::parse(operator).ok_or_else(|| {
            bad_condition(when, format!("{operator:?} is none of = != < > <= >="))
        })?;
        let number: usize = number
            .parse()
            .map_err(|_| bad_condition(when, format!("{number:?} is not a whole number")))?;
        let servers = &self.found.servers;
        let count = match subject {
            "images" => self.found.images.len(),
            "pullable" => self.images.count(Standing::Pullable),
            "failed" => self.images.count(Standing::Failed),
            "unknown" => self.images.count(Standing::Unknown),
            "servers" => servers.len(),
            "brokenServers" => servers.iter().filter(|it| it.failure.is_some()).count(),
            _ => {
                let text = format!(
                    "{subject:?} is none of images, pullable, failed, unknown, servers, brokenServers"
                );
                return Err(bad_condition(when, text));
            }
        };
        // What is unknown could be either: a threshold that it could cross is not judged.
        let unknown = self.images.count(Standing::Unknown);
        let holds = operator.holds(count.cmp(&number));
        let could = operator.holds((count + unknown).cmp(&number));
        if matches!(subject, "pullable" | "failed") && unknown > 0 && holds != could {
            return Err(NotEvaluated::Unknown(format!(
                "{unknown} images could not be judged, and they decide `{when}` ({})",
                self.path
            )));
        }
        Ok(holds)
    }

    fn fields(&self) -> Value {
        let failed = self.images.of(Standing::Failed);
        let names: Vec<&str> = failed.iter().map(|it| it.image.image.as_str()).collect();
        let mut reasons: Vec<&str> = failed
            .iter()
            .filter_map(|it| it.failure)
            .map(|failure| failure.message.as_str())
            .collect();
        reasons.dedup();
        reasons.truncate(10);
        json!({
            "Images": self.found.images.len(),
            "Pullable": self.images.count(Standing::Pullable),
            "Failed": self.images.count(Standing::Failed),
            "Unknown": self.images.count(Standing::Unknown),
            "Names": names,
            "Reasons": reasons,
        })
    }
}
