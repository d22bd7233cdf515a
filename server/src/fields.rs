//! Field selectors: which fields each kind lets a client select by, and where an object holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field that a client may select by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The selector's label, `spec.nodeName`.
    pub(crate) label: String,
    /// Where the object holds it; the first place that is not empty counts.
    places: Vec<Vec<String>>,
    /// The value where the object leaves it out.
    default: &'static str,
}

/// label, place ("" when it is the label; alternatives with `|`), default.
type Row = (&'static str, &'static str, &'static str);

/// The fields of built-in kinds beyond `metadata.name` and `metadata.namespace`, from the API server's
/// conversion functions and strategies (Kubernetes 1.36).
const EXTRAS: &[(&str, &str, &[Row])] = &[
    (
        "",
        "events",
        &[
            ("involvedObject.kind", "", ""),
            ("involvedObject.namespace", "", ""),
            ("involvedObject.name", "", ""),
            ("involvedObject.uid", "", ""),
            ("involvedObject.apiVersion", "", ""),
            ("involvedObject.resourceVersion", "", ""),
            ("involvedObject.fieldPath", "", ""),
            ("reason", "", ""),
            ("reportingComponent", "", ""),
            ("source", "source.component|reportingComponent", ""),
            ("type", "", ""),
        ],
    ),
    ("", "namespaces", &[("status.phase", "", "")]),
    ("", "nodes", &[("spec.unschedulable", "", "false")]),
    (
        "",
        "pods",
        &[
            ("spec.nodeName", "", ""),
            ("spec.restartPolicy", "", "Always"),
            ("spec.schedulerName", "", ""),
            ("spec.serviceAccountName", "", ""),
            ("spec.hostNetwork", "", "false"),
            ("status.phase", "", ""),
            ("status.podIP", "", ""),
            ("status.podIPs", "status.podIPs.0.ip", ""),
            ("status.nominatedNodeName", "", ""),
            ("spec.host", "spec.nodeName", ""),
        ],
    ),
    (
        "",
        "replicationcontrollers",
        &[("status.replicas", "", "0")],
    ),
    ("", "secrets", &[("type", "", "Opaque")]),
    (
        "",
        "services",
        &[("spec.clusterIP", "", ""), ("spec.type", "", "ClusterIP")],
    ),
    (
        "batch",
        "jobs",
        &[("status.successful", "status.succeeded", "0")],
    ),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        &[("spec.signerName", "", "")],
    ),
    (
        "resource.k8s.io",
        "resourceslices",
        &[("spec.nodeName", "", ""), ("spec.driver", "", "")],
    ),
];

impl Field {
    fn new(label: &str, places: &str, default: &'static str) -> Self {
        let places = if places.is_empty() { label } else { places };
        Self {
            label: label.to_owned(),
            places: places
                .split('|')
                .map(|place| place.split('.').map(str::to_owned).collect())
                .collect(),
            default,
        }
    }

    /// The extra fields of a built-in kind.
    pub(crate) fn built_in(group: &str, plural: &str) -> Vec<Self> {
        EXTRAS
            .iter()
            .filter(|(of_group, of_plural, _)| (*of_group, *of_plural) == (group, plural))
            .flat_map(|(_, _, rows)| *rows)
            .map(|(label, places, default)| Self::new(label, places, default))
            .collect()
    }

    /// A `selectableFields` entry of a custom resource definition, by its `jsonPath` (`.spec.color`).
    pub(crate) fn custom(json_path: &str) -> Self {
        Self::new(json_path.trim_start_matches('.'), "", "")
    }
}

