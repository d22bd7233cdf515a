//! Commands in containers, over a WebSocket, with their output as it comes.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt};

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

/// Bytes read at once, and held at most for each stream.
const PIECE: usize = 64 * 1024;

impl Cluster {
    /// Runs a command without input and gives what it writes to `each`, as it comes. It takes as long as the
    /// command does: the caller sets the deadline.
    pub async fn exec(
        &self,
        command: &Command<'_>,
        mut each: impl FnMut(Stream, &[u8]) -> Result<(), CollectError> + Send,
    ) -> Result<Exit, ExecError> {
        let request = format!(
            "exec in container {:?} of pod {}/{}",
            command.container, command.namespace, command.pod
        );
        let mut process = self.attach(command, &request).await?;
        let (mut stdout, mut stderr) = (process.stdout(), process.stderr());
        let mut told = process.take_status();
        let mut ended = None;
        let mut buffers = (vec![0; PIECE], vec![0; PIECE]);
        while ended.is_none() || stdout.is_some() || stderr.is_some() {
            tokio::select! {
                read = piece(&mut stdout, &mut buffers.0) => match read {
                    0 => stdout = None,
                    length => each(Stream::Out, &buffers.0[..length])?,
                },
                read = piece(&mut stderr, &mut buffers.1) => match read {
                    0 => stderr = None,
                    length => each(Stream::Err, &buffers.1[..length])?,
                },
                status = status(&mut told), if ended.is_none() => {
                    if status.is_none() {
                        // The connection broke: nobody closes the streams, and what came is in their buffers.
                        while let Some(length @ 1..) = piece(&mut stdout, &mut buffers.0).now_or_never() {
                            each(Stream::Out, &buffers.0[..length])?;
                        }
                        while let Some(length @ 1..) = piece(&mut stderr, &mut buffers.1).now_or_never() {
                            each(Stream::Err, &buffers.1[..length])?;
                        }
                        return Err(broken(process, request).await.into());
                    }
                    ended = status;
                }
            }
        }
        Ok(ended.map_or(Exit::Success, exit))
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
