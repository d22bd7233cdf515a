//! Host documents: one from this host, or one per node, and the outcomes over each.

use std::sync::Arc;

use bundle::collected::host::{FOLDER, NODE_LIST, NodeList};
use bundle::{Files, ReadError};
use serde::de::DeserializeOwned;

use crate::document::document;
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::outcome::{Outcome, first_match};

/// A host's document, and how findings name it.
pub(crate) struct HostDocument<T> {
    /// Empty for the local host.
    pub(crate) node: String,
    pub(crate) path: String,
    pub(crate) document: Arc<T>,
}

/// The rule that most host analyzers share: the first outcome that holds gives a finding per host, none
/// that holds gives none.
pub(crate) struct HostRule<'a> {
    /// The analyzer's name.
    pub(crate) kind: &'a str,
    /// The document's file, `cpu.json`.
    pub(crate) file_name: &'a str,
    /// The conditions.
    pub(crate) outcomes: &'a [Outcome],
    /// The findings' title; a node's name is added.
    pub(crate) title: &'a str,
    /// What to do about a warning or a failure.
    pub(crate) remedy: &'a str,
}

impl HostRule<'_> {
    /// Judges each host's document. `observe` says the value read in a few words.
    pub(crate) fn evaluate<T>(
        &self,
        files: &Files,
        holds: impl Fn(&str, &T) -> Result<bool, NotEvaluated>,
        observe: impl Fn(&T) -> String,
    ) -> Result<Judgement, NotEvaluated>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.evaluate_with(files, holds, observe, |_, _| self.remedy.to_owned())
    }

    /// The same with a remedy by the condition that held and the document.
    pub(crate) fn evaluate_with<T>(
        &self,
        files: &Files,
        holds: impl Fn(&str, &T) -> Result<bool, NotEvaluated>,
        observe: impl Fn(&T) -> String,
        remedy: impl Fn(&str, &T) -> String,
    ) -> Result<Judgement, NotEvaluated>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let mut judgement = Judgement::default();
        let unseen = &mut judgement.not_evaluated;
        let hosts = host_documents::<T>(files, FOLDER, self.file_name, unseen)?;
        for host in hosts {
            let matched = first_match(self.outcomes, |when| holds(when, &host.document))?;
            let Some((verdict, branch)) = matched else {
                continue;
            };
            let title = if host.node.is_empty() {
                self.title.to_owned()
            } else {
                format!("{} - Node {}", self.title, host.node)
            };
            let finding = Finding {
                id: Finding::id(self.kind, &host.node),
                title,
                observed: format!("{} ({})", observe(&host.document), host.path),
                ..Finding::of(verdict, branch)
            };
            let remedy = remedy(&branch.when, &host.document);
            judgement.findings.push(finding.with_remedy(remedy));
        }
        Ok(judgement)
    }
}

/// The local host's document; without one, those of the nodes that `node_list.json` names. A node's file
/// lies in `system/<node>/` as troubleshoot's analyzers look for it, or in `<node>/system/` as its
/// collector writes it. `folder` is `host-collectors/system` for most.
pub(crate) fn host_documents<T>(
    files: &Files,
    folder: &str,
    file_name: &str,
    unseen: &mut Option<NotEvaluated>,
) -> Result<Vec<HostDocument<T>>, NotEvaluated>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let path = format!("{folder}/{file_name}");
    if files.contains(&path) {
        let document = document(files, &path)?;
        return Ok(vec![HostDocument {
            node: String::new(),
            path,
            document,
        }]);
    }
    if !files.contains(NODE_LIST) {
        // The error of the local path says why it is not there.
        return Err(match files.decoded::<T>(&path) {
            Err(error) => error.into(),
            Ok(_) => NotEvaluated::Unknown(format!("{path} was not collected")),
        });
    }
    let list: Arc<NodeList> = document(files, NODE_LIST)?;
    let mut documents = Vec::with_capacity(list.nodes.len());
    for node in &list.nodes {
        match of_node(files, folder, node, file_name) {
            Ok(found) => documents.push(found),
            // Why it is missing is known: the other nodes are judged, this one is unknown.
            Err(ReadError::Gap { path, gap }) => {
                unseen.get_or_insert(NotEvaluated::from_gap(&path, &gap));
            }
            Err(error) => {
                return Err(NotEvaluated::Malformed(format!(
                    "failed to retrieve content for node {node}: {error}"
                )));
            }
        }
    }
    Ok(documents)
}

fn of_node<T>(
    files: &Files,
    folder: &str,
    node: &str,
    file_name: &str,
) -> Result<HostDocument<T>, ReadError>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let kind = folder.rsplit('/').next().unwrap_or_default();
    let written = format!("host-collectors/{node}/{kind}/{file_name}");
    let path = if files.contains(&written) {
        written
    } else {
        format!("{folder}/{node}/{file_name}")
    };
    Ok(HostDocument {
        node: node.to_owned(),
        document: files.decoded(&path)?,
        path,
    })
}
