//! The one connection layer: everything that is asked of an object storage, by an SDK or by hand, goes through here, and
//! what was sent and what came back is kept for whoever explains it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::config::HttpClient;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bundle::collected::s3::Reason;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt;
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy};
use tokio::time::timeout;

use super::tls::Tls;
use crate::clock::Clock;
use crate::cluster::chain;
use crate::collector::locked;
use crate::web_proxy::Proxy;

/// The longest answer that is read: an object of two parts, and a little.
const ANSWER: usize = 8 << 20;

/// Sends requests and keeps the last exchange.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
    step: Duration,
    clock: Clock,
    last: Arc<Mutex<Option<Exchange>>>,
}

/// A request with what became of it. It has no `Debug`: it holds signatures.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) sent: Sent,
    pub(super) answer: Result<Answer, Broken>,
}

/// A request as it was sent, without its body.
#[derive(Clone, Default)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// An answer.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The clock here, in the middle of the exchange.
    pub(super) here: Timestamp,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) reason: Reason,
    pub(super) text: String,
}

impl Wire {
    /// A way to `step`-long exchanges, through `proxy` where there is one.
    pub(super) fn new(
        tls: &Tls,
        proxy: Option<&Proxy>,
        step: Duration,
        clock: Clock,
    ) -> Result<Self, String> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured((*tls.config).clone())
            .redirect(Policy::none())
            .http1_only()
            .connect_timeout(step);
        builder = match proxy {
            None => builder.no_proxy(),
            Some(proxy) => {
                let mut through = reqwest::Proxy::all(proxy.to_string())
                    .map_err(|_| "the proxy's address cannot be used".to_owned())?
                    .no_proxy(NoProxy::from_string(""));
                if let Some(credentials) = &proxy.authorization {
                    through = through.custom_http_auth(credentials.clone());
                }
                builder.proxy(through)
            }
        };
        Ok(Self {
            client: builder.build().map_err(|error| chain(&error))?,
            step,
            clock,
            last: Arc::default(),
        })
    }

    /// Sends a request by hand.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Exchange {
        let (parts, body) = request.into_parts();
        let sent = Sent {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
        };
        let answer = timeout(self.step, self.exchange(&sent, body)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(Broken {
                reason: Reason::NoAnswer,
                text: format!("no whole answer within {} s", self.step.as_secs_f32()),
            })
        });
        tracing::debug!(
            method = %sent.method,
            path = sent.uri.path(),
            status = answer.as_ref().map_or(0, |it| it.status),
            "asked the object storage"
        );
        let exchange = Exchange { sent, answer };
        *locked(&self.last) = Some(exchange.clone());
        exchange
    }

    /// What was exchanged last, once.
    pub(super) fn last(&self) -> Option<Exchange> {
        locked(&self.last).take()
    }

    async fn exchange(&self, sent: &Sent, body: Bytes) -> Result<Answer, Broken> {
        let broken = |error: reqwest::Error| {
            let error = error.without_url();
            let text = chain(&error);
            let reason = if error.is_connect() {
                Reason::Unreachable
            } else {
                Reason::ClosedByServer
            };
            Broken { reason, text }
        };
        let before = self.clock.now();
        let request = self
            .client
            .request(sent.method.clone(), sent.uri.to_string())
            .headers(sent.headers.clone())
            .body(body);
        let mut response = request.send().await.map_err(broken)?;
        let after = self.clock.now();
        let half = after.duration_since(before) / 2;
        let mut bytes = Vec::new();
        while bytes.len() < ANSWER
            && let Some(chunk) = response.chunk().await.map_err(broken)?
        {
            let fits = chunk.len().min(ANSWER - bytes.len());
            bytes.extend_from_slice(&chunk[..fits]);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: bytes.into(),
            here: before.checked_add(half).unwrap_or(after),
        })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire(..)")
    }
}

/// The SDK's end of it.
impl HttpClient for Wire {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move { wire.carry(request).await })
    }
}

impl Wire {
    async fn carry(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let other = |text: String| ConnectorError::other(text.into(), None);
        let request = request
            .try_into_http1x()
            .map_err(|error| other(error.to_string()))?;
        let (parts, body) = request.into_parts();
        // What is sent is ours, and small.
        let body = body
            .collect()
            .await
            .map_err(|error| other(error.to_string()))?
            .to_bytes();
        let exchange = self.send(Request::from_parts(parts, body)).await;
        let answer = exchange.answer.map_err(|broken| other(broken.text))?;
        let mut response = http::Response::new(SdkBody::from(answer.body));
        *response.status_mut() =
            http::StatusCode::from_u16(answer.status).map_err(|error| other(error.to_string()))?;
        *response.headers_mut() = answer.headers;
        HttpResponse::try_from(response).map_err(|error| other(error.to_string()))
    }
}
