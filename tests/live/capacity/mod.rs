//! `gpuCapacity` against the real scheduler: 500 random clusters and requests. For what is simulated its answer is the
//! scheduler's, count and sentence; what is not simulated is named and never called a fit.
//!
//! A case is a cluster within the cluster: nodes with a label of its own, and a template that selects it.

mod api;
mod objects;
mod random;
mod snapshot;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use analyzers::rules::KINDS;
use analyzers::{Check, Meta, Verdict, evaluate};
use bundle::Files;
use serde_json::{Value, json};

use crate::fixture::{Cluster, wait_until};
use api::Api;
use random::{Case, case, classes};
use snapshot::snapshot;

const CASES: usize = 500;
const BATCH: usize = 100;
/// How long counts may take to become what is expected where pods are evicted.
const SETTLING: Duration = Duration::from_secs(30);

#[test]
fn the_answer_is_the_schedulers() {
    let cluster = Cluster::alone("capacity");
    let api = Api::start();
    for (path, class) in classes() {
        api.must("POST", &path, Some(&class));
    }
    let mut wrong = Vec::new();
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let numbers: Vec<usize> = (0..CASES).collect();
    for batch in numbers.chunks(BATCH) {
        let cases: Vec<Case> = batch
            .iter()
            .map(|number| case(*number, cluster.namespace()))
            .collect();
        build(&api, &cases);
        let files = snapshot(&api);
        let created = ask(&api, &cases);
        judge(&api, &cases, &files, &created, &mut wrong, &mut tally);
        clear(&api, &cases);
    }
    for (path, class) in classes() {
        let name = class["metadata"]["name"].as_str().expect("a name");
        api.must("DELETE", &format!("{path}/{name}"), None);
    }
    assert!(
        wrong.is_empty(),
        "{} of {CASES} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // The clusters are worth something only if they come out differently.
    for kind in [
        "all placed",
        "some placed",
        "none placed",
        "refused",
        "evicting",
        "not simulated",
    ] {
        assert!(
            tally.get(kind).is_some_and(|count| *count >= 5),
            "{kind}: {tally:?}"
        );
    }
}

fn pods_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// Makes the nodes, the pods that are there, and the rules of the namespaces.
fn build(api: &Api, cases: &[Case]) {
    let of_own: Vec<&Case> = cases.iter().filter(|case| case.has_namespace()).collect();
    api.each(&of_own, |api, case| {
        let namespace = json!({"metadata": {"name": case.namespace}});
        api.must("POST", "/api/v1/namespaces", Some(&namespace));
    });
    let nodes: Vec<&Value> = cases.iter().flat_map(|case| &case.nodes).collect();
    api.each(&nodes, |api, node| {
        api.must("POST", "/api/v1/nodes", Some(node))
    });
    api.each(&of_own, |api, case| {
        let account = format!(
            "/api/v1/namespaces/{}/serviceaccounts/default",
            case.namespace
        );
        wait_until("the namespace's account", || {
            api.send("GET", &account, None).0 == 200
        });
    });
    let objects: Vec<&(String, Value, Option<Value>)> =
        cases.iter().flat_map(|case| &case.objects).collect();
    api.each(&objects, |api, (folder, object, status)| {
        api.must("POST", folder, Some(object));
        if let Some(status) = status {
            let name = object["metadata"]["name"].as_str().expect("a name");
            let patch = json!({"status": status});
            api.must("PATCH", &format!("{folder}/{name}/status"), Some(&patch));
        }
    });
    let pods: Vec<&(Value, Option<Value>)> = cases.iter().flat_map(|case| &case.pods).collect();
    api.each(&pods, |api, (pod, status)| {
        let folder = pods_of(pod["metadata"]["namespace"].as_str().expect("a namespace"));
        let (code, answer) = api.send("POST", &folder, Some(pod));
        assert_eq!(code, 201, "{answer}\n{pod}");
        if let Some(status) = status {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let patch = json!({"status": status});
            api.must("PATCH", &format!("{folder}/{name}/status"), Some(&patch));
        }
    });
    let ending: Vec<(&Case, &String)> = cases
        .iter()
        .flat_map(|case| case.terminating.iter().map(move |name| (case, name)))
        .collect();
    api.each(&ending, |api, (case, name)| {
        api.must(
            "DELETE",
            &format!("{}/{name}", pods_of(&case.namespace)),
            None,
        );
    });
    let rules: Vec<(&Case, &(&str, Value))> = cases
        .iter()
        .flat_map(|case| case.rules.iter().map(move |rule| (case, rule)))
        .collect();
    api.each(&rules, |api, (case, (plural, object))| {
        let folder = format!("/api/v1/namespaces/{}/{plural}", case.namespace);
        api.must("POST", &folder, Some(object));
    });
    wait_until("quotas are counted", || {
        let quotas = api.get("/api/v1/resourcequotas");
        items(&quotas)
            .iter()
            .all(|it| it["status"]["hard"] == it["spec"]["hard"])
    });
    wait_until("claims are bound", || {
        let claims = api.get("/api/v1/persistentvolumeclaims");
        let mut meant = items(&claims)
            .iter()
            .filter(|it| it["spec"]["volumeName"].is_string());
        meant.all(|it| it["status"]["phase"] == "Bound")
    });
    wait_until("nodes have the taints of their conditions", || {
        let nodes = api.get("/api/v1/nodes?labelSelector=cluster");
        items(&nodes).iter().all(has_its_taints)
    });
    // The API server learns of classes and rules by watching.
    thread::sleep(Duration::from_secs(1));
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().expect("a list")
}

/// The node controller has been here: a ready node is not tainted as one that is not, and a cordon has its taint.
fn has_its_taints(node: &Value) -> bool {
    let has = |key: &str| {
        let taints = node["spec"]["taints"].as_array();
        taints.is_some_and(|it| it.iter().any(|taint| taint["key"] == key))
    };
    let is_ready = node["status"]["conditions"][0]["status"] == "True";
    let is_cordoned = node["spec"]["unschedulable"] == true;
    has("node.kubernetes.io/not-ready") != is_ready
        && has("node.kubernetes.io/unschedulable") == is_cordoned
}

/// Creates the pods of each case, one after the other. How many came into being, and why no more.
fn ask(api: &Api, cases: &[Case]) -> Vec<(usize, String)> {
    api.each(cases, |api, case| {
        let mut created = 0;
        for replica in 0..case.replicas {
            let mut pod = case.template.clone();
            pod["metadata"]["name"] = json!(format!("{}-asked-{replica}", case.name));
            let (code, answer) = api.send("POST", &pods_of(&case.namespace), Some(&pod));
            if code != 201 {
                assert!(code == 403 || code == 422, "{code} {answer}\n{pod}");
                return (
                    created,
                    answer["message"].as_str().unwrap_or_default().to_owned(),
                );
            }
            created += 1;
        }
        (created, String::new())
    })
}

/// What our analyzer says.
struct Answer {
    /// Nothing where it is not certain.
    placed: Option<usize>,
    most: usize,
    reasons: String,
    not_simulated: String,
    evicting: usize,
    /// Whether `unplaced > 0`; nothing where that is unknown.
    fails: Option<bool>,
}

fn answer(case: &Case, files: &Files) -> Answer {
    let kind = KINDS
        .iter()
        .find(|kind| kind.name == "gpuCapacity")
        .expect("it is registered");
    let say = |outcomes: Value| {
        let config = json!({
            "request": {"replicas": case.replicas, "namespace": case.namespace, "podTemplate": case.template},
            "outcomes": outcomes,
        });
        let parsed = (kind.parse)(&config).expect("a configuration");
        let check = Check {
            kind,
            meta: Meta::default(),
            analyzer: Ok(parsed.config),
        };
        let mut evaluations = evaluate(&[check], files);
        evaluations.remove(0)
    };
    let words = "{{ .Placed }}|{{ .Evicting }}|{{ .NotSimulated }}|{{ .Reasons }}";
    let judged = say(
        json!([{"fail": {"when": "unplaced > 0", "message": words}}, {"pass": {"message": words}}]),
    );
    let fails = judged
        .findings
        .first()
        .map(|finding| finding.verdict == Some(Verdict::Fail));
    // An unknown verdict has no message; what is known stands in one that does not depend on it.
    let shown = match fails {
        Some(_) => judged,
        None => say(json!([{"pass": {"message": words}}])),
    };
    let message = match shown.findings.first() {
        Some(finding) => finding.message.clone(),
        None => panic!("{}: {:?}", case.name, shown.not_evaluated),
    };
    let parts: Vec<&str> = message.splitn(4, '|').collect();
    let placed = parts[0].parse().ok();
    let most = parts[0].rsplit(' ').next().and_then(|it| it.parse().ok());
    Answer {
        placed,
        most: most.expect("a number"),
        evicting: parts[1].parse().unwrap_or(0),
        not_simulated: parts[2].to_owned(),
        reasons: parts[3].to_owned(),
        fails,
    }
}

/// How many pods of each case were placed, and what the scheduler says of one that was not.
fn decisions(api: &Api) -> BTreeMap<String, (usize, usize, String)> {
    let pods = api.get("/api/v1/pods?labelSelector=capacity%3Dasked");
    let mut decided: BTreeMap<String, (usize, usize, String)> = BTreeMap::new();
    for pod in items(&pods) {
        let name = pod["metadata"]["labels"]["case"].as_str().expect("a label");
        let (placed, undecided, said) = decided.entry(name.to_owned()).or_default();
        if pod["spec"]["nodeName"].is_string() {
            *placed += 1;
            continue;
        }
        let conditions = pod["status"]["conditions"].as_array();
        let scheduled = conditions
            .into_iter()
            .flatten()
            .find(|it| it["type"] == "PodScheduled");
        let is_foreign = pod["spec"]["schedulerName"] != "default-scheduler";
        let is_promised = pod["status"]["nominatedNodeName"].is_string();
        match scheduled {
            _ if is_foreign => {}
            // Before its claims are made a pod is unschedulable for that.
            Some(condition) if !is_promised && !is_early(condition) => {
                condition["message"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(said);
            }
            _ => *undecided += 1,
        }
    }
    decided
}

fn is_early(condition: &Value) -> bool {
    let message = condition["message"].as_str().unwrap_or_default();
    message.contains("not created yet") || message.contains("waiting for")
}

fn judge(
    api: &Api,
    cases: &[Case],
    files: &Files,
    created: &[(usize, String)],
    wrong: &mut Vec<String>,
    tally: &mut BTreeMap<&str, usize>,
) {
    let answers = api.each(cases, |_, case| answer(case, files));
    wait_until("the scheduler has decided", || {
        decisions(api)
            .values()
            .all(|(_, undecided, _)| *undecided == 0)
    });
    let started = Instant::now();
    let mut decided = decisions(api);
    let as_expected = |decided: &BTreeMap<String, (usize, usize, String)>| {
        cases
            .iter()
            .zip(&answers)
            .filter(|(case, _)| case.evicts)
            .all(|(case, answer)| {
                let placed = decided.get(&case.name).map_or(0, |it| it.0);
                answer.placed.is_none_or(|expected| expected == placed)
            })
    };
    while !as_expected(&decided) && started.elapsed() < SETTLING {
        thread::sleep(Duration::from_millis(300));
        decided = decisions(api);
    }
    let cases = cases.iter().zip(&answers).zip(created);
    for ((case, answer), (created, refusal)) in cases {
        let none = (0, 0, String::new());
        let (placed, _, said) = decided.get(&case.name).unwrap_or(&none);
        *tally.entry(kind_of(case, answer, *placed)).or_default() += 1;
        if *created < case.replicas {
            *tally.entry("refused").or_default() += 1;
        }
        if answer.evicting > 0 {
            *tally.entry("evicting").or_default() += 1;
        }
        let scheduler = format!("{placed} of {created} created {refusal:?}, {said:?}");
        for problem in differences(case, answer, *placed, *created, refusal, said) {
            wrong.push(format!(
                "{}: {problem}; the scheduler: {scheduler}; we: {:?} {:?}, not simulated: {}\n  {}",
                case.name, answer.placed, answer.reasons, answer.not_simulated, case.template
            ));
        }
    }
}

fn kind_of(case: &Case, answer: &Answer, placed: usize) -> &'static str {
    match placed {
        _ if !answer.not_simulated.is_empty() => "not simulated",
        0 => "none placed",
        all if all == case.replicas => "all placed",
        _ => "some placed",
    }
}

fn differences(
    case: &Case,
    answer: &Answer,
    placed: usize,
    created: usize,
    refusal: &str,
    said: &str,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut unless = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    if let Some(feature) = case.foreign {
        unless(
            !answer.not_simulated.is_empty(),
            format!("{feature} is not named"),
        );
        // A foreign scheduler is not here: nobody places its pods.
        let is_judged = feature == "scheduler" || placed <= answer.most;
        unless(is_judged, format!("at most {} were expected", answer.most));
        unless(
            answer.fails != Some(false),
            format!("{feature} is called a fit"),
        );
        return problems;
    }
    unless(
        answer.not_simulated.is_empty(),
        "all is simulated".to_owned(),
    );
    unless(
        answer.placed == Some(placed),
        "the counts differ".to_owned(),
    );
    unless(
        answer.fails == Some(placed < case.replicas),
        "the verdict differs".to_owned(),
    );
    if placed < created && answer.evicting == 0 {
        let ours = answer
            .reasons
            .find("0/")
            .map_or(&*answer.reasons, |start| &answer.reasons[start..]);
        // What the scheduler adds is about preemption.
        let is_same = said.starts_with(ours) || answer.reasons.ends_with(said);
        unless(is_same, "the sentences differ".to_owned());
    }
    if created < case.replicas {
        let limits = answer
            .reasons
            .strip_prefix("pods are forbidden: ")
            .and_then(|it| it.split(" (LimitRange").next());
        let refusal = refusal.replace(".  No", ". No");
        let is_same = limits.is_some_and(|it| refusal.contains(it));
        let key = [
            "exceeded quota",
            "failed quota",
            "PriorityClass",
            "RuntimeClass",
            "must be",
            "Limit must be set",
            "invalid",
            "conflict",
        ]
        .into_iter()
        .find(|key| refusal.contains(key));
        unless(
            is_same
                || key
                    .is_some_and(|key| answer.reasons.to_lowercase().contains(&key.to_lowercase())),
            "the refusals differ".to_owned(),
        );
    }
    problems
}

/// Removes what a batch made.
fn clear(api: &Api, cases: &[Case]) {
    let now = "?gracePeriodSeconds=0&propagationPolicy=Background";
    let own: Vec<&Case> = cases.iter().filter(|case| case.has_namespace()).collect();
    api.each(&own, |api, case| {
        api.must(
            "DELETE",
            &format!("{}{now}", pods_of(&case.namespace)),
            None,
        );
        api.must(
            "DELETE",
            &format!("/api/v1/namespaces/{}", case.namespace),
            None,
        );
    });
    if let Some(case) = cases.iter().find(|case| !case.has_namespace()) {
        api.must(
            "DELETE",
            &format!("{}{now}", pods_of(&case.namespace)),
            None,
        );
    }
    api.must("DELETE", "/api/v1/nodes?labelSelector=cluster", None);
    let objects: Vec<&(String, Value, Option<Value>)> =
        cases.iter().flat_map(|case| &case.objects).collect();
    api.each(&objects, |api, (folder, object, _)| {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let (code, answer) = api.send("DELETE", &format!("{folder}/{name}"), None);
        assert!(code < 300 || code == 404, "{code} {answer}");
    });
}
