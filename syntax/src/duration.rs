//! Durations as Go `time.ParseDuration` reads and `Duration.String` prints them.

use jiff::SignedDuration;

/// A text that `time.ParseDuration` refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: {reason}, write it like 1h30m, 10s or 500ms")]
pub struct DurationError {
    text: String,
    reason: String,
}

/// Nanoseconds in each unit.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration: a sign, then numbers with units from `ns` to `h` (`-1.5h`, `1h15m30.918ms`), or `0`.
/// The range is Go's: 290 years.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let refuse = |reason: String| DurationError {
        text: text.chars().take(40).collect(),
        reason,
    };
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(refuse("it is empty".to_owned()));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(refuse("a number is missing".to_owned()));
        }
        if unit.is_empty() {
            return Err(refuse("a unit is missing".to_owned()));
        }
        let Some(&(_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(refuse(format!("`{unit}` is no unit of time")));
        };
        total = nanoseconds(whole, fraction, scale)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= i64::MAX.unsigned_abs() + u64::from(negative))
            .ok_or_else(|| refuse("it is too long".to_owned()))?;
        rest = after;
    }
    let signed = if negative {
        0_i64.checked_sub_unsigned(total)
    } else {
        i64::try_from(total).ok()
    };
    signed
        .map(SignedDuration::from_nanos)
        .ok_or_else(|| refuse("it is too long".to_owned()))
}

fn nanoseconds(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole = match whole {
        "" => 0,
        digits => digits.parse::<u64>().ok()?.checked_mul(scale)?,
    };
    // What lies beyond the eighteenth digit is less than a nanosecond of any unit.
    let mut part = 0;
    let mut scale = u128::from(scale) * 1_000_000_000_000_000_000;
    for digit in fraction.bytes().take(18) {
        scale /= 10;
        part += scale * u128::from(digit - b'0');
    }
    let part = u64::try_from(part / 1_000_000_000_000_000_000).ok()?;
    whole.checked_add(part)
}

/// Prints a duration as Go does: `1h30m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn format(duration: SignedDuration) -> String {
    let nanoseconds = duration.as_nanos();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let (value, unit) = match magnitude {
        0 => return "0s".to_owned(),
        1..1_000 => (decimal(magnitude, 1), "ns"),
        1_000..1_000_000 => (decimal(magnitude, 1_000), "\u{b5}s"),
        1_000_000..1_000_000_000 => (decimal(magnitude, 1_000_000), "ms"),
        _ => {
            let seconds = decimal(magnitude % 60_000_000_000, 1_000_000_000);
            let minutes = magnitude / 60_000_000_000;
            let clock = match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            };
            (clock, "s")
        }
    };
    format!("{sign}{value}{unit}")
}

/// `value / scale`, without trailing zeros; `scale` is a power of ten.
fn decimal(value: u128, scale: u128) -> String {
    let whole = value / scale;
    let fraction = value % scale;
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        for (text, nanoseconds, printed) in [
            ("0", 0, "0s"),
            ("5s", 5_000_000_000, "5s"),
            ("+5s", 5_000_000_000, "5s"),
            ("-5.", 0, ""),
            ("5.s", 5_000_000_000, "5s"),
            (".5s", 500_000_000, "500ms"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1h15m30.918ms", 4_500_030_918_000, "1h15m0.030918s"),
            ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
            ("10ms", 10_000_000, "10ms"),
            ("1.1us", 1_100, "1.1\u{b5}s"),
            ("1\u{3bc}s", 1_000, "1\u{b5}s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("0.100000000000000000000h", 360_000_000_000, "6m0s"),
            (
                "0.830103483285477580700h",
                2_988_372_539_827,
                "49m48.372539827s",
            ),
            (
                "9223372036854775807ns",
                i64::MAX,
                "2562047h47m16.854775807s",
            ),
            (
                "-9223372036854775808ns",
                i64::MIN,
                "-2562047h47m16.854775808s",
            ),
        ] {
            if printed.is_empty() {
                assert!(parse(text).is_err(), "{text}");
                continue;
            }
            let duration = SignedDuration::from_nanos(nanoseconds);
            assert_eq!(parse(text), Ok(duration), "{text}");
            assert_eq!(format(duration), printed);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, reason) in [
            ("", "empty"),
            ("-", "empty"),
            ("10", "unit is missing"),
            ("1d", "`d` is no unit"),
            ("1h 30m", "no unit"),
            ("s", "number is missing"),
            (".s", "number is missing"),
            ("1.2.3s", "number is missing"),
            ("9223372036854775808ns", "too long"),
            ("3000000h", "too long"),
            ("TPL", "number is missing"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(nanoseconds: i64) {
            let duration = SignedDuration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9.hmsnu\u{b5}+ -]{0,40}") {
            let _ = parse(&text);
        }
    }
}
