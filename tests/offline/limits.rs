//! Few file descriptors, little memory: a run like any other, or one that says what it cost.

use std::process::Command;

use crate::fixture::{Bench, Served, members, recorded};

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
    let collect = |shell: &str, output: &str| {
        let assay = bench.assay();
        let mut command = Command::new("sh");
        command
            .args(["-c", shell])
            .arg(assay.get_program())
            .args(["collect", "spec.yaml", "--output", output, "--kubeconfig"])
            .arg(&served.kubeconfig)
            .env_clear()
            .envs(assay.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(bench.work());
        Bench::run(&mut command).exits(0);
        members(&bench.work().join(output))
    };
    let whole = collect("exec \"$0\" \"$@\"", "whole.tar.gz");
    let limited = collect("ulimit -n 64 && exec \"$0\" \"$@\"", "limited.tar.gz");
    assert!(limited.keys().eq(whole.keys()));
    assert!(whole.keys().any(|path| path.contains("/logs/")));
}
