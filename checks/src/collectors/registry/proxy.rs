//! The proxies between here and a registry, as Go programs (the kubelet, containerd) take them from their environment.

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The proxies of whoever pulls, where they are not those of this process' environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ProxyConfig {
    /// As `HTTP_PROXY`.
    pub(super) http: String,
    /// As `HTTPS_PROXY`; `none` for none, whatever the environment says.
    pub(super) https: String,
    /// As `NO_PROXY`: names, `.domains`, addresses and networks, separated by commas.
    pub(super) no_proxy: String,
}

/// Which proxy is asked for which server.
pub(super) struct Proxies(Option<Matcher>);

/// A proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) uri: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

impl fmt::Display for Proxy {
    /// Without the login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or("http");
        write!(formatter, "{scheme}://{}:{}", self.host(), self.port())
    }
}

impl Proxy {
    pub(super) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        let default = if self.is_tls() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(default)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

impl Proxies {
    pub(super) fn new(config: &ProxyConfig) -> Self {
        if *config == ProxyConfig::default() {
            return Self(Some(Matcher::from_env()));
        }
        if config.https == "none" {
            return Self(None);
        }
        let builder = Matcher::builder()
            .http(config.http.clone())
            .https(config.https.clone())
            .no(config.no_proxy.clone());
        Self(Some(builder.build()))
    }

    /// The proxy for a server: as in Go never for this machine itself.
    pub(super) fn of(&self, address: &Uri) -> Option<Proxy> {
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
        let parsed = host.parse::<IpAddr>();
        if host == "localhost" || parsed.is_ok_and(|address| address.is_loopback()) {
            return None;
        }
        self.0
            .as_ref()?
            .intercept(address)
            .map(|it: Intercept| Proxy {
                uri: it.uri().clone(),
                authorization: it.basic_auth().cloned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_taken_as_go_takes_them() {
        let proxies = Proxies::new(&ProxyConfig {
            http: "http://plain.test:3128".into(),
            https: "http://user:hunter2@secure.test:3128".into(),
            no_proxy: "internal.test,.svc,10.0.0.0/8".into(),
        });
        for (address, proxy) in [
            (
                "https://registry.example.com/v2/",
                Some("http://secure.test:3128"),
            ),
            (
                "http://registry.example.com/v2/",
                Some("http://plain.test:3128"),
            ),
            ("https://localhost:5000/v2/", None),
            ("https://127.0.0.1:5000/v2/", None),
            ("https://internal.test/v2/", None),
            ("https://r.shop.svc/v2/", None),
            ("https://10.1.2.3/v2/", None),
        ] {
            let address: Uri = address.parse().expect("an address");
            let found = proxies.of(&address);
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), proxy);
            assert_eq!(
                found.is_some_and(|it| it.authorization.is_some()),
                proxy == Some("http://secure.test:3128")
            );
        }
        let none = Proxies::new(&ProxyConfig {
            https: "none".into(),
            ..ProxyConfig::default()
        });
        assert!(
            none.of(&Uri::from_static("https://r.example.com"))
                .is_none()
        );
    }
}
