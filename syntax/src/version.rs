//! Semantic versions and ranges of them, read as `github.com/blang/semver/v4` reads them
//! (`>=1.20.0 <1.25.0 || !1.27.3`, `1.x`, `>=1.31.x`).
//!
//! The crates of the field implement Cargo's or npm's ranges, where a comparison leaves pre-releases out and
//! `~`, `^` and commas mean something; here they are errors, and errors carry the sentences of that library,
//! because troubleshoot shows them.

use std::cmp::Ordering;
use std::fmt;

use crate::quote::quote;

/// A text that is not a version or not a range; the message names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VersionError(String);

/// `major.minor.patch-pre+build`. The order is precedence: build metadata does not count.
#[derive(Debug, Clone)]
pub struct Version {
    /// `1` of `1.2.3`
    pub major: u64,
    /// `2` of `1.2.3`
    pub minor: u64,
    /// `3` of `1.2.3`
    pub patch: u64,
    /// The dot-separated parts after `-`.
    pub pre: Vec<Identifier>,
    /// The dot-separated parts after `+`.
    pub build: Vec<String>,
}

/// A part of a pre-release. Numbers sort before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    /// `1` of `rc.1`
    Number(u64),
    /// `rc` of `rc.1`
    Word(String),
}

impl Version {
    /// Reads a complete version, strictly: three numbers, no `v`, no leading zeros.
    pub fn make(text: &str) -> Result<Version, VersionError> {
        if text.is_empty() {
            return Err(VersionError("Version string empty".into()));
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(VersionError("No Major.Minor.Patch elements found".into()));
        };
        let major = number(major, "major number", "Major number")?;
        let minor = number(minor, "minor number", "Minor number")?;
        let (rest, build) = cut(rest, '+');
        let (patch, pre) = cut(rest, '-');
        Ok(Version {
            major,
            minor,
            patch: number(patch, "patch number", "Patch number")?,
            pre: parts_of(pre).map(identifier).collect::<Result<_, _>>()?,
            build: parts_of(build).map(build_part).collect::<Result<_, _>>()?,
        })
    }

    /// Reads a version as people write them: blanks around, a leading `v`, leading zeros and missing minor or
    /// patch numbers are accepted.
    pub fn parse_tolerant(text: &str) -> Result<Version, VersionError> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_leading_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err(VersionError(
                    "Short version cannot contain PreRelease/Build meta data".into(),
                ));
            }
            parts.resize(3, "0".into());
        }
        Version::make(&parts.join("."))
    }
}

fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    }
}

fn parts_of(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split('.'))
}

fn without_leading_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let trimmed = part.trim_start_matches('0');
    if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        trimmed.to_owned()
    } else {
        format!("0{trimmed}")
    }
}

fn number(text: &str, subject: &str, title: &str) -> Result<u64, VersionError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        let text = quote(text);
        return Err(VersionError(format!(
            "Invalid character(s) found in {subject} {text}"
        )));
    }
    if text.len() > 1 && text.starts_with('0') {
        let text = quote(text);
        return Err(VersionError(format!(
            "{title} must not contain leading zeroes {text}"
        )));
    }
    parse_uint(text)
}

fn parse_uint(digits: &str) -> Result<u64, VersionError> {
    digits.parse().map_err(|_| {
        let reason = if digits.is_empty() {
            "invalid syntax"
        } else {
            "value out of range"
        };
        VersionError(format!(
            "strconv.ParseUint: parsing {}: {reason}",
            quote(digits)
        ))
    })
}

fn is_alphanumeric(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn identifier(text: &str) -> Result<Identifier, VersionError> {
    if text.is_empty() {
        return Err(VersionError("Prerelease is empty".into()));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            let text = quote(text);
            return Err(VersionError(format!(
                "Numeric PreRelease version must not contain leading zeroes {text}"
            )));
        }
        return parse_uint(text).map(Identifier::Number);
    }
    if is_alphanumeric(text) {
        return Ok(Identifier::Word(text.to_owned()));
    }
    let text = quote(text);
    Err(VersionError(format!(
        "Invalid character(s) found in prerelease {text}"
    )))
}

