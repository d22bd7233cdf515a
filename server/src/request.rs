//! What a request asks for: its path, its query and the answers that it accepts.

use std::borrow::Cow;

use http::header::{ACCEPT, HeaderMap};

use crate::status::Status;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/`
    Root,
    /// `/healthz`, `/livez`, `/readyz` and what is below them.
    Health,
    /// `/version`
    Version,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    Resources { group: String, version: String },
    /// Everything below.
    Objects(ObjectPath),
    /// No path of the API.
    Unknown,
}

/// A path to objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectPath {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Through the old `/watch/` prefix.
    pub(crate) watch: bool,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// Reads a path, percent-decoding each segment.
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| {
                percent_encoding::percent_decode_str(segment)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [] => Self::Root,
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["version"] => Self::Version,
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::Resources {
                group: String::new(),
                version: (*version).to_owned(),
            },
            ["apis", group, version] => Self::Resources {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
            },
            ["api", version, rest @ ..] => Self::objects("", version, rest),
            ["apis", group, version, rest @ ..] => Self::objects(group, version, rest),
            _ => Self::Unknown,
        }
    }

    fn objects(group: &str, version: &str, segments: &[&str]) -> Self {
        let (watch, segments) = match segments {
            ["watch", rest @ ..] => (true, rest),
            all => (false, all),
        };
        let (namespace, segments) = match segments {
            // `status` and `finalize` are the namespace's own, anything else lies in it.
            ["namespaces", _, "status" | "finalize"] => (None, segments),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                (Some((*namespace).to_owned()), rest)
            }
            all => (None, all),
        };
        let [resource, rest @ ..] = segments else {
            return Self::Unknown;
        };
        let text = |segment: Option<&&str>| segment.map(|&segment| segment.to_owned());
        Self::Objects(ObjectPath {
            group: group.to_owned(),
            version: version.to_owned(),
            watch,
            namespace,
            resource: (*resource).to_owned(),
            name: text(rest.first()),
            subresource: rest
                .get(1..)
                .filter(|rest| !rest.is_empty())
                .map(|rest| rest.join("/")),
        })
    }
}

/// A request's query parameters; of equal names the first counts, as in Go.
#[derive(Debug)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(query: &'a str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    /// A parameter that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(&*found.1).filter(|value| !value.is_empty())
    }

    /// A boolean: as the API reads them, anything but `false` and `0` is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .is_some_and(|(_, value)| !matches!(&*value.to_lowercase(), "false" | "0"))
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.parse();
        number.map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        })
    }
}

/// A representation that the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// The object or list itself as JSON.
    Json,
    /// Metadata alone, as this kind of `meta.k8s.io/v1`.
    Metadata(&'static str),
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io` in this version.
    Aggregated(&'static str),
    /// Plain text, for logs and health.
    Text,
    /// `OpenAPI` v2 in protobuf, the only form of it that `kubectl` asks for.
    OpenApiProtobuf,
}

