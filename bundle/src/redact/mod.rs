//! Redaction: what may not leave the customer's site is masked before it reaches the archive.
//!
//! A [`Redactor`] is compiled once, from a [`Profile`] and the redactors of a spec, so that a broken one is an
//! error before anything is collected. Every file then streams through a [`FileRedaction`]: first
//! troubleshoot's default redactors and the spec's own, exactly as troubleshoot applies them, then, in the profile
//! `standard`, the classes of secrets that they miss. Nothing turns redaction off: what cannot be redacted
//! within bounds fails, and the archive ships a stub in its place.

mod envelope;
mod file;
mod gate;
mod json_line;
mod json_path;
mod lines;
mod rules;
mod spec;
mod standard;
mod troubleshoot;
mod yaml_path;

use std::collections::BTreeMap;
use std::sync::Arc;

use syntax::glob::GobwasGlob;

use crate::path::BundlePath;

pub use file::FileRedaction;
pub use spec::{FileSelector, RedactorError, RedactorSpec, RegexRemoval, Removals};

use gate::Gate;
use spec::Custom;
use standard::Finder;

/// What stands in the place of a secret.
pub const MASK: &str = "***HIDDEN***";

/// Which redactors run by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Troubleshoot's default redactors and, on top, the classes of secrets that its patterns miss.
    #[default]
    Standard,
    /// Troubleshoot's default redactors only.
    Troubleshoot,
}

impl Profile {
    /// The name on the command line and in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Troubleshoot => "troubleshoot",
        }
    }
}

/// A compiled set of redactors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    profile: Profile,
    defaults: Arc<Gate>,
    kurl: Arc<Gate>,
    kurl_files: Vec<GobwasGlob>,
    custom: Vec<Custom>,
    /// What the profile `standard` has on top.
    standard: Option<Arc<Finder>>,
}

/// Masks set in a file, by the name of the redactor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Masks per redactor; those that set none are not listed.
    pub masks: BTreeMap<String, u64>,
}

/// Why a file cannot be redacted. It must not be shipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedactionFailure {
    /// A rule that rewrites lines as a whole met one that does not fit.
    #[error("a line is longer than 16 MiB, more than redactor {redactor:?} can be applied to")]
    LineTooLong {
        /// The redactor.
        redactor: String,
    },
    /// The file is of a form that has to be opened first, and cannot be.
    #[error("it is {what} that cannot be opened: {reason}")]
    Unreadable {
        /// The form: `a gzip file`.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A rule over documents met one that does not fit.
    #[error(
        "the file is longer than 16 MiB or nests too deeply, so that redactor {redactor:?} cannot read it"
    )]
    DocumentTooLarge {
        /// The redactor.
        redactor: String,
    },
}

/// Counts masks while a file streams.
#[derive(Debug, Default)]
struct Counts(FileReport);

impl Counts {
    fn add(&mut self, name: &str, masks: u64) {
        if masks > 0 {
            *self.0.masks.entry(name.to_owned()).or_default() += masks;
        }
    }

    fn add_report(&mut self, report: FileReport) {
        for (name, masks) in report.masks {
            *self.0.masks.entry(name).or_default() += masks;
        }
    }

    fn add_all(&mut self, counts: Self) {
        self.add_report(counts.0);
    }

    fn is_empty(&self) -> bool {
        self.0.masks.is_empty()
    }

    fn into_report(self) -> FileReport {
        self.0
    }
}

impl Redactor {
    /// Compiles the profile's rules and `specs`, in this order. The first entry that cannot be used is the error.
    pub fn new(profile: Profile, specs: &[RedactorSpec]) -> Result<Self, RedactorError> {
        let custom = specs.iter().enumerate();
        let custom = custom.map(|(index, spec)| Custom::new(index, spec));
        let custom = custom.collect::<Result<_, _>>()?;
        let kurl_files = troubleshoot::KURL_FILES.iter();
        let kurl_files = kurl_files.filter_map(|pattern| GobwasGlob::new(pattern).ok());
        Ok(Self {
            compiled: Arc::new(Compiled {
                profile,
                defaults: Arc::new(Gate::new(troubleshoot::rules())),
                kurl: Arc::new(Gate::new(troubleshoot::kurl_rules())),
                kurl_files: kurl_files.collect(),
                custom,
                standard: (profile == Profile::Standard).then(|| Arc::new(Finder::new())),
            }),
        })
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.compiled.profile
    }

    /// Starts the redaction of the file at `path`.
    #[must_use]
    pub fn begin(&self, path: &BundlePath) -> FileRedaction {
        FileRedaction::new(&self.compiled, path, 0)
    }
}

impl Default for Redactor {
    /// The profile `standard`, without redactors of a spec.
    fn default() -> Self {
        Self::new(Profile::default(), &[]).expect("without specs nothing can be refused")
    }
}

/// Redacts a short text: an error, a message, a line of the debug log. What cannot be redacted becomes a mask.
#[must_use]
pub fn text(redactor: &Redactor, text: &str) -> String {
    let Ok(path) = BundlePath::new("message") else {
        return MASK.to_owned();
    };
    let mut out = Vec::with_capacity(text.len());
    let mut file = redactor.begin(&path);
    let done = file
        .push(text.as_bytes(), &mut out)
        .and_then(|()| file.finish(&mut out));
    match done {
        Ok(_) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => MASK.to_owned(),
    }
}

/// Whether a text holds a mask, so that nothing can be concluded from it.
#[must_use]
pub fn is_masked(text: &str) -> bool {
    text.contains(MASK)
}

#[cfg(test)]
mod tests;
