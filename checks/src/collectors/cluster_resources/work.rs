//! What the lists have in common: where to look, and what may be seen there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bundle::collected::pod::Pod;
use bundle::manifest::GapReason;
use futures::StreamExt;
use syntax::json::{Style, TypeMeta, indent};

use super::kinds::{Kind, collection, group};
use super::lists::{Form, Sorter};
use super::{AT_ONCE, ROOT, path};
use crate::cluster::{ApiError, Cause, Cluster, Discovery, ListError, Listed, Rules, segment};
use crate::collector::{CollectError, Output, Permission, locked};
use crate::pod_log::LoggedPod;

/// How far the run may look, by the spec and by the namespaces that could be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every namespace, and their names are known.
    All,
    /// Every namespace is wanted, but their names may not be listed.
    Known,
    /// The namespaces that were named.
    Named,
}

/// What the lists have in common.
pub(super) struct Work {
    pub(super) cluster: Arc<Cluster>,
    pub(super) output: Output,
    pub(super) discovery: Option<Discovery>,
    pub(super) managed_fields: bool,
    pub(super) ignore_rbac: bool,
    pub(super) namespaces: BTreeSet<String>,
    pub(super) reach: Reach,
    /// By namespace; none where there was no review.
    pub(super) rules: BTreeMap<String, Rules>,
    pub(super) unhealthy: Mutex<Vec<LoggedPod>>,
}

impl Work {
    /// One namespace's object, indented to stand `depth` levels deep.
    pub(super) async fn namespace(&self, name: &str, depth: usize) -> Result<Vec<u8>, ApiError> {
        let path = format!("/api/v1/namespaces/{}", segment(name));
        let object = self.cluster.document(&path, &[]).await?;
        let style = Style {
            depth,
            type_meta: Some(TypeMeta {
                kind: "Namespace",
                api_version: "v1",
            }),
            managed_fields: self.managed_fields,
            ..Style::default()
        };
        let mut text = Vec::new();
        indent(&object, &style, &mut text).map_err(|error| {
            let cause = Cause::Malformed(error.to_string());
            ApiError {
                request: format!("GET {path}"),
                cause,
            }
        })?;
        Ok(text)
    }

    /// Asks what this account may do, and keeps the answers. Who may do everything everywhere is asked once,
    /// not once for each namespace.
    pub(super) async fn review(mut self) -> Result<Self, CollectError> {
        let everything = Permission {
            verb: "*",
            group: "*".to_owned(),
            resource: "*".to_owned(),
            namespace: None,
            name: None,
        };
        let administrator = matches!(self.cluster.may(&everything).await, Ok(true));
        let asked: Vec<String> = if administrator {
            self.namespaces.iter().take(1).cloned().collect()
        } else {
            self.namespaces.iter().cloned().collect()
        };
        let answers = futures::stream::iter(asked.into_iter().map(|namespace| async {
            let rules = self.cluster.rules(&namespace).await;
            (namespace, rules)
        }));
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut errors = BTreeMap::new();
        for (namespace, answer) in answers {
            match answer {
                Ok(rules) if administrator => {
                    for name in &self.namespaces {
                        self.rules.insert(name.clone(), rules.clone());
                    }
                }
                Ok(rules) => {
                    if !rules.evaluation_error.is_empty() {
                        errors.insert(namespace.clone(), rules.evaluation_error.clone());
                    }
                    self.rules.insert(namespace, rules);
                }
                Err(error) => {
                    let file = format!("{ROOT}/auth-cani-list/{namespace}.json");
                    self.output.gap(file, error.gap_reason(), &error);
                    errors.insert(namespace, error.to_string());
                }
            }
        }
        for (namespace, rules) in &self.rules {
            let file = path(&format!("auth-cani-list/{namespace}.json"))?;
            self.output.json(&file, &rules.policy_rules())?;
        }
        if !errors.is_empty() {
            self.output
                .json(&path("auth-cani-list-errors.json")?, &errors)?;
        }
        self.output.done(&format!("{ROOT}/auth-cani-list/*.json"));
        Ok(self)
    }