fn build_part(text: &str) -> Result<String, VersionError> {
    if text.is_empty() {
        return Err(VersionError("Build meta data is empty".into()));
    }
    if is_alphanumeric(text) {
        return Ok(text.to_owned());
    }
    let text = quote(text);
    Err(VersionError(format!(
        "Invalid character(s) found in build meta data {text}"
    )))
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let numbers = |v: &Version| (v.major, v.minor, v.patch);
        numbers(self)
            .cmp(&numbers(other))
            // A release comes after its pre-releases.
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Number(number) => write!(f, "{number}"),
            Identifier::Word(word) => f.write_str(word),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (index, part) in self.pre.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { '-' } else { '.' })?;
        }
        for (index, part) in self.build.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { '+' } else { '.' })?;
        }
        Ok(())
    }
}

/// A range: alternatives (`||`) of comparisons that must all hold.
#[derive(Debug, Clone)]
pub struct Range {
    alternatives: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone)]
struct Comparison {
    holds: fn(Ordering) -> bool,
    version: Version,
}

impl Range {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Range, VersionError> {
        let words = words(text);
        if words.first().is_some_and(|first| first == "||") {
            return Err(VersionError("First element in range is '||'".into()));
        }
        if words.last().is_none_or(|last| last == "||") {
            return Err(VersionError("Last element in range is '||'".into()));
        }
        let mut alternatives = Vec::new();
        for alternative in words.split(|word| word == "||") {
            if alternative.is_empty() {
                return Err(VersionError(
                    "Two '||' in range without a version between".into(),
                ));
            }
            alternatives.push(alternative);
        }
        // Wildcards of all alternatives are resolved before the first comparison is read, and so complain first.
        let mut expanded = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            let mut comparisons = Vec::with_capacity(alternative.len());
            for word in alternative {
                expand_wildcard(word, &mut comparisons)?;
            }
            expanded.push(comparisons);
        }
        let alternatives = expanded
            .iter()
            .map(|words| words.iter().map(|word| Comparison::parse(word)).collect())
            .collect::<Result<_, _>>()?;
        Ok(Range { alternatives })
    }

    /// Whether the version lies in the range. A pre-release is lower than its release and is not left out.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            all.iter()
                .all(|comparison| (comparison.holds)(version.cmp(&comparison.version)))
        })
    }
}

/// Splits at blanks, except behind `<`, `>` and `=`. A word of one character is lost, as in the original.
fn words(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut start = 0;
    let mut last = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte != b' ' {
            last = byte;
        } else if !matches!(last, b'<' | b'>' | b'=') {
            if start + 1 < index {
                words.push(text[start..index].replace(' ', ""));
            }
            start = index + 1;
        }
    }
    if start + 1 < bytes.len() {
        words.push(text[start..].replace(' ', ""));
    }
    words
}

fn split_operator(word: &str) -> Result<(&str, &str), VersionError> {
    let digit = word.find(|c: char| c.is_ascii_digit()).ok_or_else(|| {
        VersionError(format!(
            "Could not get version from string: {}",
            quote(word)
        ))
    })?;
    let (operator, version) = word.split_at(digit);
    Ok((operator.trim(), version))
}

/// Which number of a version stands before the `x`, so that the next one begins after it.
#[derive(Clone, Copy, PartialEq)]
enum Wildcard {
    None,
    Minor,
    Patch,
}

