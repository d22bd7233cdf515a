//! What the loader promises, as cases.

use std::collections::BTreeMap;
use std::sync::Mutex;

use analyzers::{Analyzer as _, NotEvaluated};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

/// Answers from tables, and notes what was asked.
#[derive(Default)]
struct Recorded {
    pages: BTreeMap<&'static str, Result<Response, String>>,
    objects: BTreeMap<&'static str, Value>,
    asked: Mutex<Vec<Request>>,
}

impl Recorded {
    fn page(mut self, url: &'static str, status: u16, body: &str) -> Self {
        let body = body.as_bytes().to_vec();
        self.pages.insert(url, Ok(Response { status, body }));
        self
    }

    fn object(mut self, path: &'static str, object: Value) -> Self {
        self.objects.insert(path, object);
        self
    }
}

impl Fetch for Recorded {
    async fn http(&self, request: Request) -> Result<Response, String> {
        let answer = self.pages.get(request.url.as_str()).cloned();
        self.asked
            .lock()
            .expect("no test panics with the lock")
            .push(request);
        answer.unwrap_or_else(|| Err("connection refused".to_owned()))
    }

    async fn object(&self, kind: ObjectKind, namespace: &str, name: &str) -> Result<Value, String> {
        let path = format!("{}/{namespace}/{name}", kind.name());
        let found = self.objects.get(path.as_str()).cloned();
        found.ok_or_else(|| format!("{path} was not found"))
    }
}

async fn loaded(arguments: &[&str], fetch: &Recorded) -> Result<Specs, SpecError> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    load(&arguments, &Options::default(), fetch).await
}

fn diagnostics(text: &str) -> Vec<String> {
    match parse("spec.yaml", text) {
        Ok(specs) => specs.diagnostics.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn indented(indent: &str, text: &str) -> String {
    text.lines().flat_map(|line| [indent, line, "\n"]).collect()
}

fn preflight(spec: &str) -> String {
    let indented = indented("  ", spec);
    format!(
        "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata:\n  name: app\nspec:\n{indented}"
    )
}

fn names(plan: &Plan, list: List) -> Vec<&str> {
    let entries = plan.entries.iter().map(|each| &each.entry);
    entries
        .filter(|entry| entry.list == list)
        .map(|entry| entry.kind.as_str())
        .collect()
}

const BUNDLE: &str =
    "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nmetadata:\n  name: b\nspec:\n";

#[test]
fn every_kind_is_read_under_its_lists() -> Result<(), SpecError> {
    for (kind, spec, lists) in [
        (
            "Preflight",
            "{collectors: [{logs: {}}], analyzers: [{clusterVersion: {}}]}",
            &[List::Collectors, List::Analyzers][..],
        ),
        (
            "HostPreflight",
            "{collectors: [{cpu: {}}], analyzers: [{cpu: {}}]}",
            &[List::HostCollectors, List::HostAnalyzers],
        ),
        (
            "HostPreflight",
            "{remoteCollectors: [{cpu: {}}]}",
            &[List::RemoteCollectors],
        ),
        (
            "SupportBundle",
            "{collectors: [{logs: {}}], hostCollectors: [{cpu: {}}], analyzers: [{velero: {}}], hostAnalyzers: [{cpu: {}}]}",
            &[
                List::Collectors,
                List::HostCollectors,
                List::Analyzers,
                List::HostAnalyzers,
            ],
        ),
        (
            "Collector",
            "{collectors: [{logs: {}}], hostCollectors: [{cpu: {}}]}",
            &[List::Collectors, List::HostCollectors],
        ),
        (
            "HostCollector",
            "{collectors: [{cpu: {}}], analyzers: [{cpu: {}}]}",
            &[List::HostCollectors, List::HostAnalyzers],
        ),
        (
            "RemoteCollector",
            "{collectors: [{cpu: {}}], nodeSelector: {a: b}}",
            &[List::RemoteCollectors],
        ),
        (
            "Analyzer",
            "{analyzers: [{velero: {}}], hostAnalyzers: [{cpu: {}}]}",
            &[List::Analyzers, List::HostAnalyzers],
        ),
        (
            "Redactor",
            "{redactors: [{name: x, removals: {values: [a]}}]}",
            &[],
        ),
    ] {
        for api_version in [
            "troubleshoot.sh/v1beta2",
            "troubleshoot.replicated.com/v1beta1",
            "troubleshoot.sh/v1beta3",
        ] {
            let text = format!(
                "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: doc}}\nspec: {spec}\n"
            );
            let specs = parse("s", &text)?;
            assert_eq!(specs.documents.len(), 1);
            let document = &specs.documents[0];
            assert_eq!(
                (document.kind.name(), document.name.as_str()),
                (kind, "doc")
            );
            let found: Vec<_> = document.entries.iter().map(|entry| entry.list).collect();
            assert_eq!(found, lists, "{kind}");
            assert_eq!(document.redactors.len(), usize::from(kind == "Redactor"));
        }
    }
    Ok(())
}

#[test]
fn one_text_holds_many_documents_and_a_broken_one_takes_no_other_with_it() -> Result<(), SpecError>
{
    let text = format!(
        "--- # from a chart\n{BUNDLE}  collectors: []\n---\r\nkind: Deployment\r\napiVersion: apps/v1\r\n---\nnot: [yaml\n---\n{}",
        preflight("collectors: []")
    );
    let specs = parse("all.yaml", &text)?;
    let kinds: Vec<_> = specs
        .documents
        .iter()
        .map(|document| document.kind)
        .collect();
    assert_eq!(kinds, [Kind::SupportBundle, Kind::Preflight]);
    assert_eq!(specs.lost, 1);
    assert_eq!(specs.diagnostics.len(), 1);
    assert_eq!(specs.diagnostics[0].severity, Severity::Error);
    assert!(
        specs.diagnostics[0].to_string().starts_with("all.yaml:1"),
        "{}",
        specs.diagnostics[0]
    );
    Ok(())
}

#[test]
fn specs_stand_in_secrets_and_config_maps_with_their_lines() -> Result<(), SpecError> {
    let inner = preflight("analyser: []");
    let block = indented("    ", &inner);
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: specs\ndata:\n  other: x\n  preflight.yaml: |\n{block}"
    );
    let specs = parse("cm.yaml", &text)?;
    assert_eq!(specs.documents[0].kind, Kind::Preflight);
    assert_eq!(
        specs.diagnostics[0].to_string(),
        "cm.yaml:13:7: warning: unknown field `analyser` in the Preflight's spec; did you mean \"analyzers\"?"
    );
    let encoded = STANDARD.encode(&inner);
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{support-bundle-spec: {encoded}}}\nstringData:\n  preflight-spec: |\n{block}"
    );
    let specs = parse("s.yaml", &secret)?;
    assert_eq!(specs.documents.len(), 2);
    assert_eq!(
        specs.diagnostics[0].place.file.as_ref(),
        "s.yaml[Secret s, support-bundle-spec]"
    );
    assert_eq!(specs.diagnostics[0].place.position.line, 6);
    assert_eq!(specs.diagnostics[1].place.to_string(), "s.yaml:12:7");
    Ok(())
}

