//! Redaction: what may not leave the customer's site is masked before it reaches the archive.

/// Which redactors run by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Troubleshoot's default redactors and, on top, the classes of secrets that its patterns miss.
    #[default]
    Standard,
    /// Troubleshoot's default redactors only.
    Troubleshoot,
}

/// A compiled set of redactors.
#[derive(Debug, Default)]
pub struct Redactor {}
