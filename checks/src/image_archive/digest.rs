//! Digests, computed where the bytes are or by a thread beside.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use sha2::digest::Output;
use sha2::{Digest as _, Sha256, Sha512};

/// How many chunks may wait for a thread.
pub(super) const QUEUE: usize = 8;

/// An algorithm of the names of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// That of a folder `blobs/<algorithm>`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The digest of a whole content.
    pub(super) fn of(self, bytes: &[u8]) -> String {
        let mut hash = Hash::new(self);
        hash.update(bytes);
        hash.finish()
    }
}

/// One of the hashes, under way.
enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => text::<Sha256>("sha256:", &hash.finalize()),
            Self::Sha512(hash) => text::<Sha512>("sha512:", &hash.finalize()),
        }
    }
}

fn text<H: sha2::digest::OutputSizeUser>(algorithm: &str, output: &Output<H>) -> String {
    format!("{algorithm}{}", hex::encode(output))
}

/// Computes one digest after the other.
pub(super) enum Digester {
    /// In the thread that reads.
    Here(Option<Hashing>),
    /// In a thread of its own.
    Aside(Aside),
}

/// A digest under way; opaque, so that only this file knows which.
pub(super) struct Hashing(Hash);

/// A thread that computes digests.
pub(super) struct Aside {
    to: SyncSender<Message>,
    from: Receiver<String>,
}

enum Message {
    Begin(Algorithm),
    Bytes(Arc<Vec<u8>>),
    Finish,
}

impl Digester {
    pub(super) fn here() -> Self {
        Self::Here(None)
    }

    pub(super) fn aside<'scope>(scope: &'scope Scope<'scope, '_>) -> Self {
        let (to, messages) = sync_channel(QUEUE);
        let (answers, from) = sync_channel(1);
        scope.spawn(move || {
            let mut hash = None;
            while let Ok(message) = messages.recv() {
                match message {
                    Message::Begin(algorithm) => hash = Some(Hash::new(algorithm)),
                    Message::Bytes(bytes) => {
                        if let Some(hash) = &mut hash {
                            hash.update(&bytes);
                        }
                    }
                    Message::Finish => {
                        let digest = hash.take().map(Hash::finish).unwrap_or_default();
                        if answers.send(digest).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self::Aside(Aside { to, from })
    }

    pub(super) fn begin(&mut self, algorithm: Algorithm) {
        match self {
            Self::Here(hash) => *hash = Some(Hashing(Hash::new(algorithm))),
            Self::Aside(aside) => aside.tell(Message::Begin(algorithm)),
        }
    }

    pub(super) fn update(&mut self, bytes: &Arc<Vec<u8>>) {
        match self {
            Self::Here(hash) => {
                if let Some(Hashing(hash)) = hash {
                    hash.update(bytes);
                }
            }
            Self::Aside(aside) => aside.tell(Message::Bytes(Arc::clone(bytes))),
        }
    }

    /// The digest of what came since [`Digester::begin`].
    pub(super) fn finish(&mut self) -> String {
        match self {
            Self::Here(hash) => hash
                .take()
                .map(|Hashing(hash)| hash.finish())
                .unwrap_or_default(),
            Self::Aside(aside) => {
                aside.tell(Message::Finish);
                aside.from.recv().unwrap_or_default()
            }
        }
    }
}

impl Aside {
    /// Where the thread is gone, its answer is missing, which [`Digester::finish`] tells by an empty digest.
    fn tell(&self, message: Message) {
        let _ = self.to.send(message);
    }
}
