//! Plug-in configuration: a JSON value into a typed struct, with the path of every error and of every
//! ignored field, so that the spec loader can turn both into a line and a column.
//!
//! Null is Go's null: a field that is null counts as absent, a null where a text is wanted is empty.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor, value,
};
use serde_json::{Map, Value};

/// A configuration and the paths of the fields that nothing read.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The typed configuration.
    pub config: T,
    /// Fields that the type does not know, as paths from the value's root (`limits.maxLine`,
    /// `outcomes[0].wen`).
    pub ignored: Vec<String>,
}

/// A value that does not fit the type asked for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// The path of the offending value from the root, dotted, `[0]` for list items; `.` for the root itself.
    pub path: String,
    /// What was expected and what was there.
    pub message: String,
}

/// Reads `value` as a `T`, collecting unknown fields instead of refusing them: an old tool must be able
/// to run a newer spec, but never silently.
pub fn parse<T: DeserializeOwned>(value: &Value) -> Result<Parsed<T>, ConfigError> {
    let mut ignored = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(Input(value), &mut track);
    let read = serde_ignored::deserialize(tracked, |path| ignored.push(written(&path)));
    match read {
        Ok(config) => Ok(Parsed { config, ignored }),
        Err(Mismatch(message)) => Err(ConfigError {
            path: track.path().to_string(),
            message,
        }),
    }
}

impl<T> Parsed<T> {
    /// Turns the configuration into another type, keeping what was ignored.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Parsed<U> {
        Parsed {
            config: change(self.config),
            ignored: self.ignored,
        }
    }
}

/// The path in the form that errors have.
fn written(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", written(parent)),
        Path::Map { parent, key } => match written(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => written(parent),
    }
}

/// What was expected and what was there, in Kubernetes' words.
#[derive(Debug)]
struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self(format!(
            "expected {}, got {}",
            wanted(&expected.to_string()),
            found(&got)
        ))
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(got, expected)
    }

    fn unknown_variant(got: &str, expected: &'static [&'static str]) -> Self {
        Self(format!(
            "expected one of {}, got \"{}\"",
            expected.join(", "),
            short(got)
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("the field `{field}` is missing"))
    }
}

/// Rust's words for a type in Kubernetes' words.
fn wanted(expected: &str) -> &str {
    match expected {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" => "an integer from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        "string or map" => "a string or an object",
        text if text.starts_with("struct ") => "an object",
        text if text.starts_with("enum ") => "a string or an object",
        text => text,
    }
}

