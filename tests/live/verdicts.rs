//! A live verdict equals the offline verdict on the archive that the run wrote, whatever the account could see.

use serde_json::Value;

use crate::fixture::Cluster;

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: verdicts}
spec:
  collectors:
  - logs: {name: web, namespace: NAMESPACE, selector: [app=web]}
  - secret: {namespace: NAMESPACE, name: database, key: password}
  - secret: {namespace: NAMESPACE, name: absent}
  - data: {name: settings.yaml, data: 'mode: 0644'}
  analyzers:
  - clusterVersion:
      outcomes:
      - fail: {when: '< 1.30.0', message: too old}
      - pass: {message: recent}
  - distribution:
      outcomes:
      - warn: {when: '== docker-desktop', message: development}
      - pass: {message: a cluster}
  - containerRuntime:
      checkName: runtime
      outcomes:
      - fail: {when: '== docker', message: Docker}
      - pass: {message: no Docker}
  - nodeResources:
      checkName: many nodes
      outcomes:
      - fail: {when: 'count() < 1000', message: 'only {{ .NodeCount }}'}
      - pass: {message: enough}
  - storageClass:
      checkName: storage
      storageClassName: missing
      outcomes:
      - warn: {message: missing}
      - pass: {message: present}
  - customResourceDefinition:
      checkName: kwok
      customResourceDefinitionName: logs.kwok.x-k8s.io
      outcomes:
      - fail: {message: missing}
      - pass: {message: present}
  - ingress:
      ingressName: web
      namespace: NAMESPACE
      outcomes:
      - fail: {message: not reachable}
      - pass: {message: reachable}
  - secret:
      checkName: password
      secretName: database
      namespace: NAMESPACE
      key: password
      outcomes:
      - fail: {message: no password}
      - pass: {message: a password}
  - secret:
      secretName: absent
      namespace: NAMESPACE
      outcomes:
      - pass: {message: there}
  - event:
      checkName: reported
      namespace: NAMESPACE
      reason: tested
      kind: pod
      regex: '^it r.n$'
      outcomes:
      - warn: {when: 'true', message: '{{ .InvolvedObject.Name }}: {{ .Message }} by {{ .ReportingController }}'}
      - pass: {when: 'false', message: quiet}
  - clusterPodStatuses:
      namespaces: [NAMESPACE]
      outcomes:
      - fail: {when: '!= Healthy', message: '{{ .Name }} is {{ .Status.Reason }}'}
  - deploymentStatus:
      name: absent
      namespace: NAMESPACE
      outcomes:
      - fail: {when: '< 1', message: not ready}
      - pass: {when: '>= 1', message: ready}
  - textAnalyze:
      checkName: slow queries
      fileName: cluster-resources/pods/logs/NAMESPACE/web/main.log
      regex: slow query
      outcomes:
      - warn: {when: 'true', message: seen}
      - pass: {when: 'false', message: none}
  - jsonCompare:
      checkName: platform
      fileName: cluster-info/cluster_version.json
      path: info.major
      value: '\"1\"'
      outcomes:
      - fail: {when: 'false', message: another}
      - pass: {when: 'true', message: the same}
  - yamlCompare:
      checkName: mode
      fileName: settings.yaml
      path: mode
      value: '420'
      outcomes:
      - fail: {when: 'false', message: another}
      - pass: {when: 'true', message: the same}
  - clusterResource:
      checkName: node of the pod
      kind: pod
      namespace: NAMESPACE
      name: web
      yamlPath: spec.nodeName
      expectedValue: kwok-0
      outcomes:
      - fail: {when: 'false', message: another}
      - pass: {when: 'true', message: the same}
  - clusterResource:
      checkName: a node that is not there
      kind: node
      clusterScoped: true
      name: kwok-1000
      yamlPath: metadata.name
      expectedValue: kwok-1000
      outcomes:
      - pass: {message: there}
";

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

/// What the analyzers that look for one object find.
const OBJECTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: correct horse battery}
---
apiVersion: v1
kind: Event
metadata: {name: web.1}
involvedObject: {apiVersion: v1, kind: Pod, name: web, namespace: NAMESPACE}
type: Normal
reason: Tested
message: it ran
reportingComponent: assay.example.org/test
reportingInstance: test-1
";

/// The lists of verdicts of a report, without what depends on the run.
fn verdicts(report: &Value) -> Vec<Value> {
    ["pass", "warn", "fail", "unknown", "notApplicable"]
        .map(|verdict| report[verdict].clone())
        .to_vec()
}

fn live_equals_offline(cluster: &Cluster, kubeconfig: &std::path::Path) -> Vec<Value> {
    cluster.write("spec.yaml", &SPEC.replace("NAMESPACE", cluster.namespace()));
    let live = cluster
        .assay(&[
            "preflight",
            "spec.yaml",
            "--format",
            "json",
            "--output",
            "bundle.tar.gz",
        ])
        .kubeconfig(kubeconfig)
        .run();
    let offline = cluster
        .assay(&[
            "analyze",
            "--bundle",
            "bundle.tar.gz",
            "--format",
            "json",
            "spec.yaml",
        ])
        .run();
    assert_eq!(verdicts(&live.json()), verdicts(&offline.json()));
    assert_eq!(live.code, offline.code);
    verdicts(&live.json())
}

#[test]
fn an_administrators_verdict_is_the_archives() {
    let cluster = Cluster::new("verdicts-administrator");
    cluster.apply(POD);
    cluster.apply(&OBJECTS.replace("NAMESPACE", cluster.namespace()));
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let verdicts = live_equals_offline(&cluster, cluster.kubeconfig());
    for (verdict, findings) in ["pass", "warn", "fail"].iter().zip(&verdicts) {
        assert!(
            findings.as_array().is_some_and(|list| !list.is_empty()),
            "no {verdict}: {verdicts:#?}"
        );
    }
    let found = |place: usize, title: &str, message: &str| {
        let findings = verdicts[place].as_array().into_iter().flatten();
        let mut named = findings.filter(|finding| finding["title"] == title);
        let is_it = named.any(|finding| finding["message"] == message);
        assert!(is_it, "{title}: {message}: {verdicts:#?}");
    };
    found(0, "runtime", "no Docker");
    found(0, "Ingress web", "reachable");
    found(0, "password", "a password");
    found(1, "reported", "web: it ran by assay.example.org/test");
    let absent = format!("The Secret {}/absent does not exist", cluster.namespace());
    found(2, "Secret absent", &absent);
    found(0, "mode", "the same");
    found(0, "node of the pod", "the same");
    found(
        2,
        "a node that is not there",
        "node kwok-1000 does not exist",
    );
}

#[test]
fn a_partial_views_verdict_is_the_archives() {
    let cluster = Cluster::new("verdicts-partial");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let kubeconfig = cluster.account(
        "viewer",
        "- {apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}",
    );
    let verdicts = live_equals_offline(&cluster, &kubeconfig);
    let unknown = verdicts[3].as_array().map_or(0, Vec::len);
    assert!(unknown > 0, "{verdicts:#?}");
}
