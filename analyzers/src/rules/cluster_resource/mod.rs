//! `clusterResource`: a field of one Kubernetes object.

mod lookup;

use bundle::Files;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::json_path::get_at_path;
use syntax::quantity::Quantity;
use syntax::yaml::{Node, emit};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::comparison::{
    Comparison, ICON, equal_yaml, holds_mask, observed, shown, value_of, yaml_of_spec,
};
use crate::config::{docs, parse, schema};
use crate::document::{counted, is_masked, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, ObjectReference, Verdict, joined};
use crate::outcome::{Operator, Outcome, bad_condition, first_match, words};
use crate::text_outcome::{GROUPS_ICON, expression, judge_groups, judge_match};
use crate::text_search::search_text;
use lookup::{Lookup, ObjectKind, look_up};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A field of a Kubernetes object is as expected",
    docs: docs::<ClusterResource>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<ClusterResource>,
    schema: schema::<ClusterResource>,
};

const NAME: &str = "clusterResource";

/// A field of a Kubernetes object is as expected.
///
/// # What it checks
/// The field at `yamlPath` (`spec.template.spec.containers.[0].image`; empty takes the whole object) of the object `name`
/// of a `kind`, in any case: configmap, daemonset, deployment, ingress, job, networkpolicy, persistentvolumeclaim (pvc),
/// pod, replicaset, resourcequota, service and statefulset in `namespace`; mutatingwebhookconfiguration, namespace,
/// node, persistentvolume (pv), storageclass and validatingwebhookconfiguration of the whole cluster, for which
/// troubleshoot needs `clusterScoped: true` to find them. A field that is not there is null.
///
/// # When it warns or fails
/// It fails when the object does not exist, and when the path leads through a value that has no fields, or beyond the
/// end of a list. Otherwise, by the first of these that the spec has:
///
/// * `expectedValue`, which is YAML: `when` is `"true"` for "equal" or `"false"` for "differs"; without it `fail` and
///   `warn` mean "differs" and `pass` means "equal". Types count: `"4"` is not 4.
/// * `regex`, searched in the value as YAML: `when` is `"true"` for "matches"; all outcomes are looked at, as in textAnalyze.
/// * `regexGroups`: `when` is `<group> <op> <value>`, messages are templates over the named groups, as in textAnalyze.
/// * Else `when` is `<op> <value>` with `= < > <= >=`, a whole number for a number and a quantity for a
///   quantity, compared to its last digit: `500m` is less than 1.
///
/// The first outcome that holds counts; when none does it fails as an invalid analyzer.
///
/// # What to do
/// The outcome's message says what the value means; `assay` shows the value read beside it, and the object.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists the kind. Whether an object exists is unknown where its list
/// was not read to the end.
///
/// # Example
/// ```yaml
/// clusterResource:
///   checkName: Volume of the database
///   kind: persistentvolumeclaim
///   namespace: shop
///   name: data-postgres-0
///   yamlPath: status.capacity.storage
///   outcomes:
///     - fail:
///         when: "< 50Gi"
///         message: The database's volume is too small.
///     - pass:
///         message: The database's volume is large enough.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct ClusterResource {
    /// The title, where there is no `checkName`.
    collector_name: String,
    /// The object's kind, `deployment`.
    kind: String,
    /// That the kind has no namespaces, which is known of each kind: `true` for another is an error.
    cluster_scoped: bool,
    /// The object's namespace; `default` where none is given.
    namespace: String,
    /// The object's name.
    name: String,
    /// A dotted path.
    yaml_path: String,
    /// The expected value, as YAML.
    expected_value: String,
    /// An expression that matches or does not.
    regex: String,
    /// An expression with named groups.
    regex_groups: String,
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
}

