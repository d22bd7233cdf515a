//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with RBAC on.

use std::fs;

use anyhow::Result;

use super::sandbox::{Servers, api_answers, listens, write};
use super::{NODE_ADDRESS, SERVICE_ADDRESS};

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";
const SCHEDULER_PORT: u16 = 10259;

/// What is recorded of each request, so that tests and the benchmark can count them: the servers' own are left out.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  users: [kwok, apiserver-kubelet-client, 'system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'system:node:rig-node']
- level: None
  userGroups: ['system:serviceaccounts:kube-system']
- level: None
  nonResourceURLs: [/readyz, /healthz, /livez]
- level: Metadata
";

/// Starts the control plane; returns when the default `ServiceAccount` exists, so that pods can be made.
pub(super) fn start(servers: &mut Servers) -> Result<()> {
    let folder = servers.folder.display().to_string();
    let pki = format!("{folder}/pki");
    fs::create_dir(servers.folder.join("etcd"))?;
    servers.start(
        "etcd",
        &[
            "--name=rig".to_owned(),
            format!("--data-dir={folder}/etcd"),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            format!("--listen-peer-urls={ETCD_PEER}"),
            format!("--initial-advertise-peer-urls={ETCD_PEER}"),
            format!("--initial-cluster=rig={ETCD_PEER}"),
            "--quota-backend-bytes=4294967296".to_owned(),
            "--log-level=warn".to_owned(),
            // The data is thrown away with the run.
            "--unsafe-no-fsync".to_owned(),
        ],
    )?;
    write(&servers.folder.join("audit.yaml"), AUDIT_POLICY)?;
    servers.start(
        "kube-apiserver",
        &[
            format!("--etcd-servers={ETCD}"),
            "--bind-address=0.0.0.0".to_owned(),
            "--secure-port=443".to_owned(),
            format!("--advertise-address={NODE_ADDRESS}"),
            // The Service `kubernetes` is the server's own address here; there is no endpoint to keep.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--service-cluster-ip-range={SERVICE_ADDRESS}/16"),
            format!("--tls-cert-file={pki}/apiserver.crt"),
            format!("--tls-private-key-file={pki}/apiserver.key"),
            format!("--client-ca-file={pki}/ca.crt"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={pki}/service-account.pub"),
            format!("--service-account-signing-key-file={pki}/service-account.key"),
            format!("--kubelet-client-certificate={pki}/kubelet-client.crt"),
            format!("--kubelet-client-key={pki}/kubelet-client.key"),
            "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
            format!("--requestheader-client-ca-file={pki}/ca.crt"),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={pki}/front-proxy.crt"),
            format!("--proxy-client-key-file={pki}/front-proxy.key"),
            "--max-requests-inflight=2000".to_owned(),
            "--max-mutating-requests-inflight=1000".to_owned(),
            format!("--audit-policy-file={folder}/audit.yaml"),
            format!("--audit-log-path={folder}/log/audit.log"),
        ],
    )?;
    let ready = api_answers(servers, "/readyz")?;
    servers.wait_for("kube-apiserver", ready)?;
    servers.start(
        "kube-controller-manager",
        &[
            format!("--kubeconfig={folder}/controller-manager.kubeconfig"),
            "--bind-address=127.0.0.1".to_owned(),
            "--leader-elect=false".to_owned(),
            format!("--service-account-private-key-file={pki}/service-account.key"),
            format!("--root-ca-file={pki}/ca.crt"),
            "--use-service-account-credentials=true".to_owned(),
            format!("--cluster-signing-cert-file={pki}/ca.crt"),
            format!("--cluster-signing-key-file={pki}/ca.key"),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=2000".to_owned(),
            // Thousands of kwok nodes renew their leases slowly.
            "--node-monitor-grace-period=3600s".to_owned(),
        ],
    )?;
    servers.start(
        "kube-scheduler",
        &[
            format!("--kubeconfig={folder}/scheduler.kubeconfig"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={SCHEDULER_PORT}"),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=2000".to_owned(),
        ],
    )?;
    let ready = api_answers(
        servers,
        "/api/v1/namespaces/default/serviceaccounts/default",
    )?;
    servers.wait_for("kube-controller-manager", ready)?;
    servers.wait_for("kube-scheduler", || listens(SCHEDULER_PORT))
}
