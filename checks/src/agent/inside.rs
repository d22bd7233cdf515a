//! What happens in the pod: `assay agent`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bundle::io::{Inline, MemoryFile, MemorySpool};
use bundle::{ArchiveWriter, Manifest, Redactor, WriterOptions, manifest};
use jiff::Timestamp;
use serde::Deserialize;

use super::answer;
use super::request::{PROTOCOL, Request};
use crate::clock::Clock;
use crate::collector::{Cleanups, Context, Meta};
use crate::collectors::KINDS;
use crate::fingerprint::Salt;
use crate::host::Host;
use crate::run::{Observer, Planned, Settings, Stop, run};

/// The part of a request that every release reads.
#[derive(Deserialize)]
struct Version {
    protocol: u32,
}

/// Runs the collector that `request` asks for and prints its bundle to `stdout`. An error is what the caller will
/// find in the pod's log; it holds nothing of the configuration.
pub async fn carry_out(request: &[u8], stop: &Stop, stdout: &mut impl Write) -> Result<(), String> {
    let (planned, request) = read(request)?;
    let context = Context {
        cluster: None,
        host: Host::default(),
        namespace: request.namespace,
        logs_since: None,
        log_budget: crate::budget::LogBudget::default(),
        ends_by: None,
        run_id: request.run_id,
        salt: Salt::from_bytes(request.salt),
        agent_image: None,
        cleanups: Cleanups::default(),
        clock: Clock::default(),
        writes: request.writes,
    };
    let settings = Settings {
        run_deadline: Some(Duration::from_secs(request.seconds)),
        error_files: false,
        ..Settings::default()
    };
    let collected_at = Timestamp::now();
    let options = WriterOptions::new(
        "agent",
        collected_at.as_second(),
        Arc::new(MemorySpool),
        Arc::new(Inline),
    );
    let file = MemoryFile::default();
    let archive = ArchiveWriter::new(Box::new(file.clone()), Redactor::default(), options);
    let archive = Arc::new(archive.map_err(|error| format!("cannot begin a bundle: {error}"))?);
    let observer: Observer = Arc::new(|_| ());
    let ran = run(&[planned], &context, &archive, &settings, &observer, stop).await;
    let manifest = Manifest {
        format: manifest::FORMAT,
        tool: concat!("assay ", env!("CARGO_PKG_VERSION")).to_owned(),
        collected_at,
        finished_at: Timestamp::now(),
        ending: ran.ending,
        redaction: archive.redaction(),
        collectors: ran.records,
        lost: Vec::new(),
    };
    archive
        .finish(&manifest)
        .map_err(|error| format!("cannot close the bundle: {error}"))?;
    answer::print(&file.bytes(), stdout)
        .map_err(|error| format!("cannot print the answer: {error}"))
}

fn read(request: &[u8]) -> Result<(Planned, Request), String> {
    let tool = concat!("assay ", env!("CARGO_PKG_VERSION"));
    // Errors of JSON tell places and types, and may tell values: only the place is passed on.
    let malformed = |error: serde_json::Error| {
        format!(
            "the request is malformed at line {}, column {}",
            error.line(),
            error.column()
        )
    };
    let version: Version = serde_json::from_slice(request).map_err(malformed)?;
    if version.protocol != PROTOCOL {
        return Err(format!(
            "the image has {tool}, which does not understand the caller: use the image of the caller's release"
        ));
    }
    let request: Request = serde_json::from_slice(request).map_err(malformed)?;
    let kind = KINDS.iter().find(|kind| kind.name == request.collector);
    let kind = kind.ok_or_else(|| {
        format!(
            "the image has {tool}, which has no collector `{}`: use the image of the caller's release",
            request.collector
        )
    })?;
    let meta = Meta {
        name: request.name.clone(),
    };
    let parsed = (kind.parse)(&request.config, &meta)
        .map_err(|error| format!("{}: its configuration is not understood", error.path))?;
    if !parsed.ignored.is_empty() {
        return Err(format!(
            "the image has {tool}, whose collector `{}` does not know {}: use the image of the caller's release",
            request.collector,
            parsed.ignored.join(", ")
        ));
    }
    let planned = Planned {
        kind,
        collector: parsed.config.into(),
        requested: true,
        excluded: false,
        budget: crate::budget::Budget::default(),
    };
    Ok((planned, request))
}