/// What a field selector may name for a kind, and the API server's words where it may not.
pub(crate) fn check_label(
    fields: &[Field],
    namespaced: bool,
    custom: bool,
    label: &str,
) -> Result<(), String> {
    let known = label == "metadata.name"
        || label == "metadata.namespace" && (namespaced || !custom && fields.is_empty())
        || fields.iter().any(|field| field.label == label);
    if known {
        Ok(())
    } else if custom || !fields.is_empty() {
        Err(format!("field label not supported: {label}"))
    } else {
        Err(format!(
            "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ))
    }
}

/// What an index keeps of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Projection {
    pub(crate) api_version: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// One value per field asked for, in their order.
    pub(crate) fields: Vec<Arc<str>>,
}

/// Every place that the fields of a kind are read from, with the number of the scalar found there.
#[derive(Debug)]
pub(crate) struct Wanted {
    fields: Vec<(Vec<usize>, &'static str)>,
    places: Vec<Vec<String>>,
}

impl Wanted {
    pub(crate) fn new(fields: &[Field]) -> Self {
        let mut wanted = Self {
            fields: Vec::new(),
            places: Vec::new(),
        };
        for field in fields {
            let mut numbers = Vec::new();
            for place in &field.places {
                let known = wanted.places.iter().position(|known| known == place);
                numbers.push(known.unwrap_or_else(|| {
                    wanted.places.push(place.clone());
                    wanted.places.len() - 1
                }));
            }
            wanted.fields.push((numbers, field.default));
        }
        wanted
    }

    /// Reads an object's metadata and the wanted fields in one pass over its bytes.
    pub(crate) fn read(&self, item: &[u8]) -> Result<Projection, serde_json::Error> {
        let mut found = Found {
            projection: Projection::default(),
            scalars: vec![None; self.places.len()],
        };
        let mut decoder = serde_json::Deserializer::from_slice(item);
        Item {
            wanted: self,
            found: &mut found,
        }
        .deserialize(&mut decoder)?;
        decoder.end()?;
        Ok(found.finish(self))
    }
}

struct Found {
    projection: Projection,
    scalars: Vec<Option<String>>,
}

impl Found {
    fn finish(self, wanted: &Wanted) -> Projection {
        let Self {
            mut projection,
            scalars,
        } = self;
        let value = |(places, default): &(Vec<usize>, &'static str)| -> Arc<str> {
            let mut values = places.iter().filter_map(|&place| scalars[place].as_deref());
            Arc::from(values.find(|value| !value.is_empty()).unwrap_or(default))
        };
        projection.fields = wanted.fields.iter().map(value).collect();
        projection
    }
}

/// The object itself: a map whose `metadata` is read as metadata and whose rest is probed.
struct Item<'a> {
    wanted: &'a Wanted,
    found: &'a mut Found,
}

#[derive(serde::Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { wanted, found } = self;
        let roots: Vec<Place<'_>> = wanted
            .places
            .iter()
            .enumerate()
            .map(|(number, place)| Place {
                number,
                rest: place,
            })
            .collect();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key.as_ref() {
                "apiVersion" => found.projection.api_version = map.next_value()?,
                "kind" => found.projection.kind = map.next_value()?,
                "metadata" => {
                    if let Some(metadata) = map.next_value::<Option<Metadata>>()? {
                        found.projection.name = metadata.name.unwrap_or_default();
                        found.projection.namespace = metadata.namespace.unwrap_or_default();
                        found.projection.labels = metadata.labels.unwrap_or_default();
                    }
                }
                key => descend(&mut map, key, &roots, &mut found.scalars)?,
            }
        }
        Ok(())
    }
}

/// A wanted place, seen from somewhere inside the object.
#[derive(Clone, Copy)]
struct Place<'a> {
    number: usize,
    rest: &'a [String],
}

fn descend<'de, A: MapAccess<'de>>(
    map: &mut A,
    key: &str,
    places: &[Place<'_>],
    scalars: &mut [Option<String>],
) -> Result<(), A::Error> {
    let below = below(key, places);
    if below.is_empty() {
        map.next_value::<IgnoredAny>().map(|_| ())
    } else {
        map.next_value_seed(Probe {
            places: below,
            scalars,
        })
    }
}

fn below<'a>(key: &str, places: &[Place<'a>]) -> Vec<Place<'a>> {
    places
        .iter()
        .filter_map(|place| match place.rest.split_first() {
            Some((first, rest)) if first == key => Some(Place {
                number: place.number,
                rest,
            }),
            _ => None,
        })
        .collect()
}

