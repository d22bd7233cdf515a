//! Commands in containers, over a WebSocket, with their output as it comes.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::FutureExt;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::chain;
use super::{ApiError, Cause, Cluster};
use crate::collector::CollectError;

/// A command and where it runs.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The program and its arguments; no shell reads them.
    pub arguments: &'a [String],
}

/// Which of a command's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Exit {
    /// With code 0.
    Success,
    /// With another code.
    Code(i32),
    /// It could not be started, or its end is not known: the server's words.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => formatter.write_str("command succeeded"),
            Self::Code(code) => write!(formatter, "command terminated with exit code {code}"),
            Self::Failed(message) => formatter.write_str(message),
        }
    }
}

/// Why a command's output did not come to its end. What was given on before stands.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The API, the kubelet, or the way to them.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The one that takes the output.
    #[error(transparent)]
    Taker(#[from] CollectError),
}

/// How a command's output ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Ended {
    /// How the command did.
    pub exit: Exit,
    /// How long the last few megabytes of output had to wait for the one that takes it. A container runtime lets go of
    /// what has not been taken two seconds after a command's end, and calls it a success (`delete` of an exec in
    /// containerd's runc shim).
    pub held_up: Duration,
}

impl Ended {
    /// Whether the end of the output may be missing though the command is said to have succeeded.
    #[must_use]
    pub fn may_be_short(&self) -> bool {
        self.held_up >= Duration::from_secs(1)
    }
}

/// Bytes read at once, and held at most for each stream by the client.
const PIECE: usize = 64 * 1024;

/// Pieces read ahead of the one that takes them: 8 MiB.
const AHEAD: usize = 128;

/// What came from the connection, in order; the end is the last.
enum Came {
    Piece(Stream, Vec<u8>),
    End(Result<Ended, ApiError>),
}

impl Cluster {
    /// Runs a command without input and gives what it writes to `each`, as it comes. It takes as long as the
    /// command does: the caller sets the deadline. The connection is read ahead of `each` by up to 8 MiB.
    pub async fn exec(
        &self,
        command: &Command<'_>,
        mut each: impl FnMut(Stream, &[u8]) -> Result<(), CollectError> + Send,
    ) -> Result<Ended, ExecError> {
        let request = format!(
            "exec in container {:?} of pod {}/{}",
            command.container, command.namespace, command.pod
        );
        let process = self.attach(command, &request).await?;
        let (sender, mut came) = mpsc::channel(AHEAD);
        // A task of its own: the connection is read while `each` is at work.
        let _reader = AbortOnDropHandle::new(tokio::spawn(read(process, request.clone(), sender)));
        while let Some(next) = came.recv().await {
            match next {
                Came::Piece(stream, bytes) => each(stream, &bytes)?,
                Came::End(ended) => return Ok(ended?),
            }
        }
        let lost = "the task that read the connection was lost".to_owned();
        Err(ApiError::new(&request, Cause::Connection(lost)).into())
    }

    async fn attach(
        &self,
        command: &Command<'_>,
        request: &str,
    ) -> Result<AttachedProcess, ApiError> {
        let client = self.upgrade_client().await?;
        let pods: Api<Pod> = Api::namespaced(client, command.namespace);
        let parameters = AttachParams {
            container: Some(command.container.to_owned()),
            max_stdout_buf_size: Some(PIECE),
            max_stderr_buf_size: Some(PIECE),
            ..AttachParams::default()
        };
        let attached = pods.exec(command.pod, command.arguments, &parameters);
        let limit = self.timing().answer;
        match tokio::time::timeout(limit, attached).await {
            Ok(Ok(process)) => Ok(process),
            Ok(Err(kube::Error::Api(status))) => Err(refusal(request, *status)),
            Ok(Err(error)) => Err(ApiError::new(request, Cause::Connection(chain(&error)))),
            Err(_) => Err(ApiError::new(request, Cause::Deadline(limit))),
        }
    }
}

