//! Specs, kubeconfigs, servers and disks that cannot be used: one clear error, the right exit code, nothing on
//! stdout, and nothing lost of what was collected.

use std::fmt::Write as _;
use std::net::TcpListener;

use crate::fixture::{Bench, kubeconfig, members, recorded};

const PREFLIGHT: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers:
    - clusterVersion:
        outcomes:
          - pass: {message: fine}
";

const HOST: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: HostPreflight
metadata: {name: h}
spec:
  collectors: [{cpu: {}}, {memory: {}}, {hostOS: {}}]
  analyzers:
    - cpu:
        outcomes:
          - pass: {when: \"count >= 1\", message: there is one}
          - fail: {message: there is none}
";

#[test]
fn specs_that_are_none() {
    let bench = Bench::new();
    let bomb = {
        let mut text =
            String::from("apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\na0: &a0 [x, x]\n");
        for level in 1..40 {
            let below = level - 1;
            let _ = writeln!(
                text,
                "a{level}: &a{level} [*a{below}, *a{below}, *a{below}]"
            );
        }
        text
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty.yaml", Vec::new(), "empty.yaml"),
        (
            "binary.yaml",
            vec![0x7f, b'E', b'L', b'F', 0, 1, 2, 0xff],
            "binary.yaml",
        ),
        (
            "broken.yaml",
            b"apiVersion: troubleshoot.sh/v1beta2\nkind: [Preflight\nspec: {\n".to_vec(),
            "broken.yaml:",
        ),
        (
            "prose.yaml",
            b"Dear customer, please find attached.\n".to_vec(),
            "prose.yaml",
        ),
        ("bomb.yaml", bomb.into_bytes(), "bomb.yaml"),
        (
            "other.yaml",
            b"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n".to_vec(),
            "Pod",
        ),
    ];
    for (name, bytes, said) in cases {
        let path = bench.write(name, bytes);
        let ran = bench.assay_run([std::ffi::OsStr::new("preflight"), path.as_os_str()]);
        let ran = ran.exits(2).says(&[said]);
        assert_eq!(ran.stdout, "", "{name}");
    }
    assert!(bench.bundles().is_empty());
}

#[test]
fn a_spec_of_a_hundred_megabytes_is_refused_unread() {
    let bench = Bench::new();
    let path = bench.work().join("huge.yaml");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    bench
        .assay_run([std::ffi::OsStr::new("preflight"), path.as_os_str()])
        .exits(2)
        .says(&["huge.yaml"]);
}

#[test]
fn a_stream_without_end_is_no_spec() {
    let bench = Bench::new();
    let zeros = || std::fs::File::open("/dev/zero").expect("the zero device");
    Bench::run(bench.assay().args(["preflight", "-"]).stdin(zeros()))
        .exits(2)
        .says(&["16 MiB"]);
    bench
        .assay_run(["preflight", "/dev/zero"])
        .exits(2)
        .says(&["/dev/zero", "16 MiB"]);
}

#[test]
fn a_spec_that_is_not_there() {
    let bench = Bench::new();
    bench
        .assay_run(["preflight", "nowhere.yaml"])
        .exits(2)
        .says(&["nowhere.yaml"]);
}

#[test]
fn misspellings_are_named_with_their_place() {
    let bench = Bench::new();
    bench.write(
        "spec.yaml",
        "apiVersion: troubleshoot.sh/v1beta2
kind: HostPreflight
metadata: {name: h}
spec:
  collectors: [{cpu: {}}]
  analyzers:
    - cpu:
        outcomes:
          - pass:
              wen: \"count >= 10000\"
              message: plenty
    - cpuu: {}
",
    );
    let ran = bench
        .assay_run(["preflight", "spec.yaml", "--format", "json"])
        .says(&[
            "spec.yaml:10:",
            "wen",
            "\"when\"",
            "spec.yaml:12:",
            "cpuu",
            "\"cpu\"",
        ]);
    let report = ran.json();
    assert_eq!(report["pass"].as_array().map(Vec::len), Some(0), "{report}");
    assert_ne!(ran.code, Some(0));
}

#[test]
fn kubeconfigs_that_lead_nowhere() {
    let bench = Bench::new();
    bench.write("spec.yaml", PREFLIGHT);
    bench.write("truncated", &kubeconfig("https://127.0.0.1:1")[..60]);
    bench.write("whole", kubeconfig("https://127.0.0.1:1"));
    let plugin = kubeconfig("https://127.0.0.1:1").replace(
        "{token: t0ken}",
        "{exec: {apiVersion: client.authentication.k8s.io/v1, command: \"false\", interactiveMode: Never}}",
    );
    bench.write("plugin", plugin);
    for (kubeconfig, context, said) in [
        ("absent", None, "absent"),
        ("truncated", None, "truncated"),
        ("whole", Some("other"), "only"),
        ("plugin", None, "false"),
    ] {
        let mut command = bench.assay();
        command.args(["preflight", "spec.yaml", "--kubeconfig", kubeconfig]);
        if let Some(context) = context {
            command.args(["--context", context]);
        }
        let ran = Bench::run(&mut command).exits(1).says(&[said]);
        assert_eq!(ran.stdout, "");
    }
    assert!(bench.bundles().is_empty());
}

#[test]
fn a_server_that_is_down() {
    let bench = Bench::new();
    bench.write("spec.yaml", PREFLIGHT);
    bench.write("both.yaml", format!("{PREFLIGHT}---\n{HOST}"));
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    bench.write("config", kubeconfig(&format!("http://{address}")));
    bench
        .assay_run(["preflight", "spec.yaml", "--kubeconfig", "config"])
        .exits(1)
        .says(&["does not answer", &address.to_string()]);
    assert!(bench.bundles().is_empty());
    // What the host tells is kept.
    bench
        .assay_run([
            "preflight",
            "both.yaml",
            "--kubeconfig",
            "config",
            "-o",
            "b.tar.gz",
        ])
        .exits(1)
        .says(&["does not answer"]);
    let members = members(&bench.work().join("b.tar.gz"));
    assert!(members.contains_key("host-collectors/system/cpu.json"));
}

#[test]
fn outputs_that_cannot_be_written() {
    let bench = Bench::new();
    bench.write("host.yaml", HOST);
    bench.write("taken.tar.gz", "mine");
    for (output, said) in [
        ("taken.tar.gz", "taken.tar.gz"),
        ("no/such/folder/b.tar.gz", "no/such/folder"),
        // The read-only file system that every machine has.
        ("/proc/b.tar.gz", "/proc/b.tar.gz"),
    ] {
        let ran = bench.assay_run(["preflight", "host.yaml", "-o", output]);
        let ran = ran.exits(1).says(&[said]);
        assert_eq!(ran.stdout, "");
    }
    let kept = std::fs::read_to_string(bench.work().join("taken.tar.gz")).expect("the file");
    assert_eq!(kept, "mine");
}

#[test]
fn other_outputs_are_not_overwritten_either() {
    let bench = Bench::new();
    let taken = bench.write("taken.tar.gz", "mine");
    let bundle = recorded();
    for arguments in [
        ["redact", "BUNDLE", "--output", "taken.tar.gz"],
        ["serve", "BUNDLE", "--write-kubeconfig", "taken.tar.gz"],
        ["demo", "--quiet", "--output", "taken.tar.gz"],
    ] {
        let arguments = arguments.map(|argument| match argument {
            "BUNDLE" => bundle.as_os_str(),
            other => std::ffi::OsStr::new(other),
        });
        let ran = bench
            .assay_run(arguments)
            .exits(1)
            .says(&["taken.tar.gz", "exists"]);
        assert_eq!(ran.stdout, "");
        let kept = std::fs::read_to_string(&taken).expect("the file");
        assert_eq!(kept, "mine", "{arguments:?}");
    }
}

#[test]
fn a_result_that_nobody_takes_leaves_the_bundle() {
    let bench = Bench::new();
    bench.write("host.yaml", HOST);
    let mut command = bench.assay();
    command.args(["preflight", "host.yaml", "-o", "b.tar.gz"]);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let child = command
        .stdout(full.expect("the full device"))
        .stderr(std::process::Stdio::piped())
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stdout"), "{stderr}");
    let members = members(&bench.work().join("b.tar.gz"));
    assert!(members.contains_key("analysis.json"));
}

#[test]
fn a_broken_redactor_ends_the_run_before_anything_is_collected() {
    let bench = Bench::new();
    bench.write("host.yaml", HOST);
    for (name, removals) in [
        ("regex.yaml", "{removals: {regex: [{redactor: 'a(b'}]}}"),
        ("misspelt.yaml", "{removal: {values: [x]}}"),
        (
            "glob.yaml",
            "{fileSelector: {file: 'a[b'}, removals: {values: [x]}}",
        ),
    ] {
        bench.write(
            name,
            format!(
                "apiVersion: troubleshoot.sh/v1beta2\nkind: Redactor\nmetadata: {{name: r}}\nspec:\n  redactors: [{removals}]\n"
            ),
        );
        bench
            .assay_run(["preflight", "host.yaml", "--redactors", name])
            .exits(2);
    }
    assert!(bench.bundles().is_empty());
}

/// Answers every request with this status and body.
fn answering(status: &'static str, body: &'static str) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().filter_map(Result::ok) {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request);
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn specs_come_from_addresses_and_their_status_counts() {
    let bench = Bench::new();
    let address = answering("200 OK", HOST);
    bench
        .assay_run([
            "preflight",
            &format!("http://{address}/spec.yaml"),
            "-o",
            "b.tar.gz",
        ])
        .exits(0);
    let address = answering("404 Not Found", HOST);
    bench
        .assay_run(["preflight", &format!("http://{address}/spec.yaml")])
        .exits(2)
        .says(&["404", &address.to_string()]);
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    bench
        .assay_run(["preflight", &format!("http://{nobody}/spec.yaml")])
        .exits(2)
        .says(&[&nobody.to_string()]);
}