/// Turns a comparison with `x` in it into one or two without.
fn expand_wildcard(word: &str, comparisons: &mut Vec<String>) -> Result<(), VersionError> {
    if !word.contains('x') {
        comparisons.push(word.to_owned());
        return Ok(());
    }
    let (operator, version) = split_operator(word)?;
    let wildcard = match (version.rsplit('.').next(), version.split('.').count()) {
        (Some("x"), 2) => Wildcard::Minor,
        (Some("x"), 3) => Wildcard::Patch,
        _ => Wildcard::None,
    };
    let mut first = version.replacen(".x.x", ".x", 1).replacen(".x", ".0", 1);
    if first.split('.').count() == 2 {
        first.push_str(".0");
    }
    let next = next_version(&first, wildcard).unwrap_or_default();
    match operator {
        ">" => comparisons.push(format!(">={next}")),
        ">=" => comparisons.push(format!(">={first}")),
        "<" => comparisons.push(format!("<{first}")),
        "<=" => comparisons.push(format!("<{next}")),
        "" | "=" | "==" => comparisons.extend([format!(">={first}"), format!("<{next}")]),
        "!=" | "!" => comparisons.extend([format!("<{first}"), format!(">={next}")]),
        // An operator that is none drops out in the original, and the version alone remains.
        _ => comparisons.push(first),
    }
    Ok(())
}

fn next_version(version: &str, wildcard: Wildcard) -> Option<String> {
    let mut parts: Vec<String> = version.split('.').map(str::to_owned).collect();
    let index = match wildcard {
        Wildcard::None => return None,
        Wildcard::Minor => 0,
        Wildcard::Patch => 1,
    };
    let part = parts.get_mut(index)?;
    *part = part.parse::<i64>().ok()?.checked_add(1)?.to_string();
    Some(parts.join("."))
}

