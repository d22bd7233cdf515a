//! What the collectors `configMap` and `secret` share: one object by its name or several by their labels, and
//! of each a key, all keys, or only that it is there.

use bundle::manifest::GapReason;
use bundle::{BundlePath, WriteError};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::config::{self, ConfigError, Parsed};

use crate::cluster::{Cluster, ListError, Listed, segment};
use crate::collector::{CollectError, Context, Output, Permission};
use crate::foresight::{self, Expected};

/// Which objects, and how much of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keyed {
    /// The object's name. Without it, `selector` says which objects.
    pub(crate) name: String,
    /// Labels that an object must all have, `app=web`.
    selector: Vec<String>,
    /// Where to look. Without it a `name` is looked for in the namespace of `--namespace`, else of the
    /// kubeconfig's context, and a `selector` in all namespaces.
    pub(crate) namespace: String,
    /// The key that is of interest.
    pub(crate) key: String,
    /// Whether the key's value is collected.
    pub(crate) include_value: bool,
    /// Whether the values of all keys are collected.
    pub(crate) include_all_data: bool,
}

/// How objects of a kind are asked for and where they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The resource in the API, and the folder.
    pub(crate) plural: &'static str,
    /// The last segment of the path, where it is a key.
    pub(crate) key: &'a str,
}

impl Keyed {
    /// Reads a configuration, which must say which objects.
    pub(crate) fn parse(value: &serde_json::Value) -> Result<Parsed<Self>, ConfigError> {
        let parsed = config::parse::<Self>(value)?;
        if parsed.config.name.is_empty() && parsed.config.selector.is_empty() {
            return Err(ConfigError {
                path: ".".to_owned(),
                message: "either name or selector must be specified".to_owned(),
            });
        }
        Ok(parsed)
    }

    /// The labels as the API takes them, and as titles show them.
    pub(crate) fn labels(&self) -> String {
        self.selector.join(",")
    }

    pub(crate) fn permissions(&self, plural: &str, namespace: Option<&str>) -> Vec<Permission> {
        let own = Some(self.namespace.as_str()).filter(|own| !own.is_empty());
        let by_name = !self.name.is_empty();
        let namespace = if by_name {
            own.or(namespace).or(Some("default"))
        } else {
            own
        };
        vec![Permission {
            verb: if by_name { "get" } else { "list" },
            group: String::new(),
            resource: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: by_name.then(|| self.name.clone()),
        }]
    }

    /// Whether it must be tried out what is allowed: which namespace it will be is not known before.
    pub(crate) fn degrades(&self) -> bool {
        self.namespace.is_empty()
    }

    /// The one object, or those that have the labels, counted.
    pub(crate) async fn foresee(&self, plural: &str, context: &Context) -> Vec<Expected> {
        let permissions = self.permissions(plural, context.namespace.as_deref());
        let (Some(cluster), true) = (&context.cluster, self.name.is_empty()) else {
            return foresight::of_permissions(&permissions);
        };
        let labels = self.labels();
        let path = match self.namespace.as_str() {
            "" => format!("/api/v1/{plural}"),
            namespace => format!("/api/v1/namespaces/{}/{plural}", segment(namespace)),
        };
        let what = format!("{plural} with the labels {labels:?}");
        vec![foresight::counted(cluster, what, &path, &[("labelSelector", &labels)]).await]
    }

    pub(crate) fn files(&self, place: Place<'_>) -> Vec<String> {
        let name = if self.name.is_empty() {
            "*"
        } else {
            &self.name
        };
        let path = self.path(place, name);
        path.map(String::from).into_iter().collect()
    }

    /// Where what is told of the object of this name goes.
    fn path(&self, place: Place<'_>, name: &str) -> Result<BundlePath, CollectError> {
        document_path([place.plural, &self.namespace, name, place.key])
    }

    fn errors_path(&self, place: Place<'_>) -> Result<BundlePath, CollectError> {
        let subject = if self.name.is_empty() {
            file_name(&self.selector)
        } else {
            self.name.clone()
        };
        let folder = format!("{}-errors", place.plural);
        document_path([&folder, &self.namespace, &subject, place.key])
    }

