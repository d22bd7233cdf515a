//! `s3`: an object storage can be used as the application uses it, and nobody else can.

mod access;
mod claims;
mod condition;

use bundle::Files;
use bundle::collected::s3::Report;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path, is_masked, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::message::render_struct;
use crate::outcome::{Outcome, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "An object storage can be used as the application uses it, and by nobody else",
    docs: docs::<S3>,
    since: "0.1.0",
    needs: &["s3"],
    parse: parse::<S3>,
    schema: schema::<S3>,
};

const NAME: &str = "s3";

/// An object storage can be used as the application uses it, and by nobody else.
///
/// # What it checks
/// One result for each claim: the bucket can be used, from the settings over DNS, TCP, TLS and the signature to each
/// operation; the clocks agree; signatures of version 4 are accepted, and those of version 2 are not; nobody reads without a
/// signature; other tenants' prefixes are denied; certificates are verified; `MinIO` is healthy; what the probe wrote is
/// gone. With `immutable: true` also: what is replaced is kept.
///
/// # When it warns or fails
/// The first link of the chain that broke is the verdict; a signature that is refused is explained. The clock warns at five
/// minutes and fails at fifteen, where servers refuse. Version 2 warns unless `allowSignatureV2`; reading without
/// signature fails unless `allowPublicRead`. A foreign prefix that can be listed, read or written fails. Writes that the
/// spec wants and the operator does not allow are unknown. `docs/probes/s3.md` has all of it.
///
/// With `outcomes` there is one result in the spec's words. `when` is a fact, `==` or `!=`, and a value: `usable`,
/// `publicRead`, `signatureV4`, `signatureV2`, `foreignDenied`, `lock` with true or false; `broken` with the name of a link
/// (`dns`, `tls`, `auth`, `checksumTrailer`, `none`); `reason` with that of a reason (`signature`, `wrongRegion`, `none`);
/// `versioning` with `Enabled`, `Suspended` or `Disabled`; `server` with `MinIO`, `Ceph`; `clockSeconds` compares a number
/// by `< > <= >=`, too. Messages may use `.Broken`, `.Reason`, `.Why`, `.Remedy`, `.Endpoint`, `.Bucket`, `.Region`. A
/// `pass` is not given where writing was wanted and not tried.
///
/// # What to do
/// What each result says: the setting, the header, the permission or the line of a proxy's configuration.
///
/// # Needs
/// The collector `s3` with the same `collectorName`.
///
/// # Example
/// ```yaml
/// s3:
///   checkName: Artifacts
///   collectorName: artifacts
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct S3 {
    /// One result in the spec's words in place of one for each claim.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
    /// Whether the bucket is meant for everybody to read.
    allow_public_read: bool,
    /// Whether signatures of version 2 are meant to be accepted.
    #[serde(rename = "allowSignatureV2")]
    allow_signature_v2: bool,
    /// Whether what is replaced or deleted must be kept: by versioning or object lock.
    immutable: bool,
}

impl Analyzer for S3 {
    fn title(&self, meta: &Meta) -> String {
        let title = match self.collector_name.as_str() {
            "" => "The object storage can be used".to_owned(),
            name => format!("The object storage {name} can be used"),
        };
        meta.title_or(title)
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let name = if self.collector_name.is_empty() {
            NAME
        } else {
            &self.collector_name
        };
        let path = file_path(NAME, &format!("{name}.json"))?;
        let report = document::<Report>(files, &path)?;
        if report
            .steps
            .iter()
            .any(|step| step.outcome == bundle::collected::s3::Outcome::Other)
            || is_masked(&report.target.bucket)
        {
            return Err(redacted());
        }
        let case = Case {
            config: self,
            report: &report,
            path,
        };
        let mut judgement = if let Some(cleanup) = &report.cleanup {
            case.cleanup(cleanup).into()
        } else if self.outcomes.is_empty() {
            case.claims()
        } else {
            case.by_outcomes()?.into()
        };
        for finding in &mut judgement.findings {
            finding.id = match finding.id.as_str() {
                "" => Finding::id(NAME, &self.collector_name),
                claim => format!("{}/{claim}", Finding::id(NAME, &self.collector_name)),
            };
            finding.strict = meta.strict;
            if finding.title.is_empty() {
                finding.title = self.title(meta);
            } else if !meta.check_name.is_empty() {
                finding.title = format!("{}: {}", meta.check_name, finding.title);
            } else if !self.collector_name.is_empty() {
                finding.title = format!("{}: {}", self.collector_name, finding.title);
            }
        }
        Ok(judgement)
    }
}

/// What is judged.
struct Case<'a> {
    config: &'a S3,
    report: &'a Report,
    path: String,
}

impl Case<'_> {
    fn by_outcomes(&self) -> Result<Finding, NotEvaluated> {
        let matched = first_match(&self.config.outcomes, |when| self.holds(when))?;
        if let (Some((Verdict::Pass, _)), Some(reason)) = (matched, self.untried()) {
            return Err(reason);
        }
        let mut finding = Finding::of_match(matched);
        finding.observed = self.observed();
        if matched.is_some() {
            finding.message = render_struct(&finding.message, &self.fields())?;
        }
        Ok(finding.with_remedy(self.remedy()))
    }
}
