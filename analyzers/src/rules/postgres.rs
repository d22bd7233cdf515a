//! `postgres`: whether a PostgreSQL server could be logged in to, and its version.

use std::cmp::Ordering;

use bundle::Files;
use bundle::collected::postgres::{Connection, Limits};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::boolean;
use syntax::version::Version;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Operator, Outcome, bad_condition, first_match};
use crate::postgres::remedy;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A PostgreSQL server lets the application in, and has a version that it supports",
    docs: docs::<Postgres>,
    since: "0.1.0",
    needs: &["postgres"],
    parse: parse::<Postgres>,
    schema: schema::<Postgres>,
};

const NAME: &str = "postgres";
const ICON: Icon = Icon {
    key: "kubernetes_postgres_analyze",
    file: "postgres-analyze.svg",
};

/// A PostgreSQL server lets the application in, and has a version that it supports.
///
/// # What it checks
/// Whether the collector of the same name could log in, and the version that the server told.
///
/// # When it warns or fails
/// `when` is `connected == true`, `connected == false`, or `version <op> x.y.z` with `= < > <= >= !=`, where an `x` stands
/// for 0. The first outcome that holds counts; without `when` it always does. The message of a failure with `when`
/// is followed by what came back.
///
/// # What to do
/// The remedy goes with the cause that the collector found: the name, the network, TLS, `pg_hba.conf`, the
/// password, the database, slots that are taken. `docs/probes/postgres.md` has them all.
///
/// # Needs
/// The collector `postgres` with the same `collectorName`.
///
/// # Example
/// ```yaml
/// postgres:
///   collectorName: db
///   outcomes:
///     - fail:
///         when: connected == false
///         message: The database cannot be used.
///     - fail:
///         when: version < 14.0.0
///         message: PostgreSQL 14 or later is required.
///     - pass:
///         message: The database is there.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Postgres {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
    /// Not used: troubleshoot knows it, and reads the collector's file all the same.
    #[serde(rename = "fileName")]
    _file_name: String,
}

impl Postgres {
    fn name(&self) -> &str {
        if self.collector_name.is_empty() {
            NAME
        } else {
            &self.collector_name
        }
    }
}

impl Analyzer for Postgres {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.name())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path(NAME, &format!("{}.json", self.name()))?;
        let connection = document::<Connection>(files, &path)?;
        let matched = first_match(&self.outcomes, |when| holds(when, &connection))?;
        let mut finding = Finding {
            id: Finding::id(NAME, self.name()),
            title: self.title(meta),
            strict: meta.strict,
            observed: if connection.is_connected {
                format!("connected, version {:?} ({path})", connection.version)
            } else {
                format!("not connected ({path})")
            },
            ..Finding::of_match(matched)
        };
        if let Some((Verdict::Fail, branch)) = matched
            && !branch.when.is_empty()
            && !connection.error.is_empty()
        {
            finding.message = format!("{} {}", finding.message, connection.error);
        }
        // The cause, where our own collector was at work.
        let limits = document::<Limits>(files, &format!("{NAME}/{}/limits.json", self.name())).ok();
        let failure = limits.as_ref().and_then(|limits| limits.failure.as_ref());
        let advice = match failure {
            Some(failure) if !connection.is_connected => remedy(failure),
            _ if connection.is_connected => {
                "Move to a version of PostgreSQL that the application supports."
            }
            _ => {
                "See why the server cannot be used: its address, the network in between, TLS, the role and its password."
            }
        };
        Ok(finding.with_remedy(advice).with_icon(&ICON).into())
    }
}

/// `connected <op> <bool>` or `version <op> <version>`; any other word never holds.
pub(super) fn holds(when: &str, connection: &Connection) -> Result<bool, NotEvaluated> {
    let words: Vec<&str> = when.split(' ').collect();
    let [subject, operator, value] = words[..] else {
        return Err(bad_condition(
            when,
            "expected three words, as in `connected == true`",
        ));
    };
    match subject {
        "connected" => {
            let value = boolean::parse(value)
                .map_err(|_| bad_condition(when, format!("{value:?} is neither true nor false")))?;
            match operator {
                "=" | "==" | "===" => Ok(connection.is_connected == value),
                "!=" | "!==" => Ok(connection.is_connected != value),
                _ => Ok(false),
            }
        }
        "version" => {
            let wanted = Version::parse_tolerant(&value.replace('x', "0"))
                .map_err(|error| bad_condition(when, error))?;
            let text = unmasked(&connection.version)?;
            let actual = Version::parse_tolerant(text).map_err(|error| {
                if connection.is_connected {
                    NotEvaluated::Malformed(format!(
                        "the server's version {text:?} cannot be read: {error}"
                    ))
                } else {
                    NotEvaluated::Unknown(format!(
                        "there is no version to compare: {}",
                        connection.error
                    ))
                }
            })?;
            let order: Ordering = actual.cmp(&wanted);
            Ok(Operator::parse(operator).is_some_and(|operator| operator.holds(order)))
        }
        _ => Ok(false),
    }
}
