//! `event`: what the cluster said about its objects.

use bundle::Files;
use bundle::collected::ListOrArray;
use bundle::collected::event::Event as Said;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use syntax::boolean;
use syntax::go_regex::GoRegex;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, decoded, is_masked, items_at, missing, redacted};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, ObjectReference};
use crate::go_object;
use crate::message::render_struct;
use crate::outcome::{Outcome, bad_condition};
use crate::text_outcome::expression;
use crate::text_search::matches;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The cluster reported, or did not report, an event",
    docs: docs::<Event>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<Event>,
    schema: schema::<Event>,
};

const NAME: &str = "event";
const ICON: Icon = Icon {
    key: "kubernetes_event",
    file: "kubernetes.svg?w=16&h=16",
};

/// The cluster reported, or did not report, an event.
///
/// # What it checks
/// Whether the namespace has an event with this `reason`, about an object of this `kind`, whose message `regex` matches.
/// Reason and kind are compared in any case; the expression has Go's syntax.
///
/// # When it warns or fails
/// `when` is `"true"` for "there is such an event" or `"false"` for "there is none", and an outcome needs one. The first
/// that holds counts; one outcome may have several branches. Messages are templates over the first such event by
/// Go's names (`{{ .Reason }}`, `{{ .Message }}`, `{{ .InvolvedObject.Name }}`, `{{ .Count }}`); where there is none
/// they stand as they are written. A template that cannot be rendered is said, and the event is told instead. An expression
/// that cannot be read is unknown, where troubleshoot says that there is no event.
///
/// # What to do
/// The finding names the object: `kubectl describe` shows its state and its events. Clusters keep events for an hour
/// by default, so that there is none says little of what was before.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `events` in the namespace. That there is no event is
/// known only where the whole list was read.
///
/// # Example
/// ```yaml
/// event:
///   checkName: Out of memory
///   namespace: default
///   reason: OOMKilling
///   kind: Node
///   outcomes:
///     - fail:
///         when: "true"
///         message: "{{ .InvolvedObject.Name }} ran out of memory: {{ .Message }}"
///     - pass:
///         when: "false"
///         message: No node ran out of memory.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Event {
    /// What to say.
    outcomes: Vec<Outcome>,
    /// The title where there is no `checkName`.
    collector_name: String,
    /// The namespace of the events; `default` where none is given. Events about nodes are in `default`.
    namespace: String,
    /// The kind of the object that the event is about; any where none is given.
    kind: String,
    /// The event's reason, `BackOff`.
    reason: String,
    /// An expression that the event's message matches.
    regex: String,
}

impl Analyzer for Event {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(match self.collector_name.as_str() {
            "" => "Event",
            name => name,
        })
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        if self.reason.is_empty() {
            return Err(NotEvaluated::Spec(
                "reason is missing: an event is looked for by its reason".to_owned(),
            ));
        }
        let regex = match self.regex.as_str() {
            "" => None,
            regex => Some(expression(regex)?),
        };
        let path = format!("cluster-resources/events/{}.json", self.namespace());
        let events = decoded::<ListOrArray<Said>>(files, &path)?;
        let found = self.find(&events.items, regex.as_ref())?;
        if found.is_none()
            && let Some(reason) = missing(files, &path)
        {
            return Err(reason);
        }
        let said = Finding {
            id: Finding::id(NAME, &format!("{}/{}", self.namespace(), self.reason)),
            title: self.title(meta),
            strict: meta.strict,
            ..self.judge(found.is_some())?
        };
        let Some(index) = found else {
            let events = counted(events.items.len(), "event");
            let observed = format!("no such event among {events} ({path})");
            let finding = Finding { observed, ..said }.with_remedy(self.remedy_of_none());
            return Ok(finding.with_icon(&ICON).into());
        };
        let event = &events.items[index];
        let template = said.message.as_str();
        let message = data(template, event, &path, index, files)
            .and_then(|data| render_struct(template, &data));
        let (message, not_evaluated) = match message {
            Ok(message) => (message.trim().to_owned(), None),
            // As troubleshoot does, and we say why.
            Err(reason) => (matched(event), Some(reason)),
        };
        let finding = Finding {
            message,
            observed: format!("{} ({path})", told(event)),
            objects: vec![object(event)],
            ..said
        };
        Ok(Judgement {
            findings: vec![finding.with_remedy(remedy(event)).with_icon(&ICON)],
            not_evaluated,
        })
    }
}

impl Event {
    fn namespace(&self) -> &str {
        match self.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }

