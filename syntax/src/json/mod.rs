//! Byte-level JSON: split a Kubernetes list into its items, find a field, and re-indent, without building
//! a tree. And JSON as Go's `encoding/json` writes it.

mod go;

pub use go::to_vec;
