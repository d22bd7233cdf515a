//! One result for each claim.

use bundle::collected::s3::{Cleanup, Link, Outcome, Reason, Step, Style};

use super::Case;
use crate::document::counted;
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::s3::{broken, name, remedy, why};

/// From which difference of clocks on there is a warning: a third of what is refused.
const SKEW_WARNS: i64 = 5 * 60;
/// From which servers refuse (`RequestTimeTooSkewed`).
const SKEW_FAILS: i64 = 15 * 60;

impl Case<'_> {
    pub(super) fn claims(&self) -> Judgement {
        let mut judgement = Judgement::default();
        judgement.add(self.chain());
        let more = [
            self.clock(),
            self.signatures(),
            self.anonymous(),
            self.verification(),
            self.health(),
            self.settings(),
            self.leftovers(),
        ];
        judgement.findings.extend(more.into_iter().flatten());
        for part in self.foreign() {
            judgement.add(part);
        }
        if self.config.immutable {
            judgement.add(self.immutable());
        }
        if let Some(reason) = self.untried() {
            judgement.add(Err(reason));
        }
        judgement
    }

    /// Why what the spec wants to be written was not.
    pub(super) fn untried(&self) -> Option<NotEvaluated> {
        let writes = self.report.writes.as_ref()?;
        if !writes.allowed {
            return Some(NotEvaluated::Unknown(
                "writes not allowed: the spec wants them, and the run had no --allow-writes, so that only reading was tried".to_owned(),
            ));
        }
        let steps = self.report.steps.iter();
        let mut skipped = steps.filter(|step| step.outcome == Outcome::Skipped);
        let step = skipped.find(|step| {
            let failure = step.failure.as_ref();
            failure.is_some_and(|it| it.reason == Reason::Locked)
        })?;
        Some(NotEvaluated::Unknown(format!(
            "writing was not tried: {} ({})",
            step.message, self.path
        )))
    }

    pub(super) fn finding(
        &self,
        claim: &str,
        title: &str,
        verdict: Verdict,
        message: String,
    ) -> Finding {
        Finding {
            id: claim.to_owned(),
            title: title.to_owned(),
            verdict: Some(verdict),
            message,
            observed: self.observed(),
            ..Finding::default()
        }
    }

    /// A finding about something that is beside the chain: `seen` is what was read.
    pub(super) fn beside(
        &self,
        claim: &str,
        title: &str,
        (verdict, message): (Verdict, String),
        seen: &str,
    ) -> Finding {
        Finding {
            observed: format!("{seen} ({})", self.path),
            ..self.finding(claim, title, verdict, message)
        }
    }

    /// What was read, and where.
    pub(super) fn observed(&self) -> String {
        let what = match broken(self.report) {
            Some((step, failure)) if failure.code.is_empty() => {
                format!("{} broke", name(step.link))
            }
            Some((step, failure)) => format!("{} broke: {}", name(step.link), failure.code),
            None => {
                let passed = self.outcomes(Outcome::Passed);
                format!("{} held", counted(passed as u64, "link"))
            }
        };
        format!("{what} ({})", self.path)
    }

    fn outcomes(&self, outcome: Outcome) -> usize {
        let steps = self.report.steps.iter();
        steps.filter(|step| step.outcome == outcome).count()
    }

    /// What to do about the link that broke; empty where none did.
    pub(super) fn remedy(&self) -> String {
        broken(self.report).map_or_else(String::new, |(step, failure)| {
            remedy(self.report, step, &failure)
        })
    }

    fn place(&self) -> String {
        let target = &self.report.target;
        match (target.bucket.as_str(), target.endpoint.as_str()) {
            ("", _) => "The object storage".to_owned(),
            (bucket, "") => format!("Bucket {bucket}"),
            (bucket, endpoint) => format!("Bucket {bucket} at {endpoint}"),
        }
    }

    fn chain(&self) -> Result<Finding, NotEvaluated> {
        let Some((step, failure)) = broken(self.report) else {
            if self.outcomes(Outcome::Passed) == 0 {
                return Err(NotEvaluated::Unknown(format!(
                    "no link was tried ({})",
                    self.path
                )));
            }
            return Ok(self.finding("", "", Verdict::Pass, self.holding()));
        };
        let message = format!("{} cannot be used: {}.", self.place(), why(step, &failure));
        let remedy = remedy(self.report, step, &failure);
        if matches!(failure.reason, Reason::Deadline | Reason::SecretUnread) {
            return Err(NotEvaluated::Unknown(format!(
                "{message} {remedy} ({})",
                self.path
            )));
        }
        let message = if step.link >= Link::List {
            // What is let in and fails at one thing is used all the same.
            let message = format!(
                "{} can be used in part: {}.",
                self.place(),
                why(step, &failure)
            );
            format!("{message}{}", self.others(step))
        } else {
            let after = self.outcomes(Outcome::NotReached);
            let rest = if after == 0 {
                String::new()
            } else {
                format!(" {} not reached.", counted(after as u64, "later link"))
            };
            format!("{message}{rest}")
        };
        let finding = self.finding("", "", Verdict::Fail, message);
        Ok(finding.with_remedy(remedy))
    }

    /// What else failed.
    fn others(&self, first: &Step) -> String {
        let steps = self.report.steps.iter();
        let failed: Vec<&str> = steps
            .filter(|step| step.outcome == Outcome::Failed && step.link != first.link)
            .map(|step| name(step.link))
            .collect();
        if failed.is_empty() {
            String::new()
        } else {
            format!(" The same run also failed at: {}.", failed.join(", "))
        }
    }

    fn holding(&self) -> String {
        let report = self.report;
        let server = report.server.as_ref().map_or("", |it| it.kind.as_str());
        let server = if server.is_empty() {
            String::new()
        } else {
            format!(" ({server})")
        };
        let works: Vec<&str> = report
            .addressing
            .iter()
            .filter(|it| it.works)
            .map(|it| match it.style {
                Style::Path => "in the path",
                Style::VirtualHost => "in the host name",
            })
            .collect();
        let held: Vec<&str> = report
            .steps
            .iter()
            .filter(|step| step.outcome == Outcome::Passed)
            .map(|step| name(step.link))
            .collect();
        let styles = if works.is_empty() {
            String::new()
        } else {
            format!(" The bucket's name may stand {}.", works.join(" and "))
        };
        format!(
            "{}{server} can be used in region {}: {}.{styles}",
            self.place(),
            report.target.region,
            held.join(", ")
        )
    }

    fn clock(&self) -> Option<Finding> {
        let clock = self.report.clock.as_ref()?;
        let (seconds, way) = if clock.ahead_seconds < 0 {
            (-clock.ahead_seconds, "behind")
        } else {
            (clock.ahead_seconds, "ahead of")
        };
        let verdict = match seconds {
            SKEW_FAILS.. => Verdict::Fail,
            SKEW_WARNS.. => Verdict::Warn,
            _ => Verdict::Pass,
        };
        let message = if seconds <= 1 {
            "The clock of the machine that asked agrees with the object storage's.".to_owned()
        } else {
            format!(
                "The clock of the machine that asked is {seconds} s {way} the object storage's ({} there, {} here); signatures are refused from 900 s on.",
                clock.server, clock.here
            )
        };
        let title = "The clocks agree";
        let seen = format!("{seconds} s {}", way.trim_end_matches(" of"));
        let finding = self.beside("clock", title, (verdict, message), &seen);
        Some(finding.with_remedy(
            "Set the clock that is wrong by NTP: compare both with a third, as the API server's Date header.",
        ))
    }

    fn verification(&self) -> Option<Finding> {
        if !self.report.target.skips_verification {
            return None;
        }
        let message = "The server's certificate was not verified (tls.skipVerify): keys and data could be read on the way.".to_owned();
        let title = "The server's certificate is verified";
        let finding = self.beside(
            "verification",
            title,
            (Verdict::Warn, message),
            "certificates are not verified",
        );
        Some(finding.with_remedy(
            "Give the certificate of the authority: tls.cacert or tls.secret here, AWS_CA_BUNDLE for the application.",
        ))
    }

    fn health(&self) -> Option<Finding> {
        let server = self.report.server.as_ref()?;
        if server.health.is_empty() {
            return None;
        }
        let sick: Vec<String> = server
            .health
            .iter()
            .filter(|it| it.status >= 500)
            .map(|it| {
                let detail = if it.detail.is_empty() {
                    String::new()
                } else {
                    format!(", {}", it.detail)
                };
                format!("/minio/health/{} answers {}{detail}", it.name, it.status)
            })
            .collect();
        let title = "MinIO is healthy";
        let answers: Vec<String> = server
            .health
            .iter()
            .map(|it| format!("{} {}", it.name, it.status))
            .collect();
        let seen = answers.join(", ");
        if sick.is_empty() {
            let message = "MinIO says that it is live and has its quorum.".to_owned();
            return Some(self.beside("health", title, (Verdict::Pass, message), &seen));
        }
        let message = format!("MinIO is not healthy: {}.", sick.join("; "));
        let finding = self.beside("health", title, (Verdict::Fail, message), &seen);
        Some(finding.with_remedy(
            "Bring the drives or servers back that are offline (mc admin info ALIAS): below the write quorum nothing can be written.",
        ))
    }

    /// Settings that work and will not everywhere.
    fn settings(&self) -> Option<Finding> {
        let target = &self.report.target;
        let mut oddities = target.oddities.clone();
        for (what, presence) in [
            ("the access key's id", &target.access_key),
            ("the secret key", &target.secret_key),
            ("the session token", &target.session_token),
        ] {
            if presence.as_ref().is_some_and(|it| it.has_blanks) {
                oddities.push(format!(
                    "{what} has a blank or a line break at its beginning or end ({})",
                    target.source
                ));
            }
        }
        if oddities.is_empty() {
            return None;
        }
        let message = format!("The settings are odd: {}.", oddities.join("; "));
        let title = "The settings are as every client reads them";
        let seen = counted(oddities.len() as u64, "odd setting");
        let finding = self.beside("settings", title, (Verdict::Warn, message), &seen);
        Some(finding.with_remedy(
            "Write http(s)://HOST:PORT as the endpoint, without bucket, path or slash at the end, and store keys without a line break (printf %s, --from-literal).",
        ))
    }

    fn leftovers(&self) -> Option<Finding> {
        let writes = self.report.writes.as_ref()?;
        let left: Vec<&str> = writes
            .remaining_keys
            .iter()
            .chain(&writes.remaining_uploads)
            .map(String::as_str)
            .collect();
        if !writes.allowed || (left.is_empty() && writes.unseen.is_empty()) {
            return None;
        }
        let what = if left.is_empty() {
            format!("it is not known what of it is left: {}", writes.unseen)
        } else {
            format!("of it is left: {}", left.join(", "))
        };
        let message = format!("What the probe wrote could not be removed; {what}.");
        let title = "What the probe wrote is gone";
        let seen = match left.len() {
            0 => "not known what is left".to_owned(),
            left => format!("{} left", counted(left as u64, "key")),
        };
        let finding = self.beside("leftovers", title, (Verdict::Warn, message), &seen);
        Some(finding.with_remedy(format!(
            "Remove it: assay preflight SPEC --allow-writes --cleanup, or everything below {} by hand; the keys need s3:DeleteObject (and s3:DeleteObjectVersion) there.",
            writes.folder
        )))
    }

    pub(super) fn cleanup(&self, cleanup: &Cleanup) -> Finding {
        let mut message = format!(
            "{}: {} and {} of earlier runs are removed.",
            self.place(),
            counted(cleanup.removed_keys, "object"),
            counted(cleanup.removed_uploads, "upload")
        );
        let mut verdict = Verdict::Pass;
        if !cleanup.young.is_empty() {
            verdict = Verdict::Warn;
            message = format!(
                "{message} Left, because their runs may still be at work: {}.",
                cleanup.young.join(", ")
            );
        }
        if !cleanup.remaining.is_empty() {
            verdict = Verdict::Fail;
            message = format!("{message} Not removed: {}.", cleanup.remaining.join(", "));
        }
        let title = "What earlier runs left is removed";
        let seen = format!("{} removed", counted(cleanup.removed_keys, "object"));
        let finding = self.beside("cleanup", title, (verdict, message), &seen);
        finding.with_remedy(if cleanup.remaining.is_empty() {
            "Run it again when they are older than 20 minutes."
        } else {
            "Give the keys s3:ListBucket, s3:DeleteObject, s3:DeleteObjectVersion and s3:AbortMultipartUpload there, and run it again."
        })
    }
}
