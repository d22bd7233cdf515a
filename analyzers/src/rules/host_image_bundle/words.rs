//! What findings say, and how.

use std::collections::BTreeSet;

use crate::finding::{Finding, Verdict};

/// The kind's name.
pub(super) const NAME: &str = "imageBundle";

/// How many items of a list are named.
const SHOWN: usize = 5;

/// A judged claim.
pub(super) fn claim(subject: &str, title: &str, verdict: Verdict, message: String) -> Finding {
    Finding {
        id: Finding::id(NAME, subject),
        title: title.to_owned(),
        verdict: Some(verdict),
        message,
        ..Finding::default()
    }
}

/// At most five of `items`, and how many more there are.
pub(super) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let shown: Vec<&str> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = items.len().saturating_sub(SHOWN);
    if more == 0 {
        shown.join("; ")
    } else {
        format!("{}; and {more} more", shown.join("; "))
    }
}

/// The same of holes with the images that have them.
pub(super) fn holes<'a>(
    holes: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>,
) -> (usize, String) {
    let all: Vec<String> = holes
        .map(|(what, images)| {
            let mut names: Vec<&str> = images.iter().take(2).map(String::as_str).collect();
            let more = images.len().saturating_sub(2);
            let more = format!("{more} more");
            if images.len() > 2 {
                names.push(&more);
            }
            format!("{}: {what}", names.join(", "))
        })
        .collect();
    (all.len(), listed(&all))
}

/// Bytes in the unit that disks are sold and images are shown in: `1.3 GB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_sizes_are_short() {
        assert_eq!(listed(&["a", "b"]), "a; b");
        assert_eq!(
            listed(&["a", "b", "c", "d", "e", "f", "g"]),
            "a; b; c; d; e; and 2 more"
        );
        for (number, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_500, "1.5 kB"),
            (2_040_000, "2.0 MB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
