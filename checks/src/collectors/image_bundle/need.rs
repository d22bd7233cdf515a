//! Which images manifests name: every pod spec in any kind, and the fields of custom resources that are known.

use std::collections::BTreeMap;

use bundle::collected::image_bundle::{MAX_NOTES, MAX_PLACES, Need};
use serde_json::{Map, Value};
use syntax::yaml;

use super::fields::FIELDS;

/// The lists of a pod spec that hold containers.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Names of environment variables that hold images which an operator starts, by convention of OLM.
const RELATED_IMAGE: &str = "RELATED_IMAGE_";
/// Arguments that name images which an operator starts.
const ARGUMENTS: &[&str] = &[
    "--acme-http01-solver-image=",
    "--prometheus-config-reloader=",
    "--prometheus-instance-default-base-image=",
    "--thanos-default-base-image=",
    "--alertmanager-default-base-image=",
];
/// How deep objects are looked into. The API server refuses deeper ones long before.
const MAX_DEPTH: usize = 64;

/// All charts of a platform, rendered into one file.
const LIMITS: yaml::Limits = yaml::Limits {
    bytes: 64 << 20,
    nodes: 5_000_000,
    depth: 100,
};

/// Whose manifests they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rendered: what cannot be read of them is told.
    Rendered,
    /// A release before KOTS renders it: what holds templates is nobody's fault.
    Release,
}

/// Adds what a file names.
pub(super) fn add(need: &mut Need, file: &str, text: &str, kind: Kind) {
    for (index, document) in yaml::documents(text, &LIMITS).into_iter().enumerate() {
        let value = match document {
            Ok(document) => document.root.to_json().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match value {
            Ok(value) => {
                if kind == Kind::Rendered && !value.is_null() {
                    need.documents += 1;
                }
                let mut reader = Reader { need, file, kind };
                reader.document(&value, 0);
            }
            Err(reason) if kind == Kind::Rendered => {
                unread(need, format!("{file}, document {}: {reason}", index + 1));
            }
            Err(_) => {}
        }
    }
}

/// Remembers what cannot be read.
pub(super) fn unread(need: &mut Need, what: String) {
    if need.unread.len() < MAX_NOTES {
        need.unread.push(what);
    }
}

struct Reader<'a> {
    need: &'a mut Need,
    file: &'a str,
    kind: Kind,
}

