//! Byte-level JSON: split a Kubernetes list into its items, find a field, and re-indent, without building
//! a tree. And JSON as Go's `encoding/json` writes it.
//!
//! [`Splitter`] only looks at structure and never fails because of what is inside an item; [`indent`] checks
//! all of the grammar. Together they keep a list readable when one item of it is not JSON.

mod find;
mod go;
mod indent;
mod split;

pub use find::{find, text};
pub use go::to_vec;
pub use indent::{Invalid, Style, TypeMeta, indent};
pub use split::{Envelope, Item, Shape, SplitError, Splitter};

/// Nesting beyond this is refused, as Go's `encoding/json` refuses it.
const DEPTH_CAP: usize = 10_000;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
