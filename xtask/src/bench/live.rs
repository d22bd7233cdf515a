//! Rows against the real API server with kwok: bundles and preflights at two sizes, logs, requests counted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::measure::{Launch, Usage, measure};
use super::objects::Size;
use super::{Bench, Row, load, registry, slow};
use crate::rig::{Inside, Lifetime, Rig};

/// Measures every row at `pods / 10` and at `pods`, each on a rig of its own.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for pods in [bench.pods / 10, bench.pods] {
        let name = format!("bench-{}", std::process::id());
        let rig = Rig::start(&name, false, Lifetime::WithCaller)?;
        let measured = load::load(&rig.inside(), bench.folder(), Size::with_pods(pods))
            .and_then(|()| rows(bench, &rig.inside(), pods))
            .and_then(|()| {
                slow::run(bench, &rig.inside(), pods)?;
                if pods == bench.pods {
                    registry::run(bench, &rig.inside())
                } else {
                    Ok(())
                }
            });
        rig.stop()?;
        measured?;
    }
    Ok(())
}

/// Measures the images of a registry on a rig without pods.
pub(super) fn registry_alone(bench: &mut Bench) -> Result<()> {
    let name = format!("bench-{}", std::process::id());
    let rig = Rig::start(&name, false, Lifetime::WithCaller)?;
    let measured = registry::run(bench, &rig.inside());
    rig.stop()?;
    measured
}

fn rows(bench: &mut Bench, rig: &Inside, pods: usize) -> Result<()> {
    let support_bundle = ("collect", include_str!("specs/support-bundle.yaml"));
    // Learns which pages there are. The server has just been filled: it still writes to etcd and fills its caches, and
    // whoever asks first would pay for that.
    let (_, pages) = run_spec(bench, rig, support_bundle)?;
    plain_gets(bench, rig, pods, &pages)?;
    row(
        bench,
        rig,
        "support bundle",
        pods,
        support_bundle,
        "≤ 150 requests; ≤ 120 MB; ≤ 1.3 × the memory at a tenth; ≤ 1.5 × plain GETs",
    )?;
    row(
        bench,
        rig,
        "preflight, 15 analyzers",
        pods,
        ("preflight", include_str!("specs/preflight.yaml")),
        "≤ 1/5 of the peer's wall, a tenth of its requests",
    )?;
    row(
        bench,
        rig,
        "logs of all pods",
        pods,
        ("collect", include_str!("specs/all-logs.yaml")),
        "all of them; ≤ 40 s and ≤ 120 MB at 10,000",
    )?;
    Ok(())
}

/// A measured run of ours.
pub(super) struct Ran {
    pub(super) usage: Usage,
    /// Bytes of the bundle.
    packed: u64,
}

/// Runs a spec inside the rig, and returns what it took and the paths that it read.
pub(super) fn run_spec(
    bench: &Bench,
    rig: &Inside,
    spec: (&str, &str),
) -> Result<(Ran, Vec<String>)> {
    run_spec_by(&|program: &str| rig.command(program), bench, rig, spec)
}

/// As [`run_spec`], started by `launch`.
pub(super) fn run_spec_by(
    launch: Launch<'_>,
    bench: &Bench,
    rig: &Inside,
    (verb, spec): (&str, &str),
) -> Result<(Ran, Vec<String>)> {
    let file = bench.folder().join("spec.yaml");
    fs::write(&file, spec)?;
    let archive = bench.folder().join("live.tar.gz");
    let before = requests(rig)?.len();
    let usage = measure(
        launch,
        bench.folder(),
        &bench.binary,
        &[
            verb,
            &file.to_string_lossy(),
            "--output",
            &archive.to_string_lossy(),
            "--quiet",
        ],
    )?;
    if !usage.complete {
        bail!("{verb} did not get everything: the row would not say what it seems to");
    }
    let read = requests(rig)?.split_off(before);
    let packed = fs::metadata(&archive)
        .with_context(|| format!("failed to find the bundle {}", archive.display()))?
        .len();
    fs::remove_file(&archive)?;
    Ok((Ran { usage, packed }, read))
}

/// Runs a spec, and the peer with the same one.
fn row(
    bench: &mut Bench,
    rig: &Inside,
    what: &'static str,
    pods: usize,
    (verb, spec): (&str, &str),
    budget: &'static str,
) -> Result<()> {
    let (ours, read) = run_spec(bench, rig, (verb, spec))?;
    let file = bench.folder().join("spec.yaml");
    let launch = |program: &str| rig.command(program);
    let program = if verb == "preflight" {
        "preflight"
    } else {
        "support-bundle"
    };
    let peer = bench.peer_with(
        &launch,
        program,
        &["--interactive=false", &file.to_string_lossy()],
    )?;
    bench.row(Row {
        what,
        input: format!("{pods} pods"),
        ours: ours.usage,
        note: format!(
            "{} requests; bundle {}",
            read.len(),
            super::offline::megabytes(ours.packed)
        ),
        peer,
        budget,
    });
    Ok(())
}

/// The same pages again, compressed on the way as any client asks for them, one after the other and thrown away: what
/// the API server itself needs.
fn plain_gets(bench: &mut Bench, rig: &Inside, pods: usize, paths: &[String]) -> Result<()> {
    let mut script = String::new();
    for (i, path) in paths.iter().enumerate() {
        if i > 0 {
            script.push_str("next\n");
        }
        let _ = write!(
            script,
            "globoff\ncompressed\nurl = \"https://127.0.0.1{path}\"\noutput = \"/dev/null\"\n{}",
            load::credentials(rig)
        );
    }
    let file = bench.folder().join("gets");
    fs::write(&file, script)?;
    let launch = |program: &str| rig.command(program);
    let usage: Usage = measure(
        &launch,
        bench.folder(),
        Path::new("curl"),
        &["--silent", "--config", &file.to_string_lossy()],
    )?;
    bench.row(Row {
        what: "plain GETs of the same pages",
        input: format!("{pods} pods"),
        ours: usage,
        note: format!("{} requests, by curl", paths.len()),
        peer: None,
        budget: "",
    });
    Ok(())
}

/// Paths of the requests that the administrator made so far, by the API server's own record.
fn requests(rig: &Inside) -> Result<Vec<String>> {
    let path = rig.folder().join("log/audit.log");
    let log =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(log
        .lines()
        // The last line may be under way.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == "rig-admin")
        .filter_map(|event| event["requestURI"].as_str().map(str::to_owned))
        .collect())
}
