//! Host `hostOS`: the operating system and its kernel.

use bundle::Files;
use bundle::collected::host::HostOs as Collected;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::version::{Range, Version};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::unmasked;
use crate::finding::{Judgement, NotEvaluated};
use crate::host::HostRule;
use crate::outcome::{Outcome, bad_condition};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "The host's operating system and kernel are ones that are supported",
    docs: docs::<HostOs>,
    since: "0.1.0",
    needs: &["hostOS"],
    parse: parse::<HostOs>,
    schema: schema::<HostOs>,
};

const NAME: &str = "hostOS";

/// The host's operating system and kernel are ones that are supported.
///
/// # What it checks
/// The distribution (`ubuntu`), its family (`debian`), its version and the kernel's, of this host or of each
/// node that was collected from.
///
/// # When it warns or fails
/// `when` is `<distribution or family> <op> <version>`, followed by any number of `&& <op> <version>` or
/// `|| <op> <version>`: `ubuntu >= 22.04`, `rhel >= 8 && < 10`. `kernelVersion >= 5.4` compares the kernel on any
/// distribution, `ubuntu-22.04-kernel >= 5.15` on that one. Another distribution does not hold. The first
/// outcome that holds counts; where none does there is no result.
///
/// # What to do
/// Install on one of the operating systems that the application names, or update this one.
///
/// # Needs
/// The host collector `hostOS`. No privileges.
///
/// # Example
/// ```yaml
/// hostOS:
///   outcomes:
///     - fail:
///         when: "centos < 8"
///         message: CentOS 7 and older are not supported.
///     - pass:
///         when: "ubuntu >= 22.04"
///         message: This Ubuntu is supported.
///     - warn:
///         message: This operating system has not been tried.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct HostOs {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name; there is one file whatever it says.
    collector_name: String,
}

impl Analyzer for HostOs {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Host OS Info")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        HostRule {
            kind: NAME,
            file_name: "hostos_info.json",
            outcomes: &self.outcomes,
            title: &self.title(meta),
            remedy: "Use one of the operating systems that the application supports, or update this one.",
        }
        .evaluate(files, holds, |os: &Collected| {
            format!(
                "{} {}, kernel {}",
                os.platform, os.platform_version, os.kernel_version
            )
        })
    }
}

fn holds(when: &str, os: &Collected) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.split(' ').collect();
    if !parts.len().is_multiple_of(3) || when.is_empty() {
        return Err(bad_condition(
            when,
            "expected groups of three, as in `ubuntu == 22.04` or `rhel >= 8 && < 10`",
        ));
    }
    let range = range(when, &parts)?;
    let subject = parts[0];
    let kernel_of = format!("{}-{}-kernel", os.platform, os.platform_version);
    if subject == "kernelVersion" && range.contains(&version(&os.kernel_version)?) {
        return Ok(true);
    }
    let names_a_kernel = subject.split('-').count() == 3 && subject.ends_with("-kernel");
    if names_a_kernel {
        Ok(unmasked(&kernel_of)? == subject && range.contains(&version(&os.kernel_version)?))
    } else {
        let is_platform =
            unmasked(&os.platform)? == subject || unmasked(&os.platform_family)? == subject;
        Ok(is_platform && range.contains(&version(&os.platform_version)?))
    }
}

/// The range that the groups of three spell: the first begins with the subject, the others with `&&` or `||`.
fn range(when: &str, parts: &[&str]) -> Result<Range, NotEvaluated> {
    let mut text = String::new();
    for (index, group) in parts.chunks_exact(3).enumerate() {
        match (index, group[0]) {
            (0, _) => {}
            (_, "||") => text.push_str(" || "),
            (_, "&&") => text.push(' '),
            (_, other) => {
                return Err(bad_condition(
                    when,
                    format!("expected && or ||, not {other:?}"),
                ));
            }
        }
        let version = Version::parse_tolerant(&plain(group[2]))
            .map_err(|error| bad_condition(when, error))?;
        text.push_str(group[1]);
        text.push(' ');
        text.push_str(&version.to_string());
    }
    Range::parse(&text).map_err(|error| bad_condition(when, error))
}

/// A version of the host's, which may carry a suffix (`5.15.0-91-generic`).
fn version(text: &str) -> Result<Version, NotEvaluated> {
    Version::parse_tolerant(&plain(unmasked(text)?))
        .map_err(|error| NotEvaluated::Malformed(format!("{text:?} is no version: {error}")))
}

/// At most three numbers without a leading zero: `22.04.3` is `22.4.3`, `5.15.0-91-generic` is `5.15.0`.
fn plain(text: &str) -> String {
    let trimmed: Vec<&str> = text
        .split('.')
        .map(|part| match part {
            "0" => part,
            _ => part.strip_prefix('0').unwrap_or(part),
        })
        .collect();
    let trimmed = trimmed.join(".");
    let mut end = 0;
    let mut dots = 0;
    for (index, character) in trimmed.char_indices() {
        match character {
            '0'..='9' => {}
            '.' if index > 0 && dots < 2 => dots += 1,
            _ => break,
        }
        end = index + 1;
    }
    trimmed[..end].trim_end_matches('.').to_owned()
}
