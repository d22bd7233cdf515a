//! What may be the key and the value of a label.

use crate::quote::quote;

use super::{SelectorError, error};

const NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
/// The longest label value, and the longest name part of a key.
const MAX_NAME: usize = 63;
/// The longest prefix part of a key.
const MAX_PREFIX: usize = 253;

fn name_rule(subject: &str, examples: &str, pattern: &str) -> String {
    format!("{subject}{NAME_RULE} (e.g. {examples}, regex used for validation is '{pattern}')")
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = label.as_bytes();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
    })
}

/// Refuses what cannot be the key of a label; `path` is what the API server calls the place.
pub(super) fn check_key(key: &str, path: &str) -> Result<(), SelectorError> {
    const EXAMPLES: &str = "'MyName',  or 'my.name',  or '123-abc'";
    let mut reasons = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts[..] {
        [name] => Some(name),
        [prefix, name] => {
            if prefix.is_empty() {
                reasons.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > MAX_PREFIX {
                    reasons.push(format!(
                        "prefix part must be no more than {MAX_PREFIX} bytes"
                    ));
                }
                if !is_subdomain(prefix) {
                    reasons.push("prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned());
                }
            }
            Some(name)
        }
        _ => {
            let rule = name_rule("a valid label key ", EXAMPLES, NAME);
            reasons.push(format!(
                "{rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            None
        }
    };
    if let Some(name) = name {
        if name.is_empty() {
            reasons.push("name part must be non-empty".to_owned());
        } else if name.len() > MAX_NAME {
            reasons.push(format!("name part must be no more than {MAX_NAME} bytes"));
        }
        if !is_name(name) {
            reasons.push(name_rule("name part ", EXAMPLES, NAME));
        }
    }
    invalid(path, key, &reasons)
}

/// Refuses what cannot be the value of a label.
pub(super) fn check_value(value: &str, path: &str) -> Result<(), SelectorError> {
    let mut reasons = Vec::new();
    if value.len() > MAX_NAME {
        reasons.push(format!("must be no more than {MAX_NAME} bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        reasons.push(format!(
            "a valid label must be an empty string or {} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({NAME})?')",
            NAME_RULE.trim_start_matches("must ")
        ));
    }
    invalid(path, value, &reasons)
}

fn invalid(path: &str, value: &str, reasons: &[String]) -> Result<(), SelectorError> {
    if reasons.is_empty() {
        return Ok(());
    }
    let (value, reasons) = (quote(value), reasons.join("; "));
    error(format!("{path}: Invalid value: {value}: {reasons}"))
}
