//! Specs: from arguments to what a run does.
//!
//! [`load`] reads sources into [`Specs`]: documents with their entries, each with its place in the text, and
//! what is wrong with them. [`Specs::preflight`], [`Specs::support_bundle`] and [`Specs::analysis`] merge the
//! documents into a [`Plan`] for the harness and the analyzers. Nothing that a spec names is lost in
//! silence: what cannot be used is named with its line and column, and is still in the plan, as a collector
//! that is reported as not collected or an analyzer that answers unknown.

mod check;
mod diagnostic;
mod document;
mod entry;
mod kinds;
mod placeholder;
mod plan;
mod redactor;
mod references;
mod source;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Place, Severity, SpecError};
pub use document::Document;
pub use entry::{Entry, List};
pub use kinds::Kind;
pub use plan::{Plan, PlanEntry};
pub use redactor::Redactor;
pub use source::{Fetch, MAX_BYTES, ObjectKind, Offline, Request, Response};

use std::collections::BTreeMap;
use std::sync::Arc;

use document::Reader;
use entry::Origin;

/// How specs are loaded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--no-uri`: a spec's `uri` is not followed to a newer version of it.
    pub no_uri: bool,
    /// `--namespace`: where a reference of v1beta3 looks that names no namespace; else `default`.
    pub namespace: Option<String>,
}

/// What was loaded.
#[derive(Debug, Clone)]
pub struct Specs {
    /// The documents that can be used, in the order of the sources.
    pub documents: Vec<Document>,
    /// What is wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// How many documents cannot be used at all; each has its error among the diagnostics. A caller that
    /// must not go on without them ends with exit code 2.
    pub lost: usize,
}

/// So many addresses are followed in one load: a hostile spec could name any number.
const MOST_FOLLOWED: usize = 100;

/// Reads specs from arguments: a path, `-`, an address, `secret/NAMESPACE/NAME[/KEY]`,
/// `configmap/NAMESPACE/NAME[/KEY]` or `pack:NAME`. An error means that there is nothing to run, exit code 2.
pub async fn load<F: Fetch>(
    arguments: &[String],
    options: &Options,
    fetch: &F,
) -> Result<Specs, SpecError> {
    let mut reader = Reader::default();
    for (index, argument) in arguments.iter().enumerate() {
        if argument == "-" && arguments[..index].contains(argument) {
            // There is one standard input; troubleshoot reads it once too.
            continue;
        }
        for source in source::read(argument, fetch).await? {
            let before = reader.documents.len();
            reader.text(&Origin::new(&source.file), &source.text);
            if source.from_url {
                // It is the newest version already.
                reader
                    .documents
                    .iter_mut()
                    .skip(before)
                    .filter(|document| document.kind == Kind::SupportBundle)
                    .for_each(|document| document.uri = None);
            }
        }
    }
    if !options.no_uri {
        follow(&mut reader, fetch).await;
    }
    let namespace = options.namespace.as_deref().unwrap_or("default");
    for document in reader
        .documents
        .iter_mut()
        .filter(|document| document.has_references)
    {
        for entry in &mut document.entries {
            references::resolve(entry, namespace, fetch, &mut reader.diagnostics).await;
        }
    }
    finish(reader)
}

/// Reads a text that is at hand; nothing is fetched, and no `uri` followed.
pub fn parse(file: &str, text: &str) -> Result<Specs, SpecError> {
    let mut reader = Reader::default();
    reader.text(&Origin::new(file), text);
    finish(reader)
}

/// Replaces documents by what their `uri` leads to: a `SupportBundle` by all those found there, any other
/// kind by the first. What cannot be had leaves the document as it is. The `uri` of what was found is not
/// followed.
async fn follow<F: Fetch>(reader: &mut Reader, fetch: &F) {
    let documents = std::mem::take(&mut reader.documents);
    let mut followed = 0;
    for document in documents {
        let Some(uri) = &document.uri else {
            reader.documents.push(document);
            continue;
        };
        followed += 1;
        let newer = if followed > MOST_FOLLOWED {
            Err(format!(
                "no more than {MOST_FOLLOWED} addresses are followed"
            ))
        } else {
            newer(uri, document.kind, fetch).await
        };
        match newer {
            Ok((found, diagnostics)) => {
                reader.documents.extend(found);
                reader.diagnostics.extend(diagnostics);
            }
            Err(reason) => {
                let message = format!("the newer version at {uri} is not used: {reason}");
                let place = document.place.clone();
                reader.diagnostics.push(Diagnostic::warning(place, message));
                reader.documents.push(document);
            }
        }
    }
}

async fn newer<F: Fetch>(
    uri: &str,
    kind: Kind,
    fetch: &F,
) -> Result<(Vec<Document>, Vec<Diagnostic>), String> {
    if !uri.starts_with("http://") && !uri.starts_with("https://") {
        return Err("only http: and https: addresses are followed".to_owned());
    }
    let text = source::fetch_text(uri, fetch).await?;
    let mut reader = Reader::default();
    reader.text(&Origin::new(uri), &text);
    let mut found: Vec<_> = reader
        .documents
        .into_iter()
        .filter(|document| document.kind == kind)
        .collect();
    if found.is_empty() {
        let reason = reader
            .diagnostics
            .first()
            .map_or_else(String::new, |first| format!(" ({first})"));
        return Err(format!("there is no {} there{reason}", kind.name()));
    }
    if kind != Kind::SupportBundle {
        found.truncate(1);
    }
    Ok((found, reader.diagnostics))
}

/// Checks every entry against its kind.
fn finish(reader: Reader) -> Result<Specs, SpecError> {
    let Reader {
        mut documents,
        mut diagnostics,
        lost,
        passed_over,
    } = reader;
    for document in &mut documents {
        for entry in &mut document.entries {
            check::check(entry, &mut diagnostics);
        }
    }
    let mut redaction = Vec::new();
    for redactor in documents.iter().flat_map(|document| &document.redactors) {
        redactor.check(&mut redaction);
    }
    if redaction
        .iter()
        .any(|found| found.severity == Severity::Error)
    {
        redaction.retain(|found| found.severity == Severity::Error);
        return Err(SpecError::Redactor(redaction));
    }
    diagnostics.extend(redaction);
    in_order_of_the_text(&mut diagnostics);
    if documents.is_empty() {
        if diagnostics.is_empty() {
            let message = match passed_over.as_slice() {
                [] => "there is no document in it".to_owned(),
                kinds => format!(
                    "there is no troubleshoot.sh document, only: {}",
                    kinds.join(", ")
                ),
            };
            return Err(SpecError::Empty(message));
        }
        return Err(SpecError::Unusable(diagnostics));
    }
    Ok(Specs {
        documents,
        diagnostics,
        lost,
    })
}

/// File by file as they were read, each from top to bottom.
fn in_order_of_the_text(diagnostics: &mut [Diagnostic]) {
    let mut files = BTreeMap::new();
    for diagnostic in diagnostics.iter() {
        let next = files.len();
        files
            .entry(Arc::clone(&diagnostic.place.file))
            .or_insert(next);
    }
    diagnostics.sort_by_key(|diagnostic| {
        let Place { file, position } = &diagnostic.place;
        (files.get(file).copied(), *position)
    });
}
