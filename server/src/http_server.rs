//! The API on a loopback socket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;
use bundle::ReadError;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::api::{Body, BundleApi, failure};
use crate::kubeconfig::Token;
use crate::status::Status;

/// The largest request body: reviews are a few hundred bytes.
const MAX_REQUEST: usize = 64 << 10;
/// The most requests answered at once. Each holds at most a few chunks of half a MiB.
const MAX_IN_FLIGHT: usize = 64;
/// How long a request body may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers under way may take to end after a shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a bundle could not be served, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket is open to other machines.
    #[error("bundles are served on loopback only, not on {0}: bind 127.0.0.1 or ::1")]
    NotLoopback(SocketAddr),
    /// The socket failed.
    #[error("serving the bundle on its socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

struct Server {
    api: BundleApi,
    token: Token,
    in_flight: Arc<Semaphore>,
}

/// Serves a bundle until `shutdown` is done. Kinds are indexed in the background from the start on.
///
/// Every request must name a loopback host, come from no foreign web page, and bring the token.
pub async fn serve(
    api: BundleApi,
    listener: TcpListener,
    token: Token,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    // Ends with this function: the runtime waits for what runs on its blocking threads.
    let serving = Arc::new(());
    let (warm, still_serving) = (api.clone(), Arc::downgrade(&serving));
    tokio::task::spawn_blocking(move || warm.warm_while(|| still_serving.strong_count() > 0));
    let server = Arc::new(Server {
        api,
        token,
        in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
    });
    let router = Router::new().fallback(handle).with_state(server);
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let ended = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = stopping.send(());
    });
    let overdue = async move {
        if stopped.await.is_ok() {
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = ended => Ok(result?),
        () = overdue => Ok(()),
    }
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match server.answer(parts, body).await {
        Ok(response) => response,
        Err(status) => failure(&status).map(whole),
    }
}

impl Server {
    async fn answer(&self, mut parts: request::Parts, body: HttpBody) -> Result<Response, Status> {
        check_host(&parts.headers)?;
        parts.uri = self.authorize(&parts)?;
        let permit = Arc::clone(&self.in_flight).try_acquire_owned();
        let permit = permit.map_err(|_| Status::too_many_requests())?;
        let body = read_body(body).await?;
        let head = parts.method == Method::HEAD;
        let request = http::Request::from_parts(parts, body);
        let api = self.api.clone();
        let answering = tokio::task::spawn_blocking(move || api.respond(&request));
        let response = answering
            .await
            .map_err(|error| Status::failed(&error.to_string()))?;
        Ok(response.map(|body| match body {
            _ if head => HttpBody::empty(),
            Body::Stream(chunks) => HttpBody::from_stream(chunk_stream(chunks, permit)),
            whole_body @ Body::Whole(_) => whole(whole_body),
        }))
    }

    /// Takes the token from the path's first segment or the bearer token; the path without it.
    fn authorize(&self, parts: &request::Parts) -> Result<Uri, Status> {
        let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if self.token.is(first) {
            let query = parts
                .uri
                .query()
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            let path = format!("/{rest}{query}").parse::<PathAndQuery>();
            return path
                .map(Uri::from)
                .map_err(|error| Status::bad_request(error.to_string()));
        }
        let bearer = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        match bearer.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) if self.token.is(token.trim()) => Ok(parts.uri.clone()),
            _ => Err(Status::unauthorized()),
        }
    }
}

/// Refuses what a web page could send: a name that was rebound to loopback, a request of a foreign origin.
fn check_host(headers: &HeaderMap) -> Result<(), Status> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let loopback = |authority: &str| {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
    };
    let Some(host) = text(HOST).filter(|host| loopback(host)) else {
        return Err(Status::refused(
            "a bundle is served to this machine only: the Host header must name it",
        ));
    };
    let same_origin = |origin: &str| {
        origin
            .strip_prefix("http://")
            .is_some_and(|origin| origin == host)
    };
    if headers.contains_key(ORIGIN) && !text(ORIGIN).is_some_and(same_origin) {
        return Err(Status::refused(
            "requests of other origins are not answered",
        ));
    }
    Ok(())
}

async fn read_body(body: HttpBody) -> Result<Bytes, Status> {
    let read =
        tokio::time::timeout(REQUEST_TIMEOUT, Limited::new(body, MAX_REQUEST).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Status::too_large(MAX_REQUEST)),
        Ok(Err(error)) => Err(Status::bad_request(format!(
            "the body of the request: {error}"
        ))),
        Err(_) => Err(Status::bad_request(
            "the body of the request did not come in time",
        )),
    }
}

fn whole(body: Body) -> HttpBody {
    match body {
        Body::Whole(bytes) => HttpBody::from(bytes),
        Body::Stream(_) => HttpBody::empty(),
    }
}

type Chunks = Box<dyn Iterator<Item = Result<Bytes, ReadError>> + Send>;

/// Reads off the runtime's threads, on one of its own: memory that another thread gives back is of use to the one that
/// took it only. It is two chunks ahead of the client at most.
fn chunk_stream(
    chunks: Chunks,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> {
    let (give, take) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        for chunk in chunks {
            let is_last = chunk.is_err();
            // Fails when the client has gone.
            if give.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    stream::unfold(Some((take, reading)), |state| async {
        let (mut take, reading) = state?;
        match take.recv().await {
            Some(Ok(chunk)) => Some((Ok(chunk), Some((take, reading)))),
            Some(Err(error)) => Some((Err(error.into()), None)),
            // A part must not look like the whole.
            None => reading.await.err().map(|error| (Err(error.into()), None)),
        }
    })
    .inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(%error, "an answer ended early");
        }
    })
}
