//! What a run does.

use serde_json::json;

use super::*;

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
fn what_does_not_fit_its_type_is_answered_and_not_lost() -> Result<(), SpecError> {
    let text = preflight(
        "collectors:\n- clusterResources: {namespaces: x}\n\
         analyzers:\n- deploymentStatus: {namespaces: x}\n- clusterVersion: {checkName: v, outcomes: 1}\n\
         - clusterVersion: {exclude: perhaps}",
    );
    let plan = parse("s", &text)?.preflight()?;
    let collectors = plan.collectors();
    let broken = collectors.iter().find(|planned| planned.requested);
    let broken = broken.map(|planned| (planned.kind.name, format!("{:?}", planned.collector)));
    let (name, collector) = broken.unwrap_or_default();
    assert_eq!(name, "clusterResources");
    assert!(collector.contains("expected a list"), "{collector}");
    let checks = plan.checks();
    let answers: Vec<_> = checks
        .iter()
        .map(|check| {
            (
                check.meta.check_name.as_str(),
                check.analyzer.as_ref().err(),
            )
        })
        .map(|(title, reason)| (title, reason.map(String::as_str)))
        .collect();
    assert_eq!(
        answers,
        [
            (
                "deploymentStatus",
                Some("`deploymentStatus.namespaces`: expected a list, got the string \"x\"")
            ),
            (
                "v",
                Some("`clusterVersion.outcomes`: expected a list, got the number 1")
            ),
            (
                "clusterVersion",
                Some("`clusterVersion.exclude`: `perhaps` is no boolean: write true or false")
            ),
        ]
    );
    Ok(())
}
