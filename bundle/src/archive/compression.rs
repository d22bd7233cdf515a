//! Compression on the product's threads: bounded in flight, never waiting on a thread that waits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::member;
use crate::io::Pool;

/// SHA-256 of a chunk.
pub(crate) type Digest = [u8; 32];

/// Compresses blocks. At most `limit` blocks are between [`Compression::submit`] and their place in a file:
/// a submitter that finds so many takes the oldest that nobody has begun and compresses it itself, so that
/// progress never depends on a free thread.
pub(crate) struct Compression {
    pool: Arc<dyn Pool>,
    level: i32,
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// By how many bytes all that was compressed is shorter now.
    saved: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    in_flight: usize,
}

/// A block to compress.
pub(crate) struct Job {
    /// The bytes of the tar stream.
    pub(crate) raw: Vec<u8>,
    /// The parts whose digests are wanted: the content of files, in order.
    pub(crate) chunks: Vec<Range<usize>>,
    /// Takes the result, on whatever thread made it. Takes no lock that is held across a submit.
    pub(crate) done: Box<dyn FnOnce(Block) + Send>,
}

/// A compressed block.
pub(crate) struct Block {
    /// One gzip member.
    pub(crate) member: Vec<u8>,
    /// How long it is when inflated.
    pub(crate) inflated: u32,
    /// The digests that the job asked for.
    pub(crate) digests: Vec<Digest>,
    /// Counts the block as in flight until it is dropped.
    pub(crate) permit: Permit,
}

/// A place among the blocks in flight.
pub(crate) struct Permit(Arc<Compression>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.changed.notify_all();
    }
}

impl Compression {
    pub(crate) fn new(pool: Arc<dyn Pool>, level: i32, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            pool,
            level,
            limit: limit.max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
            saved: AtomicU64::new(0),
        })
    }

    /// Takes a block, after helping while too many are in flight.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.help_until(|state| state.in_flight < self.limit);
        state.in_flight += 1;
        state.waiting.push_back(job);
        drop(state);
        let this = Arc::clone(self);
        self.pool.run(Box::new(move || {
            let job = this.lock().waiting.pop_front();
            if let Some(job) = job {
                this.compress(job);
            }
        }));
    }

    /// Compresses and waits until `reached` holds; it is asked again whenever a block found its place.
    pub(crate) fn wait_until(self: &Arc<Self>, reached: impl Fn() -> bool) {
        drop(self.help_until(|_| reached()));
    }

    /// By how many bytes all that was compressed so far is shorter now.
    pub(crate) fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    /// Compresses a few bytes on this thread.
    pub(crate) fn compress_now(&self, raw: &[u8]) -> Vec<u8> {
        member::compress(raw, self.level)
    }

    /// Has every waiting thread look again.
    pub(crate) fn wake(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    fn help_until(self: &Arc<Self>, reached: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !reached(&state) {
            state = if let Some(job) = state.waiting.pop_front() {
                drop(state);
                self.compress(job);
                self.lock()
            } else {
                let woken = self.changed.wait(state);
                woken.unwrap_or_else(PoisonError::into_inner)
            };
        }
        state
    }

    fn compress(self: &Arc<Self>, job: Job) {
        let digests = job.chunks.into_iter();
        let digests = digests.map(|chunk| Sha256::digest(&job.raw[chunk]).into());
        let member = member::compress(&job.raw, self.level);
        let saved = job.raw.len().saturating_sub(member.len());
        self.saved.fetch_add(saved as u64, Ordering::Relaxed);
        (job.done)(Block {
            digests: digests.collect(),
            member,
            inflated: u32::try_from(job.raw.len()).expect("blocks are a few MiB at most"),
            permit: Permit(Arc::clone(self)),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings results back into the order in which their places were taken.
pub(crate) struct Ordered<T> {
    first: u64,
    places: VecDeque<Option<T>>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            first: 0,
            places: VecDeque::new(),
        }
    }
}

impl<T> Ordered<T> {
    /// Takes the next place.
    pub(crate) fn place(&mut self) -> u64 {
        self.places.push_back(None);
        self.first + self.places.len() as u64 - 1
    }

    /// Fills a place that was taken.
    pub(crate) fn fill(&mut self, place: u64, value: T) {
        let index = place
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index.and_then(|index| self.places.get_mut(index)) {
            *slot = Some(value);
        }
    }

    /// The value at the front, once it is there.
    pub(crate) fn next(&mut self) -> Option<T> {
        let value = self.places.front_mut()?.take()?;
        self.places.pop_front();
        self.first += 1;
        Some(value)
    }
}
