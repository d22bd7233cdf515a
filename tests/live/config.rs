//! Secrets and `ConfigMaps` by name and by labels, read by accounts that may do only that.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::fixture::Cluster;

const OBJECTS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: hx7TrickyPlantedPassw0rd, copy: hx7TrickyPlantedPassw0rd, host: db.shop.svc}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: shop}}
data: {level: debug}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: more, labels: {app: shop}}
data: {level: info}
";

fn spec(collectors: &str) -> String {
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: config}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
{collectors}"
    )
}

#[test]
fn one_secret_is_asked_for_and_told_of_without_its_values() {
    let cluster = Cluster::new("config-secret");
    cluster.apply(OBJECTS);
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [secrets], resourceNames: [database, absent], verbs: [get]}",
    );
    let secrets = "
  - secret: {name: database, namespace: config-secret, key: password}
  - secret: {name: database, namespace: config-secret}
  - secret: {name: absent, namespace: config-secret, key: token}
  - secret: {name: other, namespace: config-secret}
";
    cluster.write("spec.yaml", &spec(secrets));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&account)
        .run()
        .expect_code(5);
    let bundle = cluster.bundle();
    let of_one_key = bundle.json("secrets/config-secret/database/password.json");
    assert_eq!(of_one_key["keyExists"], true);
    assert_eq!(of_one_key["value"], Value::Null);
    let keys = bundle.json("secrets/config-secret/database.json")["keys"].clone();
    let fact = |index: usize, name: &str| keys[index][name].clone();
    assert_eq!(
        [fact(0, "key"), fact(1, "key"), fact(2, "key")],
        ["copy", "host", "password"]
    );
    assert_eq!(fact(0, "fingerprint"), fact(2, "fingerprint"));
    assert_eq!(of_one_key["keys"][0]["fingerprint"], fact(2, "fingerprint"));
    assert_ne!(fact(0, "fingerprint"), fact(1, "fingerprint"));
    assert_eq!(bundle.holding("hx7TrickyPlantedPassw0rd"), [""; 0]);
    assert_eq!(bundle.holding("db.shop.svc"), [""; 0]);
    let absent = bundle.json("secrets/config-secret/absent/token.json");
    assert_eq!(absent["secretExists"], false);
    let skipped = bundle.json("skipped-collectors.json").to_string();
    assert!(skipped.contains("other"), "{skipped}");

    let asked: BTreeSet<_> = cluster
        .requests("reader")
        .into_iter()
        .filter(|(_, uri, _)| uri.contains("/secrets"))
        .collect();
    let get = |name: &str, code| {
        let uri = format!("/api/v1/namespaces/config-secret/secrets/{name}");
        ("get".to_owned(), uri, code)
    };
    assert_eq!(
        asked,
        BTreeSet::from([get("database", 200), get("absent", 404)])
    );
}

#[test]
fn labels_are_looked_for_where_the_account_may() {
    let cluster = Cluster::new("config-labels");
    cluster.apply(OBJECTS);
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [configmaps], verbs: [get, list]}",
    );
    let config_maps = "
  - configMap: {selector: [app=shop], key: level, includeValue: true}
  - configMap: {name: settings, includeAllData: true}
";
    cluster.write("spec.yaml", &spec(config_maps));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&account)
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.json("configmaps/settings/level.json")["value"],
        "debug"
    );
    assert_eq!(bundle.json("configmaps/more/level.json")["value"], "info");
    assert_eq!(
        bundle.json("configmaps/settings.json")["data"],
        json!({"level": "debug"})
    );
}

/// Self-signed, made with openssl; their keys are gone.
const ENDED: &str = include_str!("../../checks/src/cluster/testdata/ended-2020.pem");
const HOLDS: &str = include_str!("../../checks/src/cluster/testdata/ends-2090.pem");

