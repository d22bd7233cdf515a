//! The host: the only door to `/proc`, `/sys`, `/etc` and programs.
//!
//! What only Linux has stands in `linux.rs`, behind one `cfg`; elsewhere [`sysinfo`] answers what it can.

#[cfg(target_os = "linux")]
mod distribution;
#[cfg(target_os = "linux")]
mod gpu;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod machine;
#[cfg(target_os = "linux")]
mod program;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle::collected::gpu::Gpus;
use bundle::collected::host::{Cpu, HostOs, Memory};

use crate::collector::CollectError;

/// The machine this runs on, or the one whose root folder is mounted somewhere.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    /// Whether the root is changed for the host's programs, where it is not ours already.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "no programs are run")
    )]
    confined: bool,
}

/// A host's accelerators.
#[derive(Debug)]
pub struct FoundGpus {
    /// The document.
    pub document: Gpus,
    /// What `nvidia-smi -q -x` printed, where that was XML, without serial numbers.
    pub smi: Option<String>,
}

/// Why the host did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there and does not say what it should.
    #[error("{} does not tell {wanted}", path.display())]
    Unclear {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The system does not tell it.
    #[error("the operating system does not tell {0}")]
    Unsupported(&'static str),
}

impl From<HostError> for CollectError {
    fn from(error: HostError) -> Self {
        match &error {
            HostError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Refused(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// The machine whose root folder is mounted at `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            confined: true,
        }
    }

    /// A recorded machine whose programs are scripts that need nothing of its root.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn recorded(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            confined: false,
        }
    }

    /// Its accelerators; none is an answer. `deadline` is how long `nvidia-smi` may take.
    #[cfg(target_os = "linux")]
    pub async fn gpus(&self, deadline: Duration) -> Result<FoundGpus, HostError> {
        Ok(gpu::find(self, deadline).await)
    }

    /// Its accelerators, which this system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub async fn gpus(&self, _deadline: Duration) -> Result<FoundGpus, HostError> {
        Err(HostError::Unsupported("which GPUs it has"))
    }

    /// Its processors.
    pub async fn cpu(&self) -> Result<Cpu, HostError> {
        self.ask(machine::cpu).await
    }

    /// Its memory.
    pub async fn memory(&self) -> Result<Memory, HostError> {
        self.ask(machine::memory).await
    }

    /// Its operating system and kernel; what the system does not tell is empty.
    pub async fn os(&self) -> Result<HostOs, HostError> {
        self.ask(|root| Ok(machine::os(root))).await
    }

    /// A file's bytes, `limit` of them at most; a longer one is an error. Nothing of it may leave but what was made of it.
    pub async fn file(&self, path: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        // Joined to the root, an absolute path would take its place.
        let path = self.root.join(path.trim_start_matches('/'));
        let read = tokio::task::spawn_blocking(move || {
            let read = File::open(&path).and_then(|file| {
                let mut bytes = Vec::new();
                file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
                Ok(bytes)
            });
            match read {
                Ok(bytes) if bytes.len() as u64 > limit => Err(HostError::Unclear {
                    path,
                    wanted: "what it should: it is too long",
                }),
                Ok(bytes) => Ok(bytes),
                Err(source) => Err(HostError::Read { path, source }),
            }
        });
        read.await
            .unwrap_or(Err(HostError::Unsupported("anything: reading it panicked")))
    }

    /// The names in a folder, sorted; at most `most` of them.
    pub async fn names(&self, path: &str, most: usize) -> Result<Vec<String>, HostError> {
        let path = self.root.join(path.trim_start_matches('/'));
        let listed = tokio::task::spawn_blocking(move || {
            let listed = std::fs::read_dir(&path).map(|entries| {
                let names = entries.filter_map(Result::ok).take(most);
                let mut names: Vec<String> = names
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect();
                names.sort();
                names
            });
            listed.map_err(|source| HostError::Read { path, source })
        });
        listed
            .await
            .unwrap_or(Err(HostError::Unsupported("anything: reading it panicked")))
    }

    /// Reads where a slow file holds up nobody else: `/proc/cpuinfo` of a large machine asks every processor.
    async fn ask<T: Send + 'static>(
        &self,
        question: fn(&Path) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let root = self.root.clone();
        let asked = tokio::task::spawn_blocking(move || question(&root)).await;
        asked.unwrap_or(Err(HostError::Unsupported("anything: reading it panicked")))
    }
}
