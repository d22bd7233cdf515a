//! Pod logs: whichever file of the bundle holds them, cut the way the kubelet cuts them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bundle::{Files, ReadError};
use bytes::Bytes;
use jiff::{Span, Timestamp};
use serde::Deserialize;

use crate::absence::subject;
use crate::api::{Answer, Body, Shared};
use crate::catalog::Resource;
use crate::list;
use crate::request::{Accepted, Query};
use crate::status::{Fault, Status, Subject};

/// Where the logs of the cluster's pods lie.
pub(crate) const LOGS: &str = "cluster-resources/pods/logs/";
const CHUNK: usize = 256 << 10;
/// The longest timestamp looked for at the start of a line.
const MAX_TIMESTAMP: usize = 40;
/// How much of troubleshoot's note on a failed log is quoted.
const MAX_NOTE: usize = 500;

/// Log files outside `cluster-resources/pods/logs`: those of `logs` collectors lie under the collector's name,
/// as `<name>/<pod>/<container>.log`, in newer releases as links.
#[derive(Default)]
pub(crate) struct Elsewhere {
    /// By `<pod>/<file name>`.
    paths: OnceLock<BTreeMap<String, String>>,
}

impl Elsewhere {
    fn find(&self, files: &Files, pod: &str, file: &str) -> Option<&str> {
        let paths = self.paths.get_or_init(|| {
            let mut paths = BTreeMap::new();
            for path in files.paths().map(bundle::BundlePath::as_str) {
                let mut segments = path.rsplitn(3, '/');
                if let (Some(file), Some(pod), Some(_)) =
                    (segments.next(), segments.next(), segments.next())
                    && file
                        .rsplit_once('.')
                        .is_some_and(|(_, extension)| extension == "log")
                    && !path.starts_with(LOGS)
                {
                    let key = format!("{pod}/{file}");
                    paths.entry(key).or_insert_with(|| path.to_owned());
                }
            }
            paths
        });
        paths.get(&format!("{pod}/{file}")).map(String::as_str)
    }
}

/// `PodLogOptions`.
struct Options {
    container: Option<String>,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    limit_bytes: Option<u64>,
    since: Option<Timestamp>,
}

