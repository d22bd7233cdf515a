//! The harness: schedules, limits, retries, times and records collectors.
//!
//! Readers run beside each other, up to a limit. What acts runs in spec order, one at a time, and only after
//! `clusterResources` has seen the cluster as it was. What measures runs alone. A deadline or a signal drops
//! what is under way; what was written stays, and the record says what is missing.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bundle::manifest::{CollectorRecord, Ending};
use bundle::{ArchiveWriter, BundlePath, WriteError};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::budget::Budget;
use crate::cluster::Cluster;
use crate::collector::{
    Cleanups, CollectError, Collector, CollectorKind, Conduct, Context, Output, Scope,
};
use crate::output::Limits;
use record::{Job, State, write_error_files};

/// A collector of a plan.
#[derive(Debug)]
pub struct Planned {
    /// Its registry row.
    pub kind: &'static CollectorKind,
    /// The plug-in, configured.
    pub collector: Arc<dyn Collector>,
    /// Whether the spec named it, or it was added by default.
    pub requested: bool,
    /// Whether the spec excludes it.
    pub excluded: bool,
    /// How much the spec lets it take.
    pub budget: Budget,
}

/// How a run is limited, and what it writes besides the collectors' files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Readers at once.
    pub readers: usize,
    /// How long a collector may take that does not say so itself.
    pub collector_deadline: Duration,
    /// How much each collector may take, whatever the spec says.
    pub budget: Budget,
    /// How long the archive may become, in bytes. What does not fit is left out: the logs of healthy pods first, then those of
    /// the others.
    pub bundle_bytes: Option<u64>,
    /// How long the run may take; `None` for as long as its collectors do.
    pub run_deadline: Option<Duration>,
    /// Whether `collector-errors/` and `skipped-collectors.json` are written.
    pub error_files: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            readers: 8,
            collector_deadline: Duration::from_mins(10),
            budget: Budget::default(),
            bundle_bytes: None,
            run_deadline: Some(Duration::from_mins(15)),
            error_files: true,
        }
    }
}

/// What happens during a run, for progress displays.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run begins with these collectors, by index in the plan.
    Planned {
        /// The titles, in plan order.
        titles: Vec<String>,
    },
    /// A collector begins.
    Started {
        /// Its index in the plan.
        index: usize,
        /// Its title.
        title: String,
    },
    /// A collector wrote.
    Wrote {
        /// Its index in the plan.
        index: usize,
        /// Bytes since its last event, before redaction.
        bytes: u64,
    },
    /// A collector ended, or will not run.
    Finished {
        /// Its index in the plan.
        index: usize,
        /// Its record so far.
        record: CollectorRecord,
    },
}

/// Who is told of events. It must not block.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// The way to end a run early: a signal handler holds a clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    why: Arc<OnceLock<Ending>>,
}

impl Stop {
    /// Ends the run because of a signal, `SIGINT`. The first reason given stands.
    pub fn signal(&self, name: &str) {
        self.now(Ending::Signal(name.to_owned()));
    }

    /// Whether the run was told to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    fn now(&self, why: Ending) {
        let _ = self.why.set(why);
        self.token.cancel();
    }

    fn ending(&self) -> Ending {
        self.why.get().cloned().unwrap_or(Ending::Complete)
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    /// One record per collector, in plan order.
    pub records: Vec<CollectorRecord>,
    /// How the run ended.
    pub ending: Ending,
}

/// Runs a plan into an archive. Never fails: what goes wrong is in the records.
pub async fn run(
    plan: &[Planned],
    context: &Context,
    archive: &Arc<ArchiveWriter>,
    settings: &Settings,
    observer: &Observer,
    stop: &Stop,
) -> Ran {
    observer(Event::Planned {
        titles: plan.iter().map(|each| each.collector.title()).collect(),
    });
    let deadline = settings.run_deadline.map(|limit| {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            stop.now(Ending::Deadline);
        })
    });
    let run = Run {
        context,
        settings,
        observer,
        stop,
    };
    let mut jobs = run.prepare(plan, archive);
    run.review(&mut jobs).await;
    run.schedule(&mut jobs).await;
    if let Some(deadline) = deadline {
        deadline.abort();
    }
    let records: Vec<_> = jobs.iter().map(|job| job.record(stop)).collect();
    if settings.error_files {
        write_error_files(&jobs, &records, &Output::new(Arc::clone(archive)));
    }
    Ran {
        records,
        ending: stop.ending(),
    }
}

