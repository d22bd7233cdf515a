//! The project's own commands: `cargo xtask --help`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command line tool for the project's own people"
)]

mod bench;
mod command;
mod conformance;
mod debian;
mod deny;
mod fuzz;
mod generate;
mod guard;
mod record;
mod rig;
mod static_binary;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
enum Task {
    /// Real servers for tests: start, stop, look
    #[command(subcommand)]
    Rig(rig::RigTask),
    /// Bans, licences and sources of deny.toml
    Deny,
    /// Break every boundary of the project once and see that it is noticed
    Guard,
    /// Write the files that are made from others
    Gen(generate::GenerateTask),
    /// The static release binary, proven in an empty root
    Static,
    /// The neutral cases of troubleshoot's behaviour
    Conformance(conformance::ConformanceTask),
    /// Measure every budget and write docs/benchmarks.md
    Bench(bench::BenchTask),
    /// Record the cluster that `assay demo` serves
    Record(record::RecordTask),
    /// Inputs made to break the readers of archives, specs and templates, and the redactor
    Fuzz(fuzz::FuzzTask),
    /// Every test: without servers, against real ones, against a real node
    Test(test::TestTask),
}

/// The folder of the workspace.
fn project_root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Record(task) => record::record(&task),
        Task::Rig(task) => rig::run(task),
        Task::Deny => deny::check(&project_root()),
        Task::Guard => guard::guard(),
        Task::Gen(task) => generate::generate(&task),
        Task::Static => static_binary::build().map(|_| ()),
        Task::Conformance(task) => conformance::conformance(&task),
        Task::Bench(task) => bench::bench(&task),
        Task::Fuzz(task) => fuzz::fuzz(&task),
        Task::Test(task) => test::test(&task),
    };
    rig::finish();
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
