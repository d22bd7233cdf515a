//! Kubernetes label selectors (the full grammar of `kubectl -l`, and `matchLabels`/`matchExpressions`) and field
//! selectors (`--field-selector`).
//!
//! Errors carry the API server's sentences, so that a server over a bundle can pass them on.

mod field;
mod name;
mod parser;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::quote::quote;

pub use field::{FieldSelector, FieldTerm};
use name::{check_key, check_value};

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
        parser::requirements(text).map(LabelSelector::sorted)
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
