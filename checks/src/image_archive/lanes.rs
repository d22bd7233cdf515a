//! Threads beside the one that inflates a stream: each takes one content at a time from a bounded queue.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use super::digest::{Digester, QUEUE};
use super::examine::{Chunks, Digests, FromRead, Wanted, chunk, examine};
use super::place::Place;
use super::shelf::Shelf;
use crate::collector::locked;

/// A content to be examined.
pub(super) struct Job {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) sequence: u64,
    pub(super) wanted: Wanted,
}

/// Where contents are examined.
pub(super) enum Examiner<'a> {
    /// In this thread.
    Here(Box<Here<'a>>),
    /// In others.
    Lanes(Lanes),
}

/// Examines in the thread that reads.
pub(super) struct Here<'a> {
    shelf: &'a Mutex<Shelf>,
    digests: Digests,
}

/// Examines in other threads.
pub(super) struct Lanes {
    to: Vec<SyncSender<Message>>,
    next: usize,
}

enum Message {
    Begin(Job),
    Chunk(Arc<Vec<u8>>),
    Cut(io::Error),
    End,
}

impl<'a> Examiner<'a> {
    pub(super) fn here(shelf: &'a Mutex<Shelf>) -> Self {
        Self::Here(Box::new(Here {
            shelf,
            digests: Digests {
                stored: Digester::here(),
                unpacked: Digester::here(),
            },
        }))
    }

    /// Begins `count` threads, each with two more for its digests.
    pub(super) fn lanes<'scope>(
        count: usize,
        scope: &'scope Scope<'scope, '_>,
        shelf: &'scope Mutex<Shelf>,
    ) -> Self {
        let to = (0..count.max(1))
            .map(|_| {
                let (to, messages) = sync_channel(QUEUE);
                scope.spawn(move || {
                    let mut digests = Digests {
                        stored: Digester::aside(scope),
                        unpacked: Digester::aside(scope),
                    };
                    while let Ok(message) = messages.recv() {
                        if let Message::Begin(job) = message {
                            let mut chunks = FromLane {
                                messages: &messages,
                                ended: false,
                            };
                            let blob = examine(&mut chunks, job.wanted, &mut digests);
                            put(shelf, &job, blob);
                        }
                    }
                });
                to
            })
            .collect();
        Self::Lanes(Lanes { to, next: 0 })
    }

    /// Reads a content and has it examined. The error is that of reading; what came before it is examined.
    pub(super) fn take(&mut self, job: Job, content: &mut dyn Read) -> io::Result<()> {
        match self {
            Self::Here(here) => {
                let blob = examine(&mut FromRead(content), job.wanted, &mut here.digests);
                put(here.shelf, &job, blob);
                Ok(())
            }
            Self::Lanes(lanes) => lanes.take(job, content),
        }
    }
}

fn put(shelf: &Mutex<Shelf>, job: &Job, blob: bundle::collected::image_bundle::Blob) {
    let mut shelf = locked(shelf);
    if shelf.is_last(&job.path, job.sequence) {
        shelf.blob(&job.path, &job.place, blob);
    }
}

impl Lanes {
    fn take(&mut self, job: Job, content: &mut dyn Read) -> io::Result<()> {
        let gone = |_| io::Error::other("a thread that examines contents is gone");
        self.next = (self.next + 1) % self.to.len();
        let to = &self.to[self.next];
        to.send(Message::Begin(job)).map_err(gone)?;
        loop {
            match chunk(content) {
                Ok(Some(chunk)) => to.send(Message::Chunk(chunk)).map_err(gone)?,
                Ok(None) => return to.send(Message::End).map_err(gone),
                Err(error) => {
                    let told = io::Error::new(error.kind(), error.to_string());
                    to.send(Message::Cut(told)).map_err(gone)?;
                    return Err(error);
                }
            }
        }
    }
}

/// What comes to a lane of one content.
struct FromLane<'a> {
    messages: &'a Receiver<Message>,
    ended: bool,
}

impl Chunks for FromLane<'_> {
    fn next(&mut self) -> io::Result<Option<Arc<Vec<u8>>>> {
        if self.ended {
            return Ok(None);
        }
        match self.messages.recv() {
            Ok(Message::Chunk(chunk)) => Ok(Some(chunk)),
            Ok(Message::Cut(error)) => {
                self.ended = true;
                Err(error)
            }
            Ok(Message::End | Message::Begin(_)) | Err(_) => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}
