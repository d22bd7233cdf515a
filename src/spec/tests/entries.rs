//! Collectors, analyzers and what is wrong with them.

use analyzers::{Analyzer as _, NotEvaluated};

use super::*;

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
    let text = preflight(
        "\
collectors:
- clusterInfo:
    nam: x
    collectorNam: y
- clusterResources: {namespace: [x]}
analyzers:
- textAnalyze:
    regx: y
    outcomes:
    - pass: {when: 'true', mesage: x}
- nodeResources:
    filters: {cpuCapcity: '1', selector: {matchLabels: {a: b}}}
- deploymentStatus: {name: x, namespaces: x}
- clusterVersion:
    outcomes:
    - pass: {when: 1}
- clusterPodStatuses: {name: a, namespace: b}
",
    );
    let expected = "\
spec.yaml:8:7: warning: unknown field `nam` in `clusterInfo`
spec.yaml:9:7: warning: unknown field `collectorNam` in `clusterInfo`; did you mean \"collectorName\"?
spec.yaml:10:24: warning: unknown field `namespace` in `clusterResources`; did you mean \"namespaces\"?
spec.yaml:13:7: warning: unknown field `regx` in `textAnalyze`; did you mean \"regex\"?
spec.yaml:15:30: warning: unknown field `mesage` in outcome 1 of `textAnalyze`; did you mean \"message\"?
spec.yaml:17:17: warning: unknown field `cpuCapcity` in `nodeResources.filters`; did you mean \"cpuCapacity\"?
spec.yaml:17:45: warning: unknown field `matchLabels` in `nodeResources.filters.selector`; did you mean \"matchLabel\"?
spec.yaml:18:45: error: `deploymentStatus.namespaces`: expected a list, got the string \"x\"
spec.yaml:21:22: error: `clusterVersion.outcomes[0].pass.when`: expected a string, got the number 1
spec.yaml:22:26: warning: unknown field `name` in `clusterPodStatuses`
spec.yaml:22:35: warning: unknown field `namespace` in `clusterPodStatuses`; did you mean \"namespaces\"?";
    assert_eq!(diagnostics(&text).join("\n"), expected);
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
            "analyzers:\n- weaveReport:\n    outcomes:\n    - {outcome}"
        ));
        let specs = parse("s", &text)?;
        assert_eq!(specs.documents[0].entries[0].unusable, None, "{outcome}");
        let found: Vec<_> = specs.diagnostics.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|line| line.contains(warning)), "{found:?}");
    }
    Ok(())
}

#[test]
fn several_branches_of_an_outcome_are_named_where_only_one_counts() -> Result<(), SpecError> {
    for (kind, is_named) in [("clusterVersion", true), ("event", false)] {
        let outcome = "{fail: {when: 'true', message: x}, pass: {when: 'false', message: y}}";
        let text = preflight(&format!(
            "analyzers:\n- {kind}:\n    reason: x\n    outcomes:\n    - {outcome}"
        ));
        let specs = parse("s", &text)?;
        let mut found = specs.diagnostics.iter().map(ToString::to_string);
        let is_warned = found.any(|line| line.contains("only one counts"));
        assert_eq!(is_warned, is_named, "{kind}");
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