fn found(got: &Unexpected<'_>) -> String {
    match got {
        Unexpected::Bool(bool) => format!("the boolean {bool}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the string \"{}\"", short(text)),
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A JSON value to read from.
struct Input<'a>(&'a Value);

impl<'a> Input<'a> {
    /// The members, without those that are null and among `dropped`.
    fn members(map: &'a Map<String, Value>, dropped: &'static [&'static str]) -> Members<'a> {
        Members {
            rest: map.iter(),
            dropped,
            value: None,
        }
    }
}

impl<'de> Deserializer<'de> for Input<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(*bool),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(map) => visitor.visit_map(Self::members(map, &[])),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_borrowed_str(""),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Self::members(map, fields)),
            // serde would fill the fields from a list in their order.
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::String(text) => {
                let text: value::StrDeserializer<'_, Mismatch> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Value::Object(map) => {
                let members = value::MapAccessDeserializer::new(Self::members(map, &[]));
                visitor.visit_enum(members)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        self.0
            .next()
            .map(|item| seed.deserialize(Input(item)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members<'a> {
    rest: serde_json::map::Iter<'a>,
    dropped: &'static [&'static str],
    value: Option<&'a Value>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        let dropped = self.dropped;
        let mut members = self
            .rest
            .by_ref()
            .filter(|(key, value)| !(value.is_null() && dropped.contains(&key.as_str())));
        let Some((key, value)) = members.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let key: value::BorrowedStrDeserializer<'de, Mismatch> =
            value::BorrowedStrDeserializer::new(key);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Mismatch> {
        seed.deserialize(Input(self.value.take().unwrap_or(&Value::Null)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        name: String,
        port: u16,
        offset: i64,
        ratio: f64,
        selector: Vec<String>,
        data: BTreeMap<String, String>,
        limits: Option<Limits>,
        outcomes: Vec<Limits>,
        mode: Option<Mode>,
        free: Value,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Limits {
        max_lines: u64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Mode {
        Fast,
        Slow { seconds: u64 },
    }

    #[test]
    fn reads_every_shape() -> Result<(), ConfigError> {
        let parsed: Parsed<Config> = parse(&json!({
            "name": "x", "port": 80, "offset": -1, "ratio": 0.5, "selector": ["a"], "data": {"k": "v"},
            "limits": {"maxLines": 3}, "mode": "fast", "free": {"a": [null]},
        }))?;
        assert!(parsed.ignored.is_empty());
        assert_eq!(parsed.config.limits, Some(Limits { max_lines: 3 }));
        assert_eq!(parsed.config.mode, Some(Mode::Fast));
        assert_eq!(parsed.config.free, json!({"a": [null]}));
        let slow: Parsed<Config> = parse(&json!({"mode": {"slow": {"seconds": 3}}}))?;
        assert_eq!(slow.config.mode, Some(Mode::Slow { seconds: 3 }));
        Ok(())
    }

    #[test]
    fn null_is_absent() -> Result<(), ConfigError> {
        let parsed: Parsed<Config> = parse(&json!({
            "name": null, "port": null, "selector": [null], "data": {"k": null}, "limits": null, "mode": null,
            "bogus": null,
        }))?;
        assert_eq!(parsed.ignored, ["bogus"]);
        let expected = Config {
            selector: vec![String::new()],
            data: [("k".to_owned(), String::new())].into(),
            ..Config::default()
        };
        assert_eq!(parsed.config, expected);
        Ok(())
    }

    #[test]
    fn unknown_fields_are_named_at_every_level() -> Result<(), ConfigError> {
        let parsed: Parsed<Config> = parse(&json!({
            "nam": 1,
            "limits": {"maxLines": 1, "maxLine": 2},
            "outcomes": [{"maxLines": 1}, {"maxLines": 1, "wen": {"deep": 1}}],
        }))?;
        assert_eq!(parsed.ignored, ["limits.maxLine", "nam", "outcomes[1].wen"]);
        Ok(())
    }

    #[test]
    fn errors_say_where_and_what() {
        for (value, path, message) in [
            (
                json!({"port": "TPL"}),
                "port",
                "expected an integer from 0 to 65535, got the string \"TPL\"",
            ),
            (
                json!({"port": 70000}),
                "port",
                "expected an integer from 0 to 65535, got the number 70000",
            ),
            (
                json!({"name": 1}),
                "name",
                "expected a string, got the number 1",
            ),
            (
                json!({"name": true}),
                "name",
                "expected a string, got the boolean true",
            ),
            (
                json!({"offset": 1.5}),
                "offset",
                "expected an integer, got the number 1.5",
            ),
            (
                json!({"selector": "a=b"}),
                "selector",
                "expected a list, got the string \"a=b\"",
            ),
            (
                json!({"selector": ["a", {}]}),
                "selector[1]",
                "expected a string, got an object",
            ),
            (
                json!({"limits": []}),
                "limits",
                "expected an object, got a list",
            ),
            (
                json!({"outcomes": [{}]}),
                "outcomes[0]",
                "the field `maxLines` is missing",
            ),
            (
                json!({"mode": "quick"}),
                "mode",
                "expected one of fast, slow, got \"quick\"",
            ),
            (
                json!({"data": {"k": 1}}),
                "data.k",
                "expected a string, got the number 1",
            ),
            (json!("x"), ".", "expected an object, got the string \"x\""),
            (json!(null), ".", "expected an object, got null"),
        ] {
            let error = parse::<Config>(&value).expect_err(message);
            assert_eq!(
                (error.path.as_str(), error.message.as_str()),
                (path, message)
            );
        }
    }
}
