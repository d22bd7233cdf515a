//! `cargo xtask deny`: bans, licences and sources of `deny.toml`, checked over cargo's own metadata.
//!
//! cargo-deny reads the same file in the public workflow, where it adds advisories; building it takes longer than
//! building the product, and these checks need none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::command::output;

/// Crates that stay light and pure, and what may be nowhere in their trees.
const PURE: &[&str] = &["assay-syntax", "assay-bundle", "assay-analyzers"];
const IMPURE: &[&str] = &["hyper", "kube", "mio", "rustix", "socket2", "tokio"];

#[derive(Deserialize)]
struct Policy {
    graph: GraphPolicy,
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct GraphPolicy {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
    #[serde(default)]
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Ban {
    /// `name`, or `name@<MAJOR` for versions below a major one.
    #[serde(rename = "crate")]
    name: String,
    /// The only crates that may depend on it directly; without the key nobody may.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Skip {
    /// `name@version`: a second version that is known and accepted.
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// What `cargo metadata` says, as far as it is asked.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<Declared>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

/// A dependency as a manifest declares it.
#[derive(Deserialize)]
struct Declared {
    name: String,
    rename: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    #[serde(default)]
    features: Vec<String>,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `dev`, `build`, or nothing for a normal dependency.
    kind: Option<String>,
}

/// Checks the workspace at `root`; the error lists every violation.
pub(crate) fn check(root: &Path) -> Result<()> {
    let violations = violations(root)?;
    if violations.is_empty() {
        println!("deny: bans, licences and sources hold");
        return Ok(());
    }
    bail!("deny.toml does not hold:\n{}", violations.join("\n"))
}

/// What the workspace at `root` has that its `deny.toml` does not allow, a line each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let path = root.join("deny.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let policy: Policy =
        toml::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
    let mut command = Command::new("cargo");
    command
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--all-features"]);
    for target in &policy.graph.targets {
        command.args(["--filter-platform", target]);
    }
    let metadata: Metadata =
        serde_json::from_str(&output(&mut command)?).context("failed to read cargo's metadata")?;
    Tree::new(&metadata).violations(&policy)
}

/// The resolved packages that the workspace reaches.
struct Tree<'a> {
    packages: BTreeMap<&'a str, &'a Package>,
    nodes: BTreeMap<&'a str, &'a Node>,
    reached: BTreeSet<&'a str>,
}

impl<'a> Tree<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let mut tree = Self {
            packages: metadata
                .packages
                .iter()
                .map(|package| (package.id.as_str(), package))
                .collect(),
            nodes: metadata
                .resolve
                .nodes
                .iter()
                .map(|node| (node.id.as_str(), node))
                .collect(),
            reached: BTreeSet::new(),
        };
        let members = metadata.workspace_members.iter().map(String::as_str);
        tree.reached = tree.reach(members.collect(), true);
        tree
    }

    /// Everything that can be reached from `open`, over development dependencies of these only where asked.
    fn reach(&self, mut open: Vec<&'a str>, dev: bool) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        while let Some(id) = open.pop() {
            if reached.insert(id)
                && let Some(node) = self.nodes.get(id)
            {
                open.extend(self.dependencies(node, dev));
            }
        }
        reached
    }

    /// What a package depends on directly, with its development dependencies only where asked.
    ///
    /// Cargo's metadata also lists optional dependencies that only a weak feature (`name?/feature`) mentions; they
    /// are not built, so they do not count.
    fn dependencies(&self, node: &'a Node, dev: bool) -> impl Iterator<Item = &'a str> {
        node.deps
            .iter()
            .filter(move |dependency| {
                dev || dependency
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind.as_deref() != Some("dev"))
            })
            .map(|dependency| dependency.pkg.as_str())
            .filter(|id| self.is_built(node, id))
    }

    fn is_built(&self, node: &Node, dependency: &str) -> bool {
        let (Some(package), Some(dependency)) = (
            self.packages.get(node.id.as_str()),
            self.packages.get(dependency),
        ) else {
            return true;
        };
        let mut declared = package
            .dependencies
            .iter()
            .filter(|declared| declared.name == dependency.name)
            .peekable();
        declared.peek().is_none()
            || declared.any(|declared| {
                let name = declared.rename.as_ref().unwrap_or(&declared.name);
                !declared.optional
                    || node.features.contains(name)
                    || node
                        .features
                        .iter()
                        .filter_map(|feature| package.features.get(feature))
                        .flatten()
                        .any(|turned_on| {
                            turned_on.strip_prefix("dep:") == Some(name)
                                || turned_on.split_once('/').is_some_and(|(on, _)| on == name)
                        })
            })
    }

    fn violations(&self, policy: &Policy) -> Result<Vec<String>> {
        let mut violations = Vec::new();
        self.banned(&policy.bans, &mut violations);
        self.duplicated(&policy.bans, &mut violations);
        self.impure(&mut violations);
        self.licensed(&policy.licenses, &mut violations)?;
        self.sourced(&policy.sources, &mut violations);
        Ok(violations)
    }

    fn reached_packages(&self) -> impl Iterator<Item = &'a Package> {
        self.reached
            .iter()
            .filter_map(|id| self.packages.get(id).copied())
    }

    fn banned(&self, bans: &Bans, violations: &mut Vec<String>) {
        for ban in &bans.deny {
            for package in self
                .reached_packages()
                .filter(|package| matches(&ban.name, package))
            {
                let dependents = self.direct_dependents(&package.id);
                let forbidden: Vec<&str> = dependents
                    .iter()
                    .filter(|name| !ban.wrappers.iter().any(|wrapper| wrapper == *name))
                    .copied()
                    .collect();
                // A member that nobody depends on is no violation; a banned crate from outside always has a dependent.
                if !forbidden.is_empty() {
                    violations.push(format!(
                        "banned: {} {} is used by {}: {}",
                        package.name,
                        package.version,
                        forbidden.join(", "),
                        ban.reason
                    ));
                }
            }
        }
    }

    /// Names of the packages that depend directly on this one, not only for their tests.
    fn direct_dependents(&self, id: &str) -> BTreeSet<&'a str> {
        self.reached
            .iter()
            .filter_map(|dependent| self.nodes.get(dependent))
            .filter(|node| self.dependencies(node, false).any(|built| built == id))
            .filter_map(|node| self.packages.get(node.id.as_str()))
            .map(|package| package.name.as_str())
            .collect()
    }

    fn duplicated(&self, bans: &Bans, violations: &mut Vec<String>) {
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in self.reached_packages() {
            let full = format!("{}@{}", package.name, package.version);
            if !bans.skip.iter().any(|skip| skip.name == full) {
                versions
                    .entry(&package.name)
                    .or_default()
                    .push(&package.version);
            }
        }
        for (name, versions) in versions {
            if versions.len() > 1 {
                violations.push(format!(
                    "duplicated: {name} is there as {}; take one, or give a reason under bans.skip",
                    versions.join(" and ")
                ));
            }
        }
    }

    fn impure(&self, violations: &mut Vec<String>) {
        for package in self.packages.values() {
            if !PURE.contains(&package.name.as_str()) {
                continue;
            }
            for id in self.reach(vec![&package.id], false) {
                if let Some(found) = self.packages.get(id)
                    && IMPURE.contains(&found.name.as_str())
                {
                    violations.push(format!(
                        "impure: {} reaches {}; it may do no input and output of its own",
                        package.name, found.name
                    ));
                }
            }
        }
    }

    fn licensed(&self, licenses: &Licenses, violations: &mut Vec<String>) -> Result<()> {
        let allowed = licenses
            .allow
            .iter()
            .map(|text| {
                spdx::Licensee::parse(text).with_context(|| format!("{text:?} is no licence"))
            })
            .collect::<Result<Vec<_>>>()?;
        for package in self.reached_packages() {
            let text = package.license.as_deref().unwrap_or_default();
            let holds = Expression::parse_mode(text, ParseMode::LAX).is_ok_and(|expression| {
                expression.evaluate(|required| {
                    allowed.iter().any(|licensee| licensee.satisfies(required))
                })
            });
            if !holds {
                violations.push(format!(
                    "licence: {} {} is under {text:?}, which deny.toml does not allow",
                    package.name, package.version
                ));
            }
        }
        Ok(())
    }

    fn sourced(&self, sources: &Sources, violations: &mut Vec<String>) {
        for package in self.reached_packages() {
            // Members and path dependencies have none.
            let Some(source) = &package.source else {
                continue;
            };
            let known = source.strip_prefix("registry+").is_some_and(|registry| {
                sources.allow_registry.iter().any(|known| known == registry)
            });
            if !known {
                violations.push(format!(
                    "source: {} {} comes from {source}",
                    package.name, package.version
                ));
            }
        }
    }
}

