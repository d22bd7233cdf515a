//! Secrets of every class, planted wherever the collectors read, are nowhere afterwards.

use std::fs;
use std::path::Path;

use crate::fixture::{Bench, Served, members};

/// What must be found nowhere. Each is unlike anything else that a run writes.
const SECRETS: [&str; 10] = [
    "hunter2-env-Kq81",
    "bearer-Zx55tokenvalue77",
    "dsnpass-Wm43",
    "urlpass-Tr90",
    "annotation-Lp27",
    "cfgpass-Hd64",
    "AKIAQW3EXAMPLEKEY42",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJlLXBsYW50ZWQ",
    "MIIEpAIBAAKCAQEAplantedprivatekey",
    "regpass-Vn18",
];

fn plant(bench: &Bench) -> std::path::PathBuf {
    let root = bench.everything().join("planted");
    let write = |path: &str, text: String| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write(
        "version.yaml",
        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec:\n  versionNumber: v0\n"
            .into(),
    );
    write(
        "cluster-info/cluster_version.json",
        r#"{"info":{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""},"string":"v1.36.3"}"#.into(),
    );
    write(
        "cluster-resources/namespaces.json",
        r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop"}}]}"#.into(),
    );
    let [
        env,
        bearer,
        dsn,
        url,
        annotation,
        config,
        aws,
        jwt,
        pem,
        registry,
    ] = SECRETS;
    let last_applied = format!(
        r#"{{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"stringData\":{{\"password\":\"{annotation}\"}}}}"#
    );
    write(
        "cluster-resources/pods/shop.json",
        format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web","namespace":"shop","labels":{{"app":"web"}},"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{last_applied}"}}}},"spec":{{"containers":[{{"name":"web","image":"web:1","env":[{{"name":"DB_PASSWORD","value":"{env}"}},{{"name":"DATABASE_URL","value":"postgres://app:{url}@db:5432/app"}}]}}]}},"status":{{"phase":"Running"}}}}]}}"#
        ),
    );
    write(
        "cluster-resources/configmaps/shop.json",
        format!(
            r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{}},"items":[{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"web","namespace":"shop"}},"data":{{"app.yaml":"db:\n  password: {config}\n","key.pem":"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----\n","docker":"{{\"auths\":{{\"r.example.com\":{{\"username\":\"u\",\"password\":\"{registry}\"}}}}}}"}}}}]}}"#
        ),
    );
    write(
        "cluster-resources/pods/logs/shop/web/web.log",
        format!(
            "starting\nAuthorization: Bearer {bearer}\nconnecting with host=db user=app password={dsn} dbname=app\naws_access_key_id={aws}\ntoken {jwt}\n"
        ),
    );
    root
}

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
    - logs: {name: web, namespace: shop, selector: [app=web]}
    - configMap: {name: web, namespace: shop, includeAllData: true}
    - data: {name: note.txt, data: \"password=dsnpass-Wm43\"}
  analyzers:
    - textAnalyze:
        checkName: Leak
        fileName: web/*/*.log
        regexGroups: 'password=(?P<Password>\\S+)'
        outcomes:
          - fail: {when: \"Password != ''\", message: \"the password is {{ .Password }}\"}
";

fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {what}");
    }
}

fn assert_clean_folder(folder: &Path) {
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .filter_map(Result::ok)
    {
        let path = entry.path();
        let name = path.display().to_string();
        // What the test itself wrote.
        if name.ends_with("/planted") || name.ends_with("/s.yaml") {
            continue;
        }
        if path.is_dir() {
            assert_clean_folder(&path);
        } else if path.is_file() {
            assert_clean(&name, &fs::read(&path).expect("a file"));
        }
    }
}

#[test]
fn planted_secrets_are_in_no_file_and_no_output() {
    let bench = Bench::new();
    let planted = plant(&bench);
    let served = Served::start(&bench, &planted);
    bench.write("s.yaml", SPEC);
    let ran = Bench::run(
        bench
            .assay()
            .args(["preflight", "--help"])
            .env("KUBECONFIG", &served.kubeconfig),
    );
    ran.exits(0);
    let ran = Bench::run(
        bench
            .assay()
            .args([
                "collect",
                "s.yaml",
                "--debug",
                "--format",
                "json",
                "-o",
                "b.tar.gz",
                "--kubeconfig",
            ])
            .arg(&served.kubeconfig),
    );
    assert_clean("stdout", ran.stdout.as_bytes());
    assert_clean("stderr and the debug log", ran.stderr.as_bytes());
    let found = members(&bench.work().join("b.tar.gz"));
    for path in [
        "cluster-resources/pods/shop.json",
        "cluster-resources/configmaps/shop.json",
        "cluster-resources/pods/logs/shop/web/web.log",
        "configmaps/shop/web.json",
        "note.txt",
    ] {
        let bytes = found.get(path).unwrap_or_else(|| {
            panic!(
                "{path} was not collected: {:?}; {}",
                found.keys(),
                ran.stderr
            )
        });
        let text = String::from_utf8_lossy(bytes);
        assert!(
            text.contains("***HIDDEN***"),
            "{path} holds no mask: {text}"
        );
    }
    for (path, bytes) in &found {
        assert_clean(path, bytes);
        if Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
            assert!(parsed.is_ok(), "{path} is no JSON any more");
        }
    }
    drop(served);
    assert_clean_folder(bench.everything());
}

#[test]
fn planted_secrets_are_on_no_disk_after_sigkill() {
    let bench = Bench::new();
    let planted = plant(&bench);
    let served = Served::start(&bench, &planted);
    bench.write("s.yaml", SPEC);
    let mut child = bench
        .assay()
        .args(["collect", "s.yaml", "-o", "b.tar.gz", "--kubeconfig"])
        .arg(&served.kubeconfig)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary starts");
    while !bench.work().join("b.tar.gz").exists() {
        if child
            .try_wait()
            .expect("the binary can be waited for")
            .is_some()
        {
            break;
        }
        std::thread::yield_now();
    }
    child.kill().expect("the binary can be killed");
    child.wait().expect("the binary ended");
    drop(served);
    assert_clean_folder(bench.everything());
    // Compressed bytes hide a secret from a search: what can be unpacked is searched too.
    let file = fs::File::open(bench.work().join("b.tar.gz")).expect("the bundle");
    let mut unpacked = Vec::new();
    let _ = std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut unpacked);
    assert_clean("the archive's prefix", &unpacked);
}