#[test]
fn what_is_no_spec_is_refused_with_its_reason() {
    for (text, reason) in [
        (
            "just text",
            "spec.yaml:1:1: error: expected a Kubernetes document, got a string",
        ),
        ("[1, 2]", "expected a Kubernetes document, got a list"),
        ("a: [1", "spec.yaml:"),
        ("{{ if .Values.x }}\na: 1\n{{ end }}", "render it first"),
        ("# only a comment\n", "there is no document"),
        ("apiVersion: v1\nkind: Service\n", "only: Service"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n",
            "only: ConfigMap c without a key",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta9\nkind: Preflight\n",
            "spec.yaml:1:13: error: unknown apiVersion `troubleshoot.sh/v1beta9`",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Prefligth\n",
            "spec.yaml:2:7: error: unknown kind `Prefligth`; did you mean \"Preflight\"?",
        ),
        (
            "apiVersion: trobleshoot.sh/v1beta2\nkind: Preflight\n",
            "unknown apiVersion `trobleshoot.sh/v1beta2`",
        ),
        (
            "apiversion: troubleshoot.sh/v1beta2\nkind: Preflight\nspec: {}\n",
            "did you mean \"apiVersion\"?",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nspec: []\n",
            "spec.yaml:3:7: error: `spec`: expected an object, got a list",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nspec:\n  collectors: x\n",
            "spec.yaml:4:15: error: `spec.collectors`: expected a list, got a string",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nspec:\n  uri: [x]\n",
            "`spec.uri`: expected a string, got a list",
        ),
        (
            "apiVersion: v1\nkind: Secret\ndata:\n  preflight.yaml: '%%'\n",
            "`data.preflight.yaml`: not base64",
        ),
    ] {
        let error = parse("spec.yaml", text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?} gave {error}");
    }
}

