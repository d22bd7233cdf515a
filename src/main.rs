//! The `assay` binary. Everything is in the library, where it can be tested.

use std::process::ExitCode;

/// musl's own allocator serialises threads; this one does not (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which most would hold little: half of the memory of a run
    // (docs/benchmarks.md). Without them nothing is slower that was measured, so a refusal is no error.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    assay::run(std::env::args_os().collect())
}