/// Whether a ban's `name` or `name@<MAJOR` means this package.
fn matches(ban: &str, package: &Package) -> bool {
    let Some((name, below)) = ban.split_once("@<") else {
        return ban == package.name;
    };
    let major = |text: &str| {
        text.split('.')
            .next()
            .and_then(|part| part.parse::<u64>().ok())
    };
    name == package.name && major(&package.version) < major(below)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = r#"
        [graph]
        targets = []
        [bans]
        deny = [
            { crate = "kube", wrappers = ["checks"], reason = "one door" },
            { crate = "hyper@<1", reason = "one HTTP" },
        ]
        skip = [{ crate = "syn@1.0.0", reason = "old macros" }]
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
        [sources]
        allow-registry = ["https://registry"]
    "#;

    /// `(name, version, licence, dependencies by name@version)`; the first is the only member.
    fn found(packages: &[(&str, &str, &str, &[&str])]) -> Vec<String> {
        let metadata: Metadata = serde_json::from_value(json!({
            "packages": packages.iter().map(|(name, version, license, _)| json!({
                "id": format!("{name}@{version}"), "name": name, "version": version,
                "license": license, "source": "registry+https://registry",
            })).collect::<Vec<_>>(),
            "workspace_members": [format!("{}@{}", packages[0].0, packages[0].1)],
            "resolve": {"nodes": packages.iter().map(|(name, version, _, dependencies)| json!({
                "id": format!("{name}@{version}"),
                "deps": dependencies.iter().map(|id| json!({"pkg": id, "dep_kinds": [{"kind": null}]})).collect::<Vec<_>>(),
            })).collect::<Vec<_>>()},
        }))
        .expect("metadata of the right shape");
        let policy: Policy = toml::from_str(POLICY).expect("a policy");
        Tree::new(&metadata)
            .violations(&policy)
            .expect("licences that exist")
    }

    #[test]
    fn a_crate_behind_a_wrapper_is_used_by_the_wrapper_only() {
        assert_eq!(
            found(&[
                ("checks", "1.0.0", "MIT", &["kube@5.0.0"]),
                ("kube", "5.0.0", "MIT", &[]),
            ]),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&[
                ("analyzers", "1.0.0", "MIT", &["kube@5.0.0"]),
                ("kube", "5.0.0", "MIT", &[]),
            ]),
            ["banned: kube 5.0.0 is used by analyzers: one door"]
        );
    }

    #[test]
    fn a_ban_may_be_for_old_versions() {
        let tree = |version| {
            found(&[
                ("app", "1.0.0", "MIT", &[&format!("hyper@{version}")]),
                ("hyper", version, "MIT", &[]),
            ])
        };
        assert_eq!(tree("1.4.0"), Vec::<String>::new());
        assert_eq!(
            tree("0.14.30"),
            ["banned: hyper 0.14.30 is used by app: one HTTP"]
        );
    }

    #[test]
    fn a_second_version_needs_a_reason() {
        assert_eq!(
            found(&[
                (
                    "app",
                    "1.0.0",
                    "MIT",
                    &["syn@1.0.0", "syn@2.0.0", "rand@0.8.0", "rand@0.9.0"]
                ),
                ("syn", "1.0.0", "MIT", &[]),
                ("syn", "2.0.0", "MIT", &[]),
                ("rand", "0.8.0", "MIT", &[]),
                ("rand", "0.9.0", "MIT", &[]),
            ]),
            [
                "duplicated: rand is there as 0.8.0 and 0.9.0; take one, or give a reason under bans.skip"
            ]
        );
    }

    #[test]
    fn a_pure_crate_reaches_no_runtime() {
        assert_eq!(
            found(&[
                ("assay-bundle", "1.0.0", "MIT", &["zip@1.0.0"]),
                ("zip", "1.0.0", "MIT", &["tokio@1.0.0"]),
                ("tokio", "1.0.0", "MIT", &[]),
            ]),
            ["impure: assay-bundle reaches tokio; it may do no input and output of its own"]
        );
    }

    #[test]
    fn an_optional_dependency_counts_only_where_a_feature_turns_it_on() {
        let metadata = |features: &[&str]| -> Metadata {
            serde_json::from_value(json!({
                "packages": [
                    {
                        "id": "webpki", "name": "webpki", "version": "1.0.0", "license": "MIT", "source": null,
                        "dependencies": [{"name": "kube", "rename": null, "optional": true}],
                        "features": {"weak": ["kube?/std"], "strong": ["dep:kube"]},
                    },
                    {"id": "kube", "name": "kube", "version": "1.0.0", "license": "MIT", "source": null},
                ],
                "workspace_members": ["webpki"],
                "resolve": {"nodes": [
                    {"id": "webpki", "features": features, "deps": [{"pkg": "kube", "dep_kinds": [{"kind": null}]}]},
                    {"id": "kube", "deps": []},
                ]},
            }))
            .expect("metadata of the right shape")
        };
        let reached = |features: &[&str]| Tree::new(&metadata(features)).reached.len();
        assert_eq!(reached(&["weak"]), 1);
        assert_eq!(reached(&["strong"]), 2);
    }

    #[test]
    fn licences_are_read_as_expressions() {
        let tree = |license| found(&[("app", "1.0.0", license, &[])]);
        for allowed in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(tree(allowed), Vec::<String>::new(), "{allowed}");
        }
        for forbidden in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", ""] {
            assert_eq!(tree(forbidden).len(), 1, "{forbidden}");
        }
    }
}
