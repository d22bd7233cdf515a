//! What is wrong with a spec, and where.

use std::fmt;
use std::sync::Arc;

use syntax::suggest::nearest;
use syntax::yaml::Position;

/// How much a [`Diagnostic`] costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A document or an entry cannot be used as it is written.
    Error,
    /// It can be used, and something of it was not understood.
    Warning,
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The source as the caller named it, with what of it the text was: `spec.yaml`, `secret/ns/name/key`.
    pub file: Arc<str>,
    /// Where in it.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(formatter, "{}:{line}:{column}", self.file)
    }
}

/// One thing that is wrong. Prints as `file:line:column: warning: message; did you mean "name"?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it costs.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    pub(super) fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// Suggests the known name that is nearest to what was written.
    pub(super) fn suggest<'a>(
        mut self,
        written: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = nearest(written, known).map(str::to_owned);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(formatter, "{}: {severity}: {}", self.place, self.message)?;
        match &self.suggestion {
            Some(name) => write!(formatter, "; did you mean {name:?}?"),
            None => Ok(()),
        }
    }
}

/// So much is said of one object at most: nobody reads more, and a hostile text could cause any number.
pub(super) const MOST: usize = 20;

/// Keeps what is said of one object to [`MOST`], and says that there was more.
pub(super) fn limit(diagnostics: &mut Vec<Diagnostic>, from: usize) {
    let more = diagnostics.len().saturating_sub(from + MOST);
    if more == 0 {
        return;
    }
    // Errors are not dropped for warnings.
    diagnostics[from..].sort_by_key(|diagnostic| diagnostic.severity);
    diagnostics.truncate(from + MOST);
    if let Some(last) = diagnostics.last_mut() {
        last.message = format!("{} (and {more} more near it)", last.message);
    }
}

/// Why there is nothing to run: exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A source could not be read.
    #[error("cannot read the spec {argument}: {reason}")]
    Source {
        /// The argument.
        argument: String,
        /// What came back, and what to do.
        reason: String,
    },
    /// The sources hold nothing of troubleshoot's.
    #[error("no usable spec: {0}")]
    Empty(String),
    /// No document of any source can be used.
    #[error("{}", lines("no usable spec", .0))]
    Unusable(Vec<Diagnostic>),
    /// A redactor cannot be used as it is written; without it, what it was to mask would be shipped.
    #[error("{}", lines("a redactor cannot be used, and nothing is collected without it", .0))]
    Redactor(Vec<Diagnostic>),
    /// There are usable documents, and none is of a kind that this command runs.
    #[error("no document of kind {wanted} was found; there are: {found}")]
    Kind {
        /// The kinds that would do.
        wanted: &'static str,
        /// The kinds that are there.
        found: String,
    },
}

fn lines(summary: &str, diagnostics: &[Diagnostic]) -> String {
    let mut text = summary.to_owned();
    for diagnostic in diagnostics {
        text.push('\n');
        text.push_str(&diagnostic.to_string());
    }
    text
}