/// A value inside the object that is, or holds, something wanted.
struct Probe<'a> {
    places: Vec<Place<'a>>,
    scalars: &'a mut [Option<String>],
}

impl Probe<'_> {
    fn found(self, text: &str) {
        for place in self.places.iter().filter(|place| place.rest.is_empty()) {
            self.scalars[place.number] = Some(text.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found(text);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            descend(&mut map, &key, &self.places, self.scalars)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        for number in 0_usize.. {
            let below = below(&number.to_string(), &self.places);
            let element = if below.is_empty() {
                sequence.next_element::<IgnoredAny>()?.map(|_| ())
            } else {
                sequence.next_element_seed(Probe {
                    places: below,
                    scalars: self.scalars,
                })?
            };
            if element.is_none() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(group: &str, plural: &str, object: &str) -> Vec<(String, String)> {
        let fields = Field::built_in(group, plural);
        let read = Wanted::new(&fields)
            .read(object.as_bytes())
            .expect("the object is well-formed");
        fields
            .into_iter()
            .zip(read.fields)
            .map(|(field, value)| (field.label, value.to_string()))
            .collect()
    }

    fn value(group: &str, plural: &str, object: &str, label: &str) -> String {
        let all = values(group, plural, object);
        let found = all.into_iter().find(|(name, _)| name == label);
        found.expect("the kind has the field").1
    }

    #[test]
    fn reads_each_kind_of_place() {
        let pod = r#"{"status":{"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"phase":"Running"},
            "spec":{"nodeName":"n1","hostNetwork":true,"containers":[{"name":"a"}]},"metadata":{"name":"p"}}"#;
        for (label, expected) in [
            ("status.phase", "Running"),
            ("spec.nodeName", "n1"),
            ("spec.host", "n1"),
            ("spec.hostNetwork", "true"),
            ("status.podIPs", "10.0.0.1"),
            ("spec.schedulerName", ""),
        ] {
            assert_eq!(value("", "pods", pod, label), expected, "{label}");
        }
        let event =
            r#"{"metadata":{},"source":{},"reportingComponent":"kubelet","type":"Warning"}"#;
        assert_eq!(value("", "events", event, "source"), "kubelet");
        let job = r#"{"metadata":{},"status":{"succeeded":3}}"#;
        assert_eq!(value("batch", "jobs", job, "status.successful"), "3");
        assert_eq!(value("batch", "jobs", "{}", "status.successful"), "0");
        assert_eq!(
            value("", "nodes", r#"{"spec":null}"#, "spec.unschedulable"),
            "false"
        );
    }

    #[test]
    fn reads_metadata_wherever_it_stands() {
        let read = Wanted::new(&[])
            .read(br#"{"spec":{"metadata":{"name":"no"}},"metadata":{"labels":{"a":"b"},"name":"n","namespace":"x"},"kind":"Pod"}"#)
            .expect("the object is well-formed");
        assert_eq!((read.name.as_str(), read.namespace.as_str()), ("n", "x"));
        assert_eq!(read.labels.get("a").map(String::as_str), Some("b"));
        assert_eq!(read.kind.as_deref(), Some("Pod"));
        assert_eq!(read.api_version, None);
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in [
            "[]",
            "3",
            "{",
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "{} {}",
        ] {
            assert!(Wanted::new(&[]).read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_checked_as_the_api_server_does() {
        let pods = Field::built_in("", "pods");
        assert_eq!(check_label(&pods, true, false, "spec.nodeName"), Ok(()));
        assert_eq!(
            check_label(&pods, true, false, "spec.foo"),
            Err("field label not supported: spec.foo".to_owned())
        );
        assert_eq!(
            check_label(&[], true, false, "spec.foo"),
            Err(r#""spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace""#.to_owned())
        );
        assert!(check_label(&[], false, true, "metadata.namespace").is_err());
        let custom = [Field::custom(".spec.color")];
        assert_eq!(check_label(&custom, true, true, "spec.color"), Ok(()));
    }
}
