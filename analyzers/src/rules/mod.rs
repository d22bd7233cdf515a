//! The analyzers: one file each, one `mod` line and one row here, both alphabetical.

use crate::analyzer::AnalyzerKind;

/// Every analyzer, sorted by scope and name.
pub const KINDS: &[&AnalyzerKind] = &[];
