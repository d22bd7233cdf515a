//! A session: questions that write nothing, and their answers.

use std::time::Duration;

use bundle::collected::postgres::{Failure, Link, Reason, Stage};
use syntax::postgres::{Host, Target};
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::chain;

/// A session. It ends when it is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) link: Link,
    /// `server_version` as it was announced: a pooler's console says `1.18.0/bouncer`.
    pub(super) announced_version: String,
    /// The process that was announced.
    pub(super) process_id: Option<i64>,
    pub(super) host: Host,
    pub(super) step: Duration,
    /// What speaks the protocol beside it.
    pub(super) _task: AbortOnDropHandle<()>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) struct QueryError {
    pub(super) message: String,
}

impl Session {
    /// The rows of the last statement. One message is one transaction, also for poolers that allow no others; it
    /// writes nothing and has a time limit of its own on the server. No setting outlives it, so it does no harm in a
    /// pooler's connection either.
    pub(super) async fn ask(&self, query: &str) -> Result<Vec<SimpleQueryRow>, QueryError> {
        let limit = self.step.as_millis();
        let guarded = format!(
            "SET LOCAL transaction_read_only = on; SET LOCAL statement_timeout = {limit}; {query}"
        );
        self.ask_plainly(&guarded).await
    }

    /// As [`Session::ask`] for consoles, which know nothing of settings.
    pub(super) async fn ask_plainly(&self, query: &str) -> Result<Vec<SimpleQueryRow>, QueryError> {
        // A second more than the server has.
        let limit = self.step.saturating_add(Duration::from_secs(1));
        let answer = timeout(limit, self.client.simple_query(query)).await;
        let answer = answer.map_err(|_| QueryError {
            message: format!("no answer within {} s", limit.as_secs_f32()),
        })?;
        let answer = answer.map_err(|error| match error.as_db_error() {
            Some(refused) => QueryError {
                message: format!("{} (SQLSTATE {})", refused.message(), refused.code().code()),
            },
            None => QueryError {
                message: chain(&error),
            },
        })?;
        let rows = answer.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// This session, if its server is of the kind asked for.
    pub(super) async fn if_is(self, target: Target) -> Result<Self, Failure> {
        if target == Target::Any {
            return Ok(self);
        }
        let failure = |reason, text: String| Failure {
            reason,
            stage: Stage::Query,
            message: format!("{}: {text}", self.link.server),
            server: self.link.server.clone(),
            ..Failure::default()
        };
        let query = "SELECT pg_is_in_recovery()::text AS standby, (pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool)::text AS read_only";
        let rows = self.ask(query).await;
        let rows = rows.map_err(|error| failure(Reason::Other, error.message))?;
        let is = |name: &str| {
            rows.first()
                .and_then(|row| row.try_get(name).ok().flatten())
                == Some("true")
        };
        let fits = match target {
            Target::ReadWrite => !is("read_only"),
            Target::ReadOnly => is("read_only"),
            Target::Primary => !is("standby"),
            Target::Standby => is("standby"),
            Target::Any | Target::PreferStandby => true,
        };
        if fits {
            Ok(self)
        } else {
            let found = if is("standby") {
                "a standby"
            } else if is("read_only") {
                "read-only"
            } else {
                "a primary"
            };
            let text = format!("the server is {found}, and target_session_attrs is {target}");
            Err(failure(Reason::WrongServerKind, text))
        }
    }
}