impl Options {
    fn parse(query: &Query<'_>, pod: &str, collected_at: Timestamp) -> Result<Self, Status> {
        let options = Subject {
            group: "",
            resource: "PodLogOptions",
            name: pod,
        };
        let text = |field| query.text(field).unwrap_or_default();
        let positive =
            |field: &'static str, least: i64, rule: &'static str| match query.number(field)? {
                Some(number) if number < least => {
                    let fault = Fault::Value(text(field));
                    Err(Status::invalid(&options, field, &fault, rule))
                }
                number => Ok(number),
            };
        let tail_lines = positive("tailLines", 0, "must be greater than or equal to 0")?;
        let limit_bytes = positive("limitBytes", 1, "must be greater than 0")?;
        let seconds = positive("sinceSeconds", 1, "must be greater than 0")?;
        let time = query.text("sinceTime").map(|text| {
            let parsed = text.parse::<Timestamp>();
            parsed.map_err(|error| Status::bad_request(format!("sinceTime {text:?}: {error}")))
        });
        let since = match (time.transpose()?, seconds) {
            (Some(_), Some(_)) => {
                let rule = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                return Err(Status::invalid(&options, "[]", &Fault::Forbidden, rule));
            }
            (Some(time), None) => Some(time),
            // Seconds before the bundle's time: years later the same command shows the same lines.
            (None, Some(seconds)) => {
                let span = Span::new().try_seconds(seconds);
                Some(
                    span.and_then(|span| collected_at.checked_sub(span))
                        .unwrap_or(Timestamp::MIN),
                )
            }
            (None, None) => None,
        };
        Ok(Self {
            container: query.text("container").map(str::to_owned),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail_lines: tail_lines.and_then(|lines| u64::try_from(lines).ok()),
            limit_bytes: limit_bytes.and_then(|limit| u64::try_from(limit).ok()),
            since,
        })
    }
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

/// Answers `GET …/pods/{name}/log`. `follow` ends where the log ends.
pub(crate) fn log(
    shared: &Arc<Shared>,
    pods: &Resource,
    namespace: &str,
    name: &str,
    query: &Query<'_>,
) -> Result<Answer, Status> {
    let options = Options::parse(query, name, shared.files.collected_at())?;
    let subject = subject(pods, name);
    let container = match pod(shared, pods, namespace, name) {
        Ok(Some(pod)) => choose_container(&pod, name, options.container.as_deref())?,
        Ok(None) => {
            container_of_files(shared, pods, namespace, name, options.container.as_deref())?
        }
        Err(error) => return Err(Status::unreadable(&subject, &error)),
    };
    let path = find(shared, pods, namespace, name, &container, &options)?;
    let read = |error: ReadError| Status::unreadable(&subject, &error);
    let length = shared.files.length(&path).map_err(read)?;
    let mut log = Log {
        shared: Arc::clone(shared),
        path,
        position: 0,
        end: length,
    };
    if let Some(lines) = options.tail_lines {
        log.position = log.last_lines(lines).map_err(read)?;
    }
    let mut warnings = Vec::new();
    let timeless = log.position < log.end && !log.has_timestamps().map_err(read)?;
    if let Some(since) = options.since {
        if timeless {
            warnings.push(
                "this log was collected without timestamps: all of its lines are shown".to_owned(),
            );
        } else {
            log.position = log.first_since(since).map_err(read)?;
        }
    } else if options.timestamps && timeless {
        warnings.push("this log was collected without timestamps".to_owned());
    }
    if let Some(limit) = options.limit_bytes {
        log.end = log.end.min(log.position.saturating_add(limit));
    }
    Ok(Answer {
        content: Accepted::Text,
        warnings,
        ..Answer::json(Body::Stream(Box::new(log)))
    })
}

fn pod(
    shared: &Shared,
    pods: &Resource,
    namespace: &str,
    name: &str,
) -> Result<Option<Pod>, ReadError> {
    let Some(object) = pods.index(&shared.files).get(namespace, name) else {
        return Ok(None);
    };
    let bytes = list::read(shared, pods, object)?;
    let pod = serde_json::from_slice(&bytes).map_err(|error| ReadError::Malformed {
        path: pods.files[object.file as usize].path.clone(),
        reason: format!("pod {name}: {error}"),
    })?;
    Ok(Some(pod))
}

/// The container asked for, or the only one.
fn choose_container(pod: &Pod, name: &str, asked: Option<&str>) -> Result<String, Status> {
    let PodSpec {
        containers,
        init_containers,
        ephemeral_containers,
    } = &pod.spec;
    let all = || {
        init_containers
            .iter()
            .chain(containers)
            .chain(ephemeral_containers)
    };
    match (asked, containers.as_slice()) {
        (Some(asked), _) if all().any(|container| container.name == asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(Status::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        ))),
        (None, [only]) => Ok(only.name.clone()),
        (None, []) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        (None, _) => {
            let names: Vec<&str> = all().map(|container| container.name.as_str()).collect();
            let names = names.join(" ");
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{names}]"
            )))
        }
    }
}

/// The container whose log is there, of a pod that is in no list: pods of `runPod` are gone when lists are made.
fn container_of_files(
    shared: &Shared,
    pods: &Resource,
    namespace: &str,
    name: &str,
    asked: Option<&str>,
) -> Result<String, Status> {
    let folder = format!("{LOGS}{namespace}/{name}/");
    let mut names: Vec<&str> = shared
        .files
        .paths()
        .filter_map(|path| path.as_str().strip_prefix(&folder)?.strip_suffix(".log"))
        .filter(|name| !name.ends_with("-logs-errors"))
        .map(|name| name.strip_suffix("-previous").unwrap_or(name))
        .collect();
    names.dedup();
    match (asked, names.as_slice()) {
        (Some(asked), [_, ..]) => Ok(asked.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, [_, ..]) => {
            let names = names.join(" ");
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{names}]"
            )))
        }
        (_, []) => Err(list::not_there(shared, pods, Some(namespace), name)),
    }
}

