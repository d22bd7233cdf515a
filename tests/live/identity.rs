//! Who we are to a real API server: credential plugins, and credentials that it no longer takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Cluster, from_rig};

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: identity}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {namespaces: [NAMESPACE]}
";

/// A kubeconfig of the rig's API server whose user is `user` (the YAML of its fields).
fn kubeconfig(cluster: &Cluster, user: &str) -> PathBuf {
    let administrator = fs::read_to_string(cluster.kubeconfig()).expect("the rig's kubeconfig");
    let (clusters, _) = administrator
        .split_once("users:")
        .expect("the rig writes clusters before users");
    let namespace = cluster.namespace();
    cluster.write(
        "kubeconfig",
        &format!(
            "{clusters}users:
- name: somebody
  user: {user}
contexts:
- name: rig
  context: {{cluster: rig, user: somebody, namespace: {namespace}}}
"
        ),
    )
}

fn collect(cluster: &Cluster, kubeconfig: &Path) -> crate::fixture::Run {
    cluster.write("spec.yaml", &SPEC.replace("NAMESPACE", cluster.namespace()));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(kubeconfig)
        .run()
}

#[test]
fn a_credential_plugin_is_asked_for_the_token() {
    let cluster = Cluster::new("identity-plugin");
    cluster.administrator("plugged-in");
    let token = cluster.kubectl(&["create", "token", "plugged-in", "--duration=1h"]);
    let answer = cluster.write(
        "credential.json",
        &format!(
            r#"{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "{}"}}}}"#,
            token.trim()
        ),
    );
    let kubeconfig = kubeconfig(
        &cluster,
        &format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: cat, args: ['{}'], interactiveMode: Never}}}}",
            answer.display()
        ),
    );
    collect(&cluster, &kubeconfig).expect_code(0);
    assert!(!cluster.requests("plugged-in").is_empty());
    // The plugin's answer is on no stream and in no bundle.
    fs::remove_file(answer).expect("the plugin's answer");
    assert_eq!(cluster.bundle().holding(token.trim()), [""; 0]);
}

#[test]
fn a_credential_plugin_that_fails_is_named() {
    let cluster = Cluster::new("identity-plugin-fails");
    let kubeconfig = kubeconfig(
        &cluster,
        "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['-c', 'echo no session, log in first >&2; exit 4'], interactiveMode: Never}}",
    );
    let run = collect(&cluster, &kubeconfig).expect_code(1);
    assert!(
        run.stderr.contains("no session, log in first"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_token_that_is_no_longer_valid_is_said_to_be() {
    let cluster = Cluster::new("identity-revoked");
    let kubeconfig = cluster.administrator("leaver");
    cluster.kubectl(&["delete", "serviceaccount", "leaver"]);
    // Nothing can be asked of the cluster: as for one that is down, not a bundle of refusals.
    let run = collect(&cluster, &kubeconfig).expect_code(1);
    assert!(run.stderr.contains("401"), "{}", run.stderr);
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);
}

#[test]
fn an_expired_client_certificate_is_said_to_be() {
    let cluster = Cluster::new("identity-expired");
    let (certificate, key) = expired_certificate(&cluster.work());
    let kubeconfig = kubeconfig(
        &cluster,
        &format!(
            "{{client-certificate: '{}', client-key: '{}'}}",
            certificate.display(),
            key.display()
        ),
    );
    let run = collect(&cluster, &kubeconfig).expect_code(1);
    assert!(run.stderr.contains("expired"), "{}", run.stderr);
}

/// A client certificate of the rig's authority that was valid for a day in 2020.
fn expired_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let authority = from_rig("ASSAY_RIG_DIR").join("pki");
    let at = folder.join("expired");
    fs::create_dir(&at).expect("a folder");
    fs::write(at.join("index"), "").expect("a file");
    fs::write(
        at.join("cnf"),
        format!(
            "[ca]
default_ca = rig
[rig]
database = {0}/index
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
policy = any
[any]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
[name]
",
            at.display()
        ),
    )
    .expect("a file");
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .current_dir(&at)
            .args(arguments)
            .output()
            .expect("openssl starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(&[
        "req",
        "-config",
        "cnf",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-noenc",
        "-subj",
        "/O=system:masters/CN=expired",
        "-keyout",
        "key",
        "-out",
        "csr",
    ]);
    let (certificate, key) = (authority.join("ca.crt"), authority.join("ca.key"));
    openssl(&[
        "ca",
        "-batch",
        "-config",
        "cnf",
        "-notext",
        "-in",
        "csr",
        "-out",
        "crt",
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20200102000000Z",
        "-cert",
        &certificate.to_string_lossy(),
        "-keyfile",
        &key.to_string_lossy(),
    ]);
    (at.join("crt"), at.join("key"))
}