#[test]
fn an_anchor_bomb_is_an_error_with_its_place() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let repeated = vec![format!("*a{}", level - 1); 10].join(", ");
        text.extend([format!("a{level}: &a{level} [{repeated}]\n")]);
    }
    let error = parse("bomb.yaml", &text).expect_err("a bomb").to_string();
    assert!(
        error.contains("bomb.yaml:") && error.contains("values"),
        "{error}"
    );
}

#[test]
fn every_unknown_name_is_named_with_its_place_and_its_neighbour() {
    for (text, expected) in [
        (
            preflight("analyzer: []"),
            "spec.yaml:6:3: warning: unknown field `analyzer` in the Preflight's spec; did you mean \"analyzers\"?",
        ),
        (
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nspecs: {}\n".to_owned(),
            "spec.yaml:3:1: warning: unknown field `specs` in the document; did you mean \"spec\"?",
        ),
        (
            preflight("collectors:\n- clusterResource: {}"),
            "spec.yaml:7:5: warning: unknown collector `clusterResource`; did you mean \"clusterResources\"?",
        ),
        (
            preflight("collectors:\n- pods: {}"),
            "spec.yaml:7:5: warning: unknown collector `pods`",
        ),
        (
            preflight("collectors:\n- nodeResources: {}"),
            "unknown collector `nodeResources`: the name is that of an analyzer, for `analyzers`",
        ),
        (
            preflight("collectors:\n- cpu: {}"),
            "the name is that of a host collector, for `hostCollectors`",
        ),
        (
            preflight("analyzers:\n- nodeResource: {}"),
            "unknown analyzer `nodeResource`; did you mean \"nodeResources\"?",
        ),
        (
            preflight("collectors:\n- logs: {}\n  exec: {}"),
            "spec.yaml:8:5: warning: one item names logs and exec: put a dash before each; all are taken",
        ),
        (
            preflight("collectors:\n- logs: {}\n  selector: [a]"),
            "spec.yaml:8:5: warning: unknown field `selector` beside the collector",
        ),
        (
            preflight("collectors:\n- goldpinger:"),
            "spec.yaml:7:5: warning: `goldpinger` has no body: it is taken as `goldpinger: {}`",
        ),
        (
            preflight("collectors:\n- logs:\n  selector: [a]"),
            "spec.yaml:8:5: error: `selector` stands beside `logs`, not in it: indent it",
        ),
        (
            preflight("collectors:\n-\n"),
            "spec.yaml:7:4: warning: an empty item: it names no collector",
        ),
        (
            preflight("collectors:\n- text"),
            "spec.yaml:7:5: error: expected a collector of the form `name: {…}`, got a string",
        ),
        (
            preflight("collectors:\n- logs: text"),
            "spec.yaml:7:11: error: `logs`: expected an object, got a string",
        ),
        (
            preflight("collectors:\n- logs: {collectorName: 1}"),
            "spec.yaml:7:27: error: `logs.collectorName`: expected a string, got an integer",
        ),
        (
            preflight("collectors:\n- logs: {exclude: maybe}"),
            "`logs.exclude`: `maybe` is no boolean: write true or false; it counts as false",
        ),
        (
            preflight("collectors:\n- logs: {exclude: [1]}"),
            "`logs.exclude`: expected a boolean or a string, got a list",
        ),
        (
            preflight("collectors: []\ncollectors: []"),
            "spec.yaml:7:3: warning: the key `collectors` stands twice, first at line 6, column 3; the last one counts",
        ),
        (
            preflight("collectors:\n- data: {name: 'repl{{ ConfigOption \"x\" }}'}"),
            "a template that KOTS fills in is left as it is",
        ),
        (
            preflight("analyzers:\n- clusterInfo: {}"),
            "the name is that of a collector, for `collectors`",
        ),
    ] {
        let found = diagnostics(&text);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{expected}\nnot in {found:#?}"
        );
    }
}

#[test]
fn fields_are_checked_by_the_type_of_their_kind() {
    let found = diagnostics(&preflight(
        "collectors:\n- clusterInfo:\n    nam: x\n    collectorNam: y\n",
    ));
    assert_eq!(
        found,
        [
            "spec.yaml:9:7: warning: unknown field `collectorNam` in `clusterInfo`; did you mean \"collectorName\"?",
            "spec.yaml:8:7: warning: unknown field `nam` in `clusterInfo`",
        ]
    );
}

