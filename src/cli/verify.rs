//! `assay verify`: whether a bundle is whole, what is missing from it and why, who wrote it and when.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::Files;
use bundle::archive::Problem;
use bundle::files::Extent;
use bundle::manifest::{Ending, Gap, GapReason, Manifest, Outcome};
use jiff::Timestamp;
use serde::Serialize;

use super::own::{Format, Global};
use super::{Done, open, print};
use crate::exit::Exit;
use crate::report::human::printable;
use crate::report::{self, json};

/// Flags of `assay verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle: an archive or a folder
    bundle: PathBuf,
    /// Form of the result on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `assay verify`.
pub(super) fn run(arguments: &Arguments, _: &Global) -> Done {
    let files = open::quietly(&arguments.bundle)?;
    let verification = Verification::of(&arguments.bundle, &files);
    let text = match arguments.format {
        Format::Human => verification.human(),
        Format::Json => {
            let json = serde_json::to_string_pretty(&verification);
            json::inert(json.context("failed to write the result")? + "\n")
        }
        Format::Yaml => {
            let value = serde_json::to_value(&verification);
            syntax::yaml::emit(&value.context("failed to write the result")?)
        }
    };
    print(&text)?;
    Ok(verification.verdict.exit())
}

/// What can be said of a bundle as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    /// Every file has its digest, and all that was asked for is there.
    Whole,
    /// Every file has its digest, and something that was asked for is missing.
    Incomplete,
    /// All of it can be read, and there are no digests, or no manifest, to compare it with.
    Unproven,
    /// Something cannot be read, is not what its digest says, or was refused.
    Damaged,
}

impl Verdict {
    fn exit(self) -> Exit {
        match self {
            Self::Whole => Exit::Pass,
            Self::Incomplete | Self::Unproven => Exit::Unknown,
            Self::Damaged => Exit::Fail,
        }
    }
}

/// The result; its JSON is the machine's form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    schema_version: u32,
    bundle: String,
    verdict: Verdict,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    files: u64,
    links: u64,
    bytes: u64,
    files_with_digests: u64,
    /// What is wrong with the archive.
    damage: Vec<String>,
    /// What the archive says of itself that is no damage.
    notes: Vec<String>,
    /// What was asked for and is not there.
    missing: Vec<Missing>,
}

/// What the manifest says of the run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    tool: String,
    format: String,
    collected_at: Timestamp,
    finished_at: Timestamp,
    ending: Ending,
    redaction: String,
    masks: u64,
}

/// What one collector, or the archive's writer, could not bring.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    gaps: Vec<Gap>,
}

impl Verification {
    fn of(bundle: &Path, files: &Files) -> Self {
        let (notes, mut damage): (Vec<_>, Vec<_>) = files
            .problems()
            .iter()
            .cloned()
            .chain(files.verify())
            .partition(|problem| matches!(problem, Problem::NewerFormat { .. }));
        // A file that ends in the truncated part is found by opening and by reading.
        damage.dedup();
        let Extent {
            files: count,
            links,
            bytes,
            with_digests,
        } = files.extent();
        let manifest = files.manifest();
        let missing = manifest.map(missing).unwrap_or_default();
        let cut = manifest.is_some_and(|manifest| manifest.ending != Ending::Complete);
        let verdict = if !damage.is_empty() {
            Verdict::Damaged
        } else if !missing.is_empty() || cut {
            Verdict::Incomplete
        } else if manifest.is_none() || with_digests < count {
            Verdict::Unproven
        } else {
            Verdict::Whole
        };
        let texts = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
        Self {
            schema_version: json::SCHEMA_VERSION,
            bundle: bundle.display().to_string(),
            verdict,
            exit_code: verdict.exit().code(),
            origin: manifest.map(Origin::of),
            files: count,
            links,
            bytes,
            files_with_digests: with_digests,
            damage: texts(damage),
            notes: texts(notes),
            missing,
        }
    }

