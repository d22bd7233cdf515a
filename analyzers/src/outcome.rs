//! `outcomes`: the conditions of a spec in their order, with what to say when one holds.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::finding::{NotEvaluated, Verdict};

/// One item of `outcomes`. It has exactly one of the three; where a spec has several, troubleshoot takes
/// the first of fail, warn, pass, and so do we, reporting the others as ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Outcome {
    /// The check does not hold.
    pub fail: Option<Branch>,
    /// The check holds in part, or not for long.
    pub warn: Option<Branch>,
    /// The check holds.
    pub pass: Option<Branch>,
}

/// A condition and what to say when it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Branch {
    /// The condition, in the analyzer's own small language; empty means the analyzer's default, which is
    /// "always" for most.
    pub when: String,
    /// The message of the finding.
    pub message: String,
    /// A link for whoever wants to know more.
    pub uri: String,
}

impl Outcome {
    /// The outcome's branch; nothing where it has none.
    #[must_use]
    pub fn branch(&self) -> Option<(Verdict, &Branch)> {
        [
            (Verdict::Fail, &self.fail),
            (Verdict::Warn, &self.warn),
            (Verdict::Pass, &self.pass),
        ]
        .into_iter()
        .find_map(|(verdict, branch)| Some((verdict, branch.as_ref()?)))
    }
}

/// The first outcome whose condition holds; an empty condition always does.
pub fn first_match(
    outcomes: &[Outcome],
    mut holds: impl FnMut(&str) -> Result<bool, NotEvaluated>,
) -> Result<Option<(Verdict, &Branch)>, NotEvaluated> {
    for (verdict, branch) in outcomes.iter().filter_map(Outcome::branch) {
        if branch.when.is_empty() || holds(&branch.when)? {
            return Ok(Some((verdict, branch)));
        }
    }
    Ok(None)
}

/// The last branch of a verdict: kinds without conditions (`storageClass`) take their words from it.
#[must_use]
pub fn last_branch(outcomes: &[Outcome], verdict: Verdict) -> Option<&Branch> {
    outcomes
        .iter()
        .rev()
        .filter_map(Outcome::branch)
        .find_map(|(of, branch)| (of == verdict).then_some(branch))
}

/// A comparison operator of the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`, `==`, `===`
    Equal,
    /// `!=`, `!==`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    /// Reads an operator.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" | "==" | "===" => Self::Equal,
            "!=" | "!==" => Self::NotEqual,
            "<" => Self::Less,
            ">" => Self::Greater,
            "<=" => Self::LessOrEqual,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether `actual <operator> desired` holds, given how the two compare.
    #[must_use]
    pub fn holds(self, actual_to_desired: Ordering) -> bool {
        match self {
            Self::Equal => actual_to_desired.is_eq(),
            Self::NotEqual => actual_to_desired.is_ne(),
            Self::Less => actual_to_desired.is_lt(),
            Self::Greater => actual_to_desired.is_gt(),
            Self::LessOrEqual => actual_to_desired.is_le(),
            Self::GreaterOrEqual => actual_to_desired.is_ge(),
        }
    }
}

/// Why a condition cannot be evaluated, as [`NotEvaluated::Spec`] says it.
#[must_use]
pub fn bad_condition(when: &str, problem: impl std::fmt::Display) -> NotEvaluated {
    NotEvaluated::Spec(format!("the condition {when:?} cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(when: &str) -> Branch {
        Branch {
            when: when.to_owned(),
            message: when.to_owned(),
            ..Branch::default()
        }
    }

    #[test]
    fn fail_comes_before_warn_before_pass() {
        let all = Outcome {
            fail: Some(branch("f")),
            warn: Some(branch("w")),
            pass: Some(branch("p")),
        };
        let verdict = |outcome: &Outcome| outcome.branch().map(|(verdict, _)| verdict);
        assert_eq!(verdict(&all), Some(Verdict::Fail));
        let without_fail = Outcome {
            fail: None,
            ..all.clone()
        };
        assert_eq!(verdict(&without_fail), Some(Verdict::Warn));
        assert_eq!(verdict(&Outcome::default()), None);
    }

    #[test]
    fn the_first_condition_that_holds_wins() {
        let outcomes = [
            Outcome::default(),
            Outcome {
                pass: Some(branch("no")),
                ..Outcome::default()
            },
            Outcome {
                warn: Some(branch("yes")),
                ..Outcome::default()
            },
            Outcome {
                fail: Some(branch("")),
                ..Outcome::default()
            },
        ];
        let first = |answer: &str| {
            first_match(&outcomes, |when| Ok(when == answer))
                .map(|found| found.map(|(verdict, _)| verdict))
        };
        assert_eq!(first("yes"), Ok(Some(Verdict::Warn)));
        assert_eq!(first("never"), Ok(Some(Verdict::Fail)));
        let broken = |_: &str| Err(NotEvaluated::Spec("broken".to_owned()));
        assert!(first_match(&outcomes, broken).is_err());
        assert_eq!(first_match(&outcomes[..2], |_| Ok(false)), Ok(None));
    }

    #[test]
    fn the_last_branch_of_a_verdict_speaks() {
        let outcomes = [
            Outcome {
                pass: Some(branch("one")),
                ..Outcome::default()
            },
            Outcome {
                pass: Some(branch("two")),
                ..Outcome::default()
            },
            Outcome {
                fail: Some(branch("three")),
                pass: Some(branch("shadowed")),
                ..Outcome::default()
            },
        ];
        let message = |verdict| last_branch(&outcomes, verdict).map(|it| it.message.as_str());
        assert_eq!(message(Verdict::Pass), Some("two"));
        assert_eq!(message(Verdict::Fail), Some("three"));
        assert_eq!(message(Verdict::Warn), None);
    }

    #[test]
    fn operators() {
        let holds = |text: &str| {
            Operator::parse(text).map(|operator| {
                [Ordering::Less, Ordering::Equal, Ordering::Greater]
                    .map(|ordering| operator.holds(ordering))
            })
        };
        for text in ["=", "==", "==="] {
            assert_eq!(holds(text), Some([false, true, false]));
        }
        for text in ["!=", "!=="] {
            assert_eq!(holds(text), Some([true, false, true]));
        }
        assert_eq!(holds("<"), Some([true, false, false]));
        assert_eq!(holds(">"), Some([false, false, true]));
        assert_eq!(holds("<="), Some([true, true, false]));
        assert_eq!(holds(">="), Some([false, true, true]));
        assert_eq!(holds("=>"), None);
    }
}
