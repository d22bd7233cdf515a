//! Plug-in configuration: a JSON value into a typed struct, with the path of every error and of every
//! ignored field, so that the spec loader can turn both into a line and a column.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A configuration and the paths of the fields that nothing read.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The typed configuration.
    pub config: T,
    /// Fields that the type does not know, as paths from the value's root (`limits.maxLine`).
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
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| ignored.push(path.to_string()));
    match read {
        Ok(config) => Ok(Parsed { config, ignored }),
        Err(error) => Err(ConfigError {
            path: track.path().to_string(),
            message: error.to_string(),
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
