//! Host `memory`: how much memory there is.

use bundle::Files;
use bundle::collected::host::Memory as Collected;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::quantity::Quantity;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::finding::{Judgement, NotEvaluated};
use crate::host::HostRule;
use crate::outcome::{Operator, Outcome, bad_condition};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "The host has enough memory",
    docs: docs::<Memory>,
    since: "0.1.0",
    needs: &["memory"],
    parse: parse::<Memory>,
    schema: schema::<Memory>,
};

const NAME: &str = "memory";

/// The host has enough memory.
///
/// # What it checks
/// The total memory of this host, or of each node that was collected from, in bytes. A machine of 16 GiB has
/// a little less than `16Gi`: the firmware keeps some.
///
/// # When it warns or fails
/// `when` is `<op> <quantity>` with `= < > <= >=` and a Kubernetes quantity (`8Gi`, `16G`). The first outcome that
/// holds counts.
///
/// # What to do
/// Add memory to the machine, or give the virtual machine more.
///
/// # Needs
/// The host collector `memory`. No privileges.
///
/// # Example
/// ```yaml
/// memory:
///   outcomes:
///     - fail:
///         when: "< 7Gi"
///         message: At least 8 GiB of memory are needed.
///     - pass:
///         message: The memory suffices.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Memory {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name; there is one file whatever it says.
    collector_name: String,
}

impl Analyzer for Memory {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Amount of Memory")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        HostRule {
            kind: NAME,
            file_name: "memory.json",
            outcomes: &self.outcomes,
            title: &self.title(meta),
            remedy: "Add memory to the machine, or give the virtual machine more.",
        }
        .evaluate(files, holds, |memory: &Collected| {
            format!("{} bytes in total", memory.total)
        })
    }
}

fn holds(when: &str, memory: &Collected) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.split(' ').collect();
    let [operator, desired] = parts[..] else {
        return Err(bad_condition(when, "expected `<operator> <quantity>`"));
    };
    let quantity: Quantity = desired
        .parse()
        .map_err(|error| bad_condition(when, error))?;
    let bytes = quantity
        .as_i64()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| bad_condition(when, "the amount is no whole, positive number of bytes"))?;
    match Operator::parse(operator) {
        Some(operator) if operator != Operator::NotEqual => {
            Ok(operator.holds(memory.total.cmp(&bytes)))
        }
        _ => Err(bad_condition(
            when,
            format!("unknown operator {operator:?}; = < > <= >= are known"),
        )),
    }
}
