//! Archives of container images, read once from their beginning to their end, with nothing unpacked to disk.
//!
//! * `place`: what a file is by its name. `document`, `airgap`: what JSON and `airgap.yaml` say. `examine`: one content on its way past.
//! * `shelf`: what was found, which becomes the [`Inventory`].
//! * `walk`: streams, plain tars, folders. A stream is inflated in one thread and examined in others (`lanes`); of a
//!   plain tar and a folder several contents are examined at once. `digest`: digests in threads of their own;
//!   `readers`: what it reads through; `release`: KOTS' `app.tar.gz`.
//!
//! The reader of bundles is not used: it wants to come back to what it read, and so keeps a foreign gzip stream,
//! compressed, on disk. An image archive has tens of gigabytes, and is only asked whether it is whole.

mod airgap;
mod digest;
mod document;
mod examine;
mod lanes;
mod place;
mod readers;
mod release;
mod shelf;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bundle::archive::{Limits, MembersError};
use bundle::collected::image_bundle::Inventory;

pub(crate) use shelf::ReleaseFile;

/// What is to be read, and how.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The archive or folder; `-` is standard input.
    pub(crate) path: PathBuf,
    /// Whether compressed layers are unpacked, to know their `diff_id` and size.
    pub(crate) unpack: bool,
    /// Caps.
    pub(crate) limits: Caps,
}

/// Caps on what an archive may make its reader do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Members, and bytes of the tar.
    pub(crate) archive: Limits,
    /// Bytes that one layer may unpack to.
    pub(crate) layer: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            archive: Limits {
                total_bytes: 4 << 40,
                ..Limits::default()
            },
            layer: 1 << 40,
        }
    }
}

/// Why there is no inventory at all. An archive that is damaged has one, which says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no archive that images come in.
    #[error(
        "{} is neither a folder nor a tar archive, plain, gzip or zstd: {reason}",
        path.display()
    )]
    NotAnArchive {
        /// What.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// More than a cap allows.
    #[error("{}: {source}", path.display())]
    Cap {
        /// What.
        path: PathBuf,
        /// Which cap.
        source: MembersError,
    },
    /// The run ended before.
    #[error("reading was ended before its end")]
    Stopped,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The inventory.
    pub(crate) inventory: Inventory,
    /// The release's files that may name images.
    pub(crate) release_files: Vec<ReleaseFile>,
}

/// Reads an archive. It blocks until the end, or until `stop` is set.
pub(crate) fn read(request: &Request, stop: &AtomicBool) -> Result<Found, ReadError> {
    let shelf = walk::walk(request, stop)?;
    let (mut inventory, release_files) = shelf.finish();
    inventory.path = shown(&request.path);
    inventory.layers_unpacked = request.unpack;
    Ok(Found {
        inventory,
        release_files,
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