#[test]
fn a_lost_condition_never_makes_an_outcome_unconditional() -> Result<(), SpecError> {
    for (outcomes, reason) in [
        (
            "[{pass: {wen: '> 1', message: ok}}]",
            "without `when` it would always apply; did you mean \"when\"?",
        ),
        (
            "[{pass: {message: ok}, when: '> 1'}]",
            "`when` stands beside the branch",
        ),
        (
            "[{pass: {message: ok}}, {fial: {when: '< 1', message: no}}]",
            "did you mean \"fail\"?",
        ),
        ("[{}]", "none of pass, warn and fail"),
        (
            "[{pass: null}]",
            "`pass` of outcome 1 of `clusterVersion` is empty",
        ),
    ] {
        let text = preflight(&format!(
            "analyzers:\n- clusterVersion: {{checkName: v, strict: true, outcomes: {outcomes}}}"
        ));
        let specs = parse("s", &text)?;
        let found: Vec<_> = specs.diagnostics.iter().map(ToString::to_string).collect();
        assert!(
            found
                .iter()
                .any(|line| line.contains(reason) && line.contains("error:")),
            "{outcomes}: {found:?}"
        );
        let plan = specs.preflight()?;
        let checks = plan.checks();
        assert_eq!(checks.len(), 1, "{outcomes}");
        assert_eq!(checks[0].meta.check_name, "v");
        assert!(checks[0].meta.strict);
        assert!(is_unanswered(&checks[0]), "{outcomes}");
    }
    Ok(())
}

/// Whether a check has no plug-in that could judge.
fn is_unanswered(check: &analyzers::Check) -> bool {
    match &check.analyzer {
        Err(_) => true,
        Ok(analyzer) => format!("{analyzer:?}").starts_with("Unanswered"),
    }
}

#[test]
fn outcomes_that_cannot_mislead_are_only_named() -> Result<(), SpecError> {
    for (outcome, warning) in [
        (
            "pass: {message: ok, title: x}",
            "unknown field `title` in outcome 1",
        ),
        (
            "error: {when: error, message: x}",
            "none of pass, warn and fail, but `error`: it is left out",
        ),
        ("pass: {when: '> 1', wen: '> 2'}", "unknown field `wen`"),
    ] {
        let text = preflight(&format!(
            "analyzers:\n- velero:\n    outcomes:\n    - {outcome}"
        ));
        let specs = parse("s", &text)?;
        assert_eq!(specs.documents[0].entries[0].unusable, None, "{outcome}");
        let found: Vec<_> = specs.diagnostics.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|line| line.contains(warning)), "{found:?}");
    }
    Ok(())
}

#[test]
fn a_misspelt_outcomes_is_no_check_without_outcomes() -> Result<(), SpecError> {
    let specs = parse(
        "s",
        &preflight("analyzers:\n- clusterVersion:\n    outcome: []"),
    )?;
    let reason = specs.documents[0].entries[0]
        .unusable
        .clone()
        .unwrap_or_default();
    assert!(reason.contains("did you mean \"outcomes\"?"), "{reason}");
    Ok(())
}

#[test]
fn nothing_that_is_named_is_lost() -> Result<(), SpecError> {
    let text = preflight(
        "collectors:\n- pods: {collectorName: all}\n- sonobuoy: {collectorName: s}\nremoteCollectors:\n- cpu: {}\n\
         analyzers:\n- nodeResource: {checkName: nodes}\n- goldpinger: {}\n",
    );
    let plan = parse("s", &text)?.preflight()?;
    let collectors = plan.collectors();
    let titles: Vec<_> = collectors
        .iter()
        .map(|planned| {
            (
                planned.kind.name,
                planned.collector.title(),
                planned.requested,
            )
        })
        .collect();
    for expected in [
        ("unknown", "pods/all".to_owned(), true),
        ("sonobuoy", "sonobuoy/s".to_owned(), true),
        ("cpu", "cpu".to_owned(), true),
        ("clusterInfo", "cluster-info".to_owned(), false),
    ] {
        assert!(titles.contains(&expected), "{expected:?} not in {titles:?}");
    }
    let checks = plan.checks();
    let titles: Vec<_> = checks
        .iter()
        .map(|check| {
            let analyzer = check.analyzer.as_ref().map_err(Clone::clone);
            analyzer.map(|analyzer| analyzer.title(&check.meta))
        })
        .collect();
    assert_eq!(
        titles,
        [Ok("nodes".to_owned()), Ok("goldpinger".to_owned())]
    );
    Ok(())
}

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