    /// Asks for the objects and writes what `tell` makes of each: of its name, and of its bytes where it is
    /// there. `Err` is what makes it malformed.
    pub(crate) async fn collect<T: Serialize>(
        &self,
        place: Place<'_>,
        context: &Context,
        output: &Output,
        tell: impl Fn(&str, Option<&[u8]>) -> Result<T, String> + Send + Sync,
    ) -> Result<(), CollectError> {
        let write = |name: &str, object: Option<&[u8]>| {
            let path = self.path(place, name)?;
            match tell(name, object) {
                Ok(document) => output.json(&path, &document),
                Err(reason) => {
                    output.gap(path.as_str(), GapReason::Malformed, reason);
                    Ok(())
                }
            }
        };
        let cluster = context.cluster()?;
        let namespace = match context.namespace.as_deref() {
            _ if !self.namespace.is_empty() => &self.namespace,
            Some(namespace) => namespace,
            None => cluster.namespace(),
        };
        let failed = if self.name.is_empty() {
            match self.list(place, cluster, namespace, &write).await {
                Ok(0) => {
                    let labels = self.labels();
                    let none = format!("no object in {} has the labels {labels}", place.plural);
                    for path in self.files(place) {
                        output.gap(path, GapReason::Absent, &none);
                    }
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) => error,
            }
        } else {
            let path = format!("{}/{}", collection(namespace, place), segment(&self.name));
            match cluster.document(&path, &[]).await {
                Ok(object) => return write(&self.name, Some(&object)),
                Err(error) => error,
            }
        };
        if !self.name.is_empty() && failed.status() == Some(StatusCode::NOT_FOUND) {
            write(&self.name, None)?;
        } else {
            for path in self.files(place) {
                output.gap(path, failed.gap_reason(), &failed);
            }
        }
        output.json(&self.errors_path(place)?, &[failed.to_string()])
    }

    /// Writes the objects that have the labels, and says how many there are. Where not all namespaces may be
    /// looked into it is one.
    async fn list(
        &self,
        place: Place<'_>,
        cluster: &Cluster,
        namespace: &str,
        write: &(impl Fn(&str, Option<&[u8]>) -> Result<(), CollectError> + Send + Sync),
    ) -> Result<u64, ListError> {
        let labels = self.labels();
        let query = [("labelSelector", labels.as_str())];
        let each = |object: &Listed<'_>| match write(object.name, Some(object.bytes)) {
            // Another namespace has one of this name; the gap is recorded.
            Err(CollectError::Output(WriteError::Taken { .. })) => Ok(()),
            written => written,
        };
        let path = collection(&self.namespace, place);
        let listed = match cluster.list(&path, &query, each).await {
            Err(ListError::Api(error)) if self.namespace.is_empty() && error.is_refused() => {
                let path = collection(namespace, place);
                cluster.list(&path, &query, each).await
            }
            listed => listed,
        };
        listed.map(|listing| listing.items)
    }
}

/// The API's path of a resource in one namespace, or in all where there is none.
fn collection(namespace: &str, place: Place<'_>) -> String {
    match namespace {
        "" => format!("/api/v1/{}", place.plural),
        namespace => format!("/api/v1/namespaces/{}/{}", segment(namespace), place.plural),
    }
}

fn document_path(segments: [&str; 4]) -> Result<BundlePath, CollectError> {
    let path = BundlePath::join(segments)?;
    Ok(BundlePath::new(format!("{path}.json"))?)
}

/// A selector as troubleshoot names files after it.
fn file_name(selector: &[String]) -> String {
    selector
        .join("-")
        .replace('=', "-")
        .replace('*', "all")
        .replace(['?', ':', '<', '>', '|', '"', '/', '\\'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_of_name_and_selector_is_needed() {
        for (config, works) in [
            (json!({"name": "a"}), true),
            (json!({"selector": ["a=b"]}), true),
            (json!({"namespace": "shop", "key": "x"}), false),
            (json!({"name": "", "selector": []}), false),
            (json!({"name": null, "selector": null}), false),
        ] {
            assert_eq!(Keyed::parse(&config).is_ok(), works, "{config}");
        }
    }

    #[test]
    fn one_name_or_one_selector_is_asked_for_and_nothing_else() {
        for (config, namespace, asked) in [
            (
                json!({"name": "a", "namespace": "shop"}),
                None,
                "get secrets \"a\" in namespace \"shop\"",
            ),
            (
                json!({"name": "a", "namespace": "shop"}),
                Some("other"),
                "get secrets \"a\" in namespace \"shop\"",
            ),
            (
                json!({"name": "a"}),
                Some("other"),
                "get secrets \"a\" in namespace \"other\"",
            ),
            (
                json!({"name": "a"}),
                None,
                "get secrets \"a\" in namespace \"default\"",
            ),
            (
                json!({"selector": ["a"], "namespace": "shop"}),
                None,
                "list secrets in namespace \"shop\"",
            ),
            (
                json!({"selector": ["a"]}),
                Some("other"),
                "list secrets cluster-wide",
            ),
        ] {
            let keyed = Keyed::parse(&config).expect("it parses").config;
            let permissions = keyed.permissions("secrets", namespace);
            let shown: Vec<String> = permissions.iter().map(ToString::to_string).collect();
            assert_eq!(shown, [asked], "{config}");
        }
    }

    #[test]
    fn selectors_make_file_names() {
        let selector = [
            "app=web".to_owned(),
            "tier in (a,b)".to_owned(),
            "x.io/y=*".to_owned(),
        ];
        assert_eq!(file_name(&selector), "app-web-tier in (a,b)-x.io_y-all");
    }
}