    /// The index of the first event that is looked for. Where it is not found, one that a mask hides may be it.
    fn find(
        &self,
        events: &[Said],
        regex: Option<&GoRegex>,
    ) -> Result<Option<usize>, NotEvaluated> {
        let mut is_hidden = false;
        for (index, event) in events.iter().enumerate() {
            match self.is_wanted(event, regex) {
                Some(true) => return Ok(Some(index)),
                Some(false) => {}
                None => is_hidden = true,
            }
        }
        if is_hidden { Err(redacted()) } else { Ok(None) }
    }

    /// Whether it is the event; nothing where a mask hides the answer.
    fn is_wanted(&self, event: &Said, regex: Option<&GoRegex>) -> Option<bool> {
        let is = |wanted: &str, text: &str| {
            if wanted.is_empty() {
                Some(true)
            } else if is_masked(text) {
                None
            } else {
                Some(text.eq_ignore_ascii_case(wanted))
            }
        };
        let answers = [
            is(&self.reason, &event.reason),
            is(&self.kind, &event.involved_object.kind),
        ];
        if answers.contains(&Some(false)) {
            return Some(false);
        }
        let message = regex.map_or(Some(true), |regex| matches(regex, &event.message));
        match message {
            Some(true) if answers.contains(&None) => None,
            answer => answer,
        }
    }

    /// The first branch whose condition is whether there is such an event.
    fn judge(&self, is_there: bool) -> Result<Finding, NotEvaluated> {
        for (verdict, branch) in self.outcomes.iter().flat_map(Outcome::branches) {
            let when = branch.when.as_str();
            if when.is_empty() {
                return Err(NotEvaluated::Spec(format!(
                    "the outcome with the message {:?} has no `when`: write \"true\" for \"there is such an event\" or \"false\" for \"there is none\"",
                    branch.message
                )));
            }
            if boolean::parse(when).map_err(|error| bad_condition(when, error))? == is_there {
                return Ok(Finding::of(verdict, branch));
            }
        }
        Ok(Finding::default())
    }

    fn remedy_of_none(&self) -> String {
        format!(
            "See what there is now: kubectl -n {} get events --field-selector reason={}. Clusters keep events for an hour by default.",
            self.namespace(),
            self.reason
        )
    }
}

/// What most templates read of an event, which needs no second look into the file.
const SUMMARY: &[&str] = &[
    ".InvolvedObject.Kind",
    ".InvolvedObject.Name",
    ".InvolvedObject.Namespace",
    ".Message",
    ".Reason",
    ".Type",
];

/// What a template reads of the event at `index` in the list.
fn data(
    template: &str,
    event: &Said,
    path: &str,
    index: usize,
    files: &Files,
) -> Result<Value, NotEvaluated> {
    if go_object::reads_only(template, SUMMARY) {
        let about = &event.involved_object;
        return Ok(json!({
            "InvolvedObject": {"Kind": about.kind, "Name": about.name, "Namespace": about.namespace},
            "Message": event.message,
            "Reason": event.reason,
            "Type": event.kind,
        }));
    }
    let mut data = Value::Null;
    items_at(files, path, &[index], |_, whole| {
        data = go_object::event(whole);
    })?;
    Ok(data)
}

/// `shop/web-1`, or the name alone of an object in no namespace.
fn name(event: &Said) -> String {
    let about = &event.involved_object;
    if about.namespace.is_empty() {
        about.name.clone()
    } else {
        format!("{}/{}", about.namespace, about.name)
    }
}

/// `BackOff of Pod shop/web-1, 2026-01-01T00:00:00Z: Back-off restarting failed container`
fn told(event: &Said) -> String {
    const LONGEST: usize = 200;
    let mut text = format!(
        "{} of {} {}",
        event.reason,
        event.involved_object.kind,
        name(event)
    );
    if !event.time().is_empty() {
        text = format!("{text}, {}", event.time());
    }
    if !event.message.is_empty() {
        let message: String = event.message.chars().take(LONGEST).collect();
        let rest = if message.len() < event.message.len() {
            "…"
        } else {
            ""
        };
        text = format!("{text}: {message}{rest}");
    }
    text
}

/// The message where the spec's cannot be rendered.
fn matched(event: &Said) -> String {
    format!(
        "Event matched. Reason: {} Name: {} Message: {}",
        event.reason, event.involved_object.name, event.message
    )
}

fn object(event: &Said) -> ObjectReference {
    let about = &event.involved_object;
    ObjectReference {
        api_version: about.api_version.clone(),
        kind: about.kind.clone(),
        namespace: about.namespace.clone(),
        name: about.name.clone(),
    }
}

fn remedy(event: &Said) -> String {
    let about = &event.involved_object;
    let kind = about.kind.to_lowercase();
    let within = match about.namespace.as_str() {
        "" => String::new(),
        namespace => format!("-n {namespace} "),
    };
    format!(
        "kubectl {within}describe {kind} {} shows its state and its events.",
        about.name
    )
}