const CERTIFICATES: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: certificates}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - certificates:
      secrets:
      - {name: holds-tls, namespaces: [config-certificates]}
      - {name: ended-tls, namespaces: [config-certificates]}
      - {name: chain-tls, namespaces: [config-certificates]}
      - {name: garbage-tls, namespaces: [config-certificates]}
      - {name: absent-tls, namespaces: [config-certificates]}
      - {name: closed-tls, namespaces: [config-certificates]}
      configMaps:
      - {name: kube-root-ca.crt, namespaces: [config-certificates]}
  analyzers:
  - certificates:
      outcomes:
      - fail: {message: has expired}
      - pass: {message: holds}
      - warn: {when: notAfter < Today + 36500 days, message: will expire}
";

/// A Secret with these texts.
fn secret(name: &str, texts: &[(&str, &str)]) -> String {
    let texts: Map<String, Value> = texts
        .iter()
        .map(|(key, text)| ((*key).to_owned(), Value::from(*text)))
        .collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts})
        .to_string()
}

#[test]
fn certificates_are_read_from_secrets_and_config_maps_and_judged() {
    let cluster = Cluster::new("config-certificates");
    let chain = format!("{HOLDS}{ENDED}");
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let secrets = [
        secret(
            "holds-tls",
            &[("tls.crt", HOLDS), ("tls.key", "planted-key-text")],
        ),
        secret("ended-tls", &[("tls.crt", ENDED)]),
        secret("chain-tls", &[("tls.crt", &chain)]),
        secret(
            "garbage-tls",
            &[("tls.crt", broken), ("other", "no certificate")],
        ),
        secret("closed-tls", &[("tls.crt", HOLDS)]),
    ];
    cluster.apply(&secrets.join("\n---\n"));
    cluster.kubectl(&[
        "wait",
        "--for=create",
        "configmap/kube-root-ca.crt",
        "--timeout=120s",
    ]);
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [secrets], resourceNames: [holds-tls, ended-tls, chain-tls, garbage-tls, absent-tls], verbs: [get]}
- {apiGroups: [''], resources: [configmaps], resourceNames: [kube-root-ca.crt], verbs: [get]}",
    );
    cluster.write("spec.yaml", CERTIFICATES);
    let run = cluster
        .assay(&[
            "collect",
            "spec.yaml",
            "--format",
            "json",
            "--output",
            "bundle.tar.gz",
        ])
        .kubeconfig(&account)
        .run()
        .expect_code(3);
    let report = run.json();
    let messages = |verdict: &str| -> BTreeSet<String> {
        let list = report[verdict].as_array().into_iter().flatten();
        let text = |finding: &Value| finding["message"].as_str().unwrap_or_default().to_owned();
        list.map(text).collect()
    };
    let from = |words: &str, name: &str| {
        format!("{words}, obtained from {name} within config-certificates namespace")
    };
    assert_eq!(
        messages("fail"),
        BTreeSet::from([
            from("tls.crt has expired", "ended-tls secret"),
            from("tls.crt has expired", "chain-tls secret"),
        ])
    );
    assert_eq!(
        messages("warn"),
        BTreeSet::from([
            from("tls.crt will expire in 36500 days", "holds-tls secret"),
            from("tls.crt will expire in 36500 days", "chain-tls secret"),
            from(
                "ca.crt will expire in 36500 days",
                "kube-root-ca.crt configmap"
            ),
        ])
    );
    let unknown = report["unknown"].to_string();
    assert!(
        unknown.contains("garbage") && unknown.contains("1 more"),
        "{unknown}"
    );
    let bundle = cluster.bundle();
    let found = bundle.json("certificates/certificates.json");
    let names = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|each| each["source"].to_string());
    assert_eq!(names.count(), 7);
    assert_eq!(bundle.holding("planted-key-text"), [""; 0]);
    let gaps = &bundle.json("manifest.json")["collectors"];
    let gaps = gaps.as_array().into_iter().flatten();
    let gaps: Vec<Value> = gaps
        .filter(|record| record["collector"] == "certificates")
        .flat_map(|record| record["gaps"].as_array().cloned().unwrap_or_default())
        .map(|gap| gap["reason"].clone())
        .collect();
    assert_eq!(gaps, ["malformed", "absent", "refused"]);
}
