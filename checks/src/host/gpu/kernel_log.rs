//! The kernel log: XIDs, and what else the drivers of accelerators say.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bundle::collected::gpu::{KernelLog, Xid};
use jiff::Timestamp;
use rustix::fs::OFlags;

use super::value;
use crate::host::Host;
use crate::host::program::{Ended, Program};

const KMSG: &str = "/dev/kmsg";

/// The largest ring that a kernel can have is smaller.
const MOST_BYTES: usize = 64 << 20;

/// A record of `/dev/kmsg` is refused where the buffer is smaller than it; the kernel makes none larger than 8 KiB.
const RECORD: usize = 16 << 10;

/// Kinds of XID, and messages, that are kept.
const MOST_XIDS: usize = 256;
const MOST_MESSAGES: usize = 40;
const LONGEST_MESSAGE: usize = 400;

/// Places where `dmesg` may lie.
const DMESG: &[&str] = &[
    "/usr/bin/dmesg",
    "/bin/dmesg",
    "/run/current-system/sw/bin/dmesg",
];

/// Beginnings of messages of accelerators' drivers.
const DRIVERS: &[&str] = &[
    "NVRM:",
    "nvidia",
    "nouveau ",
    "amdgpu ",
    "habanalabs ",
    "xe ",
];

/// Reads the log from `/dev/kmsg`; where that is refused or not there, `dmesg` is asked.
pub(super) async fn read(host: &Host, deadline: Duration) -> KernelLog {
    let root = host.root.clone();
    let asked = tokio::task::spawn_blocking(move || kmsg(&root, deadline));
    // A little longer than what it allows itself.
    let refused = match tokio::time::timeout(deadline + Duration::from_secs(1), asked).await {
        Ok(Ok(Ok(log))) => return log,
        Ok(Ok(Err(reason))) => reason,
        Ok(Err(_)) => "reading it panicked".to_owned(),
        Err(_) => format!("no answer within {} s", deadline.as_secs()),
    };
    let refused = format!("{KMSG}: {refused}");
    let Some(path) = DMESG
        .iter()
        .find(|path| host.root.join(path.trim_start_matches('/')).is_file())
    else {
        return unread(refused);
    };
    let program = Program {
        root: &host.root,
        path,
        arguments: &[],
        libraries: None,
        deadline,
    };
    match program.run(host.confined).await {
        Ended::Exited {
            code: Some(0),
            stdout,
            ..
        } => {
            let mut seen = Seen::of(&host.root);
            let text = String::from_utf8_lossy(&stdout);
            text.lines().for_each(|line| seen.dmesg(line));
            seen.finish("dmesg")
        }
        Ended::Exited { stderr, .. } => {
            let said = stderr.lines().next().unwrap_or_default().trim();
            let said = said.strip_prefix("dmesg: ").unwrap_or(said);
            unread(format!("{refused}; dmesg: {said}"))
        }
        Ended::TimedOut => unread(format!("{refused}; dmesg did not end")),
        Ended::NotRun(reason) => unread(format!("{refused}; dmesg {reason}")),
    }
}

fn unread(reason: String) -> KernelLog {
    KernelLog {
        reason,
        ..KernelLog::default()
    }
}

fn kmsg(root: &Path, deadline: Duration) -> Result<KernelLog, String> {
    let started = Instant::now();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default())
        .open(root.join("dev/kmsg"))
        .map_err(|error| error.to_string())?;
    let mut seen = Seen::of(root);
    let mut buffer = vec![0; RECORD];
    let mut line = Vec::new();
    let mut bytes = 0;
    loop {
        if started.elapsed() > deadline || bytes > MOST_BYTES {
            seen.is_complete = false;
            break;
        }
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                bytes += read;
                for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                    line.extend_from_slice(piece);
                    if line.ends_with(b"\n") || line.len() > RECORD {
                        seen.record(&String::from_utf8_lossy(&line));
                        line.clear();
                    }
                }
            }
            // Overwritten while we read: the next read goes on behind the hole.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {
                seen.is_complete = false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(seen.finish(KMSG))
}

