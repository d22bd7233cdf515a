//! Who is let in, by which signature, where to, and what is kept of what they replace.

use bundle::collected::s3::{Link, Reason, Way};

use super::Case;
use crate::finding::{Finding, NotEvaluated, Verdict};
use crate::s3::broken;

impl Case<'_> {
    pub(super) fn way(&self, way: Way) -> Option<bool> {
        let accepts = &self.report.accepts;
        accepts.iter().find(|it| it.way == way)?.accepted
    }

    /// Whether a version is accepted, in the header or in the address.
    pub(super) fn version(&self, ways: [Way; 2]) -> Option<bool> {
        let [header, query] = ways.map(|way| self.way(way));
        match (header, query) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    pub(super) fn signatures(&self) -> Option<Finding> {
        let v4 = self.version([Way::V4Header, Way::V4Presigned])?;
        let v2 = self.version([Way::V2Header, Way::V2Presigned]);
        let matrix: Vec<String> = self
            .report
            .accepts
            .iter()
            .map(|it| {
                let word = match it.accepted {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "unknown",
                };
                format!("{} {word} ({})", way_name(it.way), it.answer)
            })
            .collect();
        let matrix = format!("Accepted: {}.", matrix.join(", "));
        // What else is wrong with the signature is told by the chain; that these keys are refused by every version says
        // nothing of the versions.
        let is_told = broken(self.report).is_some_and(|(step, failure)| {
            step.link == Link::Auth && failure.reason != Reason::SignatureV4Refused
        });
        if !v4 && is_told {
            return None;
        }
        let (verdict, advice) = match (v4, v2) {
            (false, Some(true)) => (
                Verdict::Fail,
                "Upgrade the object storage, or see what changes requests on the way to it: SDKs sign by version 4.",
            ),
            (false, _) => return None,
            (true, Some(true)) if !self.config.allow_signature_v2 => (
                Verdict::Warn,
                "Nothing to do for this application. Version 2 (HMAC-SHA1, without the Host header and the date's day in the key) is weak: where the object storage can refuse it, let it, or set allowSignatureV2: true here.",
            ),
            (true, _) => (Verdict::Pass, ""),
        };
        let title = "Signatures of version 4 are accepted, weaker ones are not";
        let seen = match (v4, v2) {
            (_, Some(true)) if v4 => "version 4 and version 2",
            (true, _) => "version 4",
            (false, _) => "version 2 only",
        };
        let finding = self.beside("signatures", title, (verdict, matrix), seen);
        Some(finding.with_remedy(advice))
    }

    pub(super) fn anonymous(&self) -> Option<Finding> {
        self.report.target.access_key.as_ref()?;
        let accepts = self.report.accepts.iter();
        let asked = accepts.clone().find(|it| it.way == Way::Anonymous)?;
        let is_public = asked.accepted?;
        let bucket = &self.report.target.bucket;
        let (verdict, message) = match (is_public, self.config.allow_public_read) {
            (true, false) => (
                Verdict::Fail,
                format!("Bucket {bucket} is public: its list is given without a signature."),
            ),
            (true, true) => (
                Verdict::Pass,
                format!("Bucket {bucket} is public, as it is meant to be."),
            ),
            (false, _) => (
                Verdict::Pass,
                format!(
                    "A list of bucket {bucket} is refused without a signature: {}.",
                    asked.answer
                ),
            ),
        };
        let title = "Nobody reads without a signature";
        let seen = format!("without a signature {}", asked.answer);
        let finding = self.beside("anonymous", title, (verdict, message), &seen);
        Some(finding.with_remedy(format!(
            "Take the public policy away: mc anonymous set none ALIAS/{bucket} for MinIO, aws s3api put-public-access-block for Amazon; or set allowPublicRead: true if it is meant."
        )))
    }

    pub(super) fn foreign(&self) -> Vec<Result<Finding, NotEvaluated>> {
        let mut prefixes: Vec<&str> = Vec::new();
        for foreign in &self.report.foreign {
            let own = foreign.prefix.split("/.preflight-").next().unwrap_or("");
            let own = own.trim_end_matches('/');
            if !prefixes.contains(&own) {
                prefixes.push(own);
            }
        }
        prefixes
            .iter()
            .map(|prefix| self.foreign_one(prefix))
            .collect()
    }

    pub(super) fn foreign_one(&self, prefix: &str) -> Result<Finding, NotEvaluated> {
        let of = |own: &str| {
            own.split("/.preflight-")
                .next()
                .unwrap_or("")
                .trim_end_matches('/')
                == prefix
        };
        let operations: Vec<_> = self
            .report
            .foreign
            .iter()
            .filter(|it| of(&it.prefix))
            .collect();
        let shown = |denied: Option<bool>| -> Vec<String> {
            operations
                .iter()
                .filter(|it| it.denied == denied)
                .map(|it| format!("{} ({})", it.operation, it.answer))
                .collect()
        };
        let (open, unknown) = (shown(Some(false)), shown(None));
        let title = format!("The prefix {prefix} of others is denied");
        let claim = format!("foreign/{prefix}");
        if !open.is_empty() {
            let message = format!(
                "These keys reach the prefix {prefix} of others: {}.",
                open.join(", ")
            );
            let seen = open.join(", ");
            let finding = self.beside(&claim, &title, (Verdict::Fail, message), &seen);
            let own = match self.report.target.prefix.as_str() {
                "" => "the application's own prefix",
                prefix => prefix,
            };
            return Ok(finding.with_remedy(format!(
                "Give these keys a policy for {own} only: s3:ListBucket with the condition s3:prefix, objects below it."
            )));
        }
        if !unknown.is_empty() {
            return Err(NotEvaluated::Unknown(format!(
                "{title}: {} ({})",
                unknown.join(", "),
                self.path
            )));
        }
        let denied = shown(Some(true)).join(", ");
        let message = format!("The prefix {prefix} of others is denied: {denied}.");
        Ok(self.beside(&claim, &title, (Verdict::Pass, message), &denied))
    }

    pub(super) fn immutable(&self) -> Result<Finding, NotEvaluated> {
        let keeping = self.report.keeping.as_ref();
        let title = "What is replaced is kept";
        let keeping = keeping.ok_or_else(|| {
            NotEvaluated::Unknown(format!("{title}: it was not asked ({})", self.path))
        })?;
        let bucket = &self.report.target.bucket;
        if keeping.versioning == "Enabled" || keeping.lock == Some(true) {
            let by = if keeping.lock == Some(true) {
                "object lock"
            } else {
                "versioning"
            };
            let message = format!("Bucket {bucket} keeps what is replaced or deleted, by {by}.");
            return Ok(self.beside(
                "immutable",
                title,
                (Verdict::Pass, message),
                &format!("{by} on"),
            ));
        }
        if !keeping.unread.is_empty() {
            return Err(NotEvaluated::Unknown(format!(
                "{title}: {} ({})",
                keeping.unread.join("; "),
                self.path
            )));
        }
        let message = format!(
            "Bucket {bucket} keeps nothing that is replaced or deleted: versioning is {}, object lock is off.",
            keeping.versioning
        );
        let seen = format!("versioning {}", keeping.versioning);
        let finding = self.beside("immutable", title, (Verdict::Warn, message), &seen);
        Ok(finding.with_remedy(format!(
            "Turn versioning on: aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled."
        )))
    }
}

fn way_name(way: Way) -> &'static str {
    match way {
        Way::V4Header => "version 4 in the header",
        Way::V4Presigned => "version 4 in the address",
        Way::V2Header => "version 2 in the header",
        Way::V2Presigned => "version 2 in the address",
        Way::Anonymous => "no signature",
        Way::Other => "another way",
    }
}
