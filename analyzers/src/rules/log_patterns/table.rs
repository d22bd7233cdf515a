//! What is known of error messages: the rows of `patterns.yaml`.

use std::sync::LazyLock;

use serde::Deserialize;
use syntax::yaml::{Limits, document};

use crate::finding::Verdict;

/// Where a message is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Places {
    /// Logs.
    Logs,
    /// The words that the cluster has in the status of pods and in events.
    Cluster,
    /// Both.
    Both,
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Log,
    Cluster,
    /// What a container said when it ended, or the kubelet of it.
    Ended,
}

impl Places {
    /// Whether texts of this source are looked at.
    pub(super) fn has(self, source: Source) -> bool {
        match source {
            Source::Log => self != Self::Cluster,
            Source::Cluster => self != Self::Logs,
            Source::Ended => true,
        }
    }
}

/// A message that is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    /// What specs and findings call it.
    pub(super) id: String,
    /// The subject that it belongs to, by which specs choose: `postgres`, `gpu`, `velero`.
    pub(super) probe: String,
    #[serde(deserialize_with = "verdict")]
    pub(super) verdict: Verdict,
    pub(super) places: Places,
    pub(super) regex: String,
    /// What it means, as the beginning of a sentence.
    pub(super) means: String,
    /// What to do.
    pub(super) remedy: String,
    /// A line that it matches.
    #[cfg_attr(not(test), expect(dead_code, reason = "shown by the tests"))]
    pub(super) example: String,
}

fn verdict<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Verdict, D::Error> {
    /// Those that a row may have.
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Of {
        Warn,
        Fail,
    }
    Ok(match Of::deserialize(deserializer)? {
        Of::Warn => Verdict::Warn,
        Of::Fail => Verdict::Fail,
    })
}

/// The rows, by probe.
pub(super) static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    read(include_str!("patterns.yaml")).expect("the table in the program is valid, a test shows")
});

fn read(text: &str) -> Result<Vec<Pattern>, String> {
    let document = document(text, &Limits::default()).map_err(|error| error.to_string())?;
    let value = document.root.to_json().map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::bytes::RegexBuilder;

    use super::*;

    /// What working software logs.
    const HARMLESS: &[&str] = &[
        "INFO connected to postgresql://app@db:5432/app",
        "LOG:  database system is ready to accept connections",
        "level=info msg=\"Backup completed\" backup=velero/nightly",
        "GET /v2/ 401 unauthorized, token requested",
        "5 nodes are available",
        "quota: 4 of 8 used",
        "CUDA 12.4, 1 device, 80 GiB",
        "the secret is out",
    ];

    #[test]
    fn ids_are_unique_and_probes_sorted() {
        let ids: BTreeSet<&str> = PATTERNS.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids.len(), PATTERNS.len());
        assert!(PATTERNS.is_sorted_by_key(|row| &row.probe));
        // A name of one kind is none of the other, so that `include` is clear.
        assert!(PATTERNS.iter().all(|row| !ids.contains(row.probe.as_str())));
    }

    #[test]
    fn each_matches_its_example_and_nothing_harmless() {
        for row in PATTERNS.iter() {
            let regex = RegexBuilder::new(&row.regex).unicode(false).build();
            let regex = regex.expect(&row.id);
            assert!(regex.is_match(row.example.as_bytes()), "{}", row.id);
            assert!(!regex.is_match(b""), "{}", row.id);
            for line in HARMLESS {
                assert!(!regex.is_match(line.as_bytes()), "{}: {line}", row.id);
            }
            assert!(row.remedy.ends_with('.'), "{}", row.id);
            assert!(!row.means.ends_with('.'), "{}", row.id);
        }
    }

    #[test]
    fn an_example_is_of_one_row() {
        for row in PATTERNS.iter() {
            let others = PATTERNS.iter().filter(|other| other.id != row.id);
            for other in others {
                let regex = RegexBuilder::new(&other.regex).unicode(false).build();
                let matches = regex.expect(&other.id).is_match(row.example.as_bytes());
                assert!(!matches, "{} has the example of {}", other.id, row.id);
            }
        }
    }
}
