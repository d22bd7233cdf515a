//! `certificates`: certificates in Secrets and `ConfigMaps` hold, and go on to for long enough.

use bundle::Files;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{decoded, missing};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Branch, Outcome, bad_condition};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Certificates in Secrets and ConfigMaps hold, and go on to for some days",
    docs: docs::<Certificates>,
    since: "0.1.0",
    needs: &["certificates"],
    parse: parse::<Certificates>,
    schema: schema::<Certificates>,
};

const NAME: &str = "certificates";
const PATH: &str = "certificates/certificates.json";

/// Certificates in Secrets and `ConfigMaps` hold, and go on to for some days.
///
/// # What it checks
/// Every certificate that the collector found, those of a chain too: whether it held when it was collected, and how
/// many days were left.
///
/// # When it warns or fails
/// `fail` speaks of certificates that do not hold, `pass` of those that do; their `when` is for readers only. A `warn` has
/// `when: notAfter < Today + N days` and speaks of those that hold and end sooner, in place of each `pass` before it. All
/// outcomes are looked at for each certificate. Days count from when the bundle was collected. A certificate that does
/// not hold, where there is no `fail`, is unknown. So is a Secret or `ConfigMap` that holds no certificate; one that does not
/// exist is not applicable.
///
/// # What to do
/// Renew the certificate that the message names, or look at why cert-manager or whoever renews it has not.
///
/// # Needs
/// The collector `certificates`, which names the Secrets and `ConfigMaps`.
///
/// # Example
/// ```yaml
/// certificates:
///   outcomes:
///     - fail:
///         message: has expired
///     - pass:
///         message: holds
///     - warn:
///         when: notAfter < Today + 30 days
///         message: will expire
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Certificates {
    /// What to say.
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Collected {
    source: Source,
    errors: Option<Vec<String>>,
    certificate_chain: Option<Vec<Certificate>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Source {
    secret: String,
    config_map: String,
    namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    /// The key that holds it.
    #[serde(rename = "certificate")]
    key: String,
    not_after: Timestamp,
    is_valid: bool,
}

impl Source {
    /// Kind and name.
    fn object(&self) -> (&'static str, &str) {
        if self.secret.is_empty() {
            ("configmap", &self.config_map)
        } else {
            ("secret", &self.secret)
        }
    }
}

impl Analyzer for Certificates {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Certificates Verification")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let collected = decoded::<Vec<Collected>>(files, PATH)?;
        let mut judgement = Judgement::default();
        let mut absent = None;
        for each in collected.iter() {
            if let Some(reason) = without_certificates(each) {
                let slot = match reason {
                    NotEvaluated::NotApplicable(_) => &mut absent,
                    _ => &mut judgement.not_evaluated,
                };
                slot.get_or_insert(reason);
            }
            let chain = each.certificate_chain.as_deref().unwrap_or_default();
            for (index, certificate) in chain.iter().enumerate() {
                let is_same_key = |it: &&Certificate| it.key == certificate.key;
                let place = chain[..index].iter().filter(is_same_key).count();
                let subject = Subject {
                    source: &each.source,
                    place,
                    certificate,
                };
                for said in self.judge(&subject, files.collected_at())? {
                    judgement.findings.push(Finding {
                        title: self.title(meta),
                        strict: meta.strict,
                        ..said
                    });
                }
            }
        }
        if let Some(reason) = missing(files, PATH) {
            judgement.not_evaluated = Some(reason);
        } else if collected.is_empty() {
            let nothing = format!("{PATH} names no Secret and no ConfigMap");
            judgement.not_evaluated = Some(NotEvaluated::Unknown(nothing));
        }
        judgement.not_evaluated = judgement.not_evaluated.or(absent);
        Ok(judgement)
    }
}

/// Why nothing can be said of an object in which no certificate was found.
fn without_certificates(collected: &Collected) -> Option<NotEvaluated> {
    if collected
        .certificate_chain
        .iter()
        .flatten()
        .next()
        .is_some()
    {
        return None;
    }
    let (kind, name) = collected.source.object();
    let errors = collected.errors.as_deref().unwrap_or_default();
    let reason = format!(
        "no certificate in {kind} {name} in namespace {}: {} ({PATH})",
        collected.source.namespace,
        errors.join("; ")
    );
    let is_absent = |error: &String| error.ends_with(" not found");
    let all_absent = !errors.is_empty() && errors.iter().all(is_absent);
    Some(if all_absent {
        NotEvaluated::NotApplicable(reason)
    } else {
        NotEvaluated::Unknown(reason)
    })
}

/// One certificate, and where it was found.
struct Subject<'a> {
    source: &'a Source,
    /// Its place among the certificates of its key.
    place: usize,
    certificate: &'a Certificate,
}

