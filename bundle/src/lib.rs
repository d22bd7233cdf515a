//! What a support bundle *is*: its paths, its archive, its index, its manifest, and the redaction that
//! every byte passes on the way in.
//!
//! No cluster, no runtime, no file system: bytes come and go through the traits of [`io`], which the
//! product implements. Checks write a bundle, analyzers read a bundle, and the bundle is the only thing
//! they share.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod archive;
pub mod collected;
pub mod files;
pub mod io;
pub mod manifest;
mod overlap;
pub mod path;
pub mod redact;

pub use archive::{
    ArchiveWriter, FileReader, FileSink, Limits, OpenError, Problem, WriteError, WriterOptions,
};
pub use files::{Files, ReadError};
pub use manifest::Manifest;
pub use path::BundlePath;
pub use redact::{Profile, Redactor};