#[test]
fn preflights_are_merged() -> Result<(), SpecError> {
    let text = [
        preflight("collectors: [{data: {name: a}}, {data: {name: a}}]\nuploadResultsTo: https://up.example.com"),
        preflight("collectors: [{data: {name: a}}, {logs: {exclude: 'true'}}]\nanalyzers: [{velero: {}}, {velero: {exclude: true}}]"),
        "apiVersion: troubleshoot.sh/v1beta2\nkind: HostPreflight\nmetadata: {name: h}\nspec: {collectors: [{cpu: {}}], analyzers: [{cpu: {}}]}\n".to_owned(),
        format!("{BUNDLE}  collectors: [{{exec: {{}}}}]\n"),
    ]
    .join("---\n");
    let plan = parse("s", &text)?.preflight()?;
    assert_eq!(plan.name, "app");
    assert_eq!(
        names(&plan, List::Collectors),
        ["data", "logs", "clusterInfo", "clusterResources"]
    );
    assert_eq!(names(&plan, List::HostCollectors), ["cpu"]);
    assert_eq!(plan.upload_results_to, ["https://up.example.com"]);
    assert_eq!(plan.checks().len(), 2, "the excluded one is no check");
    let planned = plan.collectors();
    assert_eq!(
        planned.iter().map(|each| each.excluded).collect::<Vec<_>>(),
        [false, false, true, false, false]
    );
    assert_eq!(
        plan.left_out
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["s:22:1: warning: the collectors of a SupportBundle take no part in this run"]
    );
    let host = "apiVersion: troubleshoot.sh/v1beta2\nkind: HostPreflight\nspec: {collectors: [{cpu: {}}]}\n";
    let plan = parse("s", host)?.preflight()?;
    assert_eq!(
        names(&plan, List::Collectors),
        [""; 0],
        "a host has no cluster to ask"
    );
    Ok(())
}

