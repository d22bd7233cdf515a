//! SIGKILL at any moment: the file is a prefix that can be read, or absent; nothing calls it whole unless it is; nothing raw
//! is on the disk.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;

use crate::fixture::{Bench, Served, finish, members, recorded};
use crate::relay::{Fault, Relay};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
    - logs: {name: app, namespace: mlops, selector: [app=mlflow]}
    - data: {name: planted/config, data: 'DB_PASSWORD=Qv7canaryZ4k'}
";

const SECRET: &[u8] = b"Qv7canaryZ4k";

/// How many runs are killed; `ASSAY_KILLS` says otherwise.
const KILLS: u32 = 40;

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Fails where a file below a folder holds the secret, as it lies there or unpacked as far as it can be.
fn nothing_raw(folder: &Path, when: &str) {
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.file_name() != "spec.yaml" {
                let bytes = fs::read(entry.path()).expect("a file");
                let mut unpacked = Vec::new();
                let _ = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked);
                let raw = holds(&bytes, SECRET) || holds(&unpacked, SECRET);
                assert!(!raw, "{when}: {} holds a secret", entry.path().display());
            }
        }
    }
}

#[test]
fn a_run_killed_at_any_moment_leaves_no_lie_and_nothing_raw() {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let served = Served::start(&bench, &recorded());
    // So slow that most moments fall into the collection.
    let relay = Relay::start(&bench, &served, |_| Fault::Delay(Duration::from_millis(10)));
    let bundle = bench.work().join("bundle.tar.gz");
    let start = || {
        let mut command = bench.assay();
        command.args([
            "collect",
            "spec.yaml",
            "--output",
            "bundle.tar.gz",
            "--kubeconfig",
        ]);
        command.arg(&relay.kubeconfig);
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        pipes.spawn().expect("the binary starts")
    };
    let started = Instant::now();
    let ran = finish(start());
    let took = started.elapsed();
    assert!(matches!(ran.code, Some(0 | 3 | 4 | 5)), "{}", ran.stderr);
    let whole = members(&bundle);
    assert!(whole.contains_key("planted/config"));
    nothing_raw(bench.everything(), "at the end");
    let kills = std::env::var("ASSAY_KILLS").ok();
    let kills = kills.and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let (mut absent, mut partial, mut complete) = (0, 0, 0);
    for _ in 0..kills {
        let _ = fs::remove_file(&bundle);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let part = u32::try_from(state % 1000).unwrap_or(0);
        let moment = took * part / 950;
        let when = format!("killed after {moment:?}");
        let mut child = start();
        std::thread::sleep(moment);
        let _ = child.kill();
        finish(child);
        nothing_raw(bench.everything(), &when);
        if !bundle.exists() {
            absent += 1;
            continue;
        }
        let ran = bench.assay_run(["verify", "bundle.tar.gz"]);
        match ran.code {
            // Nothing of it was written yet, or too little to be an archive.
            Some(1) => absent += 1,
            Some(3) => partial += 1,
            Some(0 | 5) => {
                // The index is there, which is written last.
                complete += 1;
                let found = members(&bundle);
                assert!(found.keys().eq(whole.keys()), "{when}: {}", ran.stdout);
                assert!(ran.stdout.contains("Ended"), "{when}: {}", ran.stdout);
            }
            _ => panic!("{when}: {:?} {}", ran.code, ran.stderr),
        }
        let left = fs::read_dir(bench.everything().join("tmp")).expect("a folder");
        assert_eq!(left.count(), 0, "{when}");
    }
    assert!(
        partial > 0,
        "{absent} absent, {partial} partial, {complete} complete"
    );
}