impl Comparison {
    fn parse(word: &str) -> Result<Comparison, VersionError> {
        let (operator, version) = split_operator(word)?;
        let within = |reason: String| {
            VersionError(format!("Could not parse Range {}: {reason}", quote(word)))
        };
        let whole = || quote(&format!("{operator}{version}"));
        let holds: fn(Ordering) -> bool = match operator {
            "" | "=" | "==" => Ordering::is_eq,
            ">" => Ordering::is_gt,
            ">=" => Ordering::is_ge,
            "<" => Ordering::is_lt,
            "<=" => Ordering::is_le,
            "!" | "!=" => Ordering::is_ne,
            _ => {
                let operator = quote(operator);
                return Err(within(format!(
                    "Could not parse comparator {operator} in {}",
                    whole()
                )));
            }
        };
        let version = Version::make(version).map_err(|error| {
            let version = quote(version);
            within(format!(
                "Could not parse version {version} in {}: {error}",
                whole()
            ))
        })?;
        Ok(Comparison { holds, version })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strict_versions() {
        for text in [
            "1.2.3",
            "0.0.0",
            "1.31.2+k3s1",
            "1.28.0-gke.100",
            "1.0.0-a.1.b-2+x.y",
        ] {
            assert_eq!(
                Version::make(text).map(|v| v.to_string()).as_deref(),
                Ok(text)
            );
        }
        for (text, message) in [
            ("", "Version string empty"),
            ("1.2", "No Major.Minor.Patch elements found"),
            (
                "v1.2.3",
                r#"Invalid character(s) found in major number "v1""#,
            ),
            (
                "1.02.3",
                r#"Minor number must not contain leading zeroes "02""#,
            ),
            (
                "1.2.3.4",
                r#"Invalid character(s) found in patch number "3.4""#,
            ),
            ("1.2.", r#"strconv.ParseUint: parsing "": invalid syntax"#),
            (
                "99999999999999999999.0.0",
                r#"strconv.ParseUint: parsing "99999999999999999999": value out of range"#,
            ),
            ("1.2.3-", "Prerelease is empty"),
            (
                "1.2.3-01",
                r#"Numeric PreRelease version must not contain leading zeroes "01""#,
            ),
            (
                "1.2.3-a_b",
                r#"Invalid character(s) found in prerelease "a_b""#,
            ),
            ("1.2.3+", "Build meta data is empty"),
            (
                "1.2.3+a_b",
                r#"Invalid character(s) found in build meta data "a_b""#,
            ),
        ] {
            let error = Version::make(text).map_err(|e| e.to_string());
            assert_eq!(error.map(|v| v.to_string()), Err(message.into()), "{text}");
        }
    }

    #[test]
    fn tolerant_versions() {
        for (text, expected) in [
            (" v1.2 ", Some("1.2.0")),
            ("9", Some("9.0.0")),
            ("007.08.09", Some("7.8.9")),
            ("10.01.00-rc.1", Some("10.1.0-rc.1")),
            ("1.2.00", Some("1.2.0")),
            ("1.2.3-rc.1+b", Some("1.2.3-rc.1+b")),
            ("1.2-rc", None),
            ("V1.2.3", None),
            ("1.2.3.4", None),
            ("x", None),
        ] {
            let read = Version::parse_tolerant(text).ok().map(|v| v.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn precedence() -> Result<(), VersionError> {
        let ascending = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-11",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-gke.100",
            "1.0.1",
            "1.1.0",
            "2.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(
                Version::make(pair[0])? < Version::make(pair[1])?,
                "{pair:?}"
            );
        }
        assert_eq!(Version::make("1.0.0+a")?, Version::make("1.0.0+b")?);
        Ok(())
    }

    #[test]
    fn ranges() -> Result<(), VersionError> {
        for (range, version, expected) in [
            (">=1.20.0 <1.25.0 || !1.2.3", "1.24.9", true),
            (">=1.20.0 <1.25.0 || 1.2.3", "1.25.0", false),
            (">= 1.20.0", "1.20.0", true),
            (">=1.20.0  <1.25.0", "1.21.0", true),
            ("< 1.16.0", "1.15.9", true),
            ("1.x", "1.99.0", true),
            ("1.x", "2.0.0", false),
            ("1.31.x", "1.31.7", true),
            ("1.31.x", "1.32.0", false),
            (">=1.31.x", "1.31.0", true),
            (">1.31.x", "1.31.9", false),
            ("<=1.31.x", "1.31.9", true),
            ("<=1.x", "1.99.9", true),
            // Both halves must hold, which no version can: as in the original.
            ("!1.31.x", "1.30.0", false),
            ("~1.x", "1.0.0", true),
            (">=1.28.0", "1.28.0-gke.100", false),
            (">=1.28.0", "1.28.0+k3s1", true),
            ("==1.2.3 || =1.2.4", "1.2.4", true),
            ("!1.2.3", "1.2.4", true),
        ] {
            let holds = Range::parse(range)?.contains(&Version::make(version)?);
            assert_eq!(holds, expected, "{version} in {range}");
        }
        Ok(())
    }

    #[test]
    fn refused_ranges() {
        for (range, message) in [
            ("", "Last element in range is '||'"),
            ("|| 1.0.0", "First element in range is '||'"),
            ("1.0.0 ||", "Last element in range is '||'"),
            (
                "1.0.0 || || 2.0.0",
                "Two '||' in range without a version between",
            ),
            (
                ">= 1.31",
                r#"Could not parse Range ">=1.31": Could not parse version "1.31" in ">=1.31": No Major.Minor.Patch elements found"#,
            ),
            (
                "~1.31.0",
                r#"Could not parse Range "~1.31.0": Could not parse comparator "~" in "~1.31.0""#,
            ),
            (
                ">=1.0.0, <2.0.0",
                r#"Could not parse Range ">=1.0.0,": Could not parse version "1.0.0," in ">=1.0.0,": Invalid character(s) found in patch number "0,""#,
            ),
            (
                ">= v1.31.0",
                r#"Could not parse Range ">=v1.31.0": Could not parse comparator ">=v" in ">=v1.31.0""#,
            ),
            ("latest", r#"Could not get version from string: "latest""#),
            ("x.x", r#"Could not get version from string: "x.x""#),
        ] {
            let error = Range::parse(range).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(message), "{range}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-0-9.x<>=!|~^ va+é]{0,30}|.*") {
            let _ = Version::parse_tolerant(&text);
            let version = Version::make(&text);
            let range = Range::parse(&text);
            if let (Ok(range), Ok(version)) = (range, version) {
                prop_assert!(range.contains(&version), "{}", text);
            }
        }
    }
}
