//! What every plug-in's registry row is made of: its configuration read from a spec, its documentation and
//! its schema, all from the one struct.

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;
use syntax::config::{self, ConfigError, Parsed};
use syntax::suggest::nearest;

use crate::analyzer::Analyzer;

/// Reads the configuration of the analyzer `T`.
///
/// A `null` (a key with nothing after it) is as good as no key. Refused is an outcome without `when` that has
/// a key like it (`wen`): taken literally it would hold always, and that is never what was meant.
pub(crate) fn parse<T>(value: &Value) -> Result<Parsed<Box<dyn Analyzer>>, ConfigError>
where
    T: Analyzer + DeserializeOwned + 'static,
{
    let mut value = value.clone();
    drop_nulls(&mut value);
    refuse_misspelt_when(&value)?;
    let mut parsed = config::parse::<T>(&value)?;
    parsed.ignored.extend(shadowed_branches(&value));
    Ok(parsed.map(|config| Box::new(config) as Box<dyn Analyzer>))
}

/// The doc comment of `T`.
#[must_use]
pub(crate) fn docs<T: JsonSchema>() -> String {
    schema_for!(T)
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The JSON Schema of `T`.
#[must_use]
pub(crate) fn schema<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The items of `outcomes` with their index.
fn outcomes(value: &Value) -> impl Iterator<Item = (usize, &serde_json::Map<String, Value>)> {
    value
        .get("outcomes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, outcome)| Some((index, outcome.as_object()?)))
}

fn refuse_misspelt_when(value: &Value) -> Result<(), ConfigError> {
    for (index, outcome) in outcomes(value) {
        for (verdict, branch) in outcome {
            let Some(branch) = branch.as_object() else {
                continue;
            };
            if branch.contains_key("when") {
                continue;
            }
            if let Some(key) = branch.keys().find(|key| is_like_when(key)) {
                return Err(ConfigError {
                    path: format!("outcomes[{index}].{verdict}.{key}"),
                    message: format!(
                        "unknown field {key:?}, did you mean \"when\"? Without a condition the outcome would always apply"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Whether somebody who wrote `key` meant `when`.
fn is_like_when(key: &str) -> bool {
    nearest(key, ["when", "message", "uri"]) == Some("when")
}

/// Where an outcome has several branches, those that are not used.
fn shadowed_branches(value: &Value) -> Vec<String> {
    let mut shadowed = Vec::new();
    for (index, outcome) in outcomes(value) {
        let present = ["fail", "warn", "pass"]
            .into_iter()
            .filter(|name| outcome.contains_key(*name));
        shadowed.extend(
            present
                .skip(1)
                .map(|name| format!("outcomes[{index}].{name}")),
        );
    }
    shadowed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_when_is_refused() {
        for key in ["wen", "whn", "wehn", "When", "hwen", "whem", "whenn"] {
            let spec = json!({"outcomes": [{"fail": {"message": "x"}}, {"pass": {key: "> 3"}}]});
            let refused = refuse_misspelt_when(&spec);
            let path = refused.err().map(|error| error.path);
            assert_eq!(path, Some(format!("outcomes[1].pass.{key}")));
        }
    }

    #[test]
    fn other_unknown_fields_are_somebody_elses_matter() {
        for spec in [
            json!({"outcomes": [{"pass": {"when": "> 3", "wen": "> 4"}}]}),
            json!({"outcomes": [{"pass": {"message": "x", "uri": "y", "title": "z"}}]}),
            json!({"outcomes": [{}, {"pass": null}, 3]}),
            json!({}),
        ] {
            assert!(refuse_misspelt_when(&spec).is_ok(), "{spec}");
        }
    }

    #[test]
    fn unused_branches_are_named() {
        let spec = json!({"outcomes": [
            {"pass": {}, "fail": {}},
            {"warn": {}},
            {"pass": {}, "warn": {}, "fail": {}},
        ]});
        assert_eq!(
            shadowed_branches(&spec),
            ["outcomes[0].pass", "outcomes[2].warn", "outcomes[2].pass"]
        );
    }

    #[test]
    fn nulls_are_as_good_as_absent() {
        let mut spec = json!({"a": null, "b": [{"c": null, "d": 1}]});
        drop_nulls(&mut spec);
        assert_eq!(spec, json!({"b": [{"d": 1}]}));
    }
}
