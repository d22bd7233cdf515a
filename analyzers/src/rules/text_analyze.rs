//! `textAnalyze`: a regular expression over collected text.

use bundle::{BundlePath, Files};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::glob::FileGlob;
use syntax::go_regex::GoRegex;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::comparison::ICON;
use crate::config::{docs, parse, schema};
use crate::document::{cut_short, file_path, missing, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::outcome::Outcome;
use crate::text_outcome::{GROUPS_ICON, expression, judge_groups, judge_match};
use crate::text_search::search;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Collected text matches, or does not match, a regular expression",
    docs: docs::<TextAnalyze>,
    since: "0.1.0",
    needs: &["logs", "exec", "run", "runPod", "data", "copy"],
    parse: parse::<TextAnalyze>,
    schema: schema::<TextAnalyze>,
};

pub(super) const HOST_KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "A host's text matches, or does not match, a regular expression",
    docs: docs::<TextAnalyze>,
    since: "0.1.0",
    needs: &["run", "copy", "journald"],
    parse: parse::<HostTextAnalyze>,
    schema: schema::<TextAnalyze>,
};

const NAME: &str = "textAnalyze";

/// Collected text matches, or does not match, a regular expression.
///
/// # What it checks
/// Each file that the glob `<collectorName>/<fileName>` finds (`*` does not cross a slash), without
/// `excludeFiles`, against `regex` or the first match of `regexGroups`, in Go's syntax. A name that ends in
/// `-stdout.txt`, `-stderr.txt` or `-errors.json` is looked for in the folders of `exec`,
/// `<collectorName>/<namespace>/<pod>/`. One finding for each file.
///
/// # When it warns or fails
/// With `regex`, `when` is `"true"` for "matches" or `"false"` for "does not"; without it `fail` and `warn` mean "does
/// not" and `pass` means "matches". All outcomes are looked at, the last that holds speaks; pass outweighs
/// warn, warn outweighs fail. With `regexGroups`, `when` is `<group> <op> <value>`: whole numbers compare by
/// `= < > <= >=`, other text by `=`; `''` is the empty text. The first outcome that holds counts, and
/// messages are templates over the named groups (`{{ .Loss }}`).
/// No file at all is a warning, unless `ignoreIfNoFiles`. No match in a file of which a part was cut is unknown.
///
/// # What to do
/// The outcome's message says what the text means. The finding names the file and the line.
///
/// # Needs
/// The collector that writes the files. An expression that may span lines is searched in files up to 256 MiB,
/// others in files of any size.
///
/// # Example
/// ```yaml
/// textAnalyze:
///   checkName: Packet loss
///   collectorName: run-ping
///   fileName: run-ping.log
///   regexGroups: '(?P<Loss>\d+)% packet loss'
///   outcomes:
///     - pass:
///         when: "Loss < 5"
///         message: The network loses {{ .Loss }}% of packets.
///     - fail:
///         message: The network loses too many packets.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct TextAnalyze {
    /// The folder that the collector writes to.
    collector_name: String,
    /// A glob of files in it.
    file_name: String,
    /// An expression that matches or does not.
    regex: String,
    /// An expression with named groups.
    regex_groups: String,
    /// Say nothing where there is no such file.
    ignore_if_no_files: bool,
    /// What to say.
    outcomes: Vec<Outcome>,
    /// Globs of files in the folder that are left out.
    exclude_files: Vec<String>,
}

/// The same over a host's files, with a title of its own.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct HostTextAnalyze(TextAnalyze);

impl Analyzer for TextAnalyze {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.collector_name.as_str())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        self.judge(&self.title(meta), meta, files)
    }
}

impl Analyzer for HostTextAnalyze {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Regular Expression")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        self.0.judge(&self.title(meta), meta, files)
    }
}

impl TextAnalyze {
    fn judge(&self, title: &str, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let pattern = self.pattern(&self.file_name)?;
        let paths = self.paths(&pattern, files)?;
        let mut judgement = Judgement {
            findings: Vec::new(),
            not_evaluated: missing(files, &pattern),
        };
        if paths.is_empty() {
            let said = self.no_files(&pattern, files, judgement.not_evaluated)?;
            return Ok(titled(said, title).into());
        }
        for (mode, text) in [
            (Mode::Matches, &self.regex),
            (Mode::Groups, &self.regex_groups),
        ] {
            if text.is_empty() {
                continue;
            }
            let regex = expression(text)?;
            for path in &paths {
                let said = self.judge_file(mode, &regex, path.as_str(), files);
                if let Err(reason @ NotEvaluated::Spec(_)) = said {
                    // The condition is the same for every file.
                    return Err(reason);
                }
                judgement.add(said.map(|said| Finding {
                    strict: meta.strict,
                    ..titled(said, title)
                }));
            }
        }
        if self.regex.is_empty() && self.regex_groups.is_empty() {
            judgement.findings.push(titled(invalid(), title));
        }
        Ok(judgement)
    }

