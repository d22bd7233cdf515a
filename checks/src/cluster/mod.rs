//! The cluster: the only door to a Kubernetes API.
//!
//! Everything goes through [`Cluster::get`] and its neighbours: raw bytes by path, with no typed lists, so
//! that nothing depends on the Kubernetes version this was built with. Deadlines, retries, counting and
//! the debug log live here and nowhere else.

mod access;
mod certificate;
mod connect;
mod discovery;
mod error;
mod exec;
mod list;
mod plugin;
mod pods;
mod request;
mod review;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use access::Access;
pub use connect::{ConnectError, Options, Secret};
pub use discovery::{Discovery, Group, GroupVersion, Resource, ResourceList};
pub(crate) use error::chain;
pub use error::{ApiError, Cause};
pub use exec::{Command, Ended, ExecError, Exit, Stream};
pub use list::{Count, ListError, Listed, Listing};
pub(crate) use request::target;
pub use request::{Answer, Tally, Timing, segment};
use request::{Call, SharedTally};
pub use review::{Rule, Rules};
use window::Window;

/// Who we are, to API servers and to whom specs are fetched from.
pub(crate) const USER_AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// The longest document read whole: discovery, one object, a review.
pub const DOCUMENT_CAP: usize = 32 << 20;

/// Pages of lists in flight at once.
const PAGES_IN_FLIGHT: usize = 8;

/// A connection to one cluster. Clones share the connection; [`Cluster::for_collector`] gives a clone its own
/// counters.
#[derive(Clone)]
pub struct Cluster {
    connection: Arc<Connection>,
    tally: SharedTally,
    named: Arc<BTreeSet<String>>,
}

struct Connection {
    access: Access,
    server: String,
    namespace: String,
    timing: Timing,
    window: Arc<Window>,
    pages: Arc<Semaphore>,
}

impl Cluster {
    /// Reads kubeconfig and flags and builds a client. No request is made yet, except by a credential
    /// plugin.
    pub async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let connected = connect::connect(options).await?;
        Ok(Self::with_access(
            connected.access,
            connected.server,
            connected.namespace,
            connected.timing,
        ))
    }

    /// A cluster over a client made elsewhere.
    #[must_use]
    pub fn new(client: kube::Client, server: String, namespace: String, timing: Timing) -> Self {
        Self::with_access(Access::fixed(client), server, namespace, timing)
    }

    fn with_access(access: Access, server: String, namespace: String, timing: Timing) -> Self {
        Self {
            connection: Arc::new(Connection {
                access,
                server,
                namespace,
                timing,
                window: Window::new(),
                pages: Arc::new(Semaphore::new(PAGES_IN_FLIGHT)),
            }),
            tally: Arc::default(),
            named: Arc::default(),
        }
    }

    /// The same connection with counters of its own, and with the namespaces that the run's plan names.
    #[must_use]
    pub fn for_collector(&self, named: &Arc<BTreeSet<String>>) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            tally: Arc::default(),
            named: Arc::clone(named),
        }
    }

    /// The namespaces worth looking into where they may not be listed: that of the kubeconfig's context, and
    /// those that the run's plan names.
    #[must_use]
    pub fn likely_namespaces(&self) -> BTreeSet<String> {
        let mut likely = BTreeSet::clone(&self.named);
        likely.insert(self.namespace().to_owned());
        likely
    }

    /// What this clone asked for so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The API server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.connection.server
    }

    /// The namespace of the kubeconfig's context, `default` where it names none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.connection.namespace
    }

    fn timing(&self) -> &Timing {
        &self.connection.timing
    }

    /// The client for what is no plain request: exec and attach. One call of it is one request.
    pub async fn upgrade_client(&self) -> Result<kube::Client, ApiError> {
        self.tally.count_request();
        let (client, _) = request::client(&self.connection.access, "CONNECT", None).await?;
        Ok(client)
    }

    /// Asks for `path` with `query`, and gives the body as it comes.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ApiError> {
        self.send(Method::GET, &target(path, query), "application/json", None)
            .await
    }

    /// Asks for a body that comes as it is made, such as a log that is followed: its head and each of its pieces
    /// may be `pause` in coming.
    pub async fn follow(
        &self,
        path: &str,
        query: &[(&str, &str)],
        pause: Duration,
    ) -> Result<Answer, ApiError> {
        let timing = Timing {
            answer: pause,
            idle: pause,
            ..*self.timing()
        };
        let target = target(path, query);
        self.send_within(&timing, Method::GET, &target, "application/json", None)
            .await
    }

    /// Asks for one document, whole.
    pub async fn document(&self, path: &str, query: &[(&str, &str)]) -> Result<Bytes, ApiError> {
        self.get(path, query).await?.bytes(DOCUMENT_CAP).await
    }

    /// Asks for one document and decodes it.
    pub async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let bytes = self.document(path, query).await?;
        decode(&format!("GET {path}"), &bytes)
    }

    /// Asks for one document in a representation of its own (`Accept`).
    pub async fn negotiated(&self, path: &str, accept: &str) -> Result<Bytes, ApiError> {
        let answer = self.send(Method::GET, path, accept, None).await?;
        answer.bytes(DOCUMENT_CAP).await
    }

    /// Creates an object, or asks a review.
    pub async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &impl Serialize,
    ) -> Result<T, ApiError> {
        let request = format!("POST {path}");
        let body = serde_json::to_vec(object)
            .map_err(|error| ApiError::new(&request, Cause::Malformed(error.to_string())))?;
        let answer = self
            .send(Method::POST, path, "application/json", Some(body.into()))
            .await?;
        decode(&request, &answer.bytes(DOCUMENT_CAP).await?)
    }

    /// Deletes an object, with `DeleteOptions`.
    pub async fn delete(&self, path: &str, options: &impl Serialize) -> Result<(), ApiError> {
        let request = format!("DELETE {path}");
        let body = serde_json::to_vec(options)
            .map_err(|error| ApiError::new(&request, Cause::Malformed(error.to_string())))?;
        let answer = self
            .send(Method::DELETE, path, "application/json", Some(body.into()))
            .await?;
        answer.bytes(DOCUMENT_CAP).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        accept: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, ApiError> {
        self.send_within(self.timing(), method, target, accept, body)
            .await
    }

    async fn send_within(
        &self,
        timing: &Timing,
        method: Method,
        target: &str,
        accept: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, ApiError> {
        let call = Call {
            access: &self.connection.access,
            window: &self.connection.window,
            timing,
            tally: &self.tally,
            method,
            target,
            accept,
            body,
        };
        call.send().await
    }
}

fn decode<T: DeserializeOwned>(request: &str, bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::new(request, Cause::Malformed(error.to_string())))
}
