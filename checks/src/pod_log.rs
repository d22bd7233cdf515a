//! A container's log on its way from the API into the bundle: what the collectors `clusterResources` and `logs`
//! share.

use std::time::Duration;

use bundle::collected::pod::Pod;
use bundle::manifest::GapReason;
use bundle::{BundlePath, WriteError};
use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::budget::{Cut, Ends, LogBudget, line_ends, smaller};
use crate::cluster::{Answer, ApiError, Cause, Cluster, segment};
use crate::collector::{CollectError, Context, KeptFile, Output};
use crate::foresight::Expected;

/// Where the logs of all pods lie, whoever asked for them: `<namespace>/<pod>/<container>.log`.
pub(crate) const ROOT: &str = "cluster-resources/pods/logs";

/// Logs that a collector asks for at once.
pub(crate) const AT_ONCE: usize = 8;

/// What is needed of a pod to ask for its logs.
#[derive(Debug)]
pub(crate) struct LoggedPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The containers, and after them the init containers.
    pub(crate) containers: Vec<LoggedContainer>,
    /// Whether something is wrong with it: its logs come first.
    pub(crate) unhealthy: bool,
    /// Whether no node has taken it.
    unscheduled: bool,
}

/// What is needed of a container.
#[derive(Debug, Clone)]
pub(crate) struct LoggedContainer {
    pub(crate) name: String,
    /// Whether there was a container in its place before it, which may have left a log.
    pub(crate) ran_before: bool,
}

impl From<Pod> for LoggedPod {
    fn from(pod: Pod) -> Self {
        let status = &pod.status;
        let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let containers = containers.map(|container| {
            let mut statuses = status
                .container_statuses
                .iter()
                .chain(&status.init_container_statuses);
            let status = statuses.find(|status| status.name == container.name);
            LoggedContainer {
                name: container.name.clone(),
                ran_before: status.is_some_and(|status| {
                    status.restart_count > 0 || status.last_state.terminated.is_some()
                }),
            }
        });
        Self {
            containers: containers.collect(),
            unhealthy: pod.is_unhealthy(),
            unscheduled: pod.spec.node_name.is_empty() && status.phase == "Pending",
            namespace: pod.metadata.namespace,
            name: pod.metadata.name,
        }
    }
}

/// One container's log.
pub(crate) struct Log<'a> {
    pub(crate) context: &'a Context,
    pub(crate) output: &'a Output,
    pub(crate) pod: &'a LoggedPod,
    pub(crate) container: &'a str,
    /// How much of it.
    pub(crate) extent: &'a Extent,
}

/// Which lines of a log are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// Since a time.
    Since(Timestamp),
    /// Of the last seconds.
    Seconds(u64),
    /// The last.
    Lines(u64),
}

/// How much of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) window: Window,
    /// The most bytes.
    pub(crate) bytes: Option<u64>,
    /// How long its reading may take.
    pub(crate) time: Option<Duration>,
    /// Whether each line begins with its time.
    pub(crate) timestamps: bool,
}

impl Extent {
    /// The API's parameters, within a run's budget. Where the newest is to be kept, the API is not asked to count bytes:
    /// it counts from the oldest.
    fn query(&self, budget: &LogBudget) -> Vec<(&'static str, String)> {
        let mut query = match self.window {
            // Whole seconds are all that the API understands.
            Window::Since(time) => vec![("sinceTime", format!("{time:.0}"))],
            Window::Seconds(seconds) => vec![("sinceSeconds", seconds.to_string())],
            Window::Lines(_) => Vec::new(),
        };
        let lines = match self.window {
            Window::Lines(lines) => smaller(Some(lines), budget.lines),
            _ => budget.lines,
        };
        query.extend(lines.map(|lines| ("tailLines", lines.to_string())));
        if let Some(bytes) = self.bytes
            && !budget.newest
        {
            query.push(("limitBytes", bytes.to_string()));
        }
        if self.timestamps {
            query.push(("timestamps", "true".to_owned()));
        }
        query
    }

    /// About how many bytes a log has at most: as lines have about a hundred.
    pub(crate) fn most(&self, budget: &LogBudget) -> u64 {
        const LINE: u64 = 100;
        const WINDOW: u64 = 1 << 20;
        let lines = match self.window {
            Window::Lines(lines) => smaller(Some(lines), budget.lines),
            _ => budget.lines,
        };
        let bytes = smaller(self.bytes, budget.bytes);
        smaller(lines.map(|lines| lines.saturating_mul(LINE)), bytes).unwrap_or(WINDOW)
    }

