//! sprig: base64, base32, checksums and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256, Sha512};

use super::dates;
use super::functions::{Function, Kind, Work, row, text};
use super::value::{ANY, MAX_DEPTH, Value};

use Kind::{Any, Text};

type Called<'d> = Result<Value<'d>, String>;

/// Go does not look at the bits behind the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) const FUNCTIONS: &[Function] = &[
    row("adler32sum", &[Text], None, |_, args| {
        Ok(Value::text(adler32(text(&args[0]).as_bytes()).to_string()))
    }),
    row("b32dec", &[Text], None, |_, args| {
        Ok(decoded(base32_decode(text(&args[0]))))
    }),
    row("b32enc", &[Text], None, |_, args| {
        Ok(Value::text(base32(text(&args[0]).as_bytes())))
    }),
    row("b64dec", &[Text], None, |_, args| {
        let digits = text(&args[0]).replace(['\r', '\n'], "");
        let bytes = BASE64.decode(&digits).map_err(|error| match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => digits.len() / 4 * 4,
        });
        Ok(decoded(bytes.map_err(|at| {
            format!("illegal base64 data at input byte {at}")
        })))
    }),
    row("b64enc", &[Text], None, |_, args| {
        Ok(Value::text(BASE64.encode(text(&args[0]))))
    }),
    // What is no JSON is nothing here, and an error with `must`.
    row("fromJson", &[Text], None, |work, args| {
        Ok(from_json(work, text(&args[0])).unwrap_or(Value::Nil))
    }),
    row("mustFromJson", &[Text], None, |work, args| {
        from_json(work, text(&args[0]))
    }),
    row("mustToJson", &[Any], None, |work, args| {
        to_json(work, &args[0], Style::Compact)
    }),
    row("mustToPrettyJson", &[Any], None, |work, args| {
        to_json(work, &args[0], Style::Pretty)
    }),
    row("mustToRawJson", &[Any], None, |work, args| {
        to_json(work, &args[0], Style::Raw)
    }),
    row("sha1sum", &[Text], None, |_, args| {
        Ok(Value::text(hex::encode(sha1(text(&args[0]).as_bytes()))))
    }),
    row("sha256sum", &[Text], None, |_, args| {
        Ok(Value::text(hex::encode(Sha256::digest(text(&args[0])))))
    }),
    row("sha512sum", &[Text], None, |_, args| {
        Ok(Value::text(hex::encode(Sha512::digest(text(&args[0])))))
    }),
    row("toJson", &[Any], None, |work, args| {
        Ok(lenient_json(work, &args[0], Style::Compact))
    }),
    row("toPrettyJson", &[Any], None, |work, args| {
        Ok(lenient_json(work, &args[0], Style::Pretty))
    }),
    row("toRawJson", &[Any], None, |work, args| {
        to_json(work, &args[0], Style::Raw)
    }),
];

/// A decoding function gives its error as its result.
fn decoded<'d>(bytes: Result<Vec<u8>, String>) -> Value<'d> {
    match bytes {
        Ok(bytes) => Value::text(String::from_utf8_lossy(&bytes)),
        Err(message) => Value::text(message),
    }
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1, 0);
    for byte in bytes {
        low = (low + u32::from(*byte)) % MODULUS;
        high = (high + low) % MODULUS;
    }
    high << 16 | low
}