/// What was seen so far.
struct Seen {
    /// Seconds since 1970.
    boot: Option<i64>,
    is_first: bool,
    is_complete: bool,
    xids: BTreeMap<(bool, u32, String), Xid>,
    messages: VecDeque<String>,
}

impl Seen {
    fn of(root: &Path) -> Self {
        let stat = value(&root.join("proc/stat"));
        let boot = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .and_then(|seconds| seconds.trim().parse().ok());
        Self {
            boot,
            is_first: true,
            is_complete: true,
            xids: BTreeMap::new(),
            messages: VecDeque::new(),
        }
    }

    /// `level,sequence,microseconds,flags;text`; lines that begin with a blank say more of the one before.
    fn record(&mut self, line: &str) {
        let Some((head, text)) = line.trim_end().split_once(';') else {
            return;
        };
        if line.starts_with(' ') {
            return;
        }
        let mut fields = head.split(',').skip(1);
        let sequence = fields.next();
        let microseconds = fields.next().and_then(|field| field.parse().ok());
        if self.is_first {
            self.is_complete &= sequence == Some("0");
            self.is_first = false;
        }
        self.message(microseconds, text);
    }

    /// `[   12.345678] text`
    fn dmesg(&mut self, line: &str) {
        let (time, text) = match line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
        {
            Some((time, text)) => (time.trim().parse::<f64>().ok(), text),
            None => (None, line),
        };
        if self.is_first {
            self.is_complete &= time.is_some_and(|seconds| seconds < 1.0);
            self.is_first = false;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as saturates; nobody's uptime does"
        )]
        let microseconds = time.map(|seconds| (seconds * 1e6) as i64);
        self.message(microseconds, text);
    }

    fn message(&mut self, microseconds: Option<i64>, text: &str) {
        if let Some((is_switch, device, code)) = xid(text) {
            let key = (is_switch, code, device.to_owned());
            if self.xids.len() >= MOST_XIDS && !self.xids.contains_key(&key) {
                return;
            }
            let last = self.time(microseconds);
            let xid = self.xids.entry(key).or_insert_with(|| Xid {
                switch: is_switch,
                code,
                device: device.to_owned(),
                ..Xid::default()
            });
            xid.count += 1;
            xid.last = last;
            xid.text = cut(text);
            return;
        }
        let is_of_driver = DRIVERS.iter().any(|begin| text.starts_with(begin));
        if is_of_driver && !text.contains("Serial Number") {
            if self.messages.len() == MOST_MESSAGES {
                self.messages.pop_front();
            }
            self.messages.push_back(cut(text));
        }
    }

    fn time(&self, microseconds: Option<i64>) -> String {
        let time = || {
            let boot = Timestamp::from_second(self.boot?).ok()?;
            let time = boot
                .checked_add(jiff::SignedDuration::from_micros(microseconds?))
                .ok()?;
            Timestamp::from_second(time.as_second()).ok()
        };
        time().map_or_else(String::new, |time| time.to_string())
    }

    fn finish(self, source: &str) -> KernelLog {
        KernelLog {
            source: source.to_owned(),
            reason: String::new(),
            // An empty log tells of nothing.
            complete: self.is_complete && !self.is_first,
            xids: self.xids.into_values().collect(),
            messages: self.messages.into(),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}

/// Whether it is a switch's, the device and the number of `NVRM: Xid (PCI:0000:3b:00): 79, …` and of
/// `nvidia-nvswitch3: SXid (PCI:0000:c3:00.0): 20034, Fatal, …`.
fn xid(text: &str) -> Option<(bool, &str, u32)> {
    let (before, rest) = text.split_once("Xid (")?;
    let (device, rest) = rest.split_once(')')?;
    let code = rest.trim_start_matches([':', ' ']);
    let end = code.find(|c: char| !c.is_ascii_digit());
    let code = code[..end.unwrap_or(code.len())].parse().ok()?;
    Some((before.ends_with('S'), device, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xids_of_every_form() {
        for (text, expected) in [
            (
                "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
                Some((false, "PCI:0000:3b:00", 79)),
            ),
            (
                "NVRM: Xid (0000:01:00): 31, Ch 0000000b, engmask 00000120, intr 10000000",
                Some((false, "0000:01:00", 31)),
            ),
            (
                "NVRM: Xid (PCI:0000:0b:00 GPU-I:05): 43, pid=7194, name=python3, Ch 00000010",
                Some((false, "PCI:0000:0b:00 GPU-I:05", 43)),
            ),
            (
                "nvidia-nvswitch3: SXid (PCI:0000:c3:00.0): 20034, Fatal, Link 40 LTSSM Fault Up",
                Some((true, "PCI:0000:c3:00.0", 20034)),
            ),
            ("NVRM: GPU at PCI:0000:3b:00: GPU-1", None),
            ("NVRM: Xid (PCI:0000:3b:00): none", None),
            ("NVRM: Xid (PCI:0000:3b:00", None),
        ] {
            assert_eq!(xid(text), expected, "{text}");
        }
    }

    fn seen(boot: Option<i64>) -> Seen {
        Seen {
            boot,
            ..Seen::of(Path::new("/nonexistent"))
        }
    }

    #[test]
    fn counted_by_number_and_device_with_the_last_time() {
        let mut seen = seen(Some(1_700_000_000));
        for line in [
            "6,0,0,-;Linux version 6.8\n",
            "4,900,60000000,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=1, name=a\n",
            " SUBSYSTEM=pci\n",
            "4,901,61000000,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=2, name=b\n",
            "4,902,62000000,-;NVRM: Xid (PCI:0000:5e:00): 79, GPU has fallen off the bus.\n",
            "4,903,62000001,-;NVRM: GPU Board Serial Number: 0324018000000\n",
            "4,904,62000002,-;NVRM: A GPU crash dump has been created.\n",
        ] {
            seen.record(line);
        }
        let log = seen.finish(KMSG);
        let xids: Vec<_> = log
            .xids
            .iter()
            .map(|xid| (xid.code, xid.count, xid.last.as_str()))
            .collect();
        assert_eq!(
            xids,
            [
                (31, 2, "2023-11-14T22:14:21Z"),
                (79, 1, "2023-11-14T22:14:22Z")
            ]
        );
        assert_eq!(log.messages, ["NVRM: A GPU crash dump has been created."]);
        assert!(log.complete);
    }

    #[test]
    fn a_ring_that_went_round_is_not_complete() {
        let mut ring = seen(None);
        ring.record("6,4711,90000000,-;NVRM: Xid (PCI:0000:3b:00): 13, x\n");
        let log = ring.finish(KMSG);
        assert!(!log.complete);
        assert_eq!(log.xids[0].last, "");
        let mut dmesg = seen(Some(0));
        dmesg.dmesg("[    0.000000] Linux version");
        dmesg.dmesg("[   90.500000] NVRM: Xid (PCI:0000:3b:00): 48, DBE");
        let log = dmesg.finish("dmesg");
        assert!(log.complete);
        assert_eq!(log.xids[0].last, "1970-01-01T00:01:30Z");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut seen = seen(None);
        for code in 0..10_000 {
            seen.message(None, &format!("NVRM: Xid (PCI:0000:3b:00): {code}, x"));
            seen.message(None, &format!("NVRM: {code} {}", "x".repeat(2000)));
        }
        let log = seen.finish(KMSG);
        assert_eq!(log.xids.len(), MOST_XIDS);
        assert_eq!(log.messages.len(), MOST_MESSAGES);
        assert!(log.messages[0].starts_with("NVRM: 9960 "));
        assert!(
            log.messages
                .iter()
                .all(|text| text.len() <= LONGEST_MESSAGE)
        );
    }
}
