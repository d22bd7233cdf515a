//! The part of a document that a path reads, taken while the document is parsed.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A step that leads to one value at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the member of an object.
    Key(String),
    /// To the item of a list, counted from 0.
    Index(usize),
}

/// Reads a JSON document with only what `steps` lead to, so that a path which begins with these steps finds the same in it as
/// in the whole document, and fails with the same words: the members beside a step are left out, the items before
/// it are null and those after it left out. All of the document is read, and one that `serde_json`'s `Value` refuses is refused.
pub fn spine(document: &[u8], steps: &[Step]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let value = Spine(steps).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The steps of a dotted path up to the first that is none, `[x]`.
#[must_use]
pub fn dotted_steps(path: &str) -> Vec<Step> {
    let step = |key: &str| match key.strip_prefix('[').and_then(|key| key.strip_suffix(']')) {
        None => Some(Step::Key(key.to_owned())),
        Some(index) => {
            let index: i64 = index.parse().ok()?;
            Some(Step::Index(usize::try_from(index).ok()?))
        }
    };
    path.split('.').map_while(step).collect()
}

/// Reads a value with only what the steps lead to. Where a step does not fit the value, all of it is kept: it is in
/// the way of the path, and is named in the error.
#[derive(Clone, Copy)]
struct Spine<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Spine<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Spine<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let (wanted, rest) = match self.0 {
            [Step::Index(wanted), rest @ ..] => (Some(*wanted), rest),
            _ => (None, &[][..]),
        };
        let mut items = Vec::new();
        loop {
            let is_wanted = wanted.is_none_or(|wanted| wanted == items.len());
            let item = if is_wanted {
                list.next_element_seed(Spine(rest))?
            } else {
                list.next_element_seed(Checked)?.map(|()| Value::Null)
            };
            match item {
                // How many there are only counts for an index beyond the end.
                Some(_) if wanted.is_some_and(|wanted| wanted < items.len()) => {}
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let (wanted, rest) = match self.0 {
            [Step::Key(wanted), rest @ ..] => (Some(wanted), rest),
            _ => (None, &[][..]),
        };
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if wanted.is_none_or(|wanted| *wanted == key) {
                // The last of equal keys counts, as it does for the whole.
                let value = object.next_value_seed(Spine(rest))?;
                members.insert(key, value);
            } else {
                object.next_value_seed(Checked)?;
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads over a value, and refuses what `Value` refuses, where serde's `IgnoredAny` passes over bytes that are no UTF-8,
/// halves of surrogate pairs, numbers beyond a double, and any nesting.
#[derive(Clone, Copy)]
struct Checked;

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while object.next_key_seed(Self)?.is_some() {
            object.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json_path::{JsonPath, get_at_path};

    /// JSON as text, with keys that stand twice, and now and then what is not JSON or not for `Value`.
    fn document() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            12 => prop::sample::select(vec!["null", "true", "false", "0", "-1", "2.5", "1e3", "\"a\"", "\"\\n\\u00e9\"", "18446744073709551616"]),
            1 => prop::sample::select(vec!["\"\\ud800\"", "1e999", "nope", "", "\"", "01", "\"\\q\""]),
        ]
        .prop_map(str::to_owned);
        let value = scalar.prop_recursive(5, 40, 5, |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(("[abc]", value), 0..6).prop_map(|members| {
                    let members: Vec<String> = members
                        .iter()
                        .map(|(key, value)| format!("\"{key}\": {value}"))
                        .collect();
                    format!("{{{}}}", members.join(", "))
                }),
            ]
        });
        (
            value,
            prop::sample::select(vec!["", "", "", "", " ", "\n", "}", ",", "1"]),
        )
            .prop_map(|(value, after)| value + after)
    }

    fn dotted_path() -> impl Strategy<Value = String> {
        let step = prop::sample::select(vec![
            "a", "b", "c", "a", "b", "", "[0]", "[1]", "[2]", "[9]", "[-1]", "[x]", "d",
        ]);
        prop::collection::vec(step, 1..5).prop_map(|steps| steps.join("."))
    }

    fn json_path() -> impl Strategy<Value = String> {
        let step = prop::sample::select(vec![
            ".a",
            ".b",
            ".c",
            ".a",
            ".b",
            "[0]",
            "[1]",
            "[2]",
            "[9]",
            "[-1]",
            "[*]",
            "[0:2]",
            "[0,1]",
            "['a']",
            "..a",
            "[?(@.a==1)]",
            "[?(@.b)]",
            ".*",
            " ",
            "$",
            "@",
        ]);
        let action =
            prop::collection::vec(step, 0..5).prop_map(|steps| format!("{{{}}}", steps.concat()));
        let around = prop::sample::select(vec!["", "", "", "x", "{.b}", "{range .a[*]}"]);
        let after = prop::sample::select(vec!["", "", "", "y", "{.c[0]}", "{end}"]);
        (around, action, after)
            .prop_map(|(before, action, after)| format!("{before}{action}{after}"))
    }

    /// What a selection gives on the whole document and on its spine: the value, or what is wrong in words.
    fn both_ways(
        document: &[u8],
        steps: &[Step],
        select: impl Fn(&Value) -> Result<Value, String>,
    ) -> (Result<Value, String>, Result<Value, String>) {
        let refused = |error: serde_json::Error| error.to_string();
        let whole = serde_json::from_slice::<Value>(document).map_err(refused);
        let part = spine(document, steps).map_err(refused);
        (
            whole.and_then(|whole| select(&whole)),
            part.and_then(|part| select(&part)),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_dotted_path_finds_the_same(document in document(), path in dotted_path()) {
            let (whole, part) = both_ways(document.as_bytes(), &dotted_steps(&path), |value| {
                get_at_path(value, &path).cloned().map_err(|error| error.to_string())
            });
            prop_assert_eq!(whole, part);
        }

        #[test]
        fn a_template_finds_the_same(document in document(), path in json_path()) {
            let Ok(json_path) = JsonPath::parse(&path) else {
                return Ok(());
            };
            let (whole, part) = both_ways(document.as_bytes(), &json_path.leading_steps(), |value| {
                json_path.find(value).map(|found| serde_json::json!(found)).map_err(|error| error.to_string())
            });
            prop_assert_eq!(whole, part);
        }

        #[test]
        fn bytes_that_are_refused_are_refused(
            bytes in prop::collection::vec(prop_oneof![prop::sample::select(b"[]{}\",:\\a01e-u \n".to_vec()), any::<u8>()], 0..24),
            path in dotted_path(),
        ) {
            let whole = serde_json::from_slice::<Value>(&bytes).is_ok();
            prop_assert_eq!(spine(&bytes, &dotted_steps(&path)).is_ok(), whole);
        }
    }

    #[test]
    fn only_what_is_asked_for_is_kept() -> Result<(), serde_json::Error> {
        let document =
            br#"{"kind": "L", "items": [{"a": 1}, {"a": {"b": 2, "c": 3}, "d": 4}, {"a": 5}]}"#;
        for (path, kept) in [
            ("{.items[1].a.b}", r#"{"items":[null,{"a":{"b":2}}]}"#),
            ("{.items[1].a}", r#"{"items":[null,{"a":{"b":2,"c":3}}]}"#),
            (
                "{.items[1].*}",
                r#"{"items":[null,{"a":{"b":2,"c":3},"d":4}]}"#,
            ),
            ("{.kind.x}", r#"{"kind":"L"}"#),
            ("{.zz}", "{}"),
        ] {
            let json_path = JsonPath::parse(path).expect("a path");
            let part = spine(&document[..], &json_path.leading_steps())?;
            assert_eq!(part.to_string(), kept, "{path}");
        }
        Ok(())
    }

    #[test]
    fn what_ignoring_passes_over_is_refused() {
        let deep = format!(
            "{{\"x\": {}1{}, \"a\": 1}}",
            "[".repeat(200),
            "]".repeat(200)
        );
        let documents: [&[u8]; 4] = [
            deep.as_bytes(),
            b"{\"x\": 1e999, \"a\": 1}",
            b"{\"x\": \"\\ud800\", \"a\": 1}",
            b"{\"x\": \"\xff\", \"a\": 1}",
        ];
        for document in documents {
            assert!(serde_json::from_slice::<Value>(document).is_err());
            assert!(spine(document, &dotted_steps("a")).is_err());
        }
    }
}