struct Run<'a> {
    context: &'a Context,
    settings: &'a Settings,
    observer: &'a Observer,
    stop: &'a Stop,
}

impl Run<'_> {
    fn prepare(&self, plan: &[Planned], archive: &Arc<ArchiveWriter>) -> Vec<Job> {
        let mut last_writer: BTreeMap<BundlePath, usize> = BTreeMap::new();
        let claims: Vec<BTreeSet<BundlePath>> = plan.iter().map(|each| self.claims(each)).collect();
        for (index, paths) in claims.iter().enumerate() {
            for path in paths {
                last_writer.insert(path.clone(), index);
            }
        }
        let override_namespace = self.context.namespace.as_deref();
        let named: BTreeSet<String> = plan
            .iter()
            .flat_map(|each| each.collector.permissions(override_namespace))
            .filter_map(|permission| permission.namespace)
            .collect();
        let named = Arc::new(named);
        let prepared = plan.iter().zip(claims).enumerate();
        prepared
            .map(|(index, (planned, mut ceded))| {
                ceded.retain(|path| last_writer.get(path) != Some(&index));
                let observer = Arc::clone(self.observer);
                let progress = Box::new(move |bytes| observer(Event::Wrote { index, bytes }));
                let cluster = self.context.cluster.as_ref();
                let budget = planned.budget.min(self.settings.budget);
                let limits = Limits {
                    collector: budget.bytes,
                    bundle: self.settings.bundle_bytes,
                };
                Job {
                    index,
                    kind: planned.kind,
                    collector: Arc::clone(&planned.collector),
                    title: planned.collector.title(),
                    requested: planned.requested,
                    context: Context {
                        cluster: cluster.map(|cluster| Arc::new(cluster.for_collector(&named))),
                        cleanups: Cleanups::default(),
                        ..self.context.clone()
                    },
                    output: Output::planned(Arc::clone(archive), ceded, progress, limits),
                    time: budget.time,
                    state: if planned.excluded {
                        State::Excluded
                    } else {
                        State::Waiting
                    },
                    took: Duration::ZERO,
                }
            })
            .collect()
    }

    /// The paths that a collector names outright. Where two collectors name the same, the last in spec order
    /// writes it.
    fn claims(&self, planned: &Planned) -> BTreeSet<BundlePath> {
        if planned.excluded {
            return BTreeSet::new();
        }
        let files = planned.collector.files(self.context.namespace.as_deref());
        files
            .iter()
            .filter(|path| !path.contains(['*', '?', '[']))
            .filter_map(|path| BundlePath::new(path).ok())
            .collect()
    }

    /// Asks the API what may be done, once for each distinct permission, before anything is.
    async fn review(&self, jobs: &mut [Job]) {
        let Some(cluster) = &self.context.cluster else {
            return;
        };
        let namespace = self.context.namespace.as_deref();
        let needs: Vec<_> = jobs
            .iter()
            .map(|job| match job.state {
                State::Waiting if job.kind.scope == Scope::Cluster => {
                    job.collector.required(namespace)
                }
                _ => Vec::new(),
            })
            .collect();
        let distinct: BTreeSet<_> = needs.iter().flatten().cloned().collect();
        let denied = tokio::select! {
            denied = denied(cluster, &distinct) => denied,
            () = self.stop.token.cancelled() => return,
        };
        for (job, needs) in jobs.iter_mut().zip(needs) {
            let refusals: Vec<String> = needs
                .iter()
                .filter_map(|permission| denied.get(permission).cloned())
                .collect();
            if !refusals.is_empty() {
                job.state = State::Refused(refusals);
            }
        }
    }

    async fn schedule(&self, jobs: &mut [Job]) {
        let readers = Arc::new(Semaphore::new(self.settings.readers.max(1)));
        let mut first = Vec::new();
        let mut reading = Vec::new();
        let mut acting = Vec::new();
        let mut measuring = Vec::new();
        for job in jobs.iter_mut() {
            if !matches!(job.state, State::Waiting) {
                self.finished(job);
                continue;
            }
            match job.collector.conduct() {
                _ if job.kind.name == "clusterResources" => first.push(job),
                Conduct::Reads => reading.push(job),
                Conduct::Acts => acting.push(job),
                Conduct::Measures => measuring.push(job),
            }
        }
        let limited = |job| {
            let readers = Arc::clone(&readers);
            async move {
                let _permit = readers.acquire().await;
                self.one(job, Phase::Main).await;
            }
        };
        let first = join_all(first.into_iter().map(limited));
        let reading: FuturesUnordered<_> = reading.into_iter().map(limited).collect();
        let reading = reading.collect::<Vec<()>>();
        let acting = async {
            first.await;
            for job in acting {
                self.one(job, Phase::Main).await;
            }
        };
        tokio::join!(acting, reading);
        for job in measuring {
            self.one(job, Phase::Main).await;
        }
        for job in jobs.iter_mut() {
            if job.has_more() {
                self.one(job, Phase::Last).await;
            }
        }
    }

    async fn one(&self, job: &mut Job, phase: Phase) {
        if self.stop.is_stopped() {
            job.state = State::Cut;
            self.finished(job);
            return;
        }
        if phase == Phase::Main {
            (self.observer)(Event::Started {
                index: job.index,
                title: job.title.clone(),
            });
        }
        let started = Instant::now();
        let limit = job
            .collector
            .deadline()
            .unwrap_or(self.settings.collector_deadline);
        // It may come back for the logs: what it took before counts.
        let left = job.time.map(|time| time.saturating_sub(job.took));
        let limit = left.map_or(limit, |left| left.min(limit));
        let collector = Arc::clone(&job.collector);
        let (mut context, output) = (job.context.clone(), job.output.clone());
        context.ends_by = ends_by(limit);
        // A task of its own: collectors run in parallel, and one that panics or blocks harms no other.
        let mut task = AbortOnDropHandle::new(tokio::spawn(
            AssertUnwindSafe(async move {
                match phase {
                    Phase::Main => collector.collect(&context, &output).await,
                    Phase::Last => collector.collect_last(&context, &output).await,
                }
            })
            .catch_unwind(),
        ));
        let state = tokio::select! {
            ended = &mut task => State::Ended(match ended {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(panicked(panic.as_ref())),
                Err(_) => Err(CollectError::Failed("the collector's task was lost".to_owned())),
            }),
            () = tokio::time::sleep(limit) => State::Ended(Err(CollectError::Deadline(format!(
                "{} did not end within {} s", job.title, limit.as_secs_f64()
            )))),
            () = self.stop.token.cancelled() => State::Cut,
        };
        if !task.is_finished() {
            task.abort();
            // Waits until the task has let go of the file under way.
            let _ = task.await;
        }
        clean_up(&job.context.cleanups).await;
        job.took += started.elapsed();
        if let State::Ended(Err(CollectError::Output(error))) = &state
            && let WriteError::Full(_) | WriteError::Output(_) = error
        {
            self.stop.now(Ending::Output(error.to_string()));
        }
        job.state = state;
        if phase == Phase::Last || !job.has_more() {
            self.finished(job);
        }
    }

    fn finished(&self, job: &Job) {
        (self.observer)(Event::Finished {
            index: job.index,
            record: job.record(self.stop),
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Main,
    Last,
}

/// When a collector that begins now has ended and cleaned up at the latest.
fn ends_by(limit: Duration) -> Option<jiff::Timestamp> {
    let longest = limit.saturating_add(CLEAN_UP * 4);
    let longest = jiff::SignedDuration::try_from(longest).ok()?;
    jiff::Timestamp::now().checked_add(longest).ok()
}

/// How long one piece of cleaning up may take.
const CLEAN_UP: Duration = Duration::from_secs(30);

async fn clean_up(cleanups: &Cleanups) {
    for work in cleanups.take() {
        let guarded = AssertUnwindSafe(tokio::time::timeout(CLEAN_UP, work)).catch_unwind();
        if !matches!(guarded.await, Ok(Ok(()))) {
            tracing::warn!("cleaning up after a collector did not end well");
        }
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> CollectError {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    CollectError::Failed(format!(
        "a fault in this program, please report it: {message}"
    ))
}

/// Which of the permissions are denied, with the reason in words. What cannot be reviewed is tried.
async fn denied(
    cluster: &Arc<Cluster>,
    permissions: &BTreeSet<crate::collector::Permission>,
) -> BTreeMap<crate::collector::Permission, String> {
    let reviews = permissions.iter().map(|permission| async move {
        let allowed = cluster.may(permission).await;
        let refused = matches!(allowed, Ok(false));
        refused.then(|| (permission.clone(), format!("{permission} is not allowed")))
    });
    let reviews: Vec<BoxFuture<'_, _>> = reviews.map(FutureExt::boxed).collect();
    futures::stream::iter(reviews)
        .buffer_unordered(8)
        .filter_map(|denied| async move { denied })
        .collect()
        .await
}
