//! Where specs come from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

#[tokio::test]
async fn files_and_addresses_are_read() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("spec.yaml");
    std::fs::write(&path, preflight("collectors: []"))?;
    let path = path.to_string_lossy();
    let url = "https://example.com:8443/spec.yaml?x=1";
    let fetch = Recorded::default().page(url, 200, &preflight("uri: https://example.com/new"));
    let specs = loaded(&[&path, url], &fetch).await;
    let specs = specs.map_err(|error| error.to_string())?;
    assert_eq!(specs.documents.len(), 2);
    let asked = fetch.asked.lock().expect("no panic");
    assert_eq!(
        asked[0].headers,
        [
            ("User-Agent", "Replicated_Troubleshoot/v1beta1".to_owned()),
            ("Bundle-Upload-Host", "https://example.com:8443".to_owned()),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_source_that_cannot_be_read_says_why() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, bytes: &[u8]| -> std::io::Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let huge = folder.path().join("huge");
    std::fs::File::create(&huge)?.set_len(100 << 20)?;
    let fetch = Recorded::default()
        .page("https://example.com/gone", 404, "not found")
        .object(
            "Secret/ns/specs",
            json!({"data": {"a": "eA==", "b": "eQ=="}}),
        )
        .object("ConfigMap/ns/empty", json!({}));
    for (argument, reason) in [
        (file("empty", b"")?, "it is empty"),
        (file("spaces", b" \n\n")?, "it is empty"),
        (file("gzip", b"\x1f\x8b\x08")?, "a gzip archive"),
        (file("binary", b"a\0b")?, "binary"),
        (
            file("latin", b"a: b\nc: \xe9\n")?,
            "not UTF-8 text (line 2)",
        ),
        (huge.to_string_lossy().into_owned(), "larger than 16 MiB"),
        (
            folder.path().to_string_lossy().into_owned(),
            "it is a folder",
        ),
        ("nowhere.yaml".to_owned(), "no such file"),
        ("https://example.com/gone".to_owned(), "status 404"),
        ("https://example.com/down".to_owned(), "connection refused"),
        (
            "oci://example.com/spec".to_owned(),
            "oci: addresses are not read",
        ),
        (
            "secret/ns".to_owned(),
            "expected secret/NAMESPACE/NAME or secret/NAMESPACE/NAME/KEY",
        ),
        (
            "secret/a/b/c/d".to_owned(),
            "expected secret/NAMESPACE/NAME",
        ),
        ("secret//name".to_owned(), "expected secret/NAMESPACE/NAME"),
        ("secret/ns/none".to_owned(), "was not found"),
        (
            "secret/ns/specs/c".to_owned(),
            "there is no key \"c\": it has a, b",
        ),
        (
            "secret/ns/specs".to_owned(),
            "none of its values is a spec: it has a, b",
        ),
        ("configmap/ns/empty/k".to_owned(), "it has no data"),
    ] {
        let error = loaded(&[&argument], &fetch)
            .await
            .expect_err(&argument)
            .to_string();
        assert!(error.contains(reason), "{argument}: {error}");
        assert!(error.contains(&argument), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_large_answer_is_refused() {
    let body = "x".repeat(usize::try_from(MAX_BYTES).expect("it fits") + 1);
    let fetch = Recorded::default().page("https://example.com/a", 200, &body);
    let error = loaded(&["https://example.com/a"], &fetch)
        .await
        .expect_err("large");
    assert!(error.to_string().contains("larger than 16 MiB"), "{error}");
}

#[tokio::test]
async fn objects_of_the_cluster_are_read_in_the_order_of_their_keys() -> Result<(), SpecError> {
    let document = |name: &str| preflight("collectors: []").replace("app", name);
    let fetch = Recorded::default()
        .object(
            "ConfigMap/ns/specs",
            json!({"data": {"b": document("second"), "a": document("first"), "c": "no spec"}}),
        )
        .object(
            "Secret/ns/specs",
            json!({"data": {"k": STANDARD.encode(document("secret")), "p": "cGFzc3dvcmQ="}}),
        );
    let specs = loaded(
        &[
            "configmap/ns/specs",
            "secret/ns/specs",
            "configmap/ns/specs/b",
        ],
        &fetch,
    )
    .await?;
    let names: Vec<_> = specs
        .documents
        .iter()
        .map(|document| document.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second", "secret", "second"]);
    assert_eq!(
        specs.documents[2].place.to_string(),
        "secret/ns/specs/k:1:1"
    );
    assert!(specs.diagnostics.is_empty(), "{:?}", specs.diagnostics);
    Ok(())
}

#[tokio::test]
async fn a_uri_leads_to_newer_documents_and_its_failure_to_a_warning()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let bundle = |uri: &str, collector: &str| {
        format!("{BUNDLE}  uri: {uri}\n  collectors: [{{{collector}: {{}}}}]\n")
    };
    let two = format!(
        "{}---\n{}",
        bundle("https://example.com/b", "logs"),
        bundle("https://example.com/b", "exec")
    );
    let fetch = Recorded::default()
        .page("https://example.com/b", 200, &two)
        .page(
            "https://example.com/p",
            200,
            &preflight("collectors: [{logs: {}}]"),
        )
        .page("https://example.com/bad", 200, "kind: [")
        .page("https://example.com/gone", 404, "");
    for (text, collectors, warning) in [
        (
            bundle("https://example.com/b", "data"),
            &["logs", "exec"][..],
            "",
        ),
        (
            preflight("uri: https://example.com/p\ncollectors: [{data: {}}]"),
            &["logs"],
            "",
        ),
        (
            bundle("https://example.com/gone", "data"),
            &["data"],
            "status 404",
        ),
        (
            bundle("https://example.com/bad", "data"),
            &["data"],
            "there is no SupportBundle there",
        ),
        (
            bundle("https://example.com/p", "data"),
            &["data"],
            "there is no SupportBundle there",
        ),
        (
            bundle("https://example.com/down", "data"),
            &["data"],
            "connection refused",
        ),
        (
            bundle("/etc/spec.yaml", "data"),
            &["data"],
            "only http: and https:",
        ),
    ] {
        let path = folder.path().join("s.yaml");
        std::fs::write(&path, &text)?;
        let path = path.to_string_lossy();
        let specs = loaded(&[&path], &fetch)
            .await
            .map_err(|error| error.to_string())?;
        let entries = specs
            .documents
            .iter()
            .flat_map(|document| &document.entries);
        let found: Vec<_> = entries.map(|entry| entry.kind.as_str()).collect();
        assert_eq!(found, collectors);
        let warnings: Vec<_> = specs.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings.len(),
            usize::from(!warning.is_empty()),
            "{warnings:?}"
        );
        assert!(
            warnings.iter().all(|line| line.contains(warning)),
            "{warnings:?}"
        );
        let options = Options {
            no_uri: true,
            ..Options::default()
        };
        let specs = load(&[path.into_owned()], &options, &Offline)
            .await
            .map_err(|error| error.to_string())?;
        assert_eq!(specs.documents[0].entries[0].kind, "data");
    }
    Ok(())
}

#[tokio::test]
async fn a_support_bundle_from_its_address_is_the_newest_already() -> Result<(), SpecError> {
    let url = "https://example.com/b";
    let fetch = Recorded::default().page(url, 200, &format!("{BUNDLE}  uri: {url}\n"));
    loaded(&[url], &fetch).await?;
    assert_eq!(fetch.asked.lock().expect("no panic").len(), 1);
    Ok(())
}

#[tokio::test]
async fn references_of_v1beta3_are_resolved() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.yaml");
    std::fs::write(
        &path,
        "\
apiVersion: troubleshoot.sh/v1beta3
kind: SupportBundle
metadata: {name: b}
spec:
  collectors:
  - postgres:
      collectorName: a
      uri: {valueFrom: {secretKeyRef: {name: db, key: uri}}}
      tls: {cacert: {value: pem}}
  - redis: {uri: {valueFrom: {configMapKeyRef: {name: c, key: k, namespace: ns}}}}
  - mysql: {uri: {valueFrom: {secretKeyRef: {name: none, key: k, optional: true}}}}
  - mssql: {uri: {valueFrom: {secretKeyRef: {name: none, key: k}}}}
  - logs: {selector: [app=x]}
",
    )?;
    let fetch = Recorded::default()
        .object(
            "Secret/default/db",
            json!({"data": {"uri": STANDARD.encode("postgres://x")}}),
        )
        .object("ConfigMap/ns/c", json!({"data": {"k": "redis://y"}}));
    let specs = loaded(&[&path.to_string_lossy()], &fetch)
        .await
        .map_err(|error| error.to_string())?;
    let entries = &specs.documents[0].entries;
    assert_eq!(
        entries[0].config,
        json!({"uri": "postgres://x", "tls": {"cacert": "pem"}})
    );
    assert_eq!(entries[1].config["uri"], "redis://y");
    assert_eq!(entries[2].config["uri"], "");
    assert!(
        entries[3]
            .unusable
            .as_deref()
            .is_some_and(|reason| reason.contains("was not found"))
    );
    assert_eq!(entries[4].config["selector"], json!(["app=x"]));
    assert_eq!(specs.diagnostics.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_spec_does_not_lead_to_any_number_of_addresses() -> Result<(), Box<dyn std::error::Error>>
{
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.yaml");
    let text = format!("{BUNDLE}  uri: https://example.com/gone\n---\n").repeat(150);
    std::fs::write(&path, text)?;
    let fetch = Recorded::default();
    let specs = loaded(&[&path.to_string_lossy()], &fetch).await;
    let specs = specs.map_err(|error| error.to_string())?;
    assert_eq!(specs.documents.len(), 150);
    assert_eq!(fetch.asked.lock().expect("no panic").len(), 100);
    Ok(())
}
