//! From texts to documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

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
    let values: Vec<_> = specs
        .redactors()
        .map(|redactor| redactor.value.clone())
        .collect();
    assert_eq!(
        values,
        [json!({"name": "x", "removals": {"values": ["a"], "yamlPath": ["a.b"]}})]
    );
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
fn a_template_of_v1beta3_is_not_taken_for_a_spec() {
    let text = preflight("analyzers:\n- clusterVersion:\n    checkName: '{{ .Values.name }}'")
        .replace("v1beta2", "v1beta3");
    let error = parse("t.yaml", &text).expect_err("a template").to_string();
    assert!(
        error.contains("t.yaml:8:18: error: the document is a template"),
        "{error}"
    );
}

#[test]
fn so_much_is_said_and_no_more() -> Result<(), SpecError> {
    let many = |name: &str| {
        let fields = (0..1000).flat_map(|n| [format!("{name}{n}: x"), "\n".to_owned()]);
        fields.collect::<String>()
    };
    for text in [
        preflight(&many("field")),
        preflight(&format!(
            "collectors:\n- clusterInfo:\n{}",
            indented("    ", &many("f"))
        )),
        preflight("collectors: []\n".repeat(1000).as_str()),
    ] {
        let specs = parse("s", &text)?;
        assert_eq!(specs.diagnostics.len(), 20);
        assert!(specs.diagnostics[19].message.contains("more near it"));
    }
    Ok(())
}

/// Lines that specs are made of, whole and broken.
fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "---",
        "apiVersion: troubleshoot.sh/v1beta2",
        "kind: Preflight",
        "kind: SupportBundle",
        "kind: Redactor",
        "spec:",
        "collectors:",
        "analyzers:",
        "redactors:",
        "- logs:",
        "- clusterInfo: {}",
        "- clusterVersion:",
        "outcomes:",
        "- pass:",
        "- fail: {wen: x}",
        "when: '> 1'",
        "exclude: maybe",
        "removals:",
        "values: [a]",
        "- {}",
        "-",
        "a: &a [*a]",
        "b: &b {x: 1}",
        "<<: *b",
        "text: |",
        "é: \u{1f600}",
        "\t",
        "}",
        "data:",
        "kind: ConfigMap",
        "apiVersion: v1",
        "preflight.yaml: |",
        "{{ .Values.x }}",
        "metadata: {name: x}",
    ]);
    (0_usize..5, words).prop_map(|(depth, words)| format!("{}{words}\n", "  ".repeat(depth)))
}

proptest! {
    #[test]
    fn no_text_panics(lines in prop::collection::vec(line(), 0..30)) {
        if let Ok(specs) = parse("s", &lines.concat()) {
            for plan in [specs.preflight(), specs.support_bundle(), specs.analysis()].into_iter().flatten() {
                prop_assert!(plan.collectors().len() + plan.checks().len() <= 32);
                prop_assert!(parse("again", &plan.to_yaml()).is_ok());
            }
        }
    }
}
