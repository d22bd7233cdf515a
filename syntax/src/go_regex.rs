//! Regular expressions in Go (RE2) syntax, translated for the `regex` crate.
