//! The product: command line, spec loading, pipeline, reports. No check and no rule lives here.

mod cli;
pub mod exit;
pub mod packs;
pub mod pipeline;
pub mod progress;
pub mod report;
pub mod spec;
pub mod storage;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments, the first being the name it was called by.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    no_core_dumps();
    cli::run(arguments).into()
}

/// Raw bytes are in memory while they are redacted; a core dump would put them on a disk.
fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        // A refusal changes nothing that the operator could act on.
        let _ = setrlimit(Resource::Core, none);
    }
}