    /// Lines of which there may be more, because a run's budget asks for fewer than the window has.
    fn shortened(&self, budget: &LogBudget) -> Option<u64> {
        budget.lines.filter(|most| match self.window {
            Window::Lines(lines) => *most < lines,
            _ => true,
        })
    }
}

/// Bytes held in memory of all logs together, in MiB: the ends of those that are longer than their budget.
const HELD_MIB: u32 = 64;

static HELD: Semaphore = Semaphore::const_new(HELD_MIB as usize);

/// The least of a log that is worth asking for, in bytes.
const LEAST: u64 = 4 << 10;

impl Log<'_> {
    /// Where the log, or that of the container before, lies.
    pub(crate) fn path(&self, previous: bool) -> Result<BundlePath, CollectError> {
        self.beside(if previous { "-previous.log" } else { ".log" })
    }

    /// A file of this container among the logs.
    pub(crate) fn beside(&self, suffix: &str) -> Result<BundlePath, CollectError> {
        let file = format!("{}{suffix}", self.container);
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        Ok(BundlePath::join([ROOT, namespace, name, &file])?)
    }

    /// Copies the log, or that of the container before, into its file, unless another collector did, and makes
    /// `link` lead there. What is missing is recorded as a gap and told. An error is one that would meet every
    /// log.
    pub(crate) async fn copy(
        &self,
        previous: bool,
        link: Option<&BundlePath>,
    ) -> Result<Option<String>, CollectError> {
        let path = self.path(previous)?;
        if self.output.contains(&path) {
            return self.link(link, &path);
        }
        let missing = |reason, detail: String| {
            for path in [Some(&path), link].into_iter().flatten() {
                self.output.gap(path.as_str(), reason, &detail);
            }
            Ok(Some(detail))
        };
        if self.pod.unscheduled {
            let detail = "no node has taken this pod: it has no logs".to_owned();
            return missing(GapReason::Absent, detail);
        }
        let budget = &self.context.log_budget;
        // Of what is left each of the logs under way may have its part, so that they never take more together, and the
        // nearer the end the less each of them has.
        let part = self.output.left().map(|left| left / AT_ONCE as u64);
        if part.is_some_and(|part| part < LEAST) {
            let detail = format!("{}: this log was left out", self.output.used_up());
            return missing(GapReason::Limit, detail);
        }
        let mut answer = match self.ask(self.context.cluster()?, previous).await {
            Ok(answer) => answer,
            // A node that does not answer is no reason to doubt the others.
            Err(error) if error.is_total() && !matches!(error.cause, Cause::Deadline(_)) => {
                return Err(error.into());
            }
            Err(error) => return missing(reason(&error), error.to_string()),
        };
        let file = self.output.kept_file_if_free(&path, self.context)?;
        // First of all, so that what is cut can be found.
        self.link(link, &path)?;
        let Some(mut file) = file else {
            return Ok(None);
        };
        let own = self.extent.bytes.filter(|_| budget.newest);
        let bytes = smaller(smaller(own, budget.bytes), part);
        let copied = self.copy_within(&mut answer, bytes, &mut file).await?;
        file.finish(self.output)?;
        match copied {
            Copied::Whole => Ok(None),
            Copied::Cut(detail) => missing(GapReason::Limit, detail).map(|_| None),
            Copied::Broken(error) => missing(error.gap_reason(), error.to_string()),
        }
    }

    /// Copies an answer, of which not more than `bytes` are kept: its beginning and its end.
    async fn copy_within(
        &self,
        answer: &mut Answer,
        bytes: Option<u64>,
        file: &mut KeptFile,
    ) -> Result<Copied, CollectError> {
        let budget = &self.context.log_budget;
        let time = smaller(self.extent.time, budget.time);
        let until = time.and_then(|time| Instant::now().checked_add(time));
        let mut ends = bytes.map(Ends::new);
        let mut held = None;
        let mut lines = 0;
        let ended = loop {
            let next = match until {
                None => answer.chunk().await,
                Some(until) => match timeout_at(until, answer.chunk()).await {
                    Ok(next) => next,
                    Err(_) => break Err(None),
                },
            };
            match next {
                Ok(Some(chunk)) => {
                    lines += line_ends(&chunk);
                    match &mut ends {
                        None => file.write(&chunk)?,
                        Some(ends) => {
                            ends.push(&chunk, |piece| file.write(piece))?;
                            if ends.is_in_ring() && held.is_none() {
                                let mib = ends.ring().div_ceil(1 << 20);
                                let mib = u32::try_from(mib).unwrap_or(HELD_MIB).min(HELD_MIB);
                                // The log waits in the API server while others are held.
                                held = HELD.acquire_many(mib).await.ok();
                            }
                        }
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Some(error)),
            }
        };
        let mut cuts = Vec::new();
        if let Some(ends) = ends {
            let cut = ends.finish(|piece| file.write(piece))?;
            if cut.bytes > 0 {
                let Cut {
                    bytes: left_out,
                    lines,
                } = cut;
                let bytes = bytes.unwrap_or_default();
                cuts.push(format!(
                    "{lines} lines, {left_out} bytes in its middle are left out, for a log may have {bytes} bytes"
                ));
            }
        }
        if let Some(most) = self.extent.shortened(budget)
            && lines >= most
        {
            cuts.push(format!("only its last {most} lines were asked for"));
        }
        match ended {
            Err(Some(error)) => return Ok(Copied::Broken(error)),
            Err(None) => {
                let seconds = time.unwrap_or_default().as_secs_f64();
                cuts.push(format!(
                    "what came after {seconds} s of reading is left out"
                ));
            }
            Ok(()) => {}
        }
        Ok(if cuts.is_empty() {
            Copied::Whole
        } else {
            Copied::Cut(cuts.join("; "))
        })
    }

    /// Makes the link, unless it is there: the same log may be asked for twice under one name.
    fn link(
        &self,
        link: Option<&BundlePath>,
        path: &BundlePath,
    ) -> Result<Option<String>, CollectError> {
        match link.map_or(Ok(()), |link| self.output.link(link, path)) {
            Err(CollectError::Output(WriteError::Taken { .. })) => Ok(None),
            linked => linked.map(|()| None),
        }
    }

    async fn ask(&self, cluster: &Cluster, previous: bool) -> Result<Answer, ApiError> {
        let (namespace, name) = (segment(&self.pod.namespace), segment(&self.pod.name));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log");
        let extent = self.extent.query(&self.context.log_budget);
        let mut query = vec![("container", self.container)];
        query.extend(extent.iter().map(|(key, value)| (*key, value.as_str())));
        if previous {
            query.push(("previous", "true"));
        }
        cluster.get(&path, &query).await
    }
}

