//! One file on its way through all redactors.

use std::sync::Arc;

use crate::path::BundlePath;

use super::envelope::{Envelope, HEAD, Inside};
use super::gate::Gate;
use super::lines::Lines;
use super::rules::Rule;
use super::spec::Step;
use super::standard::Standard;
use super::yaml_path::Document;
use super::{Compiled, Counts, FileReport, Profile, RedactionFailure};

/// A file being redacted.
pub struct FileRedaction {
    compiled: Arc<Compiled>,
    path: BundlePath,
    /// In how many other files this one lies.
    depth: usize,
    body: Body,
    counts: Counts,
}

enum Body {
    /// The first bytes, from which the form of the file is to be told.
    Head(Vec<u8>),
    /// Text: a chain of stages, each of which takes what the one before gives.
    Text(Vec<Stage>),
    /// Something to open first.
    Envelope(Envelope),
}

enum Stage {
    Lines(Box<Lines>),
    Document(Document),
    Standard(Box<Standard>),
}

impl FileRedaction {
    pub(super) fn new(compiled: &Arc<Compiled>, path: &BundlePath, depth: usize) -> Self {
        Self {
            compiled: Arc::clone(compiled),
            path: path.clone(),
            depth,
            body: Body::Head(Vec::new()),
            counts: Counts::default(),
        }
    }

    /// Takes raw bytes and appends those that are decided to `out`. After a failure the file is lost.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), RedactionFailure> {
        if let Body::Head(head) = &mut self.body {
            let (more, rest) = bytes.split_at(bytes.len().min(HEAD - head.len()));
            head.extend_from_slice(more);
            if head.len() < HEAD {
                return Ok(());
            }
            bytes = rest;
            self.begin(out)?;
        }
        match &mut self.body {
            Body::Head(head) => head.extend_from_slice(bytes),
            Body::Text(stages) => run(stages, bytes, out, &mut self.counts)?,
            Body::Envelope(envelope) => envelope.push(bytes)?,
        }
        Ok(())
    }

    /// Appends the rest to `out` and reports what was masked.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<FileReport, RedactionFailure> {
        if matches!(self.body, Body::Head(_)) {
            self.begin(out)?;
        }
        match self.body {
            Body::Head(_) => {}
            Body::Text(mut stages) => {
                let mut stages = &mut stages[..];
                while let [stage, next @ ..] = stages {
                    let mut rest = Vec::new();
                    stage.finish(&mut rest, &mut self.counts)?;
                    run(next, &rest, out, &mut self.counts)?;
                    stages = next;
                }
            }
            Body::Envelope(envelope) => {
                let inside = Inside {
                    compiled: &self.compiled,
                    path: &self.path,
                    depth: self.depth,
                };
                envelope.finish(&inside, out, &mut self.counts)?;
            }
        }
        Ok(self.counts.into_report())
    }

    /// Tells the form of the file from its head, and begins with it.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), RedactionFailure> {
        let Body::Head(head) = &mut self.body else {
            return Ok(());
        };
        let head = std::mem::take(head);
        let envelope = Envelope::detect(&head, self.path.as_str(), self.compiled.profile)?;
        self.body = if let Some(mut envelope) = envelope {
            envelope.push(&head)?;
            Body::Envelope(envelope)
        } else {
            let first = head.iter().find(|byte| !is_blank(**byte));
            let json = matches!(first, Some(b'{' | b'['));
            let mut stages = self.stages(json);
            run(&mut stages, &head, out, &mut self.counts)?;
            Body::Text(stages)
        };
        Ok(())
    }

    /// The stages for text.
    fn stages(&self, json: bool) -> Vec<Stage> {
        let compiled = &self.compiled;
        let standard = compiled.profile == Profile::Standard;
        let json = json && standard;
        let lines = |gate: Option<&Arc<Gate>>, rules| {
            Stage::Lines(Box::new(Lines::new(gate.cloned(), rules, standard, json)))
        };
        let mut stages = vec![lines(Some(&compiled.defaults), Vec::new())];
        let path = self.path.as_str();
        if compiled.kurl_files.iter().any(|glob| glob.matches(path)) {
            stages.push(lines(Some(&compiled.kurl), Vec::new()));
        }
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        let selected = compiled.custom.iter().filter(|custom| custom.selects(path));
        for step in selected.flat_map(|custom| &custom.steps) {
            match step {
                Step::Line(rule) => rules.push(Arc::clone(rule)),
                Step::Document(yaml_path) => {
                    if !rules.is_empty() {
                        stages.push(lines(None, std::mem::take(&mut rules)));
                    }
                    let document = Document::new(Arc::clone(yaml_path), compiled.profile);
                    stages.push(Stage::Document(document));
                }
            }
        }
        if !rules.is_empty() {
            stages.push(lines(None, rules));
        }
        if let Some(finder) = &compiled.standard {
            stages.push(Stage::Standard(Box::new(Standard::new(Arc::clone(finder)))));
        }
        stages
    }
}

impl Stage {
    fn push(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), RedactionFailure> {
        match self {
            Self::Lines(lines) => lines.push(bytes, out, counts),
            Self::Document(document) => document.push(bytes),
            Self::Standard(standard) => {
                standard.push(bytes, out, counts);
                Ok(())
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>, counts: &mut Counts) -> Result<(), RedactionFailure> {
        match self {
            Self::Lines(lines) => {
                lines.finish(out, counts);
                Ok(())
            }
            Self::Document(document) => document.finish(out, counts),
            Self::Standard(standard) => {
                standard.finish(out, counts);
                Ok(())
            }
        }
    }
}

/// White space and the bytes of a byte order mark.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF)
}

/// Sends bytes through a chain of stages.
fn run(
    stages: &mut [Stage],
    bytes: &[u8],
    out: &mut Vec<u8>,
    counts: &mut Counts,
) -> Result<(), RedactionFailure> {
    match stages {
        [] => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        [last] => last.push(bytes, out, counts),
        [first, rest @ ..] => {
            let mut between = Vec::new();
            first.push(bytes, &mut between, counts)?;
            if between.is_empty() {
                return Ok(());
            }
            run(rest, &between, out, counts)
        }
    }
}
