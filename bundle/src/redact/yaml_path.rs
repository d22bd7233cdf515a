//! Values of a YAML or JSON document masked by path. troubleshoot reads the first document and writes it again, as
//! YAML with sorted keys; the profile `standard` keeps JSON as it is but for the masks, and all documents of YAML.

use std::sync::Arc;

use syntax::yaml::{self, Content, Limits, Node, Scalar};

use super::{Counts, MASK, Profile, RedactionFailure, json_path};

/// The longest document, in bytes.
const MAX_DOCUMENT: usize = 16 << 20;
/// What a document may cost to read.
const LIMITS: Limits = Limits {
    bytes: MAX_DOCUMENT,
    nodes: 1_000_000,
    depth: 200,
};

/// A path into a document, `spec.users.*.password`: a key, an index, or `*` for every child.
#[derive(Debug)]
pub(super) struct YamlPath {
    name: Arc<str>,
    steps: Vec<String>,
}

impl YamlPath {
    pub(super) fn new(name: &str, path: &str) -> Self {
        Self {
            name: name.into(),
            steps: path.split('.').map(str::to_owned).collect(),
        }
    }
}

/// A document on its way through one path.
pub(super) struct Document {
    path: Arc<YamlPath>,
    profile: Profile,
    bytes: Vec<u8>,
}

impl Document {
    pub(super) fn new(path: Arc<YamlPath>, profile: Profile) -> Self {
        Self {
            path,
            profile,
            bytes: Vec::new(),
        }
    }

    fn too_large(&self) -> RedactionFailure {
        RedactionFailure::DocumentTooLarge {
            redactor: self.path.name.to_string(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RedactionFailure> {
        if self.bytes.len() + bytes.len() > MAX_DOCUMENT {
            return Err(self.too_large());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives the document. What is no YAML, or has nothing at the path, stays as it is.
    pub(super) fn finish(
        &mut self,
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), RedactionFailure> {
        let bytes = std::mem::take(&mut self.bytes);
        let text = std::str::from_utf8(&bytes);
        let (masked, masks) = match (text, self.profile) {
            (Err(_), _) => (Vec::new(), 0),
            (Ok(text), Profile::Troubleshoot) => self.first_document(text)?,
            (Ok(text), Profile::Standard) => match json_path::mask(text, &self.path.steps) {
                Some(masked) => masked,
                None => self.every_document(text)?,
            },
        };
        if masks == 0 {
            out.extend_from_slice(&bytes);
        } else {
            counts.add(&self.path.name, masks);
            out.extend_from_slice(&masked);
        }
        Ok(())
    }

    /// As troubleshoot does it: the first document, and nothing of the others.
    fn first_document(&self, text: &str) -> Result<(Vec<u8>, u64), RedactionFailure> {
        match yaml::document(text, &LIMITS) {
            Err(error) if error.beyond_limits => Err(self.too_large()),
            Err(_) => Ok((Vec::new(), 0)),
            Ok(mut document) => {
                let masks = mask(&mut document.root, &self.path.steps);
                Ok((yaml::emit_node(&document.root).into_bytes(), masks))
            }
        }
    }

    /// The path in every document; one that is no YAML is left out, as it cannot be looked into.
    fn every_document(&self, text: &str) -> Result<(Vec<u8>, u64), RedactionFailure> {
        let mut documents = Vec::new();
        let mut masks = 0;
        for document in yaml::documents(text, &LIMITS) {
            match document {
                Err(error) if error.beyond_limits => return Err(self.too_large()),
                Err(_) => documents.push("# ***HIDDEN***: a document that is no YAML\n".to_owned()),
                Ok(mut document) => {
                    masks += mask(&mut document.root, &self.path.steps);
                    documents.push(yaml::emit_node(&document.root));
                }
            }
        }
        Ok((documents.join("---\n").into_bytes(), masks))
    }
}

/// Masks what lies at the path below `node`; returns how many values that were.
fn mask(node: &mut Node, steps: &[String]) -> u64 {
    let Some((step, rest)) = steps.split_first() else {
        node.content = Content::Scalar(Scalar::String(MASK.to_owned()));
        return 1;
    };
    let every = step == "*";
    match &mut node.content {
        Content::Scalar(_) => 0,
        Content::Sequence(items) if every => items.iter_mut().map(|item| mask(item, rest)).sum(),
        Content::Sequence(items) => {
            let index: Option<usize> = step.parse().ok();
            let item = index.and_then(|index| items.get_mut(index));
            item.map_or(0, |item| mask(item, rest))
        }
        Content::Mapping(entries) => {
            let named = |key: &Scalar| matches!(key, Scalar::String(name) if name == step);
            let entries = entries
                .iter_mut()
                .filter(|entry| every || named(&entry.key));
            entries.map(|entry| mask(&mut entry.value, rest)).sum()
        }
    }
}