    /// The group and version under which the server has a kind.
    fn version_of(&self, kind: &Kind) -> Option<&'static str> {
        let mut versions = kind.versions.iter().copied();
        match &self.discovery {
            Some(discovery) => versions.find(|version| discovery.has(version, kind.resource)),
            None => versions.next(),
        }
    }

    /// Whether the review leaves a chance that a list is allowed in a namespace.
    pub(super) fn may_list(&self, namespace: &str, group: &str, resource: &str) -> bool {
        self.ignore_rbac
            || self.rules.get(namespace).is_none_or(|rules| {
                rules.incomplete
                    || !rules.evaluation_error.is_empty()
                    || rules.allow("list", group, resource)
            })
    }

    fn sorter(&self, place: &str, kind: &str, api_version: &str, namespaced: bool) -> Sorter<'_> {
        let form = Form::List {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
        };
        let place = format!("{ROOT}/{place}");
        Sorter::new(&self.output, place, form, namespaced, self.managed_fields)
    }

    /// Lists a cluster-wide kind into its file. Gives the API's error, which is recorded already.
    pub(super) async fn cluster_wide(
        &self,
        kind: &Kind,
        mut look: impl FnMut(&Listed<'_>) + Send,
    ) -> Result<Option<ApiError>, CollectError> {
        let file = format!("{ROOT}/{}.json", kind.place);
        let Some(version) = self.version_of(kind) else {
            self.absent(&file, kind);
            return Ok(None);
        };
        let mut sorter = self.sorter(kind.place, kind.name, version, false);
        let target = collection(version, None, kind.resource);
        let listed = self.cluster.list(&target, &[], |item| {
            look(item);
            sorter.take(item)
        });
        let error = match listed.await {
            Ok(listing) => {
                sorter.ended(&listing, [""])?;
                None
            }
            Err(ListError::Taker(error)) => return Err(error),
            Err(ListError::Api(error)) => {
                sorter.broke(&error, [""])?;
                Some(error)
            }
        };
        sorter.write_errors()?;
        self.output.done(&file);
        Ok(error)
    }

    /// Lists a namespaced kind into a file for each namespace.
    pub(super) async fn namespaced(&self, kind: &Kind) -> Result<(), CollectError> {
        let glob = format!("{ROOT}/{}/*.json", kind.place);
        let Some(version) = self.version_of(kind) else {
            self.absent(&glob, kind);
            return Ok(());
        };
        let mut sorter = self.sorter(kind.place, kind.name, version, true);
        let looks_at_pods = kind.name == "Pod";
        self.by_namespace(&mut sorter, version, kind.resource, true, |item| {
            if looks_at_pods {
                self.note_health(item);
            }
        })
        .await?;
        sorter.write_errors()?;
        self.output.done(&glob);
        Ok(())
    }

    /// One list of all namespaces where that is wanted and allowed, else one for each namespace that may be
    /// read. With `empty` a namespace without objects has a file, too.
    pub(super) async fn by_namespace(
        &self,
        sorter: &mut Sorter<'_>,
        version: &str,
        resource: &str,
        empty: bool,
        mut look: impl FnMut(&Listed<'_>) + Send,
    ) -> Result<(), CollectError> {
        let names = || self.namespaces.iter().map(String::as_str);
        let mut refused = None;
        if self.reach != Reach::Named {
            let target = collection(version, None, resource);
            let listed = self.cluster.list(&target, &[], |item| {
                look(item);
                sorter.take(item)
            });
            match listed.await {
                Ok(listing) => {
                    let expected: Vec<&str> = if empty { names().collect() } else { Vec::new() };
                    return sorter.ended(&listing, expected);
                }
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) if !error.is_refused() => {
                    if self.reach == Reach::Known || !empty {
                        sorter.missing("", error.gap_reason(), &error.to_string());
                        return sorter.close();
                    }
                    return sorter.broke(&error, names());
                }
                Err(ListError::Api(error)) => refused = Some(error),
            }
        }
        let group = group(version);
        let (may, may_not): (Vec<&str>, Vec<&str>) =
            names().partition(|namespace| self.may_list(namespace, group, resource));
        if may.is_empty() {
            let detail = match refused {
                Some(error) => error.to_string(),
                None => format!("list {resource} is not allowed in any of the namespaces"),
            };
            sorter.missing("", GapReason::Refused, &detail);
            return Ok(());
        }
        if let Some(error) = refused.filter(|_| self.reach == Reach::Known) {
            let looked_into = may.join(", ");
            let detail = format!("only {looked_into} could be looked into: {error}");
            sorter.missing("", GapReason::Refused, &detail);
        }
        for namespace in may_not {
            let detail = format!("list {resource} in namespace {namespace:?} is not allowed");
            sorter.missing(namespace, GapReason::Refused, &detail);
        }
        for namespace in may {
            let target = collection(version, Some(namespace), resource);
            let listed = self.cluster.list(&target, &[], |item| {
                look(item);
                sorter.take(item)
            });
            let expected = [namespace];
            match listed.await {
                Ok(listing) if empty => sorter.ended(&listing, expected)?,
                Ok(listing) => sorter.ended(&listing, [])?,
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) => sorter.broke(&error, expected)?,
            }
        }
        Ok(())
    }

    fn absent(&self, glob: &str, kind: &Kind) {
        let detail = format!(
            "the server has no {} in {}",
            kind.resource,
            kind.versions.join(", ")
        );
        self.output.gap(glob, GapReason::Absent, detail);
        self.output.done(glob);
    }

    fn note_health(&self, item: &Listed<'_>) {
        // What is no pod is said where it is written.
        if let Ok(pod) = serde_json::from_slice::<Pod>(item.bytes)
            && pod.is_unhealthy()
        {
            locked(&self.unhealthy).push(LoggedPod::from(pod));
        }
    }
}
