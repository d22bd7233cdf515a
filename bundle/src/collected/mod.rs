//! Typed projections of the documents in a bundle: the shapes that collectors write or use, and that
//! analyzers read.
//!
//! A projection holds the fields that somebody asks for and skips the rest while parsing, so that ten
//! thousand pods cost megabytes instead of hundreds. To add one: a file here with the struct, read through
//! [`crate::Files::decoded`]. A missing field or a `null` is the type's default, as Go decodes it.

pub mod admission;
pub mod cloudnative_pg;
pub mod cluster_version;
pub mod credentials;
pub mod devices;
pub mod event;
pub mod gpu;
pub mod host;
pub mod image_bundle;
pub mod node;
pub mod pod;
pub mod postgres;
pub mod registry;
pub mod s3;
pub mod scaled;
pub mod scheduling;
pub mod secret;
pub mod template;
pub mod velero;
pub mod volume;
pub mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A Kubernetes list. A bare array is refused, as troubleshoot refuses it for most kinds.
#[derive(Debug, Clone)]
pub struct List<T> {
    /// The objects.
    pub items: Vec<T>,
}

/// A Kubernetes list, or the bare array that older releases of troubleshoot wrote.
#[derive(Debug, Clone)]
pub struct ListOrArray<T> {
    /// The objects.
    pub items: Vec<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = deserializer.deserialize_any(Items {
            or_array: false,
            of: PhantomData,
        })?;
        Ok(Self { items })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ListOrArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = deserializer.deserialize_any(Items {
            or_array: true,
            of: PhantomData,
        })?;
        Ok(Self { items })
    }
}

/// Reads the items of a list. Written out because a derived struct would take an array for its fields.
struct Items<T> {
    or_array: bool,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Kubernetes list")?;
        if self.or_array {
            formatter.write_str(" or an array")?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Vec<T>, A::Error> {
        if self.or_array {
            Vec::deserialize(SeqAccessDeserializer::new(array)).map(tight)
        } else {
            Err(A::Error::invalid_type(Unexpected::Seq, &self))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        #[derive(Deserialize)]
        struct Fields<T> {
            #[serde(
                default = "Vec::new",
                deserialize_with = "list",
                bound(deserialize = "T: Deserialize<'de>")
            )]
            items: Vec<T>,
        }
        Fields::deserialize(MapAccessDeserializer::new(map)).map(|fields| fields.items)
    }
}

/// The part of `ObjectMeta` that the smallest projections need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Name {
    /// The object's name.
    pub name: String,
    /// Its namespace, empty for cluster-scoped objects.
    pub namespace: String,
}

/// An object of which only the name is of interest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Name and namespace.
    pub metadata: Name,
}

/// `ObjectMeta` with what is used to find and to classify objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An object of which only the metadata is of interest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Object {
    /// The metadata.
    pub metadata: Metadata,
}

/// Reads `null` as the default, as Go does.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads `null` as an empty list, and keeps no room for more items: a pod has five such lists, and a cluster ten thousand
/// pods.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    or_default(deserializer).map(tight)
}

fn tight<T>(mut items: Vec<T>) -> Vec<T> {
    items.shrink_to_fit();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(items: &[Object]) -> Vec<&str> {
        items
            .iter()
            .map(|object| object.metadata.name.as_str())
            .collect()
    }

    #[test]
    fn lists_and_arrays() -> Result<(), serde_json::Error> {
        let array = r#"[{"metadata":{"name":"a"}},{"metadata":{"name":"b","labels":null}}]"#;
        let list = format!(r#"{{"kind":"PodList","metadata":{{}},"items":{array}}}"#);
        for text in [array, list.as_str()] {
            let read: ListOrArray<Object> = serde_json::from_str(text)?;
            assert_eq!(names(&read.items), ["a", "b"]);
        }
        let strict: List<Object> = serde_json::from_str(&list)?;
        assert_eq!(names(&strict.items), ["a", "b"]);
        for text in ["3", "[]", array] {
            assert!(
                serde_json::from_str::<List<Object>>(text).is_err(),
                "{text}"
            );
        }
        Ok(())
    }

    #[test]
    fn an_empty_list_may_be_null_or_left_out() -> Result<(), serde_json::Error> {
        for text in [r#"{"items":null}"#, "{}"] {
            assert!(serde_json::from_str::<List<Object>>(text)?.items.is_empty());
            assert!(
                serde_json::from_str::<ListOrArray<Object>>(text)?
                    .items
                    .is_empty()
            );
        }
        Ok(())
    }

    #[test]
    fn other_documents_are_refused() {
        for text in ["", "3", "\"x\"", r#"{"items":3}"#, r"[3]"] {
            assert!(
                serde_json::from_str::<ListOrArray<Object>>(text).is_err(),
                "{text}"
            );
        }
    }
}
