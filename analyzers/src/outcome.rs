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
        self.branches().next()
    }

    /// All its branches, for the kinds in which each counts: fail before warn before pass.
    pub fn branches(&self) -> impl Iterator<Item = (Verdict, &Branch)> {
        [
            (Verdict::Fail, &self.fail),
            (Verdict::Warn, &self.warn),
            (Verdict::Pass, &self.pass),
        ]
        .into_iter()
        .filter_map(|(verdict, branch)| Some((verdict, branch.as_ref()?)))
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

/// What kinds without conditions (`storageClass`, `ingress`, `secret`) say of an object: pass where it is there, fail
/// where it is not, in the words of the last branch of that verdict; there are none where no outcome has it. An outcome
/// with several branches has words for each.
#[must_use]
pub fn by_presence(outcomes: &[Outcome], is_there: bool) -> (Verdict, Branch) {
    let verdict = if is_there {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let words = outcomes
        .iter()
        .rev()
        .flat_map(Outcome::branches)
        .find_map(|(of, branch)| (of == verdict).then_some(branch));
    (verdict, words.cloned().unwrap_or_default())
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

/// The words of a condition, with exactly one space between two; `expected` says which there are.
pub(crate) fn words<'a, const N: usize>(
    when: &'a str,
    expected: &str,
) -> Result<[&'a str; N], NotEvaluated> {
    let words: Vec<&str> = when.trim().split(' ').collect();
    words
        .try_into()
        .map_err(|_| bad_condition(when, format!("expected {expected}")))
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
    fn the_last_branch_of_a_verdict_speaks_of_what_is_there_or_not() {
        let pass = |message| Outcome {
            pass: Some(branch(message)),
            ..Outcome::default()
        };
        let both = Outcome {
            fail: Some(branch("three")),
            ..pass("four")
        };
        let outcomes = [pass("one"), pass("two"), both];
        let says = |outcomes: &[Outcome], is_there| {
            let (verdict, words) = by_presence(outcomes, is_there);
            (verdict, words.message)
        };
        let (pass, fail) = (Verdict::Pass, Verdict::Fail);
        assert_eq!(says(&outcomes, true), (pass, "four".to_owned()));
        assert_eq!(says(&outcomes[..2], true), (pass, "two".to_owned()));
        assert_eq!(says(&outcomes, false), (fail, "three".to_owned()));
        assert_eq!(says(&outcomes[..2], false), (fail, String::new()));
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
