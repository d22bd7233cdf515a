//! `execution-data/summary.txt`, laid out as the peer lays it out.

use std::fmt::Write as _;

use analyzers::Evaluation;
use bundle::manifest::{CollectorRecord, Outcome};

/// How long one analyzer took.
#[derive(Debug, Clone)]
pub struct AnalyzerTiming {
    /// Its title.
    pub title: String,
    /// `S` or `F`.
    pub mark: char,
    /// Milliseconds.
    pub duration_ms: u64,
}

impl AnalyzerTiming {
    /// The mark of an evaluation; the time is spread evenly, for analyzers run over one shared decode and the
    /// first to touch a file would pay for all.
    #[must_use]
    pub fn of(evaluation: &Evaluation, duration_ms: u64) -> Self {
        let failed = evaluation
            .not_evaluated
            .as_ref()
            .is_some_and(analyzers::NotEvaluated::is_unknown);
        Self {
            title: evaluation.title.clone(),
            mark: if failed { 'F' } else { 'S' },
            duration_ms,
        }
    }
}

/// The whole text.
#[must_use]
pub fn summary(
    records: &[CollectorRecord],
    analyzers: &[AnalyzerTiming],
    duration_ms: u64,
) -> String {
    let collectors: Vec<_> = records
        .iter()
        .map(|record| {
            let mark = match record.outcome {
                Outcome::Complete | Outcome::Partial => 'S',
                Outcome::Excluded | Outcome::Refused => 'X',
                Outcome::Failed | Outcome::Cancelled => 'F',
            };
            (record.title.as_str(), mark, record.duration_ms)
        })
        .collect();
    let analyzed: Vec<_> = analyzers
        .iter()
        .map(|timing| (timing.title.as_str(), timing.mark, timing.duration_ms))
        .collect();
    let mut text = String::new();
    table(
        &mut text,
        "============ Collectors summary =============",
        collectors,
        "No collectors executed",
    );
    text.push_str("\n============ Redactors summary =============\n");
    text.push_str("Redacted while collecting\n\n");
    table(
        &mut text,
        "============= Analyzers summary =============",
        analyzed,
        "No analyzers executed",
    );
    let _ = write!(text, "\nDuration: {}ms\n", thousands(duration_ms));
    text
}

fn table(text: &mut String, heading: &str, mut rows: Vec<(&str, char, u64)>, none: &str) {
    text.push_str(heading);
    text.push_str("\nSucceeded (S), eXcluded (X), Failed (F)\n");
    text.push_str("=============================================\n");
    if rows.is_empty() {
        text.push_str(none);
        text.push('\n');
        return;
    }
    rows.sort_by_key(|(_, _, duration)| std::cmp::Reverse(*duration));
    let width = rows
        .iter()
        .map(|(title, ..)| title.chars().count() + 4)
        .max()
        .unwrap_or(0);
    for (title, mark, duration) in rows {
        let label = format!("{title} ({mark})");
        let _ = writeln!(text, "{label:<width$} : {}ms", thousands(duration));
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_aligned() {
        let record = |title: &str, duration_ms, outcome| CollectorRecord {
            collector: title.into(),
            title: title.into(),
            requested: true,
            outcome,
            error: String::new(),
            duration_ms,
            bytes: 0,
            files: 0,
            requests: 0,
            retries: 0,
            throttled_ms: 0,
            gaps: Vec::new(),
        };
        let records = [
            record("dns", 2, Outcome::Failed),
            record("cluster-resources", 1_234_567, Outcome::Complete),
        ];
        let text = summary(&records, &[], 32_635);
        assert!(text.contains(
            "=============================================\ncluster-resources (S) : 1,234,567ms\ndns (F)               : 2ms\n"
        ));
        assert!(text.ends_with("No analyzers executed\n\nDuration: 32,635ms\n"));
    }
}
