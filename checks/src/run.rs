//! The harness: schedules, limits, retries, times and records collectors.
//!
//! Readers run beside each other, up to a limit. What acts runs in spec order, one at a time, and only after
//! `clusterResources` has seen the cluster as it was. What measures runs alone. A deadline or a signal drops
//! what is under way; what was written stays, and the record says what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bundle::manifest::{CollectorRecord, Ending, Gap, GapReason, Outcome};
use bundle::{ArchiveWriter, BundlePath, WriteError};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;
use crate::collector::{
    Cleanups, CollectError, Collector, CollectorKind, Conduct, Context, Output, Scope,
};

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
}

/// How a run is limited, and what it writes besides the collectors' files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Readers at once.
    pub readers: usize,
    /// How long a collector may take that does not say so itself.
    pub collector_deadline: Duration,
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

/// One collector and what became of it.
struct Job {
    index: usize,
    kind: &'static CollectorKind,
    collector: Arc<dyn Collector>,
    title: String,
    requested: bool,
    context: Context,
    output: Output,
    state: State,
    took: Duration,
}

#[derive(Debug)]
enum State {
    Waiting,
    Excluded,
    /// Not run: these permissions are denied.
    Refused(Vec<String>),
    Ended(Result<(), CollectError>),
    /// Dropped by the run's end.
    Cut,
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
                    output: Output::planned(Arc::clone(archive), ceded, progress),
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
                State::Waiting if job.kind.scope == Scope::Cluster && !job.collector.degrades() => {
                    job.collector.permissions(namespace)
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
            if job.collector.comes_back() && matches!(job.state, State::Ended(Ok(()))) {
                self.one(job, Phase::Last).await;
            }
        }
    }

    async fn one(&self, job: &mut Job, phase: Phase) {
        if self.stop.is_stopped() {
            if phase == Phase::Main {
                job.state = State::Cut;
            }
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
        let collector = Arc::clone(&job.collector);
        let (context, output) = (job.context.clone(), job.output.clone());
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
        let again = phase == Phase::Main
            && job.collector.comes_back()
            && matches!(job.state, State::Ended(Ok(())));
        if !again {
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

impl Job {
    fn record(&self, stop: &Stop) -> CollectorRecord {
        let written = self.output.written();
        let mut gaps = written.gaps;
        let missing = |reason: GapReason, detail: &str| {
            let files = match &written.outstanding {
                Some(outstanding) => outstanding.iter().cloned().collect(),
                None => self.collector.files(self.context.namespace.as_deref()),
            };
            let gaps: Vec<Gap> = files
                .into_iter()
                .map(|path| Gap {
                    path,
                    reason,
                    detail: detail.to_owned(),
                })
                .collect();
            gaps
        };
        let error = match &self.state {
            State::Refused(refusals) => refusals.join("; "),
            State::Ended(Err(error)) => error.to_string(),
            _ => String::new(),
        };
        let outcome = match &self.state {
            State::Excluded => Outcome::Excluded,
            State::Refused(refusals) => {
                gaps.extend(missing(GapReason::Refused, &refusals.join("; ")));
                Outcome::Refused
            }
            State::Waiting | State::Cut => {
                let (reason, detail) = match stop.ending() {
                    Ending::Deadline => (GapReason::Deadline, "the run's deadline passed".into()),
                    Ending::Signal(name) => (GapReason::Cancelled, format!("{name} ended the run")),
                    Ending::Output(error) => (GapReason::Failed, error),
                    Ending::Complete => (GapReason::Cancelled, "the run ended".into()),
                };
                gaps.extend(missing(reason, &detail));
                Outcome::Cancelled
            }
            State::Ended(Err(error)) => {
                gaps.extend(missing(error.gap_reason(), &error.to_string()));
                match error {
                    _ if written.files > 0 => Outcome::Partial,
                    CollectError::Deadline(_) => Outcome::Cancelled,
                    _ => Outcome::Failed,
                }
            }
            State::Ended(Ok(())) if gaps.iter().all(|gap| gap.reason == GapReason::Absent) => {
                Outcome::Complete
            }
            State::Ended(Ok(())) => Outcome::Partial,
        };
        let tally = self.context.cluster.as_ref().map(|cluster| cluster.tally());
        CollectorRecord {
            collector: self.kind.name.to_owned(),
            title: self.title.clone(),
            requested: self.requested,
            outcome,
            error,
            duration_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            bytes: written.bytes,
            files: written.files,
            requests: tally.map_or(0, crate::cluster::Tally::requests),
            retries: tally.map_or(0, crate::cluster::Tally::retries),
            gaps,
        }
    }
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

#[derive(Serialize)]
struct Skipped<'a> {
    collector: &'a str,
    reason: &'static str,
    errors: &'a [String],
    timestamp: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    collector: &'a str,
    error: &'a str,
    timestamp: String,
}

/// `skipped-collectors.json`, `collector-errors/<title>-error.json` and `host-collectors/errors/<title>-error.json`,
/// as troubleshoot writes them. What cannot be written is in the manifest all the same.
fn write_error_files(jobs: &[Job], records: &[CollectorRecord], output: &Output) {
    let timestamp = Timestamp::now().to_string();
    let skipped: Vec<Skipped<'_>> = jobs
        .iter()
        .filter_map(|job| {
            let (reason, errors) = match &job.state {
                State::Excluded => ("excluded", [].as_slice()),
                State::Refused(errors) => ("insufficient RBAC permissions", errors.as_slice()),
                _ => return None,
            };
            Some(Skipped {
                collector: &job.title,
                reason,
                errors,
                timestamp: timestamp.clone(),
            })
        })
        .collect();
    if !skipped.is_empty()
        && let Ok(path) = BundlePath::new("skipped-collectors.json")
    {
        warn(output.json(&path, &skipped));
    }
    for (job, record) in jobs.iter().zip(records) {
        let State::Ended(Err(error)) = &job.state else {
            continue;
        };
        let failure = Failure {
            collector: &record.title,
            error: &error.to_string(),
            timestamp: timestamp.clone(),
        };
        let folder = match job.kind.scope {
            Scope::Cluster => "collector-errors",
            Scope::Host => "host-collectors/errors",
        };
        let path = BundlePath::join([folder, &format!("{}-error.json", record.title)]);
        let (Ok(path), Ok(text)) = (path, syntax::json::to_vec(&failure, "")) else {
            continue;
        };
        warn(output.write(&path, &text));
    }
}

fn warn(result: Result<(), CollectError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot record a collector's failure");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::Permission;
    use crate::testing::{Reply, Server, archive, context};
    use async_trait::async_trait;
    use std::sync::Mutex;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum What {
        Write,
        Fail,
        Panic,
        Hang,
        HangAnnounced,
        RefusedHalf,
    }

    /// A collector that does one thing and says in a log when it begins and ends.
    #[derive(Debug)]
    struct Scripted {
        name: &'static str,
        what: What,
        conduct: Conduct,
        path: String,
        needs: Vec<Permission>,
        log: Arc<Mutex<Vec<String>>>,
    }

    #[async_trait]
    impl Collector for Scripted {
        fn title(&self) -> String {
            format!("scripted/{}", self.name)
        }

        fn conduct(&self) -> Conduct {
            self.conduct
        }

        fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
            self.needs.clone()
        }

        fn files(&self, _namespace: Option<&str>) -> Vec<String> {
            vec![self.path.clone()]
        }

        async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
            let say = |what: &str| {
                crate::collector::locked(&self.log).push(format!("{what} {}", self.name));
            };
            say("begin");
            let (log, name) = (Arc::clone(&self.log), self.name);
            context.at_end(async move {
                crate::collector::locked(&log).push(format!("clean {name}"));
            });
            tokio::task::yield_now().await;
            let path = BundlePath::new(&self.path)?;
            match self.what {
                What::Write => output.write(&path, b"text")?,
                What::Fail => return Err(CollectError::Failed("it broke".into())),
                What::Panic => panic!("on purpose"),
                What::Hang => {
                    let mut file = output.file(&path)?;
                    file.write(b"half")?;
                    futures::future::pending::<()>().await;
                }
                What::HangAnnounced => {
                    output.expect("done/a.json");
                    output.expect("late/*.json");
                    output.done("done/a.json");
                    futures::future::pending::<()>().await;
                }
                What::RefusedHalf => {
                    output.write(&path, b"text")?;
                    return Err(CollectError::Refused("the other half".into()));
                }
            }
            say("end");
            Ok(())
        }
    }

    static ROW: CollectorKind = CollectorKind {
        name: "scripted",
        type_name: "scripted",
        scope: Scope::Cluster,
        summary: "",
        docs: "",
        since: "",
        parse: |_, _| {
            Err(syntax::config::ConfigError {
                path: ".".into(),
                message: "never parsed".into(),
            })
        },
        schema: || serde_json::Value::Null,
    };

    static FIRST: CollectorKind = CollectorKind {
        name: "clusterResources",
        ..ROW_FIELDS
    };

    const ROW_FIELDS: CollectorKind = CollectorKind {
        name: "scripted",
        type_name: "scripted",
        scope: Scope::Cluster,
        summary: "",
        docs: "",
        since: "",
        parse: ROW.parse,
        schema: ROW.schema,
    };

    #[derive(Default)]
    struct Plan {
        log: Arc<Mutex<Vec<String>>>,
        planned: Vec<Planned>,
    }

    impl Plan {
        fn add(mut self, name: &'static str, what: What, conduct: Conduct) -> Self {
            let path = format!("{name}.txt");
            self.planned
                .push(self.one(name, what, conduct, path, vec![]));
            self
        }

        fn one(
            &self,
            name: &'static str,
            what: What,
            conduct: Conduct,
            path: String,
            needs: Vec<Permission>,
        ) -> Planned {
            Planned {
                kind: &ROW,
                collector: Arc::new(Scripted {
                    name,
                    what,
                    conduct,
                    path,
                    needs,
                    log: Arc::clone(&self.log),
                }),
                requested: true,
                excluded: false,
            }
        }

        fn log(&self) -> Vec<String> {
            crate::collector::locked(&self.log).clone()
        }

        async fn run(
            &self,
            context: &Context,
            settings: &Settings,
            stop: &Stop,
        ) -> (Ran, Arc<ArchiveWriter>) {
            let archive = archive();
            let observer: Observer = Arc::new(|_| ());
            let ran = run(&self.planned, context, &archive, settings, &observer, stop).await;
            (ran, archive)
        }
    }

    fn there(archive: &ArchiveWriter, path: &str) -> bool {
        BundlePath::new(path).is_ok_and(|path| archive.contains(&path))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_fails_or_panics_harms_no_other() {
        let plan = Plan::default()
            .add("bad", What::Fail, Conduct::Reads)
            .add("worse", What::Panic, Conduct::Acts)
            .add("good", What::Write, Conduct::Reads);
        let (ran, archive) = plan
            .run(&context(None), &Settings::default(), &Stop::default())
            .await;
        let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
        assert_eq!(
            outcomes,
            [Outcome::Failed, Outcome::Failed, Outcome::Complete]
        );
        assert_eq!(ran.ending, Ending::Complete);
        assert_eq!(ran.records[0].gaps[0].path, "bad.txt");
        assert!(ran.records[1].gaps[0].detail.contains("on purpose"));
        assert!(there(&archive, "good.txt"));
        assert!(there(&archive, "collector-errors/scripted/bad-error.json"));
        assert!(plan.log().contains(&"clean worse".to_owned()));
    }

    #[tokio::test]
    async fn what_acts_waits_for_cluster_resources_and_runs_in_order_and_measures_alone() {
        let mut plan = Plan::default()
            .add("measure", What::Write, Conduct::Measures)
            .add("act-1", What::Write, Conduct::Acts)
            .add("act-2", What::Write, Conduct::Acts)
            .add("first", What::Write, Conduct::Reads);
        plan.planned[3].kind = &FIRST;
        plan.run(&context(None), &Settings::default(), &Stop::default())
            .await;
        assert_eq!(
            plan.log(),
            [
                "begin first",
                "end first",
                "clean first",
                "begin act-1",
                "end act-1",
                "clean act-1",
                "begin act-2",
                "end act-2",
                "clean act-2",
                "begin measure",
                "end measure",
                "clean measure",
            ]
        );
    }

    #[tokio::test]
    async fn a_collector_that_never_ends_is_cut_at_its_deadline() {
        let plan = Plan::default()
            .add("stuck", What::Hang, Conduct::Reads)
            .add("announced", What::HangAnnounced, Conduct::Reads)
            .add("good", What::Write, Conduct::Reads);
        let settings = Settings {
            collector_deadline: Duration::from_millis(80),
            ..Settings::default()
        };
        let (ran, archive) = plan.run(&context(None), &settings, &Stop::default()).await;
        assert_eq!(ran.records[0].outcome, Outcome::Cancelled);
        assert_eq!(ran.records[0].gaps[0].reason, GapReason::Deadline);
        assert_eq!(ran.records[1].gaps.len(), 1);
        assert_eq!(ran.records[1].gaps[0].path, "late/*.json");
        assert_eq!(ran.records[2].outcome, Outcome::Complete);
        assert!(there(&archive, "good.txt"));
        assert!(plan.log().contains(&"clean stuck".to_owned()));
    }

    #[tokio::test]
    async fn a_signal_ends_the_run_and_names_itself() {
        let plan = Plan::default()
            .add("good", What::Write, Conduct::Acts)
            .add("stuck", What::Hang, Conduct::Acts)
            .add("never", What::Write, Conduct::Acts);
        let stop = Stop::default();
        let (trigger, log) = (stop.clone(), Arc::clone(&plan.log));
        tokio::spawn(async move {
            while !crate::collector::locked(&log).contains(&"begin stuck".to_owned()) {
                tokio::task::yield_now().await;
            }
            trigger.signal("SIGTERM");
        });
        let (ran, archive) = plan.run(&context(None), &Settings::default(), &stop).await;
        assert_eq!(ran.ending, Ending::Signal("SIGTERM".into()));
        let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
        assert_eq!(
            outcomes,
            [Outcome::Complete, Outcome::Cancelled, Outcome::Cancelled]
        );
        assert_eq!(ran.records[2].gaps[0].reason, GapReason::Cancelled);
        assert!(there(&archive, "good.txt"));
        assert!(!plan.log().contains(&"begin never".to_owned()));
    }

    #[tokio::test]
    async fn the_runs_deadline_ends_it() {
        let plan = Plan::default().add("stuck", What::Hang, Conduct::Reads);
        let settings = Settings {
            run_deadline: Some(Duration::from_millis(50)),
            ..Settings::default()
        };
        let (ran, _) = plan.run(&context(None), &settings, &Stop::default()).await;
        assert_eq!(ran.ending, Ending::Deadline);
        assert_eq!(ran.records[0].gaps[0].reason, GapReason::Deadline);
    }

    #[tokio::test]
    async fn what_is_denied_is_not_run_and_what_was_half_done_is_partial() {
        let server = Server::start(|request| {
            let allowed = !request.body.contains("secrets");
            Reply::json(serde_json::json!({"status": {"allowed": allowed}}))
        })
        .await;
        let secrets = Permission {
            verb: "get",
            group: String::new(),
            resource: "secrets".into(),
            namespace: Some("shop".into()),
            name: None,
        };
        let pods = Permission {
            resource: "pods/log".into(),
            ..secrets.clone()
        };
        let mut plan = Plan::default();
        let denied = vec![pods.clone(), secrets];
        for planned in [
            plan.one(
                "denied",
                What::Write,
                Conduct::Reads,
                "d.txt".into(),
                denied,
            ),
            plan.one(
                "half",
                What::RefusedHalf,
                Conduct::Reads,
                "h.txt".into(),
                vec![pods],
            ),
        ] {
            plan.planned.push(planned);
        }
        plan.planned.push(Planned {
            excluded: true,
            ..plan.one("out", What::Write, Conduct::Reads, "o.txt".into(), vec![])
        });
        let (ran, archive) = plan
            .run(&server.context(), &Settings::default(), &Stop::default())
            .await;
        let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
        assert_eq!(
            outcomes,
            [Outcome::Refused, Outcome::Partial, Outcome::Excluded]
        );
        assert_eq!(
            server.seen().len(),
            2,
            "one review for each distinct permission"
        );
        assert!(server.seen()[0].headers.contains_key("content-length"));
        assert!(
            ran.records[0].gaps[0]
                .detail
                .contains("get secrets in namespace \"shop\"")
        );
        assert!(there(&archive, "skipped-collectors.json"));
        assert!(!there(&archive, "d.txt"));
        assert!(!there(&archive, "o.txt"));
    }

    #[tokio::test]
    async fn a_path_that_two_name_is_written_by_the_last() {
        let mut plan = Plan::default();
        for name in ["early", "late"] {
            let one = plan.one(name, What::Write, Conduct::Reads, "same.txt".into(), vec![]);
            plan.planned.push(one);
        }
        let (ran, archive) = plan
            .run(&context(None), &Settings::default(), &Stop::default())
            .await;
        assert_eq!(ran.records[0].files, 0);
        assert_eq!(ran.records[1].files, 1);
        assert!(ran.records.iter().all(|record| record.gaps.is_empty()));
        assert!(there(&archive, "same.txt"));
    }
}
