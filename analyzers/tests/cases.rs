//! Cases as data: `cases/<kind>.yaml` (`host-<kind>.yaml` for hosts) holds bundles and what the analyzer says of
//! them. `UPDATE=1 cargo test -p assay-analyzers --test cases` writes what it says now; read the diff.
//!
//! A case is `name`, `analyzer` (an item of a spec), `files` (text, or a value that is written as JSON), `gaps` (what the
//! manifest says is missing) and `expect`. With `base` it begins as the case of that name, and says what is different;
//! a file that is `null` is not there. `about` shows only the findings whose ids begin so, for kinds with many. Every kind shows the answers that [`SHOWN`] lists.
#![allow(
    clippy::disallowed_methods,
    reason = "the harness reads its cases, the crate reads nothing"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use assay_analyzers::rules::KINDS;
use assay_analyzers::{AnalyzerKind, Check, Finding, Meta, NotEvaluated, Scope, evaluate};
use bundle::{BundlePath, Files, Manifest};
use serde_json::{Map, Value, json};
use syntax::yaml::{Limits, document, emit};

/// What every kind's cases show, by the beginning of their names.
const SHOWN: [&str; 7] = [
    "pass",
    "warn",
    "fail",
    "not collected",
    "refused",
    "malformed",
    "masked",
];

type Failure = Box<dyn std::error::Error>;