impl Certificates {
    /// What every outcome says of a certificate: a warning takes the passes before it back.
    fn judge(&self, subject: &Subject<'_>, now: Timestamp) -> Result<Vec<Finding>, NotEvaluated> {
        let certificate = subject.certificate;
        let mut passes = Vec::new();
        let mut others = Vec::new();
        for outcome in &self.outcomes {
            let (verdict, branch) = outcome.branch().ok_or_else(|| {
                NotEvaluated::Spec("an outcome has neither fail nor warn nor pass".to_owned())
            })?;
            match verdict {
                Verdict::Fail if !certificate.is_valid => {
                    others.push(subject.finding(verdict, &branch.message));
                }
                Verdict::Pass if certificate.is_valid => {
                    passes.push(subject.finding(verdict, &branch.message));
                }
                Verdict::Warn if certificate.is_valid => {
                    let Some(days) = days(branch)? else { continue };
                    if ends_within(certificate.not_after, now, days)? {
                        passes.clear();
                        let message = format!("{} in {days} days", branch.message);
                        others.push(subject.finding(verdict, &message));
                    }
                }
                _ => {}
            }
        }
        others.append(&mut passes);
        if others.is_empty() && !certificate.is_valid {
            others.push(subject.unjudged());
        }
        Ok(others)
    }
}

/// The days of a warning's condition, nothing where it has none: such a warning never speaks.
fn days(branch: &Branch) -> Result<Option<u32>, NotEvaluated> {
    let when = branch.when.as_str();
    if when.is_empty() {
        return Ok(None);
    }
    let refuse = || bad_condition(when, "write it as `notAfter < Today + 30 days`");
    let (_, rest) = when.split_once("notAfter < Today + ").ok_or_else(refuse)?;
    let (days, _) = rest.split_once(" days").ok_or_else(refuse)?;
    days.parse().map(Some).map_err(|_| refuse())
}

fn ends_within(end: Timestamp, now: Timestamp, days: u32) -> Result<bool, NotEvaluated> {
    let span = Span::new().try_days(days);
    let limit = span.and_then(|span| now.to_zoned(TimeZone::UTC).checked_add(span));
    let limit = limit.map_err(|error| NotEvaluated::Spec(format!("{days} days: {error}")))?;
    Ok(end < limit.timestamp())
}

impl Subject<'_> {
    fn finding(&self, verdict: Verdict, words: &str) -> Finding {
        let (kind, name) = self.source.object();
        let namespace = &self.source.namespace;
        let key = &self.certificate.key;
        let place = match self.place {
            0 => String::new(),
            place => format!("/{place}"),
        };
        Finding {
            id: Finding::id(NAME, &format!("{namespace}/{kind}/{name}/{key}{place}")),
            verdict: Some(verdict),
            message: format!(
                "{key} {words}, obtained from {name} {kind} within {namespace} namespace"
            ),
            observed: format!("notAfter {} ({PATH})", self.certificate.not_after),
            ..Finding::default()
        }
        .with_remedy(format!(
            "Renew the certificate and put it into key {key} of the {kind} {name} in namespace {namespace}."
        ))
    }

    /// A certificate that does not hold, of which no outcome speaks.
    fn unjudged(&self) -> Finding {
        Finding {
            verdict: None,
            remedy: String::new(),
            ..self.finding(Verdict::Fail, "does not hold")
        }
    }
}
