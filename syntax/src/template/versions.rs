//! sprig: semantic versions and constraints on them, as `github.com/Masterminds/semver/v3` reads them
//! (`>=1.20 <2`, `~1.2`, `^1.2.3`, `1.2 - 1.4`, `1.x || 2.*`). The ranges of troubleshoot's own analyzers are
//! another language: [`crate::version`].

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use crate::version::Version;

use super::functions::{Function, Kind, row, text};
use super::value::{Made, Part, Value};

use Kind::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    row("semver", &[Text], None, |_, args| {
        let original = text(&args[0]);
        let version = parse(original)?;
        let number = |number: u64| Part::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let joined = |parts: Vec<String>| Part::Text(parts.join("."));
        Ok(Value::Made(Rc::new(Made {
            type_name: "*semver.Version",
            printed: version.to_string(),
            parts: vec![
                ("Major", number(version.major)),
                ("Minor", number(version.minor)),
                ("Patch", number(version.patch)),
                (
                    "Prerelease",
                    joined(version.pre.iter().map(ToString::to_string).collect()),
                ),
                ("Metadata", joined(version.build.clone())),
                ("Original", Part::Text(original.to_owned())),
                ("String", Part::Text(version.to_string())),
            ],
        })))
    }),
    row("semverCompare", &[Text, Text], None, |_, args| {
        let constraint = parse_constraint(text(&args[0]))?;
        let version = parse(text(&args[1]))?;
        Ok(Value::Bool(constraint.iter().any(|all| {
            // Pre-releases count only where the constraint names one.
            let pre = all
                .iter()
                .any(|comparison| !comparison.version.pre.is_empty());
            (pre || version.pre.is_empty()) && all.iter().all(|c| c.holds(&version))
        })))
    }),
];

const NUMBERS: &str = r"v?([0-9xX*|]+)(\.[0-9xX*|]+)?(\.[0-9xX*|]+)?(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?";

/// One comparison, wherever it stands.
static COMPARISON: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"^\s*(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)\s*{NUMBERS}")).ok());
/// `1.2 - 1.4`
static HYPHEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"\s*({NUMBERS})\s+-\s+({NUMBERS})\s*")).ok());

/// Reads a version leniently: a leading `v`, missing minor and patch, leading zeros.
fn parse(text: &str) -> Result<Version, String> {
    const INVALID: &str = "invalid semantic version";
    let bare = text.strip_prefix('v').unwrap_or(text);
    let (numbers, tail) = bare.split_at(bare.find(['-', '+']).unwrap_or(bare.len()));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 || !parts.iter().all(|part| digits(part)) {
        return Err(INVALID.into());
    }
    parts.resize(3, "0");
    let strip = |part: &&str| match part.trim_start_matches('0') {
        "" => "0".to_owned(),
        part => part.to_owned(),
    };
    let numbers: Vec<String> = parts.iter().map(strip).collect();
    Version::make(&format!("{}{tail}", numbers.join("."))).map_err(|_| INVALID.into())
}

struct Comparison {
    operator: String,
    version: Version,
    /// `1`, `1.x`
    any_minor: bool,
    /// `1.2`, `1.2.x`
    any_patch: bool,
    /// Either, or `*`.
    partial: bool,
}

/// Alternatives of comparisons that must all hold.
fn parse_constraint(text: &str) -> Result<Vec<Vec<Comparison>>, String> {
    let (Some(comparison), Some(hyphen)) = (COMPARISON.as_ref(), HYPHEN.as_ref()) else {
        return Err("improper constraint".into());
    };
    let text = hyphen.replace_all(text, |range: &regex::Captures<'_>| {
        format!(">= {}, <= {} ", &range[1], &range[6])
    });
    text.split("||")
        .map(|alternative| {
            let improper = || format!("improper constraint: {alternative}");
            let mut all = Vec::new();
            let mut rest = alternative;
            loop {
                let found = comparison.captures(rest).ok_or_else(improper)?;
                all.push(Comparison::of(&found).ok_or("constraint parser error")?);
                rest = &rest[found[0].len()..];
                let next = rest.trim_start();
                if next.is_empty() {
                    return Ok(all);
                }
                match next.strip_prefix(',') {
                    Some(next) if next.trim().is_empty() => return Err(improper()),
                    Some(after) => rest = after,
                    None if next.len() == rest.len() => return Err(improper()),
                    None => rest = next,
                }
            }
        })
        .collect()
}

impl Comparison {
    fn of(found: &regex::Captures<'_>) -> Option<Comparison> {
        let part = |index: usize| {
            let part = found.get(index).map_or("", |part| part.as_str());
            Some(part.trim_start_matches('.')).filter(|part| !matches!(*part, "" | "x" | "X" | "*"))
        };
        let pre = found.get(5).map_or("", |pre| pre.as_str());
        let (major, minor, patch) = (part(2), part(3), part(4));
        let any_major = major.is_none();
        let any_minor = !any_major && minor.is_none();
        let any_patch = !any_major && !any_minor && patch.is_none();
        let text = match (major, minor, patch) {
            (None, ..) => format!("0.0.0{pre}"),
            (Some(major), None, _) => format!("{major}.0.0{pre}"),
            (Some(major), Some(minor), patch) => {
                format!("{major}.{minor}.{}{pre}", patch.unwrap_or("0"))
            }
        };
        Some(Comparison {
            operator: found[1].to_owned(),
            version: parse(&text).ok()?,
            any_minor,
            any_patch,
            partial: any_major || any_minor || any_patch,
        })
    }

    fn holds(&self, version: &Version) -> bool {
        let ours = &self.version;
        let order = version.cmp(ours);
        let same_major = version.major == ours.major;
        let same_minor = same_major && version.minor == ours.minor;
        match self.operator.as_str() {
            "!=" if self.partial => {
                let within = if self.any_minor {
                    same_major
                } else {
                    same_minor && (self.any_patch || version.patch == ours.patch)
                };
                !within || (self.any_patch && version.pre != ours.pre)
            }
            "!=" => order != Ordering::Equal,
            ">" if !self.partial => order == Ordering::Greater,
            ">" if !same_major => version.major > ours.major,
            ">" if self.any_minor => false,
            ">" if self.any_patch => version.minor > ours.minor,
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            ">=" | "=>" => order != Ordering::Less,
            "<=" | "=<" if !self.partial => order != Ordering::Greater,
            "<=" | "=<" => {
                version.major < ours.major
                    || same_major && (self.any_minor || version.minor <= ours.minor)
            }
            "^" => order != Ordering::Less && self.caret(version),
            "" | "=" if !self.partial => order == Ordering::Equal,
            _ => order != Ordering::Less && self.tilde(version),
        }
    }

    fn tilde(&self, version: &Version) -> bool {
        let ours = &self.version;
        let zero = (ours.major, ours.minor, ours.patch) == (0, 0, 0);
        zero && !self.any_minor && !self.any_patch
            || version.major == ours.major && (self.any_minor || version.minor == ours.minor)
    }

    /// The leftmost number that is not zero must stay.
    fn caret(&self, version: &Version) -> bool {
        let ours = &self.version;
        if ours.major > 0 || self.any_minor {
            return version.major == ours.major;
        }
        if version.major > 0 {
            return false;
        }
        if ours.minor > 0 || self.any_patch {
            return version.minor == ours.minor;
        }
        version.minor == 0 && version.patch == ours.patch
    }
}
