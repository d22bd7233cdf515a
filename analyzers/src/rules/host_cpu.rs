//! Host `cpu`: how many processors, and what they can do.

use std::cmp::Ordering;

use bundle::Files;
use bundle::collected::host::Cpu as Collected;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::unmasked;
use crate::finding::{Judgement, NotEvaluated};
use crate::host::HostRule;
use crate::outcome::{Operator, Outcome, bad_condition};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "The host has enough processors, with the features that are needed",
    docs: docs::<Cpu>,
    since: "0.1.0",
    needs: &["cpu"],
    parse: parse::<Cpu>,
    schema: schema::<Cpu>,
};

const NAME: &str = "cpu";

/// The host has enough processors, with the features that are needed.
///
/// # What it checks
/// The number of hardware threads and cores, the machine's architecture and the feature flags of its first
/// processor, on this host or on each node that was collected from.
///
/// # When it warns or fails
/// `when` is `[count|logical|physical] <op> <n>` with `= != < > <= >=`, where `count`, also without the word, is the
/// larger of threads and cores; `machineArch ==|!= x86_64`; `supports x86-64|x86-64-v2|x86-64-v3|x86-64-v4`;
/// `hasFlags avx2,fma` (all of them). The first outcome that holds counts.
///
/// # What to do
/// Use a machine with more or newer processors; in a virtual machine give it more, or a CPU model that
/// passes the host's flags through.
///
/// # Needs
/// The host collector `cpu`. No privileges.
///
/// # Example
/// ```yaml
/// cpu:
///   outcomes:
///     - fail:
///         when: "count < 4"
///         message: At least 4 processors are needed.
///     - warn:
///         when: "supports x86-64-v3"
///         message: Vector instructions will be used.
///     - pass:
///         message: The processors suffice.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Cpu {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name; there is one file whatever it says.
    collector_name: String,
}

/// The flags that each x86-64 level adds to the one before. Fact: the x86-64 psABI, in Linux' names.
const LEVELS: [(&str, &[&str]); 4] = [
    (
        "x86-64",
        &[
            "cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2",
        ],
    ),
    (
        "x86-64-v2",
        &["cx16", "lahf_lm", "popcnt", "ssse3", "sse4_1", "sse4_2"],
    ),
    (
        "x86-64-v3",
        &[
            "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave",
        ],
    ),
    (
        "x86-64-v4",
        &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
    ),
];

impl Analyzer for Cpu {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Number of CPUs")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        HostRule {
            kind: NAME,
            file_name: "cpu.json",
            outcomes: &self.outcomes,
            title: &self.title(meta),
            remedy: "Use a machine with more or newer processors, or give the virtual machine more.",
        }
        .evaluate(files, holds, |cpu: &Collected| {
            let counts = format!("{} logical, {} physical", cpu.logical_count, cpu.physical_count);
            match cpu.machine_arch.as_str() {
                "" => counts,
                arch => format!("{counts}, {arch}"),
            }
        })
    }
}

fn holds(when: &str, cpu: &Collected) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.split(' ').collect();
    let (subject, operator, desired) = match parts[..] {
        [operator, desired] => ("count", operator, desired),
        [subject, operator, desired] => (subject, operator, desired),
        _ => ("", "", ""),
    };
    match operator.to_lowercase().as_str() {
        "supports" => return supports(when, desired, cpu),
        "hasflags" => return has_flags(desired.split(','), cpu),
        _ => {}
    }
    let count = match subject.to_lowercase().as_str() {
        "logical" => cpu.logical_count,
        "physical" => cpu.physical_count,
        "count" => cpu.logical_count.max(cpu.physical_count),
        "machinearch" => return compare_arch(when, operator, desired, cpu),
        _ => {
            return Err(bad_condition(
                when,
                "expected `[count|logical|physical|machineArch] <operator> <value>`, `supports <level>` or `hasFlags <flags>`",
            ));
        }
    };
    let number: i64 = desired
        .parse()
        .map_err(|_| bad_condition(when, format!("{desired:?} is not a whole number")))?;
    let operator = Operator::parse(operator)
        .ok_or_else(|| bad_condition(when, format!("unknown operator {operator:?}")))?;
    Ok(operator.holds(count.cmp(&number)))
}

fn compare_arch(
    when: &str,
    operator: &str,
    desired: &str,
    cpu: &Collected,
) -> Result<bool, NotEvaluated> {
    let ordering = if unmasked(&cpu.machine_arch)? == desired {
        Ordering::Equal
    } else {
        Ordering::Less
    };
    match Operator::parse(operator) {
        Some(operator @ (Operator::Equal | Operator::NotEqual)) => Ok(operator.holds(ordering)),
        _ => Err(bad_condition(
            when,
            format!("an architecture can be compared by == and !=, not by {operator:?}"),
        )),
    }
}

fn supports(when: &str, level: &str, cpu: &Collected) -> Result<bool, NotEvaluated> {
    let Some(index) = LEVELS.iter().position(|(name, _)| *name == level) else {
        let known: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
        return Err(bad_condition(
            when,
            format!("unknown level {level:?}; known are {}", known.join(", ")),
        ));
    };
    has_flags(
        LEVELS[..=index]
            .iter()
            .flat_map(|(_, flags)| *flags)
            .copied(),
        cpu,
    )
}

fn has_flags<'a>(
    mut wanted: impl Iterator<Item = &'a str>,
    cpu: &Collected,
) -> Result<bool, NotEvaluated> {
    for flag in &cpu.flags {
        unmasked(flag)?;
    }
    Ok(wanted.all(|flag| cpu.flags.iter().any(|has| has == flag)))
}
