//! The proxies between here and a registry, as Go programs (the kubelet, containerd) take them from their environment.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::web_proxy::Proxy;

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
        Proxy::of(self.0.as_ref()?, address)
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
