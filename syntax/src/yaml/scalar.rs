//! What a plain scalar means in YAML 1.1, as go-yaml v2 reads it.

use std::borrow::Cow;

use super::Scalar;

/// Reads a plain scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => number(text).unwrap_or_else(|| Scalar::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Scalar> {
    let first = text.bytes().next()?;
    if first == b'.' {
        // Go's ParseFloat takes an underscore between two digits.
        let between = |at: usize| {
            let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
            digit(text.as_bytes().get(at - 1)) && digit(text.as_bytes().get(at + 1))
        };
        let separated = text.match_indices('_').all(|(at, _)| between(at));
        return separated
            .then(|| float(&text.replace('_', "")))?
            .map(Scalar::Float);
    }
    if !matches!(first, b'+' | b'-' | b'0'..=b'9') || is_timestamp(text) {
        return None;
    }
    let plain: Cow<'_, str> = if text.contains('_') {
        text.replace('_', "").into()
    } else {
        text.into()
    };
    integer(&plain).or_else(|| float(&plain).map(Scalar::Float))
}

/// `strconv.ParseInt(text, 0, 64)`, else `ParseUint`: the prefixes `0x`, `0o`, `0b` and a lone `0` for octal.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int);
    }
    match i64::try_from(magnitude) {
        Ok(integer) => Some(Scalar::Int(integer)),
        Err(_) if !signed => Some(Scalar::Uint(magnitude)),
        Err(_) => None,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, within the range of a double.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    let exponent_fits = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        digits(text) && !text.is_empty()
    });
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

/// Whether go-yaml v2 takes a plain scalar for a timestamp: it then stays a string, and is quoted when
/// written. The formats are `2006-1-2`, `2006-1-2 15:4:5.999999999` and RFC 3339 with short fields.
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else {
        return false;
    };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let (date, time) = match rest.find(['T', 't', ' ']) {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let Some((month, day)) = date.split_once('-') else {
        return false;
    };
    let (Some(month), Some(day)) = (short_number(month, 12), short_number(day, 31)) else {
        return false;
    };
    let leap = year.parse().is_ok_and(|year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    });
    let last_day = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if month == 0 || day == 0 || day > last_day {
        return false;
    }
    match time {
        None => true,
        Some(time) if time.starts_with(' ') => is_clock(&time[1..]),
        Some(time) => {
            let time = &time[1..];
            if let Some(clock) = time.strip_suffix('Z') {
                return is_clock(clock);
            }
            let Some(at) = time.rfind(['+', '-']) else {
                return false;
            };
            let zone = time[at + 1..].split_once(':');
            let zone_fits = zone.is_some_and(|(hours, minutes)| {
                hours.len() == 2
                    && minutes.len() == 2
                    && short_number(hours, 24).is_some()
                    && short_number(minutes, 60).is_some()
            });
            zone_fits && is_clock(&time[..at])
        }
    }
}

/// `15:4:5` with an optional fraction; the hour has two digits at most, as the others.
fn is_clock(text: &str) -> bool {
    let mut fields = text.splitn(3, ':');
    let (Some(hours), Some(minutes), Some(seconds)) = (fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let seconds = match seconds.split_once(['.', ',']) {
        Some((whole, fraction)) => {
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            whole
        }
        None => seconds,
    };
    short_number(hours, 23).is_some()
        && short_number(minutes, 59).is_some()
        && short_number(seconds, 59).is_some()
}

/// One or two digits, `max` at most.
fn short_number(text: &str, max: u32) -> Option<u32> {
    if !(1..=2).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= max)
}

/// A double as Go's `strconv.FormatFloat(f, 'g', -1, 64)` prints it, and go-yaml v2 with it.
pub(super) fn format_float(float: f64) -> String {
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let shortest = format!("{float:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => float.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_their_yaml_1_1_meaning() {
        for (text, scalar) in [
            ("yes", Scalar::Bool(true)),
            ("y", Scalar::Bool(true)),
            ("OFF", Scalar::Bool(false)),
            ("yEs", Scalar::String("yEs".into())),
            ("~", Scalar::Null),
            ("", Scalar::Null),
            ("010", Scalar::Int(8)),
            ("08", Scalar::Float(8.0)),
            ("0o17", Scalar::Int(15)),
            ("0x1F", Scalar::Int(31)),
            ("-0b11", Scalar::Int(-3)),
            ("+1", Scalar::Int(1)),
            ("1_000", Scalar::Int(1000)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("5.", Scalar::Float(5.0)),
            ("1e400", Scalar::String("1e400".into())),
            ("18446744073709551615", Scalar::Uint(u64::MAX)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("99999999999999999999", Scalar::Float(1e20)),
            ("12:30:45", Scalar::String("12:30:45".into())),
            ("2001-01-01", Scalar::String("2001-01-01".into())),
            ("1.26.x", Scalar::String("1.26.x".into())),
            ("-", Scalar::String("-".into())),
            ("0x", Scalar::String("0x".into())),
            ("-.INF", Scalar::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(resolve(text), scalar, "{text}");
        }
    }

    #[test]
    fn timestamps_are_known() {
        for (text, timestamp) in [
            ("2001-1-1", true),
            ("2001-12-14t21:59:43.10-05:00", true),
            ("2001-12-14 21:59:43", true),
            ("2000-02-29", true),
            ("2001-02-29", false),
            ("2001-13-01", false),
            ("2001-12-14T21:59:43", false),
            ("01-01-01", false),
        ] {
            assert_eq!(is_timestamp(text), timestamp, "{text}");
        }
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        for (float, text) in [
            (1.0, "1"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789.5, "1.234567895e+08"),
            (-0.0, "-0"),
            (f64::INFINITY, ".inf"),
        ] {
            assert_eq!(format_float(float), text);
        }
    }
}
