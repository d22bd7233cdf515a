//! The `assay` binary. Everything is in the library, where it can be tested.

use std::process::ExitCode;

/// musl's own allocator serialises threads; this one does not (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    assay::run(std::env::args_os().collect())
}
