//! Go's `fmt`: `%v` of every value, floats as `strconv` writes them, and `Sprintf` with its complaints.

use std::fmt::Write as _;

use crate::quote::{is_print, quote, quote_ascii, quote_char};

use super::value::{MAX_DEPTH, Value};

/// From this power of ten on, the shortest form has an exponent.
const SHORTEST_LIMIT: usize = 6;

/// A number with the fewest digits that give it back, `%v`: `1.5`, `1e+06`.
pub(super) fn float(value: f64) -> String {
    general(value, None, 'e')
}

/// `%e`, `%f` or `%g` with a precision, the shortest without one.
fn float_with(value: f64, verb: char, precision: Option<usize>) -> String {
    if let Some(text) = not_finite(value) {
        return text.into();
    }
    let exponent_letter = if verb.is_ascii_uppercase() { 'E' } else { 'e' };
    match (verb.to_ascii_lowercase(), precision) {
        ('f', Some(precision)) => format!("{value:.precision$}"),
        ('f', None) => format!("{value}"),
        ('e', Some(precision)) => exponent(&format!("{value:.precision$e}"), exponent_letter),
        ('e', None) => exponent(&format!("{value:e}"), exponent_letter),
        (_, precision) => general(value, precision, exponent_letter),
    }
}

fn not_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// Turns Rust's `1.5e7` into Go's `1.5e+07`.
fn exponent(text: &str, letter: char) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}{letter}{sign}{power:0>2}")
}

/// `%g`: an exponent below -4 or beyond the precision is written with `e`.
fn general(value: f64, precision: Option<usize>, letter: char) -> String {
    if let Some(text) = not_finite(value) {
        return text.into();
    }
    let scientific = match precision {
        None => format!("{value:e}"),
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
    };
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let digits = match precision {
        Some(_) if digits.contains('.') => digits.trim_end_matches('0').trim_end_matches('.'),
        _ => digits,
    };
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let limit = match precision {
        None => SHORTEST_LIMIT,
        Some(precision) => {
            let precision = precision.max(1);
            // Digits that are there are shown rather than an exponent.
            let whole = usize::try_from(power + 1).unwrap_or(0);
            if precision > count && count >= whole {
                count
            } else {
                precision
            }
        }
    };
    if power < -4 || power >= i32::try_from(limit).unwrap_or(i32::MAX) {
        return exponent(&format!("{digits}e{power}"), letter);
    }
    let decimals = i32::try_from(count).unwrap_or(0) - 1 - power;
    format!("{value:.*}", usize::try_from(decimals).unwrap_or(0))
}

/// A value as `%v` prints it.
pub(super) fn print(value: &Value<'_>) -> String {
    let mut printed = String::new();
    Verb::new('v').write(&mut printed, value, 0);
    printed
}

/// What an action prints: `%v`, but for no value at all.
pub(super) fn print_action(value: &Value<'_>) -> String {
    match value {
        Value::Missing => "<no value>".into(),
        value => print(value),
    }
}

/// `fmt.Sprint`: a blank between two operands of which neither is a text.
pub(super) fn sprint(values: &[Value<'_>]) -> String {
    let mut printed = String::new();
    for (index, value) in values.iter().enumerate() {
        let text = |value: &Value<'_>| matches!(value, Value::Text(_));
        if index > 0 && !text(value) && !text(&values[index - 1]) {
            printed.push(' ');
        }
        printed.push_str(&print(value));
    }
    printed
}

/// `fmt.Sprintln`.
pub(super) fn sprintln(values: &[Value<'_>]) -> String {
    let values: Vec<String> = values.iter().map(print).collect();
    values.join(" ") + "\n"
}

/// A verb with its flags.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the five flags of fmt"
)]
pub(super) struct Verb {
    pub(super) letter: char,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Verb {
    pub(super) fn new(letter: char) -> Verb {
        Verb {
            letter,
            minus: false,
            plus: false,
            sharp: false,
            space: false,
            zero: false,
            width: None,
            precision: None,
        }
    }

    pub(super) fn write(&self, out: &mut String, value: &Value<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            out.push('…');
            return;
        }
        if self.letter == 'T' {
            self.pad(out, &value.type_name());
            return;
        }
        match value {
            Value::Missing | Value::Nil if self.letter == 'v' => self.pad(out, "<nil>"),
            Value::Missing | Value::Nil => {
                let _ = write!(out, "%!{}(<nil>)", self.letter);
            }
            Value::Bool(value) if matches!(self.letter, 'v' | 't') => {
                self.pad(out, if *value { "true" } else { "false" });
            }
            Value::Int(number) | Value::Int64(number) => {
                self.integer(out, value, i128::from(*number));
            }
            Value::Byte(number) => self.integer(out, value, i128::from(*number)),
            Value::Float(number) => self.float(out, value, *number),
            Value::Text(text) => self.text(out, value, text),
            Value::Time(time) => self.text(out, value, &super::dates::print(*time)),
            Value::Made(made) => self.text(out, value, &made.printed),
            Value::List(_) | Value::Map(_) | Value::Document(_) => {
                self.container(out, value, depth);
            }
            Value::Bool(_) => self.bad(out, value),
        }
    }

