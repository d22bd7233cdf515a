//! What `textAnalyze` and `clusterResource` share: the outcomes of an expression that matches or does not, and of one with
//! named groups.

use std::collections::BTreeMap;

use serde_json::Value;
use syntax::go_regex::GoRegex;

use crate::comparison::wants_match;
use crate::document::unmasked;
use crate::finding::{Finding, Icon, NotEvaluated, Verdict};
use crate::message::render;
use crate::outcome::{Operator, Outcome, bad_condition, first_match, words};
use crate::text_search::Match;

/// The icon of an expression with named groups.
pub(crate) const GROUPS_ICON: Icon = Icon {
    key: "kubernetes_text_analyze",
    file: "text-analyze.svg?w=13&h=16",
};

/// An expression of a spec.
pub(crate) fn expression(text: &str) -> Result<GoRegex, NotEvaluated> {
    GoRegex::new(text)
        .map_err(|error| NotEvaluated::Spec(format!("the regex {text:?} cannot be read: {error}")))
}

/// Judges whether an expression matched. All outcomes are looked at. The last that agrees supplies the words; a
/// `fail` takes a `warn` back, and of what remains pass outweighs warn and warn outweighs fail.
pub(crate) fn judge_match(outcomes: &[Outcome], is_match: bool) -> Result<Finding, NotEvaluated> {
    let (mut pass, mut warn, mut fail) = (false, false, false);
    let mut said = Finding::default();
    for (verdict, branch) in outcomes.iter().filter_map(Outcome::branch) {
        if wants_match(verdict, &branch.when)? != is_match {
            continue;
        }
        match verdict {
            Verdict::Pass => pass = true,
            Verdict::Warn => warn = true,
            Verdict::Fail => (warn, fail) = (false, true),
        }
        said = Finding::of(verdict, branch);
    }
    said.verdict = match (pass, warn, fail) {
        (true, _, _) => Some(Verdict::Pass),
        (_, true, _) => Some(Verdict::Warn),
        (_, _, true) => Some(Verdict::Fail),
        _ => None,
    };
    Ok(said)
}

/// Judges what the named groups hold: the first outcome that holds, its message a template over them. A group that took
/// no part is empty, and without a match there are none.
pub(crate) fn judge_groups(
    outcomes: &[Outcome],
    regex: &GoRegex,
    found: Option<&Match>,
) -> Result<Finding, NotEvaluated> {
    let groups = named_groups(regex, found);
    let matched = first_match(outcomes, |when| compare(when, &groups))?;
    let mut said = Finding::of_match(matched);
    let data: Value = groups
        .into_iter()
        .map(|(name, text)| (name, Value::from(text)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    said.message = render(&said.message, &data)?;
    Ok(said)
}

fn named_groups(regex: &GoRegex, found: Option<&Match>) -> BTreeMap<String, String> {
    let groups = found.map(|found| found.groups.as_slice());
    regex
        .group_names()
        .iter()
        .zip(groups.unwrap_or_default())
        .filter_map(|(name, text)| {
            Some((
                name.as_deref()?.to_owned(),
                text.clone().unwrap_or_default(),
            ))
        })
        .collect()
}

/// `<group> <op> <value>`. A group that the match does not have does not hold.
fn compare(when: &str, groups: &BTreeMap<String, String>) -> Result<bool, NotEvaluated> {
    let [name, operator, value] = words(when, "`<group> <operator> <value>`")?;
    let value = match value {
        "''" | "\"\"" => "",
        value => value,
    };
    let Some(found) = groups.get(name) else {
        return Ok(false);
    };
    let found = unmasked(found)?;
    let operator_read = Operator::parse(operator);
    let Ok(number) = value.parse::<i64>() else {
        return match operator_read {
            Some(Operator::Equal) => Ok(found == value),
            _ => Err(bad_condition(
                when,
                format!("text can only be compared by =, not by {operator:?}"),
            )),
        };
    };
    let Ok(found) = found.parse::<i64>() else {
        return Ok(false);
    };
    Ok(match operator_read {
        Some(Operator::NotEqual) | None => false,
        Some(operator) => operator.holds(found.cmp(&number)),
    })
}
