//! The conditions of `outcomes`, and what their messages may use.

use bundle::collected::s3::Way;
use serde_json::{Value, json};

use super::Case;
use crate::finding::NotEvaluated;
use crate::outcome::{Operator, bad_condition};
use crate::s3::{broken, why};

impl Case<'_> {
    /// Whether a condition holds.
    pub(super) fn holds(&self, when: &str) -> Result<bool, NotEvaluated> {
        let words: Vec<&str> = when.split_whitespace().collect();
        let [fact, operator, wanted] = words[..] else {
            return Err(bad_condition(
                when,
                "expected three words, as in `usable == true`",
            ));
        };
        let operator = Operator::parse(operator).ok_or_else(|| {
            bad_condition(when, format!("{operator:?} is none of = != < > <= >="))
        })?;
        if fact == "clockSeconds" {
            let wanted: i64 = wanted
                .parse()
                .map_err(|_| bad_condition(when, format!("{wanted:?} is no number")))?;
            let clock = self.report.clock.as_ref();
            let seconds = clock.map(|it| it.ahead_seconds.abs());
            let seconds = seconds.ok_or_else(|| self.unknown(fact))?;
            return Ok(operator.holds(seconds.cmp(&wanted)));
        }
        let is_equal = match operator {
            Operator::Equal => true,
            Operator::NotEqual => false,
            _ => {
                return Err(bad_condition(
                    when,
                    format!("{fact} can only be compared by == and !="),
                ));
            }
        };
        let value = self.fact(fact).ok_or_else(|| {
            bad_condition(
                when,
                format!("{fact:?} is none of the facts that `assay explain s3` lists"),
            )
        })??;
        let is_boolean = ["true", "false"].contains(&value.as_str());
        if is_boolean && !["true", "false"].contains(&wanted) {
            return Err(bad_condition(when, format!("{fact} is true or false")));
        }
        Ok((value == wanted) == is_equal)
    }

    /// A fact as a word; `None` where there is none of this name.
    fn fact(&self, name: &str) -> Option<Result<String, NotEvaluated>> {
        let report = self.report;
        let truth = |value: Option<bool>| {
            value
                .map(|value| value.to_string())
                .ok_or_else(|| self.unknown(name))
        };
        let text = |value: Option<&str>| {
            value
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| self.unknown(name))
        };
        let keeping = report.keeping.as_ref();
        let of = |way: Way| {
            let accepts = report.accepts.iter();
            accepts.clone().find(|it| it.way == way)?.accepted
        };
        Some(match name {
            "usable" => truth(Some(broken(report).is_none())),
            "broken" => Ok(self.broken()),
            "reason" => Ok(self.reason()),
            "publicRead" => truth(of(Way::Anonymous)),
            "signatureV4" => truth(self.version([Way::V4Header, Way::V4Presigned])),
            "signatureV2" => truth(self.version([Way::V2Header, Way::V2Presigned])),
            "foreignDenied" => truth(self.foreign_denied()),
            "lock" => truth(keeping.and_then(|it| it.lock)),
            "versioning" => text(keeping.map(|it| it.versioning.as_str())),
            "server" => text(report.server.as_ref().map(|it| it.kind.as_str())),
            _ => return None,
        })
    }

    fn unknown(&self, fact: &str) -> NotEvaluated {
        NotEvaluated::Unknown(format!("{fact} is not known ({})", self.path))
    }

    fn foreign_denied(&self) -> Option<bool> {
        let foreign = &self.report.foreign;
        if foreign.iter().any(|it| it.denied == Some(false)) {
            return Some(false);
        }
        (!foreign.is_empty() && foreign.iter().all(|it| it.denied.is_some())).then_some(true)
    }

    /// The link that broke as the report writes it, `none` where none did.
    fn broken(&self) -> String {
        broken(self.report).map_or_else(|| "none".to_owned(), |(step, _)| word(&json!(step.link)))
    }

    fn reason(&self) -> String {
        broken(self.report).map_or_else(
            || "none".to_owned(),
            |(_, failure)| word(&json!(failure.reason)),
        )
    }

    /// What templates may name.
    pub(super) fn fields(&self) -> Value {
        let target = &self.report.target;
        let why =
            broken(self.report).map_or_else(String::new, |(step, failure)| why(step, &failure));
        json!({
            "Broken": self.broken(),
            "Reason": self.reason(),
            "Why": why,
            "Remedy": self.remedy(),
            "Endpoint": target.endpoint,
            "Bucket": target.bucket,
            "Region": target.region,
        })
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
