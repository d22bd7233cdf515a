//! The debug log on stderr, and the redactor for every text that leaves the program beside the bundle.

use std::io::{self, Write};
use std::sync::LazyLock;

use bundle::{Profile, Redactor};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// The redactor of error texts and log lines: the default one, whatever the spec adds for the bundle.
static REDACTOR: LazyLock<Option<Redactor>> =
    LazyLock::new(|| Redactor::new(Profile::Standard, &[]).ok());

/// `text` with secrets masked. Without a redactor nothing is shown rather than everything.
pub(crate) fn redacted(text: &str) -> String {
    match REDACTOR.as_ref() {
        Some(redactor) => bundle::redact::text(redactor, text),
        None => "(text withheld: it could not be redacted)".to_owned(),
    }
}

/// Starts the log where `debug` asks for it.
pub(super) fn start(debug: bool) {
    if !debug {
        return;
    }
    // The libraries beneath log addresses with their credentials and every turn of their pools.
    let own = Targets::new().with_target("assay", Level::DEBUG);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(RedactedStderr::default)
        .with_filter(own);
    let subscriber = tracing_subscriber::registry().with(lines);
    // Only a second start fails, and then the first one logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// One event's text, redacted as a whole when the event ends.
#[derive(Default)]
struct RedactedStderr(Vec<u8>);

impl Write for RedactedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RedactedStderr {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let text = redacted(&String::from_utf8_lossy(&self.0));
            // A closed stderr leaves nobody to tell.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}
