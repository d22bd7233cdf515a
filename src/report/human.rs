//! The report for a person at a terminal.

use std::fmt::Write as _;

use analyzers::Verdict;
use bundle::manifest::{Gap, GapReason, Outcome};

use crate::report::Report;

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Colours, and control characters of foreign text removed.
    pub terminal: bool,
}

/// The whole report.
#[must_use]
pub fn human(report: &Report, style: Style) -> String {
    let mut page = Page {
        text: String::new(),
        style,
    };
    for verdict in [Verdict::Fail, Verdict::Warn] {
        for finding in report.with(verdict) {
            page.finding(verdict, finding);
        }
    }
    for check in report.unknown() {
        page.heading("unknown", YELLOW, &check.title, check.strict);
        page.line(&check.message);
    }
    for finding in report.with(Verdict::Pass) {
        page.finding(Verdict::Pass, finding);
    }
    for check in report.not_applicable() {
        page.heading("n/a", DIM, &check.title, false);
        page.line(&check.message);
    }
    page.missing(report);
    page.closing(report);
    page.text
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

/// How many gaps of one collector are spelt out; the manifest has all of them.
const GAPS_SHOWN: usize = 5;

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn paint(&self, colour: &str, text: &str) -> String {
        if self.style.terminal {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn heading(&mut self, label: &str, colour: &str, title: &str, strict: bool) {
        let label = self.paint(colour, &format!("{label:<7}"));
        let title = self.paint(BOLD, &printable(title).replace('\n', " "));
        let strict = if strict { "  (strict)" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{label} {title}{strict}");
    }

    fn line(&mut self, text: &str) {
        for line in printable(text).lines() {
            let _ = writeln!(self.text, "        {line}");
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let label = self.paint(DIM, label);
            let text = printable(text);
            let _ = writeln!(self.text, "        {label} {text}");
        }
    }

    fn finding(&mut self, verdict: Verdict, finding: &analyzers::Finding) {
        let (label, colour) = match verdict {
            Verdict::Pass => ("pass", GREEN),
            Verdict::Warn => ("warn", YELLOW),
            Verdict::Fail => ("fail", RED),
        };
        self.heading(label, colour, &finding.title, finding.strict);
        self.line(&finding.message);
        self.labelled("read:", &finding.observed);
        if verdict != Verdict::Pass {
            self.labelled("do:  ", &finding.remedy);
            self.labelled("see: ", &finding.uri);
        }
    }

    fn missing(&mut self, report: &Report) {
        for record in report.incomplete() {
            let what = match record.outcome {
                Outcome::Failed => "failed",
                Outcome::Refused => "not permitted",
                Outcome::Cancelled => "cut short",
                Outcome::Partial | Outcome::Complete | Outcome::Excluded => "incomplete",
            };
            self.heading(
                "missing",
                YELLOW,
                &format!("{}: {what}", record.title),
                false,
            );
            // A budget says for each file how much of it is missing.
            let is_cut = |gap: &&Gap| gap.reason == GapReason::Limit;
            let (cut, others): (Vec<&Gap>, Vec<&Gap>) = record.gaps.iter().partition(is_cut);
            // One refusal leaves many files out; it is told once.
            let details = std::iter::once(record.error.as_str())
                .chain(others.iter().map(|gap| gap.detail.as_str()))
                .filter(|detail| !detail.is_empty());
            self.some(details.map(str::to_owned).collect());
            if !cut.is_empty() {
                let files = if cut.len() == 1 { "file" } else { "files" };
                self.line(&format!(
                    "{} {files} cut or left out by a budget:",
                    cut.len()
                ));
                let cut = cut.iter();
                self.some(
                    cut.map(|gap| format!("{}: {}", gap.path, gap.detail))
                        .collect(),
                );
            }
        }
        if !report.lost.is_empty() {
            let count = report.lost.len();
            let files = if count == 1 { "file" } else { "files" };
            self.heading(
                "missing",
                YELLOW,
                &format!("{count} {files} that the bundle could not take"),
                false,
            );
            let lost = report.lost.iter();
            self.some(
                lost.map(|gap| format!("{}: {}", gap.path, gap.detail))
                    .collect(),
            );
        }
    }

    /// The first of these, and how many more there are.
    fn some(&mut self, mut details: Vec<String>) {
        details.sort_unstable();
        details.dedup();
        for detail in details.iter().take(GAPS_SHOWN) {
            self.line(detail);
        }
        if details.len() > GAPS_SHOWN {
            let more = details.len() - GAPS_SHOWN;
            self.line(&format!(
                "… and {more} more, listed in the bundle's manifest.json"
            ));
        }
    }

    fn closing(&mut self, report: &Report) {
        let counts = [
            ("failed", report.with(Verdict::Fail).count()),
            ("warned", report.with(Verdict::Warn).count()),
            ("unknown", report.unknown().count()),
            ("passed", report.with(Verdict::Pass).count()),
            ("not applicable", report.not_applicable().count()),
        ];
        let total: usize = counts.iter().map(|(_, count)| count).sum();
        let parts: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(label, count)| format!("{count} {label}"))
            .collect();
        if total > 0 {
            let name = printable(&report.name);
            let _ = writeln!(
                self.text,
                "\n{name}: {total} {}: {}",
                if total == 1 { "result" } else { "results" },
                parts.join(", ")
            );
        }
        let throttled: u64 = report
            .records
            .iter()
            .map(|record| record.throttled_ms)
            .sum();
        if throttled >= 1000 {
            let _ = writeln!(
                self.text,
                "The API server was busy: requests waited {}.{} s for it, added up",
                throttled / 1000,
                throttled / 100 % 10
            );
        }
        if let Some(bundle) = &report.bundle {
            let _ = writeln!(self.text, "Bundle: {}", bundle.display());
        }
    }
}

/// Text from a cluster without what a terminal would act on: control characters but for the line end, and the
/// marks that reorder text.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| {
            matches!(character, '\n' | '\t') || !(character.is_control() || turns(*character))
        })
        .collect()
}

/// Whether a character changes the direction of the text around it, so that it looks like another.
pub(crate) fn turns(character: char) -> bool {
    matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\x1b[2Jb\u{9b}31mc\rd\u{202e}e\nf\tg"),
            "a[2Jb31mcde\nf\tg"
        );
    }
}
