//! Booleans as Go `strconv.ParseBool` reads them (`exclude`, `strict`, `when`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that `strconv.ParseBool` refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no boolean: write true or false")]
pub struct BooleanError {
    text: String,
}

/// Reads `1`, `t`, `T`, `true`, `TRUE`, `True` and their opposites; nothing else, spaces included.
pub fn parse(text: &str) -> Result<bool, BooleanError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(BooleanError {
            text: text.chars().take(40).collect(),
        }),
    }
}

/// A boolean, or a text that a template has filled in: troubleshoot's `exclude` and `strict`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a boolean or a string")]
pub enum BoolOrString {
    /// A boolean.
    Bool(bool),
    /// A text for [`parse`].
    String(String),
}

impl BoolOrString {
    /// The value; the empty text is false.
    pub fn get(&self) -> Result<bool, BooleanError> {
        match self {
            Self::Bool(bool) => Ok(*bool),
            Self::String(text) if text.is_empty() => Ok(false),
            Self::String(text) => parse(text),
        }
    }
}

impl Default for BoolOrString {
    fn default() -> Self {
        Self::Bool(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse(text), Ok(true));
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse(text), Ok(false));
        }
        for text in ["", "yes", "tRUE", " true", "2", "{{repl x}}"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_boolean_may_come_as_text() -> Result<(), serde_json::Error> {
        for (json, value) in [
            ("true", Ok(true)),
            ("\"true\"", Ok(true)),
            ("\"\"", Ok(false)),
            ("\"no\"", Err(())),
        ] {
            let read: BoolOrString = serde_json::from_str(json)?;
            assert_eq!(read.get().map_err(drop), value, "{json}");
        }
        assert!(serde_json::from_str::<BoolOrString>("1").is_err());
        Ok(())
    }
}