/// The pods that are looked at to tell how many logs a pod has.
const LOOKED_AT: &str = "50";

/// About how many logs these pods have, `wanted` of each where it is not 0: by the containers of the first few.
pub(crate) async fn foresee(
    cluster: &Cluster,
    path: &str,
    query: &[(&str, &str)],
    wanted: usize,
    pods: &Expected,
) -> Expected {
    #[derive(serde::Deserialize)]
    struct Page {
        items: Option<Vec<Pod>>,
    }
    let mut query = query.to_vec();
    query.push(("limit", LOOKED_AT));
    let what = "logs of their containers, and of those before them".to_owned();
    let sample = match cluster.json::<Page>(path, &query).await {
        Ok(page) => page.items.unwrap_or_default(),
        Err(error) => {
            return Expected {
                what,
                uncounted: error.to_string(),
                ..Expected::default()
            };
        }
    };
    let looked_at = sample.len() as u64;
    let mut logs = 0;
    for pod in sample
        .into_iter()
        .map(LoggedPod::from)
        .filter(|pod| !pod.unscheduled)
    {
        let containers = pod
            .containers
            .iter()
            .take(if wanted == 0 { usize::MAX } else { wanted });
        logs += containers
            .map(|container| 1 + u64::from(container.ran_before))
            .sum::<u64>();
    }
    let all = pods.objects.unwrap_or(looked_at);
    let logs = (logs * all).div_ceil(looked_at.max(1));
    Expected {
        what,
        logs: Some(logs),
        requests: logs,
        ..Expected::default()
    }
}

