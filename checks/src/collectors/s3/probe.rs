//! One object storage, ready to be asked: by an SDK as applications ask it, and by hand.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Region, RequestChecksumCalculation, StalledStreamProtectionConfig,
};
use aws_smithy_async::time::TimeSource;
use bundle::collected::s3::{Reason, Style, Way};
use reqwest::Url;

use super::cleanup::IsClean;
use super::settings::{Failed, Keys, Settings, failure, shown};
use super::signing::{Draft, sha256};
use super::tls::Tls;
use super::wire::{Broken, Exchange, Sent, Wire};
use crate::clock::Clock;
use crate::cluster::chain;
use crate::collector::Context;

/// What a probe works with.
#[derive(Clone)]
pub(super) struct Probe {
    pub(super) settings: Settings,
    pub(super) tls: Tls,
    pub(super) wire: Wire,
    pub(super) clock: Clock,
    pub(super) step: Duration,
    /// `.preflight-<run id>/<digits>/`: others of the same run may write beside it.
    pub(super) own: String,
    pub(super) is_clean: IsClean,
}

/// Why an operation failed, with the exchange where there was one.
pub(super) struct Refused {
    pub(super) failed: Failed,
    pub(super) exchange: Option<Box<Exchange>>,
}

/// When SDKs send a checksum that they need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    /// As SDKs do since 2025.
    Always,
    /// As they did before, and do with `AWS_REQUEST_CHECKSUM_CALCULATION=when_required`.
    WhenRequired,
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Clock::now(*self).into()
    }
}

impl Probe {
    /// Prepares. Nothing is asked yet.
    pub(super) fn new(
        settings: Settings,
        name: &str,
        step: Duration,
        context: &Context,
    ) -> Result<Self, Failed> {
        let bad = |text: String| failure(Reason::BadSetting, text);
        let tls = Tls::new(&settings.authorities, settings.skip_verify).map_err(bad)?;
        let wire = Wire::new(&tls, settings.proxy.as_ref(), step, context.clock).map_err(bad)?;
        let whose = format!("{name}\n{}\n{}", settings.endpoint, settings.bucket);
        let digits = sha256(whose.as_bytes());
        Ok(Self {
            settings,
            tls,
            wire,
            clock: context.clock,
            step,
            own: format!(".preflight-{}/{}/", context.run_id, &digits[..8]),
            is_clean: IsClean::default(),
        })
    }

    /// The same with other settings, and another way where they have another proxy.
    pub(super) fn with(&self, settings: Settings) -> Result<Self, String> {
        let wire = Wire::new(&self.tls, settings.proxy.as_ref(), self.step, self.clock)?;
        Ok(Self {
            settings,
            wire,
            ..self.clone()
        })
    }

    /// Asks by hand.
    pub(super) async fn ask(&self, draft: &Draft, way: Way) -> Exchange {
        let keys = self.settings.keys.as_ref();
        match draft.sign(way, keys, &self.settings.region, self.clock.now()) {
            Ok(request) => self.wire.send(request).await,
            Err(text) => Exchange {
                sent: Sent::default(),
                answer: Err(Broken {
                    reason: Reason::BadSetting,
                    text,
                }),
            },
        }
    }

    /// The SDK with these settings. It tries everything once.
    pub(super) fn sdk(&self, checksums: Checksums) -> Client {
        let settings = &self.settings;
        let keys = settings.keys.clone().unwrap_or_default();
        let Keys {
            access_key,
            secret_key,
            session_token,
        } = keys;
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region.clone()))
            .endpoint_url(shown(&settings.endpoint))
            .force_path_style(settings.style == Style::Path)
            .credentials_provider(Credentials::new(
                access_key,
                secret_key,
                session_token,
                None,
                "assay",
            ))
            .http_client(self.wire.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .time_source(self.clock)
            .disable_clock_skew_correction(true)
            .request_checksum_calculation(match checksums {
                Checksums::Always => RequestChecksumCalculation::WhenSupported,
                Checksums::WhenRequired => RequestChecksumCalculation::WhenRequired,
            });
        Client::from_conf(config.build())
    }

    /// What became of an operation of the SDK.
    pub(super) fn told<T, E: Error + 'static>(&self, result: Result<T, E>) -> Result<T, Refused> {
        let exchange = self.wire.last();
        let error = match result {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        let failed = exchange.as_ref().and_then(Exchange::problem);
        let failed = failed.unwrap_or_else(|| {
            // The server is content, the SDK is not: a checksum of the answer, a document that it cannot read.
            let text = self.scrubbed(&chain(&error));
            let reason = if text.to_lowercase().contains("checksum") {
                Reason::ContentChanged
            } else {
                Reason::Other
            };
            failure(reason, text)
        });
        Err(Refused {
            failed,
            exchange: exchange.map(Box::new),
        })
    }

    /// A text of others' making, without what it may quote of the credentials.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        let Some(keys) = &self.settings.keys else {
            return text.to_owned();
        };
        let token = keys.session_token.as_deref().unwrap_or_default();
        [keys.secret_key.as_str(), &keys.access_key, token]
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret, "***HIDDEN***")
            })
    }

    /// Below which this run writes, with a slash at its end.
    pub(super) fn folder(&self) -> String {
        self.below(&self.own)
    }

    /// A key below the prefix.
    pub(super) fn below(&self, key: &str) -> String {
        match self.settings.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// The prefix with a slash at its end; empty where there is none.
    pub(super) fn prefix(&self) -> String {
        self.below("")
    }

    /// The address that is dialled: with the bucket in its name, where it is addressed so.
    pub(super) fn dialled(&self) -> Url {
        let mut url = self.settings.endpoint.clone();
        if self.settings.style == Style::VirtualHost
            && let Some(host) = self.settings.endpoint.host_str()
        {
            // A bucket whose name makes no host is told by the request itself.
            let _ = url.set_host(Some(&format!("{}.{host}", self.settings.bucket)));
        }
        url
    }
}

impl Exchange {
    /// Itself where it is answered with success.
    pub(super) fn succeeded(self) -> Result<Self, Refused> {
        match self.problem() {
            None => Ok(self),
            Some(failed) => Err(Refused {
                failed,
                exchange: Some(Box::new(self)),
            }),
        }
    }
}

/// A failure that no exchange tells.
pub(super) fn other(reason: Reason, message: impl Into<String>) -> Refused {
    Refused {
        failed: failure(reason, message),
        exchange: None,
    }
}
