//! Kubernetes label selectors (the full grammar of `kubectl -l`, and `matchLabels`/`matchExpressions`) and field
//! selectors (`--field-selector`).
//!
//! Errors carry the API server's sentences, so that a server over a bundle can pass them on.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::quote::quote;

/// A selector that the API server would refuse, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

fn error<T>(message: impl Into<String>) -> Result<T, SelectorError> {
    Err(SelectorError(message.into()))
}

/// What a requirement asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `a in (b,c)`
    In,
    /// `a notin (b,c)`
    NotIn,
    /// `a=b`
    Equals,
    /// `a==b`
    DoubleEquals,
    /// `a!=b`
    NotEquals,
    /// `a`
    Exists,
    /// `!a`
    DoesNotExist,
    /// `a>1`
    GreaterThan,
    /// `a<1`
    LessThan,
}

/// One part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, without repetition.
    values: Vec<String>,
}

impl Requirement {
    fn new(
        key: &str,
        operator: Operator,
        values: BTreeSet<String>,
    ) -> Result<Requirement, SelectorError> {
        check_key(key, "key")?;
        let shown = || {
            let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
            format!("[{}]", quoted.join(","))
        };
        let refuse = |reason: &str| error(format!("values: Invalid value: {}: {reason}", shown()));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return refuse("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return refuse("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                for value in &values {
                    if value.parse::<i64>().is_err() {
                        return error(format!(
                            "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                            quote(value)
                        ));
                    }
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            check_value(value, &format!("values[{index}][{key}]"))?;
        }
        Ok(Requirement {
            key: key.to_owned(),
            operator,
            values: values.into_iter().collect(),
        })
    }

    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is asked of it.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values it is compared with, sorted.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|bound| number(bound));
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => {
                matches!((value.and_then(number), bound()), (Some(v), Some(b)) if v > b)
            }
            Operator::LessThan => {
                matches!((value.and_then(number), bound()), (Some(v), Some(b)) if v < b)
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A label selector: requirements that must all hold. The empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (x,y),f notin (z),!g,h,i>1`.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        Parser {
            tokens: lex(text),
            position: 0,
        }
        .selector()
        .map(LabelSelector::sorted)
    }

    /// Reads an object with `matchLabels` and `matchExpressions`, as in a Deployment's `spec.selector`.
    pub fn from_json(selector: &Value) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let value = text(value, "matchLabels")?;
            requirements.push(Requirement::new(key, Operator::Equals, [value].into())?);
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let operator = match text(&expression["operator"], "operator")?.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let other = quote(other);
                    return error(format!("{other} is not a valid label selector operator"));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values
                .map(|value| text(value, "values"))
                .collect::<Result<_, _>>()?;
            let key = text(&expression["key"], "key")?;
            requirements.push(Requirement::new(&key, operator, values)?);
        }
        Ok(LabelSelector::sorted(requirements))
    }

    fn sorted(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements }
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether labels are selected; `label` looks one up by its key.
    #[must_use]
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.holds(label(&requirement.key)))
    }

    /// Whether an object's `metadata.labels` (an object of strings, or nothing) are selected.
    #[must_use]
    pub fn matches_json(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).and_then(Value::as_str))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn text(value: &Value, field: &str) -> Result<String, SelectorError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        other => error(format!(
            "label selector: {field} holds {other}, which is not text"
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    End,
    Close,
    Open,
    Comma,
    Not,
    Word,
    Operator(Operator),
}

type Token<'a> = (Kind, &'a str);

/// Longest first: `==` before `=`.
const SYMBOLS: [(&str, Kind); 9] = [
    ("==", Kind::Operator(Operator::DoubleEquals)),
    ("!=", Kind::Operator(Operator::NotEquals)),
    ("=", Kind::Operator(Operator::Equals)),
    ("!", Kind::Not),
    (">", Kind::Operator(Operator::GreaterThan)),
    ("<", Kind::Operator(Operator::LessThan)),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
];

fn lex(text: &str) -> Vec<Token<'_>> {
    let blank = [' ', '\t', '\r', '\n'];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while !rest.is_empty() {
        let symbol = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol));
        let (kind, length) = if let Some((symbol, kind)) = symbol {
            (*kind, symbol.len())
        } else {
            let end = |c: char| "=!(),><".contains(c) || blank.contains(&c);
            let length = rest.find(end).unwrap_or(rest.len());
            let kind = match &rest[..length] {
                "in" => Kind::Operator(Operator::In),
                "notin" => Kind::Operator(Operator::NotIn),
                _ => Kind::Word,
            };
            (kind, length)
        };
        let (literal, after) = rest.split_at(length);
        tokens.push((kind, literal));
        rest = after.trim_start_matches(blank);
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token where a key or a value may stand: there `in` and `notin` are words like others.
    fn peek(&self) -> Token<'a> {
        match self.tokens.get(self.position) {
            Some((Kind::Operator(Operator::In | Operator::NotIn), literal)) => {
                (Kind::Word, literal)
            }
            Some(token) => *token,
            None => (Kind::End, ""),
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn selector(mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Kind::Word | Kind::Not, _) => {
                    let requirement = self.requirement().map_err(|error| {
                        SelectorError(format!("unable to parse requirement: {error}"))
                    })?;
                    requirements.push(requirement);
                }
                (Kind::End, _) => return Ok(requirements),
                (_, found) => {
                    return error(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match self.next() {
                (Kind::End, _) => return Ok(requirements),
                (Kind::Comma, _) => {
                    if let (kind, found) = self.peek()
                        && !matches!(kind, Kind::Word | Kind::Not)
                    {
                        return error(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                (_, found) => {
                    return error(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut kind, mut key) = self.next();
        let absent = kind == Kind::Not;
        if absent {
            (kind, key) = self.next();
        }
        if kind != Kind::Word {
            return error(format!("found '{key}', expected: identifier"));
        }
        check_key(key, "<nil>")?;
        let last = matches!(self.peek().0, Kind::End | Kind::Comma);
        if absent || last {
            let operator = if absent {
                Operator::DoesNotExist
            } else {
                Operator::Exists
            };
            return Requirement::new(key, operator, BTreeSet::new());
        }
        let found = self
            .tokens
            .get(self.position)
            .copied()
            .unwrap_or((Kind::End, ""));
        self.position += 1;
        let (Kind::Operator(operator), _) = found else {
            let found = found.1;
            return error(format!(
                "found '{found}', expected: in, notin, =, ==, !=, gt, lt"
            ));
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => [self.exact()?].into(),
        };
        Requirement::new(key, operator, values)
    }

    fn exact(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek().0, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Kind::Word, value) => Ok(value.to_owned()),
            (_, found) => error(format!("found '{found}', expected: identifier")),
        }
    }

    /// `(a,b)`; a missing value beside a comma is the empty one.
    fn list(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let (kind, found) = self.next();
        if kind != Kind::Open {
            return error(format!("found '{found}' expected: '('"));
        }
        let mut values = BTreeSet::new();
        let (kind, found) = self.peek();
        if !matches!(kind, Kind::Word | Kind::Comma | Kind::Close) {
            return error(format!("found '{found}', expected: ',', ')' or identifier"));
        }
        loop {
            match self.peek() {
                (Kind::Word, value) => {
                    self.position += 1;
                    values.insert(value.to_owned());
                    if let (kind, found) = self.peek()
                        && !matches!(kind, Kind::Comma | Kind::Close)
                    {
                        return error(format!("found '{found}', expected: ',' or ')'"));
                    }
                }
                (Kind::Comma, _) => {
                    self.position += 1;
                    if values.is_empty() || matches!(self.peek().0, Kind::Comma | Kind::Close) {
                        values.insert(String::new());
                    }
                }
                (Kind::Close, _) => {
                    self.position += 1;
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    return Ok(values);
                }
                (_, found) => {
                    return error(format!("found '{found}', expected: ',', or identifier"));
                }
            }
        }
    }
}

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

fn check_key(key: &str, path: &str) -> Result<(), SelectorError> {
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

fn check_value(value: &str, path: &str) -> Result<(), SelectorError> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors() -> Result<(), SelectorError> {
        let labels =
            json!({"app": "web", "tier": "", "in": "notin", "size": "10", "example.com/a": "b"});
        for (text, canonical, expected) in [
            ("", "", true),
            (" ", "", true),
            ("app=web", "app=web", true),
            ("app == web", "app==web", true),
            ("app!=web", "app!=web", false),
            ("none!=x", "none!=x", true),
            ("app", "app", true),
            ("! app", "!app", false),
            ("!none,app", "app,!none", true),
            ("app in (web, db)", "app in (db,web)", true),
            ("app notin (web,db)", "app notin (db,web)", false),
            ("none notin (a)", "none notin (a)", true),
            ("tier in (,a)", "tier in (,a)", true),
            ("tier in ()", "tier in ()", true),
            ("tier=,app=web", "app=web,tier=", true),
            ("in=notin", "in=notin", true),
            ("in in (in,notin)", "in in (in,notin)", true),
            ("size>9", "size>9", true),
            ("size<9", "size<9", false),
            ("app>1", "app>1", false),
            ("example.com/a=b", "example.com/a=b", true),
        ] {
            let selector = LabelSelector::parse(text)?;
            assert_eq!(selector.to_string(), canonical, "{text}");
            assert_eq!(selector.matches_json(&labels), expected, "{text}");
        }
        assert!(LabelSelector::parse("!app")?.matches_json(&Value::Null));
        Ok(())
    }

    #[test]
    fn refused_label_selectors() {
        for (text, message) in [
            (
                ",",
                "found ',', expected: !, identifier, or 'end of string'",
            ),
            ("a=b,", "found '', expected: identifier after ','"),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "a in b",
                "unable to parse requirement: found 'b' expected: '('",
            ),
            (
                "a in (b",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "a in (b,",
                "unable to parse requirement: found '', expected: ',', or identifier",
            ),
            (
                "a in (=",
                "unable to parse requirement: found '=', expected: ',', ')' or identifier",
            ),
            (
                "a===b",
                "unable to parse requirement: found '=', expected: identifier",
            ),
            (
                "!",
                "unable to parse requirement: found '', expected: identifier",
            ),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            (
                "-a",
                "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
        ] {
            let error = LabelSelector::parse(text)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{text}");
        }
    }

    #[test]
    fn selectors_of_objects() -> Result<(), SelectorError> {
        let selector = LabelSelector::from_json(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }))?;
        assert_eq!(selector.to_string(), "app=web,!old,tier in (a,b)");
        assert!(selector.matches_json(&json!({"app": "web", "tier": "a"})));
        assert!(!selector.matches_json(&json!({"app": "web", "tier": "a", "old": ""})));
        assert!(LabelSelector::from_json(&json!({}))?.is_empty());
        for broken in [
            json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchLabels": {"a": 1}}),
        ] {
            assert!(LabelSelector::from_json(&broken).is_err(), "{broken}");
        }
        Ok(())
    }

    #[test]
    fn field_selectors() -> Result<(), SelectorError> {
        let fields = |path: &str| match path {
            "metadata.name" => Some("a,b"),
            "status.phase" => Some("Running"),
            _ => None,
        };
        for (text, canonical, expected) in [
            ("", "", true),
            ("=", "", true),
            ("status.phase=Running", "status.phase=Running", true),
            ("status.phase==Running,", "status.phase=Running", true),
            ("status.phase!=Running", "status.phase!=Running", false),
            ("spec.nodeName=", "spec.nodeName=", true),
            (r"metadata.name=a\,b", r"metadata.name=a\,b", true),
            (
                "status.phase!=Failed,metadata.name!=x",
                "metadata.name!=x,status.phase!=Failed",
                true,
            ),
        ] {
            let selector = FieldSelector::parse(text)?;
            assert_eq!(selector.to_string(), canonical, "{text}");
            assert_eq!(selector.matches(fields), expected, "{text}");
        }
        assert_eq!(
            FieldSelector::parse("metadata.name=x")?.exact("metadata.name"),
            Some("x")
        );
        for (text, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (
                "a=b=c",
                "invalid field selector: unescaped character in value: 61",
            ),
            (
                r"a=\x",
                r"invalid field selector: invalid escape sequence: \x",
            ),
            (
                r"a=\",
                r"invalid field selector: invalid escape sequence: \",
            ),
        ] {
            let error = FieldSelector::parse(text)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{text}");
        }
        let unknown = FieldSelector::parse("spec.x=1")?;
        let message = |own: &[&str]| unknown.check(own).err().map(|error| error.to_string());
        assert_eq!(message(&["spec.x"]), None);
        assert_eq!(
            message(&["spec.y"]).as_deref(),
            Some("field label not supported: spec.x")
        );
        assert_eq!(
            message(&[]).as_deref(),
            Some(
                r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#
            )
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[a-b in=!(),<>1\\]{0,30}|.*") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let printed = LabelSelector::parse(&selector.to_string());
                prop_assert_eq!(printed, Ok(selector), "{}", text);
            }
            if let Ok(selector) = FieldSelector::parse(&text) {
                let _ = selector.matches(|_| None);
            }
        }
    }
}
