//! What a run would do, for `--plan`.

use std::fmt::Write as _;

use anyhow::Context as _;
use checks::foresight::{Expected, Foreseen};
use serde::Serialize;

use super::human::printable;
use super::json::SCHEMA_VERSION;
use crate::exit::Exit;

/// The whole document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    schema_version: u32,
    name: String,
    exit_code: u8,
    collectors: Vec<Foreseen>,
    total: Total,
    /// The longest bundle, where `--max-size` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_size: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    objects: u64,
    logs: u64,
    bytes: u64,
    requests: u64,
}

impl Plan {
    /// Adds up.
    #[must_use]
    pub fn new(name: String, collectors: Vec<Foreseen>, max_size: Option<u64>) -> Self {
        let mut total = Total::default();
        for read in collectors.iter().flat_map(|collector| &collector.reads) {
            total.objects += read.objects.unwrap_or(0);
            total.logs += read.logs.unwrap_or(0);
            total.bytes += read.bytes.unwrap_or(0);
            total.requests += read.requests;
        }
        let mut plan = Self {
            schema_version: SCHEMA_VERSION,
            name,
            exit_code: 0,
            collectors,
            total,
            max_size,
        };
        plan.exit_code = plan.exit().code();
        plan
    }

    /// 5 where something that the spec names may not be read.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let lacks = |collector: &Foreseen| collector.requested && !collector.missing.is_empty();
        if self.collectors.iter().any(lacks) {
            Exit::Unknown
        } else {
            Exit::Pass
        }
    }

    /// One JSON object.
    pub fn json(&self) -> anyhow::Result<String> {
        let mut text = serde_json::to_string_pretty(self).context("failed to encode the plan")?;
        text.push('\n');
        Ok(text)
    }

    /// The same as YAML.
    pub fn yaml(&self) -> anyhow::Result<String> {
        let value = serde_json::to_value(self).context("failed to encode the plan")?;
        Ok(syntax::yaml::emit(&value))
    }

    /// For a person.
    #[must_use]
    pub fn human(&self) -> String {
        let mut text = String::new();
        for collector in &self.collectors {
            self::collector(&mut text, collector);
        }
        let total = Expected {
            objects: Some(self.total.objects),
            logs: Some(self.total.logs).filter(|logs| *logs > 0),
            bytes: Some(self.total.bytes),
            requests: self.total.requests,
            ..Expected::default()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", self.name, amounts(&total));
        if let Some(size) = self.max_size {
            let _ = writeln!(text, "The bundle may have {} at most.", bytes(size));
        }
        text.push_str("Nothing was written, and nothing read but counts and samples.\n");
        printable(&text)
    }
}

/// How many reads of one collector are spelt out.
const SHOWN: usize = 12;

fn collector(text: &mut String, collector: &Foreseen) {
    let state = if collector.excluded {
        "  (excluded)"
    } else if collector.refused {
        "  (not permitted)"
    } else if collector.requested {
        ""
    } else {
        "  (added by default)"
    };
    let _ = writeln!(text, "{}{state}", collector.title);
    if collector.excluded {
        return;
    }
    if collector.scope == "host" {
        text.push_str("        reads files of this host\n");
    }
    let mut reads: Vec<&Expected> = collector.reads.iter().collect();
    // Those that are most work first; of equals the spec's order.
    reads.sort_by_key(|read| std::cmp::Reverse((read.bytes, read.requests)));
    for read in reads.iter().take(SHOWN) {
        let _ = writeln!(text, "        {}: {}", read.what, amounts(read));
    }
    if let Some(more) = reads.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let rest = reads.iter().skip(SHOWN);
        let objects: u64 = rest.clone().filter_map(|read| read.objects).sum();
        let requests: u64 = rest.map(|read| read.requests).sum();
        let _ = writeln!(
            text,
            "        and {more} more: {objects} objects, about {requests} requests"
        );
    }
    for created in &collector.creates {
        let _ = writeln!(text, "        creates {created}");
    }
    if collector.acts && collector.creates.is_empty() {
        text.push_str("        acts: executes, copies or measures\n");
    }
    for image in &collector.images {
        let _ = writeln!(text, "        image {image}");
    }
    for missing in &collector.missing {
        let _ = writeln!(text, "        not permitted: {missing}");
    }
    if let Some(most) = collector.most_bytes {
        let _ = writeln!(text, "        writes {} at most", bytes(most));
    }
}

fn amounts(expected: &Expected) -> String {
    if !expected.uncounted.is_empty() {
        return format!("cannot be counted: {}", expected.uncounted);
    }
    let mut parts = Vec::new();
    let counted = |number: u64, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {what}{plural}")
    };
    parts.extend(expected.objects.map(|objects| counted(objects, "object")));
    parts.extend(
        expected
            .logs
            .map(|logs| format!("about {}", counted(logs, "log"))),
    );
    let most = if expected.logs.is_some() {
        "at most about"
    } else {
        "about"
    };
    parts.extend(expected.bytes.map(|size| format!("{most} {}", bytes(size))));
    parts.push(format!("about {}", counted(expected.requests, "request")));
    parts.join(", ")
}

/// `1.5 MiB`
fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| number >= *size);
    match unit {
        Some((size, name)) => format!("{}.{} {name}", number / size, number % size * 10 / size),
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        for (number, said) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            ((3 << 30) + (1 << 29), "3.5 GiB"),
        ] {
            assert_eq!(bytes(number), said);
        }
    }
}
