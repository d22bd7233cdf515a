//! The collectors: one file each, one `mod` line and one row here, both alphabetical.

use crate::collector::CollectorKind;

/// Every collector, sorted by scope and name.
pub const KINDS: &[&CollectorKind] = &[];
