//! The command line. The name it is called by decides which one: `assay` (and `kubectl-assay`) is ours;
//! `preflight`, `support-bundle` and their `kubectl-` forms take troubleshoot's flags and give its output.

mod agent;
mod airgap;
mod airgap_diff;
mod analyze;
mod budgets;
mod collect;
mod connection;
mod demo;
mod dropin_preflight;
mod dropin_support_bundle;
mod job;
mod load;
mod log;
mod open;
mod own;
mod packs;
mod plan;
mod redact;
mod reference;
mod serve;
mod verify;

pub(crate) use log::redacted;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use crate::exit::Exit;
use crate::report::human::printable;

/// Which command line the program was called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Assay,
    Preflight,
    SupportBundle,
}

impl Name {
    fn of(program: Option<&OsString>) -> Self {
        let stem = program
            .map(Path::new)
            .and_then(Path::file_stem)
            .and_then(OsStr::to_str)
            .unwrap_or_default();
        match stem.strip_prefix("kubectl-").unwrap_or(stem) {
            "preflight" => Self::Preflight,
            "support-bundle" | "support_bundle" => Self::SupportBundle,
            _ => Self::Assay,
        }
    }
}

/// Parses the arguments, runs what they ask for, prints what went wrong.
#[must_use]
pub(crate) fn run(arguments: Vec<OsString>) -> Exit {
    let done = match Name::of(arguments.first()) {
        Name::Assay => parse::<own::Arguments>(arguments, None).map(own::run),
        Name::Preflight => parse::<dropin_preflight::Arguments>(arguments, Some("PREFLIGHT"))
            .map(dropin_preflight::run),
        Name::SupportBundle => {
            parse::<dropin_support_bundle::Arguments>(arguments, Some("TROUBLESHOOT"))
                .map(dropin_support_bundle::run)
        }
    };
    match done {
        Ok(Ok(exit)) | Err(exit) => exit,
        Ok(Err(failure)) => {
            print_error(&failure.error);
            failure.exit
        }
    }
}

/// An error with the exit code it stands for.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// The spec is wrong: exit 2.
    fn spec(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Spec,
            error: error.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Error,
            error: error.into(),
        }
    }
}

type Done = Result<Exit, Failure>;

/// `environment`: every flag can also be set by `<PREFIX>_<FLAG>`, upper case, dashes as underscores (viper's rule).
fn parse<A: FromArgMatches + CommandFactory>(
    arguments: Vec<OsString>,
    environment: Option<&str>,
) -> Result<A, Exit> {
    let mut command = A::command();
    if let Some(prefix) = environment {
        command = command.mut_args(|argument| match argument.get_long() {
            Some("help" | "version") | None => argument,
            Some(long) => {
                let variable = format!("{prefix}_{}", long.to_uppercase().replace('-', "_"));
                argument.env(variable).hide_env(true)
            }
        });
    }
    command
        .try_get_matches_from_mut(arguments)
        .and_then(|matches| A::from_arg_matches(&matches))
        .map_err(|error| {
            // A closed stdout or stderr leaves nobody to tell.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Pass,
                _ => Exit::Error,
            }
        })
}

/// One readable chain on stderr: what was attempted, on what, what came back.
fn print_error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !last.contains(&cause) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause);
        }
        last = cause;
    }
    say(&log::redacted(&text));
}

/// A line on stderr, for a person. What it quotes may be a stranger's.
fn say(text: &str) {
    let text = printable(text);
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The result, on stdout.
fn print(text: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("failed to write the result to stdout")
}

/// Runs `work` on a fresh runtime.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    use anyhow::Context as _;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let result = runtime.block_on(work);
    // A blocked thread (a host command that ignores its deadline) must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for (program, name) in [
            ("assay", Name::Assay),
            ("/usr/bin/kubectl-assay", Name::Assay),
            ("kubectl-preflight", Name::Preflight),
            ("/x/preflight", Name::Preflight),
            ("kubectl-support_bundle", Name::SupportBundle),
            ("support-bundle", Name::SupportBundle),
            ("", Name::Assay),
        ] {
            assert_eq!(Name::of(Some(&OsString::from(program))), name, "{program}");
        }
    }

    #[test]
    fn the_command_lines_are_consistent() {
        own::Arguments::command().debug_assert();
        dropin_preflight::Arguments::command().debug_assert();
        dropin_support_bundle::Arguments::command().debug_assert();
    }
}
