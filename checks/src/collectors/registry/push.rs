//! Whether an upload may be started, which nothing else proves. It is cancelled at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bundle::collected::registry::{Failure, Push, Reason, Stage};
use futures::FutureExt as _;
use http::Method;
use http::header::LOCATION;
use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use super::client::Registries;
use super::credentials::Credential;
use super::errors;
use super::image::{Asked, Walk};
use super::link::shown;
use super::question::{Answer, Kind};
use super::repository::{Repository, Wanted};
use super::tls::Trust;
use crate::collector::{Context, Writes};

/// Uploads to be started, with all that they need of their own: what was begun is ended even where the collector is cut.
pub(super) struct Pushing {
    pub(super) registries: Registries,
    pub(super) credentials: Vec<Credential>,
    pub(super) trust: Arc<Trust>,
    pub(super) in_clear: Vec<String>,
    pub(super) repositories: Vec<Asked>,
}

/// What became of them.
#[derive(Clone, Default)]
pub(super) struct Pushed {
    pub(super) pushes: Vec<Push>,
    /// Requests made.
    pub(super) requests: u64,
}

impl Pushing {
    /// Starts each upload and cancels it, one after the other, if whoever started the run allows it.
    pub(super) async fn run(self, context: &Context, end: Instant) -> Pushed {
        let names: Vec<String> = self
            .repositories
            .iter()
            .map(|it| it.image.clone())
            .collect();
        let without = |reason, message: &str| Pushed {
            pushes: names
                .iter()
                .map(|name| refused_push(name, reason, message))
                .collect(),
            requests: 0,
        };
        if names.is_empty() {
            return Pushed::default();
        }
        if context.writes != Writes::Allowed {
            let text = "writes not allowed: the run has no --allow-writes";
            return without(Reason::WritesNotAllowed, text);
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let work = tokio::spawn(self.all(stopped)).map(Result::ok).shared();
        let rest = work.clone();
        context.at_end(async move {
            stop.store(true, Ordering::Relaxed);
            rest.await;
        });
        match timeout_at(end, work).await {
            Ok(Some(pushed)) => pushed,
            _ => without(
                Reason::Deadline,
                "the time was over before an upload was started and cancelled",
            ),
        }
    }

    async fn all(self, stopped: Arc<AtomicBool>) -> Pushed {
        let walk = Walk {
            in_clear: &self.in_clear,
            ..Walk::new(&self.registries, &self.credentials, Arc::clone(&self.trust))
        };
        let mut pushes = Vec::new();
        for asked in &self.repositories {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let mut told = Push {
                repository: asked.image.clone(),
                ..Push::default()
            };
            told.failure = walk.push(asked, &mut told).await.err();
            pushes.push(told);
        }
        Pushed {
            pushes,
            requests: self.registries.counts.told().all,
        }
    }
}

fn refused_push(repository: &str, reason: Reason, message: &str) -> Push {
    Push {
        repository: repository.to_owned(),
        failure: Some(Failure {
            reason,
            stage: Stage::Push,
            message: message.to_owned(),
            ..Failure::default()
        }),
        ..Push::default()
    }
}

/// Starts an upload and cancels it.
pub(super) async fn push(repository: &Repository<'_>, push: &mut Push) -> Result<(), Failure> {
    let asked = repository.ask(Wanted {
        method: &Method::POST,
        path: "blobs/uploads/",
        accept: None,
        first_byte: false,
        cap: 64 << 10,
        actions: "pull,push",
        stage: Stage::Push,
        kind: Kind::Other,
    });
    let answer = asked.await.map_err(|failure| Failure {
        stage: Stage::Push,
        ..failure
    })?;
    if answer.status != 202 {
        return Err(refused(repository, &answer));
    }
    push.started = true;
    match cancel(repository, &answer).await {
        Ok(()) => push.cancelled = true,
        Err(why) => push.left = why,
    }
    Ok(())
}

/// Cancels an upload. To distribution that is deleting, which is another right than pushing.
async fn cancel(repository: &Repository<'_>, started: &Answer) -> Result<(), String> {
    let nowhere = || "the registry does not say where it is (Location)".to_owned();
    let base = format!("{}{}/", shown(&repository.server.address), repository.root);
    let location = started
        .headers
        .get(LOCATION)
        .and_then(|it| it.to_str().ok());
    let base = Url::parse(&base).map_err(|_| nowhere())?;
    let url = location
        .and_then(|it| base.join(it).ok())
        .ok_or_else(nowhere)?;
    let start = format!("{}/{}/", repository.root, repository.name);
    // The host in it is often that behind a proxy; the path is asked for where the upload was started.
    let path = url.path().strip_prefix(&start).ok_or_else(nowhere)?;
    let path = match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let asked = repository.ask(Wanted {
        method: &Method::DELETE,
        path: &path,
        accept: None,
        first_byte: false,
        cap: 64 << 10,
        actions: "pull,push,delete",
        stage: Stage::Push,
        kind: Kind::Other,
    });
    match asked.await {
        Ok(answer) if matches!(answer.status, 200..=299 | 404) => Ok(()),
        Ok(answer) => Err(errors::said(&answer)),
        Err(failure) if failure.reason == Reason::Denied => {
            Err("the account may push, and not delete".to_owned())
        }
        Err(failure) => Err(failure.message),
    }
}

fn refused(repository: &Repository<'_>, answer: &Answer) -> Failure {
    let code = errors::code(answer);
    let reason = match (answer.status, code.as_str()) {
        (405, _) | (_, "UNSUPPORTED") => Reason::ReadOnly,
        (404, _) | (_, "NAME_UNKNOWN") => Reason::RepositoryMissing,
        (429, _) => Reason::RateLimited,
        (500.., _) => Reason::ServerError,
        _ => Reason::Other,
    };
    let text = format!(
        "no upload can be started in {}: {}",
        repository.name,
        errors::said(answer)
    );
    Failure {
        status: Some(answer.status),
        code,
        ..repository.server.failure(Stage::Push, reason, text)
    }
}