/// The file that holds a container's log.
fn find(
    shared: &Shared,
    pods: &Resource,
    namespace: &str,
    name: &str,
    container: &str,
    options: &Options,
) -> Result<String, Status> {
    let files = &shared.files;
    let suffix = if options.previous { "-previous" } else { "" };
    let file = format!("{container}{suffix}.log");
    let own = format!("{LOGS}{namespace}/{name}/{file}");
    if files.contains(&own) {
        return Ok(own);
    }
    // Elsewhere no namespace is in the path: it must be the only pod of its name.
    let namesakes = pods
        .index(files)
        .objects
        .iter()
        .filter(|pod| *pod.name == *name)
        .count();
    if let (true, Some(path)) = (namesakes <= 1, shared.logs.find(files, name, &file))
        && files.contains(path)
    {
        return Ok(path.to_owned());
    }
    let what = if options.previous {
        "the previous log"
    } else {
        "the log"
    };
    let what = format!("{what} of container {container:?} in pod {name:?}");
    let subject = subject(pods, name);
    if let Err(ReadError::Gap { gap, .. }) = files.length(&own) {
        return Err(Status::gap(
            &subject,
            gap.reason,
            &format!("{what}: {}: {}", gap.reason.phrase(), gap.detail),
        ));
    }
    let note = format!("{LOGS}{namespace}/{name}/{container}-logs-errors.log");
    if let Ok(note) = files.read(&note) {
        let note: String = String::from_utf8_lossy(&note)
            .chars()
            .take(MAX_NOTE)
            .collect();
        return Err(Status::unavailable(
            &subject,
            &format!("{what} was not collected: {}", note.trim()),
        ));
    }
    Err(Status::not_collected(
        &subject,
        &format!("{what} was not collected into this bundle"),
    ))
}

/// A stretch of a log file, and a log's body.
struct Log {
    shared: Arc<Shared>,
    path: String,
    position: u64,
    end: u64,
}

impl Log {
    fn read(&self, start: u64, end: u64) -> Result<Vec<u8>, ReadError> {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(CHUNK);
        self.shared
            .files
            .read_range(&self.path, start, length.min(CHUNK))
    }

    /// Where the last `lines` lines begin.
    fn last_lines(&self, lines: u64) -> Result<u64, ReadError> {
        if lines == 0 {
            return Ok(self.end);
        }
        let (mut end, mut found) = (self.end, 0);
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let block = self.read(start, end)?;
            for (position, _) in block
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, byte)| **byte == b'\n')
            {
                let behind = start + position as u64 + 1;
                // The line feed that ends the file ends the last line; it begins none.
                if behind == self.end {
                    continue;
                }
                found += 1;
                if found == lines {
                    return Ok(behind);
                }
            }
            end = start;
        }
        Ok(0)
    }

    /// Whether lines begin with a time; a first few may not, being the rest of an entry that was cut.
    fn has_timestamps(&self) -> Result<bool, ReadError> {
        let block = self.read(self.position, self.end)?;
        Ok(block
            .split(|byte| *byte == b'\n')
            .any(|line| timestamp(line).is_some()))
    }

    /// The first line that is not older than `since`. Lines without a time belong to the one before.
    fn first_since(&self, since: Timestamp) -> Result<u64, ReadError> {
        let (mut start, mut line_start) = (self.position, true);
        while start < self.end {
            let block = self.read(start, self.end)?;
            let mut line = 0;
            while line < block.len() {
                let rest = &block[line..];
                let cut = rest.len() < MAX_TIMESTAMP && start + (block.len() as u64) < self.end;
                if line_start && cut && line > 0 {
                    // The time may go on in the next block: read again from this line.
                    break;
                }
                if line_start && timestamp(rest).is_some_and(|time| time >= since) {
                    return Ok(start + line as u64);
                }
                let feed = rest.iter().position(|byte| *byte == b'\n');
                line_start = feed.is_some();
                line += feed.map_or(rest.len(), |feed| feed + 1);
            }
            if line == 0 {
                break;
            }
            start += line as u64;
        }
        Ok(self.end)
    }
}

/// The RFC 3339 time that a line begins with.
fn timestamp(line: &[u8]) -> Option<Timestamp> {
    if !line.first()?.is_ascii_digit() {
        return None;
    }
    let head = &line[..line.len().min(MAX_TIMESTAMP)];
    let end = head
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\n' | b'\t'))
        .unwrap_or(head.len());
    std::str::from_utf8(&head[..end]).ok()?.parse().ok()
}

impl Iterator for Log {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        match self.read(self.position, self.end) {
            Ok(block) if block.is_empty() => None,
            Ok(block) => {
                self.position += block.len() as u64;
                Some(Ok(Bytes::from(block)))
            }
            Err(error) => {
                self.position = self.end;
                Some(Err(error))
            }
        }
    }
}