impl Reader<'_> {
    fn document(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let Some(object) = value.as_object() else {
            return;
        };
        let text = |field: &str| {
            object
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (version, kind) = (text("apiVersion"), text("kind"));
        if kind.ends_with("List")
            && let Some(items) = object.get("items").and_then(Value::as_array)
        {
            for item in items {
                self.document(item, depth + 1);
            }
            return;
        }
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        let who = format!("{kind} {}", name.unwrap_or("without a name"));
        let group = version.split_once('/').map_or("", |(group, _)| group);
        for row in FIELDS {
            if row.group == group && row.kind == kind {
                for path in row.paths {
                    self.field(value, path, &who, path);
                }
            }
        }
        if group == "kots.io" && kind == "Application" {
            for image in strings(value.pointer("/spec/additionalImages")) {
                self.image(image, &who, "spec.additionalImages");
            }
            for image in strings(value.pointer("/spec/excludedImages")) {
                self.need.excluded.insert(image.to_owned());
            }
        }
        if kind == "ConfigMap" {
            self.config_map(object, &who, depth);
        } else {
            self.pod_specs(value, &who, depth);
        }
    }

    /// A `ConfigMap` that holds manifests, or the image of Velero's restore helper.
    fn config_map(&mut self, object: &Map<String, Value>, who: &str, depth: usize) {
        let Some(data) = object.get("data").and_then(Value::as_object) else {
            return;
        };
        let labels = object
            .get("metadata")
            .and_then(|metadata| metadata.get("labels"))
            .and_then(Value::as_object);
        let is_of_velero =
            labels.is_some_and(|labels| labels.contains_key("velero.io/plugin-config"));
        for (key, value) in data {
            let Some(text) = value.as_str() else { continue };
            if is_of_velero && key == "image" {
                self.image(text, who, "data.image");
            }
            if !(text.contains("apiVersion:") && text.contains("kind:")) {
                continue;
            }
            for document in yaml::documents(text, &yaml::Limits::default())
                .into_iter()
                .flatten()
            {
                if let Ok(value) = document.root.to_json()
                    && value.get("kind").is_some()
                {
                    self.document(&value, depth + 1);
                }
            }
        }
    }

    /// Every pod spec in a value, whatever it is called.
    fn pod_specs(&mut self, value: &Value, who: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Array(items) => {
                for item in items {
                    self.pod_specs(item, who, depth + 1);
                }
            }
            Value::Object(fields) => {
                for list in CONTAINERS {
                    for container in items(fields.get(list)) {
                        self.container(container, who, list);
                    }
                }
                for volume in items(fields.get("volumes")) {
                    if let Some(reference) = volume.pointer("/image/reference") {
                        self.text(reference, who, "volumes.image");
                    }
                }
                for child in fields.values() {
                    self.pod_specs(child, who, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn container(&mut self, container: &Value, who: &str, list: &str) {
        let name = container.get("name").and_then(Value::as_str);
        let name = name.unwrap_or("without a name");
        let place = format!("{list} {name}");
        match container.get("image") {
            // Istio's webhook puts an image there.
            Some(image) if name == "istio-proxy" && image == "auto" => {}
            Some(image) => self.text(image, who, &place),
            None => {}
        }
        for variable in items(container.get("env")) {
            let name = variable.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| name.starts_with(RELATED_IMAGE))
                && let Some(value) = variable.get("value")
            {
                self.text(
                    value,
                    who,
                    &format!("{place}, {}", name.unwrap_or_default()),
                );
            }
        }
        let words = ["command", "args"].map(|field| strings(container.get(field)));
        for word in words.into_iter().flatten() {
            for argument in ARGUMENTS {
                if let Some(image) = word.strip_prefix(argument) {
                    let argument = argument.trim_end_matches('=');
                    self.image(image, who, &format!("{place}, {argument}"));
                }
            }
        }
    }

    /// The values at a path of the table.
    fn field(&mut self, value: &Value, path: &str, who: &str, whole: &str) {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let (key, is_list) = match first.strip_suffix("[]") {
            Some(key) => (key, true),
            None => (first, false),
        };
        let children: Vec<&Value> = match value.as_object() {
            Some(fields) if key == "*" => fields.values().collect(),
            Some(fields) => fields.get(key).into_iter().collect(),
            None => return,
        };
        for child in children {
            let each: Vec<&Value> = if is_list {
                items(Some(child)).collect()
            } else {
                vec![child]
            };
            for child in each {
                if rest.is_empty() {
                    self.text(child, who, whole);
                } else {
                    self.field(child, rest, who, whole);
                }
            }
        }
    }

    fn text(&mut self, value: &Value, who: &str, place: &str) {
        if let Some(text) = value.as_str() {
            self.image(text, who, place);
        }
    }

    fn image(&mut self, text: &str, who: &str, place: &str) {
        let text = text.trim();
        let text = text.strip_prefix("oci://").unwrap_or(text);
        if text.is_empty() || text.contains("://") {
            return;
        }
        let is_template = text.contains("{{") || text.contains("$(") || text.contains("${");
        let images = if is_template {
            if self.kind == Kind::Release {
                return;
            }
            &mut self.need.unresolved
        } else {
            &mut self.need.images
        };
        record(images, text, format!("{}: {who}, {place}", self.file));
    }
}

/// Adds one image with where it is named.
pub(super) fn record(images: &mut BTreeMap<String, Vec<String>>, image: &str, place: String) {
    let places = images.entry(image.to_owned()).or_default();
    if places.len() < MAX_PLACES && !places.contains(&place) {
        places.push(place);
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Vec<String> {
        let mut need = Need::default();
        add(&mut need, "a.yaml", text, Kind::Rendered);
        assert_eq!(need.unread, [""; 0], "{text}");
        need.images.into_keys().collect()
    }

    #[test]
    fn every_pod_spec_in_any_kind() {
        let found = images(
            "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: init, image: init:1}]
      containers:
      - {name: web, image: web:1, env: [{name: RELATED_IMAGE_X, value: related:1}, {name: OTHER_IMAGE, value: no:1}]}
      - {name: istio-proxy, image: auto}
      - {name: cm, image: cm:1, args: [--v=2, --acme-http01-solver-image=solver:1]}
      ephemeralContainers: [{name: debug, image: debug:1}]
      volumes: [{name: model, image: {reference: model:1}}]
---
apiVersion: v1
kind: List
items:
- {apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: cron:1}]}}}}}}
---
apiVersion: example.org/v1
kind: Anything
spec: {deep: {er: [{podTemplate: {containers: [{name: a, image: custom:1}]}}]}}
",
        );
        assert_eq!(
            found,
            [
                "cm:1",
                "cron:1",
                "custom:1",
                "debug:1",
                "init:1",
                "model:1",
                "related:1",
                "solver:1",
                "web:1"
            ]
        );
    }

    #[test]
    fn fields_of_custom_resources() {
        for (text, image) in [
            (
                "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec: {imageName: 'ghcr.io/pg:16'}",
                "ghcr.io/pg:16",
            ),
            (
                "apiVersion: minio.min.io/v2\nkind: Tenant\nspec: {image: 'minio:1'}",
                "minio:1",
            ),
            (
                "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {model: {storageUri: 'oci://reg.io/model:1'}}}",
                "reg.io/model:1",
            ),
            (
                "apiVersion: opentelemetry.io/v1alpha1\nkind: Instrumentation\nspec: {java: {image: 'java:1'}}",
                "java:1",
            ),
            (
                "apiVersion: tekton.dev/v1\nkind: Task\nspec: {steps: [{image: 'step:1'}]}",
                "step:1",
            ),
            (
                "apiVersion: kots.io/v1beta1\nkind: Application\nspec: {additionalImages: ['more:1'], excludedImages: ['less:1']}",
                "more:1",
            ),
            (
                "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nspec: {collectors: [{run: {image: 'run:1'}}]}",
                "run:1",
            ),
            (
                "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec: {collectors: [{runPod: {podSpec: {containers: [{image: 'pod:1'}]}}}]}",
                "pod:1",
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  job.yaml: |\n    apiVersion: batch/v1\n    kind: Job\n    spec: {template: {spec: {containers: [{name: a, image: 'in:1'}]}}}\n",
                "in:1",
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {velero.io/plugin-config: ''}}\ndata: {image: 'velero/helper:1'}",
                "velero/helper:1",
            ),
        ] {
            assert_eq!(images(text), [image], "{text}");
        }
        let s3 = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {model: {storageUri: 's3://b/m'}}}";
        assert_eq!(images(s3), [""; 0]);
    }

    #[test]
    fn what_cannot_be_known_is_told() {
        let mut need = Need::default();
        let text = "kind: Pod\nspec: {containers: [{name: a, image: 'x:{{ .tag }}'}]}\n---\na: [";
        add(&mut need, "a.yaml", text, Kind::Rendered);
        assert_eq!(need.unresolved.len(), 1);
        assert_eq!(need.unread.len(), 1);
        let mut need = Need::default();
        add(&mut need, "a.yaml", text, Kind::Release);
        assert_eq!(need, Need::default());
    }
}