/// SHA-1 (RFC 3174), for `sha1sum` alone: nothing here rests on it.
fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0u32; 80];
        for (word, chunk) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = chunk
                .iter()
                .fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for at in 16..80 {
            let word = words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16];
            words[at] = word.rotate_left(1);
        }
        let mut round = state;
        for (at, word) in words.iter().enumerate() {
            let [first, b, c, d, last] = round;
            let (mix, key) = match at {
                0..20 => ((b & c) | (!b & d), 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6u32),
            };
            let next = [mix, last, key, *word]
                .into_iter()
                .fold(first.rotate_left(5), u32::wrapping_add);
            round = [next, first, b.rotate_left(30), c, d];
        }
        for (word, add) in state.iter_mut().zip(round) {
            *word = word.wrapping_add(add);
        }
    }
    let mut digest = [0; 20];
    for (chunk, word) in digest.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(bits);
        let digits = (group.len() * 8).div_ceil(5);
        for digit in 0..8 {
            let value = (bits >> (35 - digit * 5)) & 31;
            let letter = BASE32[usize::try_from(value).unwrap_or(0)];
            encoded.push(if digit < digits {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    encoded
}

fn base32_decode(encoded: &str) -> Result<Vec<u8>, String> {
    let encoded = encoded.replace(['\r', '\n'], "");
    let illegal = |at: usize| format!("illegal base32 data at input byte {at}");
    let mut decoded = Vec::with_capacity(encoded.len() / 8 * 5);
    let groups = encoded.len().div_ceil(8);
    for (index, group) in encoded.as_bytes().chunks(8).enumerate() {
        let digits = group.iter().position(|b| *b == b'=').unwrap_or(group.len());
        let last = index + 1 == groups;
        let padded = group.len() == 8 && group[digits..].iter().all(|b| *b == b'=');
        if !padded || (digits < 8 && !last) || matches!(digits, 0 | 1 | 3 | 6) {
            return Err(illegal(index * 8 + digits));
        }
        let mut bits = 0u64;
        for (at, letter) in group[..digits].iter().enumerate() {
            let value = BASE32.iter().position(|b| b == letter);
            let value = value.ok_or_else(|| illegal(index * 8 + at))?;
            bits |= u64::try_from(value).unwrap_or(0) << (35 - at * 5);
        }
        decoded.extend_from_slice(&bits.to_be_bytes()[3..3 + digits * 5 / 8]);
    }
    Ok(decoded)
}

fn from_json<'d>(work: &mut Work, text: &str) -> Called<'d> {
    work.spend(text.len())?;
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(owned(&json))
}

/// Turns JSON into values of its own, numbers into floats.
fn owned<'d>(json: &serde_json::Value) -> Value<'d> {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.iter().map(owned).collect()),
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(key, json)| (Rc::from(key.as_str()), owned(json)));
            Value::map(ANY, members.collect::<BTreeMap<_, _>>())
        }
    }
}

/// How Go's JSON encoder writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// One line, `<`, `>` and `&` escaped.
    Compact,
    /// Indented by two, escaped.
    Pretty,
    /// One line, not escaped.
    Raw,
}

/// What cannot be encoded gives an empty text.
fn lenient_json<'d>(work: &mut Work, value: &Value<'d>, style: Style) -> Value<'d> {
    to_json(work, value, style).unwrap_or_else(|_| Value::text(""))
}

fn to_json<'d>(work: &mut Work, value: &Value<'d>, style: Style) -> Called<'d> {
    let mut json = String::new();
    write_json(work, &mut json, value, style, 0)?;
    Ok(Value::text(json))
}

fn write_json(
    work: &mut Work,
    json: &mut String,
    value: &Value<'_>,
    style: Style,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("the value is nested deeper than {MAX_DEPTH}"));
    }
    work.spend(8)?;
    match value {
        Value::Missing | Value::Nil => json.push_str("null"),
        Value::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) | Value::Int64(number) => json.push_str(&number.to_string()),
        Value::Byte(number) => json.push_str(&number.to_string()),
        Value::Float(number) => json.push_str(&json_float(*number)?),
        Value::Text(text) => json_text(json, text, style),
        Value::Time(time) => json_text(json, &dates::rfc3339(*time), style),
        Value::Made(made) => json_text(json, &made.printed, style),
        Value::List(_) | Value::Map(_) | Value::Document(_) => {
            let (open, close, members): (_, _, Vec<_>) = match (value.items(), value.members()) {
                (Some(items), _) => (
                    '[',
                    ']',
                    items.into_iter().map(|item| (None, item)).collect(),
                ),
                (_, members) => {
                    let members = members.unwrap_or_default().into_iter();
                    (
                        '{',
                        '}',
                        members.map(|(key, member)| (Some(key), member)).collect(),
                    )
                }
            };
            json.push(open);
            let pretty = style == Style::Pretty && !members.is_empty();
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                if pretty {
                    let _ = write!(json, "\n{:width$}", "", width = 2 * (depth + 1));
                }
                if let Some(key) = key {
                    json_text(json, &key, style);
                    json.push_str(if pretty { ": " } else { ":" });
                }
                write_json(work, json, &member, style, depth + 1)?;
            }
            if pretty {
                let _ = write!(json, "\n{:width$}", "", width = 2 * depth);
            }
            json.push(close);
        }
    }
    Ok(())
}

fn json_float(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        return Err(format!(
            "json: unsupported value: {}",
            super::format::float(number)
        ));
    }
    let size = number.abs();
    if number == 0.0 || (1e-6..1e21).contains(&size) {
        return Ok(number.to_string());
    }
    let text = format!("{number:e}");
    Ok(if text.contains("e-") {
        text
    } else {
        text.replace('e', "e+")
    })
}

fn json_text(json: &mut String, text: &str, style: Style) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\x08' => json.push_str("\\b"),
            '\x0c' => json.push_str("\\f"),
            '<' | '>' | '&' if style == Style::Raw => json.push(c),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}