impl Accepted {
    /// The `Content-Type` of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Metadata(_) => "application/json",
            Self::Aggregated("v2") => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            Self::Aggregated(_) => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            Self::Text => "text/plain",
            Self::OpenApiProtobuf => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        }
    }

    /// The first representation that the client names and `offered` has. Other transformations
    /// (`as=Table`) are passed over: a client that also takes the plain object gets that, one that does not
    /// gets 406. Tables belong here, as a further variant.
    pub(crate) fn negotiate(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Status> {
        let mut ranges = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .peekable();
        if ranges.peek().is_none() {
            return Ok(offered[0]);
        }
        let chosen = ranges.find_map(|range| offered.iter().find(|offer| offer.matches(range)));
        chosen.copied().ok_or_else(|| {
            let accepted: Vec<&str> = offered.iter().map(|offer| offer.content_type()).collect();
            Status::not_acceptable(&accepted)
        })
    }

    fn matches(self, range: &str) -> bool {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut transformation, mut group, mut version) = (None, "", "");
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "as" => transformation = Some(value.trim()),
                "g" => group = value.trim(),
                "v" => version = value.trim(),
                _ => {}
            }
        }
        let json = matches!(media.as_str(), "application/json" | "application/*" | "*/*");
        match self {
            Self::Json => json && transformation.is_none(),
            Self::Aggregated(own) => {
                json && transformation == Some("APIGroupDiscoveryList")
                    && group == "apidiscovery.k8s.io"
                    && version == own
            }
            Self::Metadata(kind) => {
                json && transformation == Some(kind) && group == "meta.k8s.io" && version == "v1"
            }
            // Clients ask for logs as JSON and take what they get, from the API server too.
            Self::Text => true,
            Self::OpenApiProtobuf => {
                media.starts_with("application/com.github.proto-openapi.spec.v2")
                    && media.ends_with("+protobuf")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> ObjectPath {
        match Target::parse(path) {
            Target::Objects(objects) => objects,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn reads_paths_as_the_api_server_does() {
        let pod = objects("/api/v1/namespaces/shop/pods/web-0/log");
        assert_eq!(pod.namespace.as_deref(), Some("shop"));
        assert_eq!(
            (pod.resource.as_str(), pod.name.as_deref()),
            ("pods", Some("web-0"))
        );
        assert_eq!(pod.subresource.as_deref(), Some("log"));

        let namespace = objects("/api/v1/namespaces/shop");
        assert_eq!(
            (namespace.resource.as_str(), namespace.name.as_deref()),
            ("namespaces", Some("shop"))
        );
        assert_eq!(namespace.namespace, None);
        assert_eq!(
            objects("/api/v1/namespaces/shop/status")
                .subresource
                .as_deref(),
            Some("status")
        );

        let role = objects("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode");
        assert_eq!(role.name.as_deref(), Some("system:node"));
        assert!(objects("/api/v1/watch/pods").watch);
        assert_eq!(
            objects("/apis/apps/v1/deployments/").resource,
            "deployments"
        );

        assert_eq!(Target::parse("/"), Target::Root);
        assert_eq!(Target::parse("/readyz/etcd"), Target::Health);
        assert_eq!(Target::parse("/metrics"), Target::Unknown);
        assert_eq!(
            Target::parse("/apis/apps"),
            Target::Group("apps".to_owned())
        );
    }

    #[test]
    fn negotiates() {
        let choose = |accept: &'static str, offered: &[Accepted]| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, http::HeaderValue::from_static(accept));
            Accepted::negotiate(&headers, offered).map_err(|status| status.code)
        };
        let discovery = [
            Accepted::Json,
            Accepted::Aggregated("v2"),
            Accepted::Aggregated("v2beta1"),
        ];
        for (accept, expected) in [
            ("application/json", Ok(Accepted::Json)),
            ("*/*", Ok(Accepted::Json)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Ok(Accepted::Json),
            ),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", Err(406)),
            ("application/vnd.kubernetes.protobuf", Err(406)),
            (
                "application/vnd.kubernetes.protobuf, application/json",
                Ok(Accepted::Json),
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Err(406),
            ),
        ] {
            assert_eq!(choose(accept, &[Accepted::Json]), expected, "{accept}");
        }
        for (accept, expected) in [
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                Accepted::Aggregated("v2"),
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                Accepted::Aggregated("v2beta1"),
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json",
                Accepted::Json,
            ),
        ] {
            assert_eq!(choose(accept, &discovery), Ok(expected), "{accept}");
        }
        assert_eq!(
            Accepted::negotiate(&HeaderMap::new(), &discovery),
            Ok(Accepted::Json)
        );
    }

    #[test]
    fn reads_queries() {
        let query = Query::parse("limit=5&watch=0&follow&labelSelector=a%20in%20(b)&container=");
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert!(!query.flag("watch"));
        assert!(query.flag("follow"));
        assert_eq!(query.text("labelSelector"), Some("a in (b)"));
        assert_eq!(query.text("container"), None);
        assert_eq!(
            Query::parse("limit=x")
                .number("limit")
                .map_err(|status| status.code),
            Err(400)
        );
    }
}
