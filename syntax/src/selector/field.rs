//! Field selectors.

use std::fmt;

use crate::quote::quote;

use super::{SelectorError, error};

/// A field selector: `metadata.name=x,status.phase!=Running`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One comparison of a field selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's dotted path.
    pub field: String,
    /// The value it is compared with; an absent field has the empty one.
    pub value: String,
    /// Whether it must be equal, or must not.
    pub equal: bool,
}

impl FieldSelector {
    /// Reads a selector. In values `\`, `,` and `=` are escaped by `\`.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some(at) = part.find('=') else {
                return error(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ));
            };
            let (field, value) = part.split_at(at);
            let value = &value[1..];
            let equal = !field.ends_with('!');
            let field = field.strip_suffix('!').unwrap_or(field);
            let value = if equal {
                value.strip_prefix('=').unwrap_or(value)
            } else {
                value
            };
            let value = unescape(value)?;
            // `=` alone asks nothing.
            if !(field.is_empty() && value.is_empty()) {
                terms.push(FieldTerm {
                    field: field.to_owned(),
                    value,
                    equal,
                });
            }
        }
        Ok(FieldSelector { terms })
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The comparisons.
    #[must_use]
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// The value that a field must have, if the selector fixes it.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        let term = self
            .terms
            .iter()
            .find(|term| term.equal && term.field == field)?;
        Some(&term.value)
    }

    /// Refuses a field that a kind cannot be selected by. `own` are the fields of the kind beside
    /// `metadata.name` and `metadata.namespace`.
    pub fn check(&self, own: &[&str]) -> Result<(), SelectorError> {
        let known = |field: &str| {
            field == "metadata.name" || field == "metadata.namespace" || own.contains(&field)
        };
        match self.terms.iter().find(|term| !known(&term.field)) {
            None => Ok(()),
            Some(term) if own.is_empty() => error(format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                quote(&term.field)
            )),
            Some(term) => error(format!("field label not supported: {}", term.field)),
        }
    }

    /// Whether an object is selected; `field` looks a value up by its path.
    #[must_use]
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms
            .iter()
            .all(|term| (field(&term.field).unwrap_or_default() == term.value) == term.equal)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term
                .value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
    .collect()
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut unescaped = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => unescaped.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return error(format!(
                        "invalid field selector: invalid escape sequence: \\{other}"
                    ));
                }
            },
            ',' | '=' => {
                let code = u32::from(c);
                return error(format!(
                    "invalid field selector: unescaped character in value: {code}"
                ));
            }
            c => unescaped.push(c),
        }
    }
    Ok(unescaped)
}