    fn container(&self, out: &mut String, value: &Value<'_>, depth: usize) {
        let go_syntax = self.letter == 'v' && self.sharp;
        let separator = if go_syntax { ", " } else { " " };
        if go_syntax {
            out.push_str(&value.type_name());
        }
        if let Some(items) = value.items() {
            out.push_str(if go_syntax { "{" } else { "[" });
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { separator });
                self.write(out, item, depth + 1);
            }
            out.push_str(if go_syntax { "}" } else { "]" });
            return;
        }
        let structure = value.kind_name() == "struct";
        if !go_syntax && !structure {
            out.push_str("map");
        }
        out.push_str(match (go_syntax, structure) {
            (true, _) | (_, true) => "{",
            _ => "[",
        });
        for (index, (key, member)) in value.members().unwrap_or_default().iter().enumerate() {
            out.push_str(if index == 0 { "" } else { separator });
            if !structure || self.plus || go_syntax {
                self.write(out, &Value::Text(key.clone()), depth + 1);
                out.push(':');
            }
            self.write(out, member, depth + 1);
        }
        out.push_str(if go_syntax || structure { "}" } else { "]" });
    }

    fn bad(&self, out: &mut String, value: &Value<'_>) {
        let _ = write!(out, "%!{}({}=", self.letter, value.type_name());
        Verb::new('v').write(out, value, 0);
        out.push(')');
    }

    fn integer(&self, out: &mut String, value: &Value<'_>, number: i128) {
        let size = number.unsigned_abs();
        let (prefix, digits) = match self.letter {
            'v' | 'd' => ("", size.to_string()),
            'b' => (if self.sharp { "0b" } else { "" }, format!("{size:b}")),
            'o' => (if self.sharp { "0" } else { "" }, format!("{size:o}")),
            'O' => ("0o", format!("{size:o}")),
            'x' => (if self.sharp { "0x" } else { "" }, format!("{size:x}")),
            'X' => (if self.sharp { "0X" } else { "" }, format!("{size:X}")),
            'U' => ("U+", format!("{size:04X}")),
            'c' | 'q' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32);
                let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                let text = if self.letter == 'c' {
                    c.to_string()
                } else {
                    quote_char(c)
                };
                self.pad(out, &text);
                return;
            }
            _ => return self.bad(out, value),
        };
        let digits = match self.precision {
            Some(0) if number == 0 => String::new(),
            Some(precision) => format!("{digits:0>precision$}"),
            None => digits,
        };
        let sign = self.sign(number < 0);
        self.pad_number(
            out,
            &format!("{sign}{prefix}"),
            &digits,
            self.precision.is_none(),
        );
    }

    fn sign(&self, negative: bool) -> &'static str {
        // With %v a plus asks for field names.
        match (negative, self.plus && self.letter != 'v', self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn float(&self, out: &mut String, value: &Value<'_>, number: f64) {
        let text = match self.letter {
            'v' | 'g' | 'G' => {
                let letter = if self.letter == 'G' { 'G' } else { 'g' };
                float_with(number, letter, self.precision)
            }
            'e' | 'E' | 'f' | 'F' => {
                float_with(number, self.letter, Some(self.precision.unwrap_or(6)))
            }
            _ => return self.bad(out, value),
        };
        let digits = text.trim_start_matches(['-', '+']);
        let sign = self.sign(text.starts_with('-'));
        let sign = if text.starts_with('+') && sign.is_empty() {
            "+"
        } else {
            sign
        };
        self.pad_number(out, sign, digits, number.is_finite());
    }

    fn text(&self, out: &mut String, value: &Value<'_>, text: &str) {
        let cut: String = match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        match self.letter {
            'v' if self.sharp => self.pad(out, &quote(&cut)),
            'v' | 's' => self.pad(out, &cut),
            'q' if self.sharp && can_backquote(&cut) => self.pad(out, &format!("`{cut}`")),
            'q' if self.plus => self.pad(out, &quote_ascii(&cut)),
            'q' => self.pad(out, &quote(&cut)),
            'x' | 'X' => self.hexadecimal(out, text),
            _ => self.bad(out, value),
        }
    }

    fn hexadecimal(&self, out: &mut String, text: &str) {
        let upper = self.letter == 'X';
        let prefix = match (self.sharp, upper) {
            (true, true) => "0X",
            (true, false) => "0x",
            _ => "",
        };
        let length = self.precision.unwrap_or(text.len()).min(text.len());
        let bytes = text.as_bytes()[..length].iter().map(|byte| {
            if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            }
        });
        let bytes: Vec<String> = bytes.collect();
        let joined = if self.space {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{prefix}{byte}")).collect();
            bytes.join(" ")
        } else if bytes.is_empty() {
            String::new()
        } else {
            format!("{prefix}{}", bytes.concat())
        };
        self.pad(out, &joined);
    }

    fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        // fmt pads texts with zeros, too.
        let fill = if self.zero && !self.minus { '0' } else { ' ' };
        if self.minus {
            out.push_str(text);
        }
        out.extend(std::iter::repeat_n(fill, missing));
        if !self.minus {
            out.push_str(text);
        }
    }

    /// Pads with zeros between sign and digits, or with blanks around both.
    fn pad_number(&self, out: &mut String, sign: &str, digits: &str, zeros: bool) {
        let length = sign.len() + digits.len();
        if self.zero && !self.minus && zeros {
            let missing = self.width.unwrap_or(0).saturating_sub(length);
            let _ = write!(out, "{sign}{}{digits}", "0".repeat(missing));
            return;
        }
        let blanks = Verb {
            zero: false,
            ..*self
        };
        blanks.pad(out, &format!("{sign}{digits}"));
    }
}

fn can_backquote(text: &str) -> bool {
    text.chars()
        .all(|c| c == '\t' || (c != '`' && c != '\u{feff}' && is_print(c)))
}
