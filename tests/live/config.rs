//! Secrets and `ConfigMaps` by name and by labels, read by accounts that may do only that.

use std::collections::BTreeSet;

use serde_json::{Value, json};

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
