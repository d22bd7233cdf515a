//! Few file descriptors, little memory: a run like any other, or one that says what it cost.

use std::process::Command;
use std::time::Duration;

use crate::fixture::{Bench, Served, members, recorded};
use crate::relay::{Fault, Relay};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
    - logs: {name: all, selector: []}
";

#[test]
fn a_run_with_64_file_descriptors_collects_everything() {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let served = Served::start(&bench, &recorded());
    // Slow, so that there is as much at once as there ever is.
    let relay = Relay::start(&bench, &served, |_| Fault::Delay(Duration::from_millis(50)));
    let collect = |shell: &str, output: &str| {
        let assay = bench.assay();
        let mut command = Command::new("sh");
        command
            .args(["-c", shell])
            .arg(assay.get_program())
            .args(["collect", "spec.yaml", "--output", output, "--kubeconfig"])
            .arg(&relay.kubeconfig)
            .env_clear()
            .envs(
                assay
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(bench.work());
        // Some pods of the recorded cluster have no log, which is said.
        let ran = Bench::run(&mut command).exits(5);
        assert!(!ran.stdout.contains("open files"), "{}", ran.stdout);
        members(&bench.work().join(output))
    };
    let whole = collect("exec \"$0\" \"$@\"", "whole.tar.gz");
    let limited = collect("ulimit -n 64 && exec \"$0\" \"$@\"", "limited.tar.gz");
    assert!(limited.keys().eq(whole.keys()));
    assert!(whole.keys().any(|path| path.contains("/logs/")));
}
