//! What a run shows while it runs, on stderr: a live display on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bundle::manifest::{CollectorRecord, Outcome};
use checks::run::{Event, Observer};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::human::printable;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Quiet,
    /// A line when a collector ends.
    Lines,
    /// A live line: how many are done, which runs longest, how much was read.
    Live,
}

impl Mode {
    /// Live on a terminal, lines elsewhere.
    #[must_use]
    pub fn choose(quiet: bool, interactive: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if interactive && std::io::stderr().is_terminal() {
            Self::Live
        } else {
            Self::Lines
        }
    }
}

/// An observer that shows a run's progress.
#[must_use]
pub fn observer(mode: Mode) -> Observer {
    match mode {
        Mode::Quiet => Arc::new(|_| {}),
        Mode::Lines => Arc::new(|event| {
            if let Event::Finished { record, .. } = event {
                line(&ended(&record));
            }
        }),
        Mode::Live => {
            let live = Live::new();
            Arc::new(move |event| live.show(event))
        }
    }
}

fn line(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// `collected  cluster-resources  1.2 s  3.4 MiB`
fn ended(record: &CollectorRecord) -> String {
    let word = match record.outcome {
        Outcome::Complete => "collected",
        Outcome::Partial => "partly collected",
        Outcome::Failed => "failed",
        Outcome::Refused => "not permitted",
        Outcome::Excluded => "excluded",
        Outcome::Cancelled => "cut short",
    };
    // Writing to a String cannot fail.
    let mut text = format!("{word}: {}", record.title);
    if record.bytes > 0 {
        let seconds = Duration::from_millis(record.duration_ms).as_secs_f64();
        let _ = write!(text, " ({}, {seconds:.1} s)", HumanBytes(record.bytes));
    }
    let trouble = matches!(
        record.outcome,
        Outcome::Failed | Outcome::Refused | Outcome::Cancelled | Outcome::Partial
    );
    if trouble && !record.error.is_empty() {
        let _ = write!(text, ": {}", record.error);
    } else if trouble && let Some(gap) = record.gaps.first() {
        let _ = write!(text, ": {}", gap.detail);
        if record.gaps.len() > 1 {
            let _ = write!(text, " (and {} more)", record.gaps.len() - 1);
        }
    }
    text
}

struct Live {
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: u64,
    running: BTreeMap<usize, (String, Instant)>,
}

impl Live {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            state: Mutex::default(),
        }
    }

    fn show(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { titles } => self.bar.set_length(titles.len() as u64),
            Event::Started { index, title } => {
                state.running.insert(index, (title, Instant::now()));
            }
            Event::Wrote { bytes, .. } => state.bytes += bytes,
            Event::Finished { index, record } => {
                state.running.remove(&index);
                self.bar.inc(1);
                if record.outcome != Outcome::Complete && record.outcome != Outcome::Excluded {
                    self.bar.suspend(|| line(&ended(&record)));
                }
                if Some(self.bar.position()) == self.bar.length() {
                    self.bar.finish_and_clear();
                    return;
                }
            }
        }
        self.bar.set_message(state.message());
    }
}

impl State {
    fn message(&self) -> String {
        let slowest = self.running.values().min_by_key(|(_, since)| *since);
        match slowest {
            Some((title, _)) => {
                let others = self.running.len() - 1;
                let beside = if others > 0 {
                    format!(" and {others} more")
                } else {
                    String::new()
                };
                printable(&format!("{title}{beside}, {} read", HumanBytes(self.bytes)))
            }
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::manifest::{Gap, GapReason};

    use super::*;

    #[test]
    fn a_line_names_the_first_gap() {
        let record = CollectorRecord {
            collector: "logs".into(),
            title: "logs/app".into(),
            requested: true,
            outcome: Outcome::Partial,
            error: String::new(),
            duration_ms: 1500,
            bytes: 2048,
            files: 1,
            requests: 3,
            retries: 0,
            throttled_ms: 0,
            gaps: vec![
                Gap {
                    path: "app/*".into(),
                    reason: GapReason::Refused,
                    detail: "403 Forbidden".into(),
                };
                2
            ],
        };
        assert_eq!(
            ended(&record),
            "partly collected: logs/app (2.00 KiB, 1.5 s): 403 Forbidden (and 1 more)"
        );
    }
}
