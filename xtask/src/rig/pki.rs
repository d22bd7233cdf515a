//! Certificates and kubeconfigs of a run, made anew each time by the openssl program.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{API_SERVER, NODE_ADDRESS, SERVICE_ADDRESS};
use crate::command::output;

/// Who gets a client certificate and a kubeconfig: file name, and subject as the authorizer reads it.
const CLIENTS: &[(&str, &str)] = &[
    ("admin", "/O=system:masters/CN=rig-admin"),
    ("controller-manager", "/CN=system:kube-controller-manager"),
    ("scheduler", "/CN=system:kube-scheduler"),
    ("kwok", "/O=system:masters/CN=kwok"),
    ("node", "/O=system:nodes/CN=system:node:rig-node"),
];

/// Certificates without a kubeconfig: file name, subject, usage, alternative names.
const SERVERS: &[(&str, &str, &str, bool)] = &[
    ("apiserver", "/CN=kube-apiserver", "serverAuth", true),
    ("kubelet", "/CN=kubelet", "serverAuth", true),
    (
        "kubelet-client",
        "/O=system:masters/CN=apiserver-kubelet-client",
        "clientAuth",
        false,
    ),
    ("front-proxy", "/CN=front-proxy-client", "clientAuth", false),
];

/// Makes the certificate authority, every certificate, the `ServiceAccount` key and the kubeconfigs under `folder`.
pub(super) fn make(folder: &Path) -> Result<()> {
    let pki = folder.join("pki");
    fs::create_dir(&pki)?;
    // Without a file of our own the machine's would add extensions.
    fs::write(
        pki.join("openssl.cnf"),
        "[req]\ndistinguished_name = name\n[name]\n",
    )?;
    output(
        request(&pki, "ca", "/CN=rig-ca")
            .args(["-addext", "basicConstraints=critical,CA:TRUE"])
            .args([
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            ]),
    )?;
    let names = format!(
        "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,DNS:rig-node,IP:127.0.0.1,IP:{NODE_ADDRESS},IP:{SERVICE_ADDRESS}"
    );
    for (name, subject, usage, has_names) in SERVERS {
        leaf(&pki, name, subject, usage, has_names.then_some(&names))?;
    }
    for (name, subject) in CLIENTS {
        leaf(&pki, name, subject, "clientAuth", None)?;
        fs::write(
            folder.join(format!("{name}.kubeconfig")),
            kubeconfig(&pki, name),
        )?;
    }
    fs::copy(folder.join("admin.kubeconfig"), folder.join("kubeconfig"))?;
    output(
        Command::new("openssl")
            .current_dir(&pki)
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout"])
            .args(["-out", "service-account.key"]),
    )?;
    output(
        Command::new("openssl")
            .current_dir(&pki)
            .args(["ec", "-in", "service-account.key", "-pubout"])
            .args(["-out", "service-account.pub"]),
    )?;
    Ok(())
}

fn leaf(pki: &Path, name: &str, subject: &str, usage: &str, names: Option<&String>) -> Result<()> {
    let mut command = request(pki, name, subject);
    command
        .args(["-CA", "ca.crt", "-CAkey", "ca.key"])
        .args(["-addext", "basicConstraints=CA:FALSE"])
        .args(["-addext", "keyUsage=digitalSignature"])
        .args(["-addext", &format!("extendedKeyUsage={usage}")]);
    if let Some(names) = names {
        command.args(["-addext", names]);
    }
    output(&mut command).with_context(|| format!("failed to make the certificate {name}"))?;
    Ok(())
}

fn request(pki: &Path, name: &str, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command
        .current_dir(pki)
        .args(["req", "-x509", "-config", "openssl.cnf", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"])
        .args(["-days", "30", "-subj", subject])
        .args(["-keyout", &format!("{name}.key")])
        .args(["-out", &format!("{name}.crt")]);
    command
}

fn kubeconfig(pki: &Path, name: &str) -> String {
    let pki = pki.display();
    format!(
        "apiVersion: v1
kind: Config
current-context: rig
clusters:
- name: rig
  cluster:
    server: {API_SERVER}
    certificate-authority: {pki}/ca.crt
users:
- name: {name}
  user:
    client-certificate: {pki}/{name}.crt
    client-key: {pki}/{name}.key
contexts:
- name: rig
  context:
    cluster: rig
    user: {name}
    namespace: default
"
    )
}
