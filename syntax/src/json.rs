//! Byte-level JSON: split a Kubernetes list into its items and re-indent, without building a tree.
