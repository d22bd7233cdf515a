//! The harness with a clock that is wrong.

use std::sync::Arc;

use bundle::collected::s3::{Link, Outcome, Reason, Report};
use bundle::io::{Inline, MemoryFile, MemorySpool};
use bundle::{ArchiveWriter, Manifest, Redactor, WriterOptions, manifest};
use checks::clock::Clock;
use checks::collector::{Cleanups, Meta, Writes};
use checks::collectors::KINDS;
use checks::fingerprint::Salt;
use checks::host::Host;
use checks::{Context, Output};
use serde_json::json;

use super::servers::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};
use crate::fixture::Bundle;
use crate::servers::Servers;

/// Against a server whose own is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_the_verdict() {
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    for (minutes, reason) in [
        (20, Some(Reason::ClockSkewed)),
        (-20, Some(Reason::ClockSkewed)),
        (6, None),
    ] {
        let report = ask_at(minio, jiff::SignedDuration::from_mins(minutes)).await;
        let broken = report
            .steps
            .iter()
            .find(|step| step.outcome == Outcome::Failed);
        let failure = broken.and_then(|step| step.failure.as_ref());
        assert_eq!(failure.map(|failure| failure.reason), reason, "{report:#?}");
        assert!(
            broken.is_none_or(|step| step.link == Link::Auth),
            "{report:#?}"
        );
        let ahead = report.clock.expect("the server's clock").ahead_seconds;
        assert!((ahead - minutes * 60).abs() <= 2, "{minutes}: {ahead}");
    }
}

/// What the collector finds with a clock that is ahead by so much.
async fn ask_at(port: u16, ahead: jiff::SignedDuration) -> Report {
    let kind = KINDS
        .iter()
        .find(|kind| kind.name == "s3")
        .expect("the kind");
    let config = json!({
        "endpoint": format!("http://127.0.0.1:{port}"), "bucketName": BUCKET, "region": REGION,
        "accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY,
    });
    let collector = (kind.parse)(&config, &Meta::default())
        .expect("a configuration")
        .config;
    let context = Context {
        cluster: None,
        host: Host::default(),
        namespace: None,
        logs_since: None,
        log_budget: checks::budget::LogBudget::default(),
        ends_by: None,
        run_id: "clock".to_owned(),
        salt: Salt::default(),
        agent_image: None,
        cleanups: Cleanups::default(),
        clock: Clock::ahead(ahead),
        writes: Writes::Refused,
    };
    let options = WriterOptions::new("clock", 0, Arc::new(MemorySpool), Arc::new(Inline));
    let file = MemoryFile::default();
    let archive = ArchiveWriter::new(Box::new(file.clone()), Redactor::default(), options);
    let archive = Arc::new(archive.expect("an archive"));
    let output = Output::new(Arc::clone(&archive));
    collector
        .collect(&context, &output)
        .await
        .expect("an answer");
    let manifest = Manifest {
        format: manifest::FORMAT,
        tool: "test".to_owned(),
        collected_at: jiff::Timestamp::now(),
        finished_at: jiff::Timestamp::now(),
        ending: manifest::Ending::Complete,
        redaction: archive.redaction(),
        collectors: Vec::new(),
        lost: Vec::new(),
    };
    archive.finish(&manifest).expect("a whole archive");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bundle.tar.gz");
    std::fs::write(&path, file.bytes()).expect("a file");
    let report = Bundle::open(&path).text("s3/s3.json");
    serde_json::from_str(&report).expect("a report")
}
