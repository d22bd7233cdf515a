//! One file on its way through all redactors.

use std::sync::Arc;

use crate::path::BundlePath;

use super::lines::Lines;
use super::rules::Rule;
use super::spec::Step;
use super::standard::Standard;
use super::yaml_path::Document;
use super::{Compiled, Counts, FileReport, Profile, RedactionFailure};

/// A file being redacted: a chain of stages, each of which takes what the one before gives.
pub(crate) struct FileRedaction {
    stages: Vec<Stage>,
    counts: Counts,
    /// Whether the first character is still to come that tells JSON from other text.
    unknown: bool,
}

enum Stage {
    Lines(Box<Lines>),
    Document(Document),
    Standard(Box<Standard>),
}

impl FileRedaction {
    pub(super) fn new(compiled: &Arc<Compiled>, path: &BundlePath) -> Self {
        let mut stages = vec![Stage::Lines(Box::new(Lines::new(
            Some(Arc::clone(&compiled.defaults)),
            Vec::new(),
        )))];
        let path = path.as_str();
        if compiled.kurl_files.iter().any(|glob| glob.matches(path)) {
            let kurl = Lines::new(Some(Arc::clone(&compiled.kurl)), Vec::new());
            stages.push(Stage::Lines(Box::new(kurl)));
        }
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        let selected = compiled.custom.iter().filter(|custom| custom.selects(path));
        for step in selected.flat_map(|custom| &custom.steps) {
            match step {
                Step::Line(rule) => rules.push(Arc::clone(rule)),
                Step::Document(yaml_path) => {
                    if !rules.is_empty() {
                        let lines = Lines::new(None, std::mem::take(&mut rules));
                        stages.push(Stage::Lines(Box::new(lines)));
                    }
                    stages.push(Stage::Document(Document::new(Arc::clone(yaml_path))));
                }
            }
        }
        if !rules.is_empty() {
            stages.push(Stage::Lines(Box::new(Lines::new(None, rules))));
        }
        if let Some(finder) = &compiled.standard {
            stages.push(Stage::Standard(Box::new(Standard::new(Arc::clone(finder)))));
        }
        Self {
            stages,
            counts: Counts::default(),
            unknown: compiled.profile == Profile::Standard,
        }
    }

    /// Takes raw bytes and appends those that are decided to `out`. After a failure the file is lost.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), RedactionFailure> {
        if self.unknown
            && let Some(first) = bytes.iter().find(|byte| !is_blank(**byte))
        {
            self.unknown = false;
            if matches!(first, b'{' | b'[')
                && let Some(Stage::Lines(defaults)) = self.stages.first_mut()
            {
                defaults.keep_json();
            }
        }
        run(&mut self.stages, bytes, out, &mut self.counts)
    }

    /// Appends the rest to `out` and reports what was masked.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<FileReport, RedactionFailure> {
        for index in 0..self.stages.len() {
            let (stage, next) = self.stages[index..]
                .split_first_mut()
                .expect("the index is one of a stage");
            let mut rest = Vec::new();
            stage.finish(&mut rest, &mut self.counts)?;
            run(next, &rest, out, &mut self.counts)?;
        }
        Ok(self.counts.0)
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