#[test]
fn support_bundles_are_merged() -> Result<(), SpecError> {
    let text = "\
apiVersion: troubleshoot.sh/v1beta2
kind: HostCollector
spec: {collectors: [{cpu: {}}], analyzers: [{cpu: {}}]}
---
apiVersion: troubleshoot.sh/v1beta2
kind: Collector
spec: {collectors: [{data: {name: c}}], hostCollectors: [{memory: {}}]}
---
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: one, labels: {applicationName: App}}
spec:
  collectors: [{data: {name: a}}, {clusterResources: {namespaces: [b, a]}}]
  hostCollectors: [{cpu: {}}]
  analyzers: [{velero: {}}]
  hostAnalyzers: [{cpu: {}}]
  runHostCollectorsInPod: true
  afterCollection: [{callback: {uri: https://x.example.com}}]
---
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
spec:
  collectors: [{clusterResources: {namespaces: [c]}}, {data: {name: a}}]
---
apiVersion: troubleshoot.sh/v1beta2
kind: Analyzer
spec: {analyzers: [{velero: {}}]}
";
    let plan = parse("s", text)?.support_bundle()?;
    assert_eq!(plan.name, "merged-support-bundle-spec");
    assert_eq!(plan.application.as_deref(), Some("App"));
    assert!(plan.run_host_collectors_in_pod);
    assert_eq!(plan.after_collection.len(), 1);
    assert_eq!(
        names(&plan, List::Collectors),
        [
            "data",
            "clusterResources",
            "clusterResources",
            "data",
            "clusterInfo"
        ]
    );
    assert_eq!(names(&plan, List::HostCollectors), ["cpu"]);
    assert_eq!(plan.checks().len(), 2);
    let planned = plan.collectors();
    assert_eq!(planned[0].kind.name, "clusterResources", "it runs first");
    assert_eq!(planned.len(), 5, "the two are one");
    assert_eq!(plan.left_out.len(), 3);
    Ok(())
}

#[test]
fn defaults_are_added_by_rule() -> Result<(), SpecError> {
    for (spec, added) in [
        ("{}", &["clusterInfo", "clusterResources"][..]),
        ("{hostCollectors: [{cpu: {}}]}", &[]),
        (
            "{collectors: [{logs: {}}], hostCollectors: [{cpu: {}}]}",
            &["clusterInfo", "clusterResources"],
        ),
        ("{collectors: [{clusterInfo: {}}]}", &["clusterResources"]),
        (
            "{analyzers: [{velero: {}}]}",
            &["clusterInfo", "clusterResources"],
        ),
    ] {
        let text =
            format!("apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec: {spec}\n");
        let plan = parse("s", &text)?.support_bundle()?;
        let found = plan.entries.iter().filter(|each| !each.requested);
        assert_eq!(
            found
                .map(|each| each.entry.kind.as_str())
                .collect::<Vec<_>>(),
            added,
            "{spec}"
        );
    }
    Ok(())
}

#[test]
fn cluster_resources_without_namespaces_mean_all() -> Result<(), SpecError> {
    for (items, namespaces) in [
        (
            "{clusterResources: {namespaces: [b]}}, {clusterResources: {namespaces: [a, b]}}",
            json!(["a", "b"]),
        ),
        (
            "{clusterResources: {namespaces: [b]}}, {clusterResources: {}}",
            json!([]),
        ),
        (
            "{clusterResources: {namespaces: [b]}}, {clusterResources: {exclude: true}}",
            json!(["b"]),
        ),
    ] {
        let specs = parse("s", &format!("{BUNDLE}  collectors: [{items}]\n"))?;
        let plan = specs.support_bundle()?;
        let entries: Vec<_> = plan
            .entries
            .iter()
            .filter(|each| !each.entry.excluded)
            .collect();
        let mergeable: Vec<_> = entries
            .into_iter()
            .filter(|each| each.entry.kind == "clusterResources")
            .collect();
        let merged = plan::merge(&mergeable).map(|each| each.entry.config["namespaces"].clone());
        assert_eq!(merged, Some(namespaces), "{items}");
    }
    Ok(())
}

#[test]
fn a_command_without_its_kind_says_what_is_there() -> Result<(), SpecError> {
    let specs = parse("s.yaml", BUNDLE)?;
    let error = specs.preflight().expect_err("there is none").to_string();
    assert_eq!(
        error,
        "no document of kind Preflight or HostPreflight was found; there are: SupportBundle (s.yaml:1:1)"
    );
    Ok(())
}

#[test]
fn the_merged_spec_is_printed_as_troubleshoot_prints_it() -> Result<(), SpecError> {
    let plan = parse(
        "s",
        &format!(
            "{BUNDLE}  hostCollectors: [{{cpu: {{}}}}, {{run: {{command: 'true', collectorName: x}}}}]\n"
        ),
    )?;
    let text = plan.support_bundle()?.to_yaml();
    assert_eq!(
        text,
        "\
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata:
  name: merged-support-bundle-spec
spec:
  hostCollectors:
  - cpu: {}
  - run:
      collectorName: x
      command: \"true\"
status: {}
"
    );
    Ok(())
}

#[test]
fn a_redactor_that_cannot_mask_ends_the_run() -> Result<(), SpecError> {
    let redactor = |body: &str| {
        format!(
            "apiVersion: troubleshoot.sh/v1beta2\nkind: Redactor\nspec:\n  redactors:\n  - {body}\n"
        )
    };
    for (body, reason) in [
        (
            "{name: x, removal: {values: [a]}}",
            "s:5:15: error: unknown field `removal` in the redactor; did you mean \"removals\"?",
        ),
        ("{removals: {value: [a]}}", "did you mean \"values\"?"),
        (
            "{removals: {regex: [{redacter: a}]}}",
            "did you mean \"redactor\"?",
        ),
        (
            "{removals: {values: [1]}}",
            "`values`: expected a string, got an integer",
        ),
        (
            "{removals: {values: a}}",
            "`values`: expected a list, got a string",
        ),
        ("text", "the redactor: expected an object, got a string"),
    ] {
        let error = parse("s", &redactor(body)).expect_err(body).to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
    let specs = parse(
        "s",
        &redactor("{name: x, team: y, removals: {values: [a], yamlPath: [a.b]}}"),
    )?;
    assert_eq!(specs.redactors().count(), 1);
    assert_eq!(
        specs
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["s:5:15: warning: unknown field `team` in the redactor"]
    );
    let specs = parse("s", &redactor("{name: x}"))?;
    assert!(specs.diagnostics[0].message.contains("masks nothing"));
    Ok(())
}

#[test]
fn an_analyzer_that_is_not_in_this_release_answers_unknown() {
    let placeholder = placeholder::Unanswered {
        title: "goldpinger".to_owned(),
        reason: "not here".to_owned(),
    };
    let meta = analyzers::analyzer::Meta::default();
    assert_eq!(placeholder.title(&meta), "goldpinger");
    assert_eq!(
        placeholder.unknown(),
        NotEvaluated::Unknown("not here".to_owned())
    );
}
