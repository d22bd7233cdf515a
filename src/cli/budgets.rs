//! The flags that bound a run: the bundle, each collector, each log.

use anyhow::{Context as _, anyhow};
use checks::budget::{Budget, LogBudget};

use super::load;

/// The least bundle that is worth asking for: version, manifest, discovery, index.
const LEAST: u64 = 1 << 20;

/// How much may be collected. Sizes are Kubernetes quantities.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Budgets")]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub(super) struct Budgets {
    /// Longest bundle, as 50Mi; what does not fit is left out, logs of healthy pods first
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// Most bytes that one collector writes, before compression, as 20Mi
    #[arg(long, value_name = "SIZE")]
    max_collector_bytes: Option<String>,
    /// Longest time for one collector, as 2m
    #[arg(long, value_name = "DURATION")]
    max_collector_time: Option<String>,
    /// Most bytes of one log, as 1Mi; of a longer one the beginning and the newest are kept
    #[arg(long, value_name = "SIZE")]
    max_log_bytes: Option<String>,
    /// Most lines of one log, the newest
    #[arg(long, value_name = "N")]
    max_log_lines: Option<u64>,
    /// Longest time for reading one log, as 30s
    #[arg(long, value_name = "DURATION")]
    max_log_time: Option<String>,
}

/// The same, read. By default as troubleshoot has it: no limits, and of logs over a spec's `maxBytes` the oldest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) bundle_bytes: Option<u64>,
    pub(super) collector: Budget,
    pub(super) log: LogBudget,
}

impl Budgets {
    /// Reads the flags.
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let size = |flag: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| bytes(text).with_context(|| format!("{flag} {text:?}")))
                .transpose()
        };
        let time = |flag: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| load::duration(flag, text)).transpose()
        };
        let bundle_bytes = size("--max-size", &self.max_size)?;
        if let Some(bytes) = bundle_bytes.filter(|bytes| *bytes < LEAST) {
            return Err(anyhow!(
                "--max-size: {bytes} bytes hold no bundle; 1Mi is the least"
            ));
        }
        Ok(Limits {
            bundle_bytes,
            collector: Budget {
                bytes: size("--max-collector-bytes", &self.max_collector_bytes)?,
                time: time("--max-collector-time", &self.max_collector_time)?,
            },
            log: LogBudget {
                bytes: size("--max-log-bytes", &self.max_log_bytes)?,
                lines: self.max_log_lines,
                time: time("--max-log-time", &self.max_log_time)?,
                newest: true,
            },
        })
    }
}

fn bytes(text: &str) -> anyhow::Result<u64> {
    checks::budget::bytes(text).map_err(|reason| anyhow!(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_or_named() {
        let read = Budgets {
            max_size: Some("50Mi".into()),
            max_log_bytes: Some("1MB".into()),
            max_log_time: Some("1m30s".into()),
            ..Budgets::default()
        };
        let limits = read.limits().expect("flags that are right");
        assert_eq!(limits.bundle_bytes, Some(50 << 20));
        assert_eq!(limits.log.bytes, Some(1_000_000));
        assert_eq!(limits.log.time.map(|time| time.as_secs()), Some(90));
        assert!(limits.log.newest && limits.collector == Budget::default());
        for (size, said) in [
            ("50 apples", "--max-size \"50 apples\""),
            ("10Ki", "1Mi is the least"),
        ] {
            let flags = Budgets {
                max_size: Some(size.into()),
                ..Budgets::default()
            };
            let error = format!("{:#}", flags.limits().expect_err("flags that are wrong"));
            assert!(error.contains(said), "{error}");
        }
    }
}
