//! YAML as Kubernetes reads it, keeping the line and column of every value.
//!
//! `kubectl` and troubleshoot read YAML through sigs.k8s.io/yaml, and that through go-yaml v2: the YAML 1.1
//! booleans (`yes`, `off`, `y`), `010` is eight, `<<` merges, the last of two equal keys wins. The same
//! rules hold here. What is better: every value has a position, equal keys are reported, a broken
//! document does not take the others with it, and no input costs more than [`Limits`] allow.

mod emit;
mod load;
mod node;
mod order;
mod scalar;

pub use emit::{emit, emit_node};
pub use load::{document, documents};
pub use node::{Content, Document, DuplicateKey, Entry, Found, Node, Scalar};

use std::fmt;

/// A place in the text, both counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// What one text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text; also the bytes of scalars that aliases may add.
    pub bytes: usize,
    /// Values in the text, those that aliases and merges repeat included.
    pub nodes: usize,
    /// Nesting.
    pub depth: usize,
}

impl Default for Limits {
    /// 16 MiB, 500,000 values, nested 100 deep: some hundred times the largest spec known.
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            nodes: 500_000,
            depth: 100,
        }
    }
}

/// Why a text is no YAML document, or none that is safe to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct YamlError {
    /// Where.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// Whether the text may well be YAML, but is beyond the [`Limits`].
    pub beyond_limits: bool,
}