/// Reads both streams and the status to their end. Where the receiver is gone nobody wants to know.
async fn read(mut process: AttachedProcess, request: String, sender: mpsc::Sender<Came>) {
    let (mut stdout, mut stderr) = (process.stdout(), process.stderr());
    let mut told = process.take_status();
    let mut ended = None;
    let mut buffers = (vec![0; PIECE], vec![0; PIECE]);
    let mut queue = Queue {
        sender,
        waits: Waits::default(),
    };
    while ended.is_none() || stdout.is_some() || stderr.is_some() {
        tokio::select! {
            read = piece(&mut stdout, &mut buffers.0) => match read {
                0 => stdout = None,
                length => queue.push(Stream::Out, &buffers.0[..length]).await,
            },
            read = piece(&mut stderr, &mut buffers.1) => match read {
                0 => stderr = None,
                length => queue.push(Stream::Err, &buffers.1[..length]).await,
            },
            status = status(&mut told), if ended.is_none() => {
                if status.is_none() {
                    // The connection broke: nobody closes the streams, and what came is in their buffers.
                    while let Some(length @ 1..) = piece(&mut stdout, &mut buffers.0).now_or_never() {
                        queue.push(Stream::Out, &buffers.0[..length]).await;
                    }
                    while let Some(length @ 1..) = piece(&mut stderr, &mut buffers.1).now_or_never() {
                        queue.push(Stream::Err, &buffers.1[..length]).await;
                    }
                    let error = broken(process, request).await;
                    return queue.end(Err(error)).await;
                }
                ended = status;
            }
        }
    }
    let ended = Ended {
        exit: ended.map_or(Exit::Success, exit),
        held_up: queue.waits.latest(),
    };
    queue.end(Ok(ended)).await;
}

/// Hands pieces on and knows how long the latest had to wait.
struct Queue {
    sender: mpsc::Sender<Came>,
    waits: Waits,
}

impl Queue {
    async fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let started = Instant::now();
        let _ = self.sender.send(Came::Piece(stream, bytes.to_vec())).await;
        self.waits.add(bytes.len(), started.elapsed());
    }

    async fn end(self, ended: Result<Ended, ApiError>) {
        let _ = self.sender.send(Came::End(ended)).await;
    }
}

/// How long the latest output had to wait: that of this stretch and of the one before it.
#[derive(Default)]
struct Waits {
    /// Bytes of this stretch.
    bytes: usize,
    waited: [Duration; 2],
}

impl Waits {
    /// A stretch of output: more than pipes, kubelet and API server hold between a command and us.
    const STRETCH: usize = 4 << 20;

    fn add(&mut self, bytes: usize, waited: Duration) {
        if self.bytes >= Self::STRETCH {
            self.bytes = 0;
            self.waited = [Duration::ZERO, self.waited[0]];
        }
        self.bytes += bytes;
        self.waited[0] += waited;
    }

    fn latest(&self) -> Duration {
        self.waited.iter().sum()
    }
}

/// The next piece of a stream, 0 at its end; for ever where it has ended before.
async fn piece(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

async fn status(told: &mut Option<impl Future<Output = Option<Status>> + Unpin>) -> Option<Status> {
    match told {
        Some(told) => told.await,
        None => None,
    }
}

fn refusal(request: &str, status: kube::core::Status) -> ApiError {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let cause = Cause::Status {
        code,
        reason: status.reason,
        message: status.message,
        continue_token: None,
    };
    ApiError::new(request, cause)
}

/// What became of a connection that ended without saying how the command did.
async fn broken(process: AttachedProcess, request: String) -> ApiError {
    // What served the connection has ended or is about to.
    let reason = match tokio::time::timeout(Duration::from_secs(5), process.join()).await {
        Ok(Err(error)) => chain(&error),
        _ => "the connection ended without telling how the command did".to_owned(),
    };
    ApiError::new(request, Cause::Connection(reason))
}

fn exit(status: Status) -> Exit {
    if status.status.as_deref() == Some("Success") {
        return Exit::Success;
    }
    let causes = status.details.and_then(|details| details.causes);
    let code = causes
        .unwrap_or_default()
        .into_iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .and_then(|cause| cause.message?.parse().ok());
    match code {
        Some(code) => Exit::Code(code),
        None => Exit::Failed(status.message.unwrap_or_else(|| "unknown error".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_waits_count() {
        let second = Duration::from_secs(1);
        let mut waits = Waits::default();
        waits.add(PIECE, second);
        assert_eq!(waits.latest(), second);
        waits.add(Waits::STRETCH, Duration::ZERO);
        waits.add(PIECE, second);
        assert_eq!(
            waits.latest(),
            2 * second,
            "the stretch before still counts"
        );
        waits.add(Waits::STRETCH, Duration::ZERO);
        waits.add(PIECE, Duration::ZERO);
        assert_eq!(waits.latest(), second);
        waits.add(Waits::STRETCH, Duration::ZERO);
        waits.add(PIECE, Duration::ZERO);
        assert_eq!(waits.latest(), Duration::ZERO);
    }
}