impl Analyzer for ClusterResource {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.collector_name.as_str())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let kind = self.object_kind()?;
        let path = self.list_path(kind);
        let said = match look_up(files, &path, kind, &self.name)? {
            Lookup::Found(object) => self.judge(&object, &path)?,
            Lookup::Absent { among } => self.absent(kind, among, &path),
        };
        let object = ObjectReference {
            api_version: kind.api_version.to_owned(),
            kind: kind.kind.to_owned(),
            namespace: self.namespace(kind).to_owned(),
            name: self.name.clone(),
        };
        let subject = joined(&[kind.name, &object.namespace, &self.name, &self.yaml_path]);
        Ok(Finding {
            id: Finding::id(NAME, &subject),
            title: self.title(meta),
            strict: meta.strict,
            objects: vec![object],
            ..said
        }
        .into())
    }
}

impl ClusterResource {
    fn object_kind(&self) -> Result<&'static ObjectKind, NotEvaluated> {
        let kind = ObjectKind::named(&self.kind)?;
        if self.cluster_scoped && kind.has_namespaces {
            return Err(NotEvaluated::Spec(format!(
                "a {} is in a namespace: leave clusterScoped out and give its namespace",
                kind.name
            )));
        }
        Ok(kind)
    }

    fn namespace(&self, kind: &ObjectKind) -> &str {
        match self.namespace.as_str() {
            _ if !kind.has_namespaces => "",
            "" => "default",
            namespace => namespace,
        }
    }

    fn list_path(&self, kind: &ObjectKind) -> String {
        let place = kind.place;
        match self.namespace(kind) {
            "" => format!("cluster-resources/{place}.json"),
            namespace => format!("cluster-resources/{place}/{namespace}.json"),
        }
    }

    /// The answer where the whole list does not have the object.
    fn absent(&self, kind: &ObjectKind, among: u64, path: &str) -> Finding {
        let (spec_kind, name, namespace) = (&self.kind, &self.name, &self.namespace);
        let (message, place) = if kind.has_namespaces {
            let place = format!(" in the namespace {}", self.namespace(kind));
            let message = format!("{spec_kind} {name} in namespace {namespace} does not exist");
            (message, place)
        } else {
            (format!("{spec_kind} {name} does not exist"), String::new())
        };
        let objects = counted(among, "object");
        Finding {
            verdict: Some(Verdict::Fail),
            message,
            observed: format!("no {name:?} among {objects} ({path})"),
            remedy: format!(
                "Create the {} {name:?}{place}, or correct its name and namespace in the spec.",
                kind.name
            ),
            ..Finding::default()
        }
        .with_icon(&ICON)
    }

    /// What the spec says of the object's field.
    fn judge(&self, object: &Value, path: &str) -> Result<Finding, NotEvaluated> {
        let value = match self.yaml_path.as_str() {
            "" => object,
            yaml_path => match get_at_path(object, yaml_path) {
                Ok(value) => value,
                Err(error) if is_masked(&error.to_string()) => return Err(redacted()),
                Err(error) => {
                    return Ok(Finding {
                        verdict: Some(Verdict::Fail),
                        message: "YAML path provided is invalid".to_owned(),
                        observed: format!("{yaml_path}: {error} ({path})"),
                        remedy: format!(
                            "Correct yamlPath in the spec, or the {}, which has no such field.",
                            self.kind
                        ),
                        ..Finding::default()
                    }
                    .with_icon(&ICON));
                }
            },
        };
        if !self.expected_value.is_empty() {
            return self.judge_value(value, path);
        }
        for (pattern, has_groups) in [(&self.regex, false), (&self.regex_groups, true)] {
            if !pattern.is_empty() {
                return self.judge_text(value, pattern, has_groups, path);
            }
        }
        self.judge_amount(value, path)
    }

    fn judge_value(&self, value: &Value, path: &str) -> Result<Finding, NotEvaluated> {
        let expected = yaml_of_spec("expectedValue", &self.expected_value)?;
        if holds_mask(value) {
            return Err(redacted());
        }
        let comparison = Comparison {
            actual: value,
            expected: &value_of(&expected),
            is_equal: equal_yaml(&Node::from_json(value), &expected),
            part: &self.yaml_path,
            path,
            place: &format!("in the {} {}", self.kind.to_lowercase(), self.name),
            field: "expectedValue",
        };
        let said = comparison.judge(&self.outcomes, |message| Ok(message.to_owned()))?;
        Ok(said.with_icon(&GROUPS_ICON))
    }

    /// The value is searched as YAML. Troubleshoot leaves the line break at its end, so that `Active$` never matches there.
    fn judge_text(
        &self,
        value: &Value,
        pattern: &str,
        has_groups: bool,
        path: &str,
    ) -> Result<Finding, NotEvaluated> {
        let regex = expression(pattern)?;
        let yaml = emit(value);
        let yaml = yaml.strip_suffix('\n').unwrap_or(&yaml);
        let found = search_text(yaml.as_bytes(), &regex);
        let depends_on_mask = match &found {
            None => is_masked(yaml),
            Some(found) => found.touches_mask && !has_groups,
        };
        if depends_on_mask {
            return Err(redacted());
        }
        let (said, icon) = if has_groups {
            let said = judge_groups(&self.outcomes, &regex, found.as_ref())?;
            (said, &GROUPS_ICON)
        } else {
            (judge_match(&self.outcomes, found.is_some())?, &ICON)
        };
        let matches = match found {
            Some(_) => "matches",
            None => "does not match",
        };
        Ok(Finding {
            observed: format!("{} {matches} {pattern} ({path})", shown(value)),
            ..said
        }
        .with_remedy(self.remedy())
        .with_icon(icon))
    }

    fn judge_amount(&self, value: &Value, path: &str) -> Result<Finding, NotEvaluated> {
        if holds_mask(value) {
            return Err(redacted());
        }
        let matched = first_match(&self.outcomes, |when| holds(when, value))?;
        let (said, icon) = match matched {
            Some((verdict, branch)) => (Finding::of(verdict, branch), &GROUPS_ICON),
            None => (invalid(), &ICON),
        };
        Ok(Finding {
            observed: observed(value, path),
            ..match matched {
                Some(_) => said.with_remedy(self.remedy()),
                None => said,
            }
        }
        .with_icon(icon))
    }

    fn remedy(&self) -> String {
        let (kind, name) = (self.kind.to_lowercase(), &self.name);
        match self.yaml_path.as_str() {
            "" => format!("Change the {kind} {name} as the message says."),
            field => format!("Change {field} of the {kind} {name} as the message says."),
        }
    }
}

