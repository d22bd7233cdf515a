//! The small languages of the field, read the way their own programs read them.
//!
//! Everything here is a pure function of its input: no clock, no file, no environment, no network.
//! A module belongs here when two crates need it, or when its semantics are Go's or Kubernetes' and
//! deserve their own cases. It knows nothing of bundles, collectors or analyzers.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod boolean;
pub mod config;
pub mod duration;
pub mod glob;
pub mod go_regex;
pub mod image_reference;
pub mod json;
pub mod json_path;
pub mod postgres;
pub mod quantity;
pub mod quote;
pub mod selector;
pub mod suggest;
pub mod template;
pub mod version;
pub mod yaml;
