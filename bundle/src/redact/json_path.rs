//! Values of a JSON document masked by path, and nothing else of it changed.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rules::mask_spans_with;

/// Masks what lies at the path in a JSON text: the new text, and how many values that were. Nothing when it
/// is no JSON.
pub(super) fn mask(text: &str, steps: &[String]) -> Option<(Vec<u8>, u64)> {
    let root: &RawValue = serde_json::from_str(text).ok()?;
    let mut spans = Vec::new();
    find(root, steps, text, &mut spans);
    let masked = mask_spans_with(text.as_bytes(), &spans, b"\"***HIDDEN***\"");
    Some((masked, spans.len() as u64))
}

/// Adds the places of the values at the path below `value`, which is part of `text`.
fn find(value: &RawValue, steps: &[String], text: &str, spans: &mut Vec<Range<usize>>) {
    let raw = value.get();
    let Some((step, rest)) = steps.split_first() else {
        let start = raw.as_ptr() as usize - text.as_ptr() as usize;
        spans.push(start..start + raw.len());
        return;
    };
    let every = step == "*";
    if raw.starts_with('{') {
        let members: Members<'_> = serde_json::from_str(raw).unwrap_or_default();
        let members = members.0.into_iter();
        for (_, member) in members.filter(|(key, _)| every || key == step) {
            find(member, rest, text, spans);
        }
    } else if raw.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
        let index: Option<usize> = step.parse().ok();
        let items = items.into_iter().enumerate();
        for (_, item) in items.filter(|(place, _)| every || Some(*place) == index) {
            find(item, rest, text, spans);
        }
    }
}

/// The members of an object, those with equal keys too.
#[derive(Default)]
struct Members<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);