    /// For a person.
    fn human(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(page, "{label:<9} {}", printable(text).replace('\n', " "));
        };
        line("Bundle", &self.bundle);
        match &self.origin {
            Some(origin) => {
                let took = origin.finished_at.duration_since(origin.collected_at);
                let written = format!(
                    "{}, {:.0}, in {} s",
                    origin.tool,
                    origin.collected_at,
                    took.as_secs().max(0)
                );
                line("Written", &written);
                let ended = match &origin.ending {
                    Ending::Complete => "by itself".to_owned(),
                    Ending::Deadline => "at its deadline: what came later is missing".to_owned(),
                    Ending::Signal(signal) => format!("by {signal}: what came later is missing"),
                    Ending::Output(error) => format!("because the output failed: {error}"),
                };
                line("Ended", &ended);
                let redaction = match origin.redaction.as_str() {
                    "off" => "off: secrets are in clear".to_owned(),
                    profile => format!("{profile}, {} masks", origin.masks),
                };
                line("Redaction", &redaction);
            }
            None => line("Written", "unknown: there is no manifest.json"),
        }
        let digests = match self.files_with_digests {
            0 => ", none with a digest to compare it with".to_owned(),
            all if all == self.files => ", each compared with its digest".to_owned(),
            some => format!(", {some} of them with a digest to compare it with"),
        };
        let size = indicatif::HumanBytes(self.bytes);
        line("Files", &format!("{} ({size}){digests}", self.files));
        for note in &self.notes {
            line("Note", note);
        }
        for damage in self.damage.iter().take(SHOWN) {
            line("Damage", damage);
        }
        if self.damage.len() > SHOWN {
            line(
                "Damage",
                &format!("… and {} more", self.damage.len() - SHOWN),
            );
        }
        for missing in self.missing.iter().take(SHOWN) {
            line("Missing", &missing.sentence());
        }
        if self.missing.len() > SHOWN {
            line(
                "Missing",
                &format!("… and {} more", self.missing.len() - SHOWN),
            );
        }
        let verdict = match self.verdict {
            Verdict::Whole => "whole: nothing is damaged, and all that was asked for is there",
            Verdict::Incomplete => "incomplete: nothing is damaged; what is missing is named above",
            Verdict::Unproven if self.origin.is_none() => {
                "unproven: all of it can be read; without a manifest nobody knows what should be there"
            }
            Verdict::Unproven => {
                "unproven: all of it can be read; there are no digests to compare it with"
            }
            Verdict::Damaged => "damaged: do not rely on what is not there",
        };
        line("Verdict", verdict);
        page
    }
}

/// How many lines of a kind a person is shown; the other forms have all of them.
const SHOWN: usize = 20;

impl Origin {
    fn of(manifest: &Manifest) -> Self {
        Self {
            tool: manifest.tool.clone(),
            format: format!("{}.{}", manifest.format.major, manifest.format.minor),
            collected_at: manifest.collected_at,
            finished_at: manifest.finished_at,
            ending: manifest.ending.clone(),
            redaction: manifest.redaction.profile.clone(),
            masks: manifest.redaction.masks.values().sum(),
        }
    }
}

impl Missing {
    fn sentence(&self) -> String {
        let mut details: Vec<&str> = std::iter::once(self.error.as_str())
            .chain(self.gaps.iter().map(|gap| gap.detail.as_str()))
            .filter(|detail| !detail.is_empty())
            .collect();
        details.dedup();
        let first = details.first().copied().unwrap_or("no reason is recorded");
        match details.len() {
            0 | 1 => format!("{}: {first}", self.title),
            several => format!("{}: {first} (and {} more)", self.title, several - 1),
        }
    }
}

/// What the spec named and is not there, by collector; then what the writer lost; then what redaction withheld.
fn missing(manifest: &Manifest) -> Vec<Missing> {
    let collectors = manifest
        .collectors
        .iter()
        .filter(|record| report::is_incomplete(record));
    let collectors = collectors.map(|record| Missing {
        title: record.title.clone(),
        outcome: Some(record.outcome),
        error: record.error.clone(),
        gaps: record.gaps.clone(),
    });
    let lost = (!manifest.lost.is_empty()).then(|| Missing {
        title: "files that the bundle could not take".to_owned(),
        outcome: None,
        error: String::new(),
        gaps: manifest.lost.clone(),
    });
    let withheld = manifest.redaction.withheld.iter();
    let withheld: Vec<Gap> = withheld
        .map(|(path, reason)| Gap {
            path: path.clone(),
            reason: GapReason::Withheld,
            detail: format!("{path}: {reason}"),
        })
        .collect();
    let withheld = (!withheld.is_empty()).then(|| Missing {
        title: "files withheld by redaction".to_owned(),
        outcome: None,
        error: String::new(),
        gaps: withheld,
    });
    collectors.chain(lost).chain(withheld).collect()
}