    /// The glob that a file name of the spec stands for.
    fn pattern(&self, name: &str) -> Result<String, NotEvaluated> {
        let path = file_path(&self.collector_name, name)?;
        let is_of_exec = ["-stdout.txt", "-stderr.txt", "-errors.json"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
        if is_of_exec && !path.contains(['*', '?', '[']) {
            return file_path(&format!("{}/*/*", self.collector_name), name);
        }
        Ok(path)
    }

    /// The files to search. Troubleshoot fails on a pattern that also names folders: such a pattern was meant
    /// for the files in them, which it does not reach, and a pass would speak of others.
    fn paths(&self, pattern: &str, files: &Files) -> Result<Vec<BundlePath>, NotEvaluated> {
        let glob = Self::glob(pattern)?;
        let mut excluded = Vec::new();
        for name in &self.exclude_files {
            excluded.push(Self::glob(&self.pattern(name)?)?);
        }
        let is_wanted =
            |path: &str| glob.matches(path) && !excluded.iter().any(|glob| glob.matches(path));
        let depth = pattern.split('/').count();
        let folder = files.paths().find_map(|path| {
            let (end, _) = path.as_str().match_indices('/').nth(depth - 1)?;
            Some(&path.as_str()[..end]).filter(|folder| is_wanted(folder))
        });
        if let Some(folder) = folder {
            return Err(NotEvaluated::Spec(format!(
                "{pattern:?} also names folders, such as {folder}, whose files it does not reach: name the files, as in \"{folder}/*\""
            )));
        }
        let mut paths = files.glob(pattern)?;
        paths.retain(|path| is_wanted(path.as_str()));
        Ok(paths)
    }

    fn glob(pattern: &str) -> Result<FileGlob, NotEvaluated> {
        FileGlob::new(pattern)
            .map_err(|error| NotEvaluated::Spec(format!("{pattern:?} names no files: {error}")))
    }

    /// The answer where no file was found: that the manifest knows why comes first.
    fn no_files(
        &self,
        pattern: &str,
        files: &Files,
        missing: Option<NotEvaluated>,
    ) -> Result<Finding, NotEvaluated> {
        if let Some(reason) = missing {
            return Err(reason);
        }
        if let Some(gap) = files.gaps(pattern).next() {
            return Err(NotEvaluated::from_gap(pattern, gap));
        }
        if self.ignore_if_no_files {
            let reason = format!("{pattern} was not collected, and the spec says to ignore that");
            return Err(NotEvaluated::NotApplicable(reason));
        }
        Ok(Finding {
            id: Finding::id(NAME, pattern),
            verdict: Some(Verdict::Warn),
            message: "No matching files".to_owned(),
            observed: format!("no file {pattern}"),
            remedy: "Check that collectorName and fileName name what the collector writes."
                .to_owned(),
            ..Finding::default()
        }
        .with_icon(&ICON))
    }

    fn judge_file(
        &self,
        mode: Mode,
        regex: &GoRegex,
        path: &str,
        files: &Files,
    ) -> Result<Finding, NotEvaluated> {
        let found = search(files, path, regex)?;
        if found.is_none()
            && let Some(reason) = cut_short(files, path)
        {
            // What is not in the part that was kept may be in the other.
            return Err(reason);
        }
        let observed = match &found {
            Some(found) => format!("{path}, line {}", found.line),
            None => format!("no match in {path}"),
        };
        let (subject, said) = match mode {
            Mode::Matches => {
                if found.as_ref().is_some_and(|found| found.owes_to_mask) {
                    return Err(redacted());
                }
                let said = judge_match(&self.outcomes, found.is_some())?.with_icon(&ICON);
                (path.to_owned(), said)
            }
            Mode::Groups => {
                let said = judge_groups(&self.outcomes, regex, found.as_ref())?;
                (format!("{path}/groups"), said.with_icon(&GROUPS_ICON))
            }
        };
        Ok(Finding {
            id: Finding::id(NAME, &subject),
            observed,
            ..said
        })
    }
}

/// What is asked of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Whether it matches.
    Matches,
    /// What its groups hold.
    Groups,
}

fn titled(finding: Finding, title: &str) -> Finding {
    Finding {
        title: title.to_owned(),
        ..finding
    }
}

/// The answer to a spec with neither expression.
fn invalid() -> Finding {
    Finding {
        id: NAME.to_owned(),
        verdict: Some(Verdict::Fail),
        message: "Invalid analyzer".to_owned(),
        remedy: "Give the analyzer a regex or regexGroups.".to_owned(),
        ..Finding::default()
    }
    .with_icon(&ICON)
}
