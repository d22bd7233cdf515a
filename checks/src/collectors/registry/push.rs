//! Whether an upload may be started, which nothing else proves. It is cancelled at once.

use bundle::collected::registry::{Failure, Push, Reason, Stage};
use http::Method;
use http::header::LOCATION;
use reqwest::Url;

use super::client::{Answer, Kind};
use super::errors;
use super::link::shown;
use super::repository::{Repository, Wanted};

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
    let cancelled = cancel(repository, &answer).await;
    push.cancelled = cancelled.is_some_and(|status| matches!(status, 200..=299 | 404));
    Ok(())
}

/// The status of the answer; `None` where there was none, or the upload's address is not the registry's own.
async fn cancel(repository: &Repository<'_>, started: &Answer) -> Option<u16> {
    let base = format!("{}{}/", shown(&repository.server.address), repository.root);
    let location = started.headers.get(LOCATION)?.to_str().ok()?;
    let url = Url::parse(&base).ok()?.join(location).ok()?;
    let start = format!("{}/{}/", repository.root, repository.name);
    // The host in it is often that behind a proxy; the path is asked for where the upload was started.
    let path = url.path().strip_prefix(&start)?;
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
        actions: "pull,push",
        stage: Stage::Push,
        kind: Kind::Other,
    });
    asked.await.ok().map(|answer| answer.status)
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