/// The answer where no outcome holds.
fn invalid() -> Finding {
    Finding {
        verdict: Some(Verdict::Fail),
        message: "Invalid analyzer".to_owned(),
        remedy: "Give the analyzer an outcome without `when` at the end, for all other values."
            .to_owned(),
        ..Finding::default()
    }
}

/// `<op> <value>`. Troubleshoot rounds quantities up to whole numbers and compares those; here 250m is less than 500m.
fn holds(when: &str, value: &Value) -> Result<bool, NotEvaluated> {
    let [operator, wanted] = words(when, "`<operator> <value>`")?;
    let operator = match Operator::parse(operator) {
        Some(Operator::NotEqual) | None => {
            let problem = format!("{operator:?} is not one of = < > <= >=");
            return Err(bad_condition(when, problem));
        }
        Some(operator) => operator,
    };
    let ordering = match value {
        Value::Number(number) if !number.is_f64() => {
            let wanted: i64 = wanted.parse().map_err(|_| {
                let problem =
                    format!("the value is the number {number}, and {wanted:?} is no whole number");
                bad_condition(when, problem)
            })?;
            number.as_i128().map(|number| number.cmp(&wanted.into()))
        }
        Value::String(text) => match text.parse::<Quantity>() {
            Ok(quantity) => {
                let wanted: Quantity = wanted.parse().map_err(|error| {
                    let problem = format!(
                        "the value is the quantity {text}, and {wanted:?} is none: {error}"
                    );
                    bad_condition(when, problem)
                })?;
                Some(quantity.cmp(&wanted))
            }
            Err(_) => None,
        },
        _ => None,
    };
    let Some(ordering) = ordering else {
        let problem = format!(
            "the value is {}, neither a whole number nor a quantity: compare it by expectedValue or regex",
            shown(value)
        );
        return Err(bad_condition(when, problem));
    };
    Ok(operator.holds(ordering))
}