/// What became of a log that was there.
enum Copied {
    Whole,
    /// Not all of it is kept, and why.
    Cut(String),
    /// It broke off.
    Broken(ApiError),
}

/// The API answers 400 for a container that has not started or is not of this pod, and for a log that is gone.
fn reason(error: &ApiError) -> GapReason {
    match error.status() {
        Some(StatusCode::BAD_REQUEST) => GapReason::Absent,
        _ => error.gap_reason(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Seen, Server, collect, empty_cluster, list};
    use bundle::manifest::Outcome;
    use serde_json::{Value, json};

    fn pod(name: &str, ready: bool) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"},
            "spec": {"nodeName": "n", "containers": [{"name": "main"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "main", "ready": ready, "restartCount": u8::from(!ready), "state": {"running": {}}}]}})
    }

    /// A log of this many lines of ten bytes.
    fn lines(count: usize) -> String {
        let lines: Vec<String> = (0..count).map(|line| format!("line {line:04}\n")).collect();
        lines.concat()
    }

    /// Pods `a` to `d`, of which the last is unhealthy, with logs of 1,000 lines.
    fn shop(request: &Seen) -> Reply {
        match request.path.as_str() {
            "/api/v1/namespaces/shop/pods" => {
                let pods = ["a", "b", "c", "d"].map(|name| pod(name, name != "d"));
                Reply::json(list("Pod", pods))
            }
            path if path.ends_with("/log") => {
                let asked = request
                    .query
                    .get("tailLines")
                    .and_then(|lines| lines.parse().ok());
                let skipped = 1000 - asked.unwrap_or(1000).min(1000);
                Reply::json(&lines(1000)[skipped * 10..])
            }
            _ => empty_cluster(request, &["shop"]),
        }
    }

    async fn collected(
        budget: LogBudget,
        settings: &Settings,
        limits: Value,
    ) -> (Collected, Vec<Seen>) {
        let server = Server::start(shop).await;
        let mut context = server.context();
        context.log_budget = budget;
        let mut config = json!({"name": "app", "namespace": "shop", "selector": ["app=web"]});
        if !limits.is_null() {
            config["limits"] = limits;
        }
        let collected = collect(&context, "logs", &config, settings, &Stop::default()).await;
        (collected, server.seen())
    }

    const NEWEST: LogBudget = LogBudget {
        bytes: None,
        lines: None,
        time: None,
        newest: true,
    };

    #[tokio::test]
    async fn of_a_log_that_is_too_long_the_ends_are_kept_and_the_rest_is_told() {
        let by_flag = LogBudget {
            bytes: Some(100),
            ..NEWEST
        };
        for (budget, limits) in [
            (NEWEST, json!({"maxBytes": 100})),
            (by_flag, json!({})),
            (by_flag, Value::Null),
            (by_flag, json!({"maxAge": "1h"})),
        ] {
            let (collected, seen) = collected(budget, &Settings::default(), limits.clone()).await;
            let text = collected.text("app/a/main.log").expect("the log");
            let kept: Vec<&str> = text.lines().collect();
            assert_eq!(kept.first(), Some(&"line 0000"), "{limits}");
            assert_eq!(
                kept[1],
                "*** CUT: 990 lines, 9900 bytes are left out here ***"
            );
            assert_eq!((kept.len(), kept.last()), (11, Some(&"line 0999")));
            assert!(
                seen.iter()
                    .all(|request| !request.query.contains_key("limitBytes"))
            );
            assert_eq!(collected.record.outcome, Outcome::Partial);
            for path in [
                "app/a/main.log",
                "cluster-resources/pods/logs/shop/a/main.log",
            ] {
                let gaps = collected.record.gaps.iter();
                let gap = gaps
                    .clone()
                    .find(|gap| gap.path == path)
                    .expect("it is told");
                assert_eq!(gap.reason, GapReason::Limit);
                let said = "990 lines, 9900 bytes in its middle are left out";
                assert!(gap.detail.starts_with(said), "{}", gap.detail);
            }
            assert!(collected.text("app/a/main-errors.json").is_none());
            // The log of the container before counts for itself.
            assert!(
                collected
                    .text("app/d/main-previous.log")
                    .is_some_and(|text| text.contains("CUT"))
            );
        }
    }

    #[tokio::test]
    async fn without_a_budget_the_api_counts_from_the_oldest_as_in_troubleshoot() {
        let settings = Settings::default();
        let (collected, seen) =
            collected(LogBudget::default(), &settings, json!({"maxBytes": 100})).await;
        let mut logs = seen.iter().filter(|request| request.path.ends_with("/log"));
        assert!(logs.all(|request| request.query["limitBytes"] == "100"));
        assert_eq!(collected.text("app/a/main.log"), Some(lines(1000)));
        assert_eq!(collected.record.outcome, Outcome::Complete);
    }

    #[tokio::test]
    async fn lines_are_counted_by_the_api_and_fewer_than_the_spec_wants_is_told() {
        let budget = LogBudget {
            lines: Some(5),
            ..NEWEST
        };
        for (limits, told) in [
            (Value::Null, true),
            (json!({"maxAge": "1h"}), true),
            (json!({"maxLines": 3}), false),
        ] {
            let (collected, _) = collected(budget, &Settings::default(), limits.clone()).await;
            let gaps = collected.gaps("app/a/main.log");
            assert_eq!(gaps, vec![GapReason::Limit; usize::from(told)], "{limits}");
            let count = collected
                .text("app/a/main.log")
                .map(|text| text.lines().count());
            assert_eq!(count, Some(if told { 5 } else { 3 }));
        }
    }

    #[tokio::test]
    async fn a_log_that_does_not_end_is_kept_as_far_as_its_time_goes() {
        let server = Server::start(|request| match request.path.as_str() {
            path if path.ends_with("/a/log") => Reply::json(lines(3)).then_silence(),
            _ => shop(request),
        })
        .await;
        let mut context = server.context();
        context.log_budget = NEWEST;
        let limits = json!({"maxTime": "200ms"});
        let config = json!({"namespace": "shop", "limits": limits, "name": "app"});
        let settings = Settings::default();
        let collected = collect(&context, "logs", &config, &settings, &Stop::default()).await;
        assert_eq!(collected.text("app/a/main.log"), Some(lines(3)));
        assert_eq!(collected.gaps("app/a/main.log"), [GapReason::Limit]);
        assert_eq!(collected.gaps("app/b/main.log"), []);
    }

    #[tokio::test]
    async fn pods_with_something_wrong_have_their_part_of_a_budget_first() {
        let settings = Settings {
            budget: Budget {
                bytes: Some(40_000),
                time: None,
            },
            ..Settings::default()
        };
        let (collected, seen) = collected(NEWEST, &settings, Value::Null).await;
        let asked = seen
            .iter()
            .filter_map(|request| request.path.strip_suffix("/log"));
        let order: Vec<char> = asked.filter_map(|path| path.chars().last()).collect();
        assert_eq!(order[..2], ['d', 'd']);
        let length = |pod: &str| {
            let text = collected.text(&format!("app/{pod}/main.log"));
            text.map_or(0, |text| text.len())
        };
        assert!(length("d") > length("b"), "{} {}", length("d"), length("b"));
        assert!(collected.record.bytes <= 40_000);
        assert_eq!(collected.gaps("app/d/main.log"), [GapReason::Limit]);
        // With less than a page left nothing is asked for.
        let settings = Settings {
            budget: Budget {
                bytes: Some(30_000),
                time: None,
            },
            ..Settings::default()
        };
        let (collected, seen) = self::collected(NEWEST, &settings, Value::Null).await;
        assert!(seen.iter().all(|request| !request.path.ends_with("/log")));
        let gap = &collected.record.gaps[0];
        assert!(gap.detail.contains("30000 bytes"), "{}", gap.detail);
    }

    #[tokio::test]
    async fn a_bundle_stays_within_its_size_and_says_what_it_lacks() {
        let settings = Settings {
            bundle_bytes: Some(200_000),
            ..Settings::default()
        };
        let (collected, _) = collected(NEWEST, &settings, Value::Null).await;
        assert_eq!(collected.gaps("app/d/main.log"), []);
        let settings = Settings {
            bundle_bytes: Some(110_000),
            ..Settings::default()
        };
        let (collected, _) = self::collected(NEWEST, &settings, Value::Null).await;
        assert!(collected.text("app/d/main.log").is_some());
        let gaps = &collected.record.gaps;
        assert!(
            gaps.iter().any(|gap| gap.path == "app/a/main.log"),
            "{gaps:?}"
        );
    }
}