#[test]
fn cases_hold() -> Result<(), Failure> {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for kind in KINDS {
        let path = case_file(kind);
        let (text, cases) = read(&path)?;
        let mut said = Vec::new();
        for case in &cases {
            let name = &case["name"];
            let now = answer(kind, case)
                .map_err(|error| format!("{}: {name}: {error}", path.display()))?;
            if case.get("expect") != Some(&now) {
                wrong.push(format!("{}: {name}: {now:#}", path.display()));
            }
            said.push(now);
        }
        if update {
            std::fs::write(&path, with_expectations(&text, &said)?)?;
        }
    }
    assert!(
        update || wrong.is_empty(),
        "not as expected:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn every_kind_shows_every_answer() -> Result<(), Failure> {
    let mut expected = BTreeSet::new();
    for kind in KINDS {
        let path = case_file(kind);
        let (_, cases) = read(&path)?;
        let names: Vec<&str> = cases
            .iter()
            .filter_map(|case| case["name"].as_str())
            .collect();
        for shown in SHOWN {
            assert!(
                names.iter().any(|name| name.starts_with(shown)),
                "{path:?} has no case {shown:?}"
            );
        }
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(
            unique.len(),
            cases.len(),
            "{path:?}: a name is missing or there twice"
        );
        expected.insert(path);
    }
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        assert!(expected.contains(&path), "{path:?} belongs to no kind");
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn case_file(kind: &AnalyzerKind) -> PathBuf {
    let prefix = match kind.scope {
        Scope::Cluster => "",
        Scope::Host => "host-",
    };
    folder().join(format!("{prefix}{}.yaml", kind.name))
}

/// A file of cases: its text, and the cases.
fn read(path: &Path) -> Result<(String, Vec<Value>), Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let root = document(&text, &Limits::default())
        .map_err(|error| format!("{}: {error}", path.display()))?
        .root;
    match root.to_json()? {
        Value::Array(mut cases) => {
            for index in 0..cases.len() {
                let base = cases[index].get("base").cloned();
                if let Some(base) = base {
                    let found = cases[..index].iter().find(|case| case["name"] == base);
                    let found = found
                        .ok_or_else(|| format!("no case {base} before it"))?
                        .clone();
                    rest_on(&mut cases[index], found);
                }
            }
            Ok((text, cases))
        }
        _ => Err(format!("{}: a list of cases was expected", path.display()).into()),
    }
}

/// Takes from `base` what `case` does not say, file by file.
fn rest_on(case: &mut Value, base: Value) {
    let (Some(fields), Value::Object(base)) = (case.as_object_mut(), base) else {
        return;
    };
    for (key, value) in base {
        match (fields.get_mut(&key), value) {
            (Some(Value::Object(files)), Value::Object(base)) if key == "files" => {
                for (path, content) in base {
                    files.entry(path).or_insert(content);
                }
            }
            (None, value) if key != "expect" && key != "about" => {
                fields.insert(key, value);
            }
            _ => {}
        }
    }
}

/// The text with the last key of each case, `expect`, written anew; anchors and the rest stay as they are.
fn with_expectations(text: &str, said: &[Value]) -> Result<String, Failure> {
    let mut written = String::new();
    let mut cases = 0;
    let mut in_expectation = false;
    for line in text.lines() {
        if line.starts_with("- ") {
            if cases > 0 {
                written.push_str(&expectation(&said[cases - 1]));
            }
            cases += 1;
        }
        in_expectation = match line {
            "  expect:" => true,
            _ => in_expectation && (line.starts_with("   ") || line.is_empty()),
        };
        if !in_expectation {
            written.push_str(line);
            written.push('\n');
        }
    }
    if cases != said.len() {
        return Err("each case begins with `- ` at the beginning of a line".into());
    }
    if let Some(last) = said.last() {
        written.push_str(&expectation(last));
    }
    Ok(written)
}

fn expectation(said: &Value) -> String {
    let mut text = "  expect:\n".to_owned();
    for line in emit(said).lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What the analyzer of a case says of the case's bundle.
fn answer(kind: &'static AnalyzerKind, case: &Value) -> Result<Value, Failure> {
    let mut config = case["analyzer"][kind.name].clone();
    let fields = config.as_object_mut().ok_or("the analyzer has no fields")?;
    let check_name = fields.remove("checkName");
    let strict = fields.remove("strict");
    let meta = Meta {
        check_name: check_name
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        strict: strict == Some(Value::Bool(true)),
    };
    let analyzer = (kind.parse)(&config)
        .map(|parsed| parsed.config)
        .map_err(|error| format!("{}: {}", error.path, error.message));
    let check = Check {
        kind,
        meta,
        analyzer,
    };
    let files = bundle(case)?;
    let mut said = Map::new();
    for evaluation in evaluate(std::slice::from_ref(&check), &files) {
        let findings = evaluation.findings.iter();
        let findings = findings.filter(|finding| is_asked_about(case, &finding.id));
        let findings: Vec<Value> = findings.map(shown).collect();
        said.insert("findings".to_owned(), findings.into());
        if let Some(reason) = evaluation.not_evaluated {
            let (word, reason) = match &reason {
                NotEvaluated::NotApplicable(reason) => ("notApplicable", reason),
                NotEvaluated::Unknown(reason) => ("unknown", reason),
                NotEvaluated::Malformed(reason) => ("malformed", reason),
                NotEvaluated::Spec(reason) => ("spec", reason),
            };
            said.insert(word.to_owned(), reason.as_str().into());
        }
    }
    Ok(said.into())
}

fn is_asked_about(case: &Value, id: &str) -> bool {
    let beginnings = case["about"].as_array();
    beginnings.is_none_or(|beginnings| {
        let mut beginnings = beginnings.iter().filter_map(Value::as_str);
        beginnings.any(|beginning| id.starts_with(beginning))
    })
}

/// A finding without its icon, and without what is empty.
fn shown(finding: &Finding) -> Value {
    let mut value = serde_json::to_value(finding).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("iconKey");
        fields.remove("iconUri");
        fields.retain(|key, field| {
            !(field.is_null() || *field == json!(false) || *field == json!("") && key != "title")
        });
    }
    value
}

fn bundle(case: &Value) -> Result<Files, Failure> {
    let mut entries = Vec::new();
    for (path, content) in case["files"].as_object().into_iter().flatten() {
        let bytes = match content {
            Value::Null => continue,
            Value::String(text) => text.clone().into_bytes(),
            value => serde_json::to_vec(value)?,
        };
        entries.push((BundlePath::new(path)?, bytes));
    }
    let manifest = match case.get("gaps") {
        Some(gaps) => Some(manifest(gaps)?),
        None => None,
    };
    Ok(Files::in_memory(entries, manifest))
}

/// What a run writes that did not get everything.
fn manifest(gaps: &Value) -> Result<Manifest, serde_json::Error> {
    serde_json::from_value(json!({
        "format": {"major": 1, "minor": 0},
        "tool": "assay",
        "collectedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:01:00Z",
        "ending": {"kind": "complete"},
        "redaction": {"profile": "standard", "masks": [], "withheld": []},
        "collectors": [{
            "collector": "clusterResources",
            "title": "cluster-resources",
            "requested": true,
            "outcome": "partial",
            "durationMs": 0,
            "bytes": 0,
            "files": 0,
            "requests": 0,
            "retries": 0,
            "gaps": gaps,
        }],
    }))
}
