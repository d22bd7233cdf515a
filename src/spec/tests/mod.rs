//! What the loader promises, as cases.

mod documents;
mod entries;
mod plans;
mod sources;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

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
