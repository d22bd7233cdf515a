//! `fmt.Sprintf`, with its complaints.

use std::fmt::Write as _;

use super::format::{Verb, print};
use super::value::Value;

/// The largest width or precision that `fmt` takes.
const MAX_WIDTH: usize = 1_000_000;

/// The arguments of `Sprintf` and how far they are used.
struct Arguments<'a, 'd> {
    values: &'a [Value<'d>],
    next: usize,
    /// An explicit index (`%[1]d`) was used: then no argument counts as left over.
    reordered: bool,
    /// An explicit index made no sense.
    bad_index: bool,
}

impl<'a, 'd> Arguments<'a, 'd> {
    fn take(&mut self) -> Option<&'a Value<'d>> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some(value)
    }

    /// Reads `[n]`, where it stands.
    fn index(&mut self, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
        if rest.next_if_eq(&'[').is_none() {
            return false;
        }
        self.reordered = true;
        let mut digits = String::new();
        let mut closed = false;
        for c in rest.by_ref() {
            if c == ']' {
                closed = true;
                break;
            }
            digits.push(c);
        }
        let index = digits.parse::<usize>().ok().filter(|_| closed);
        match index
            .and_then(|index| index.checked_sub(1))
            .filter(|index| *index < self.values.len())
        {
            Some(index) => self.next = index,
            None => self.bad_index = true,
        }
        true
    }

    /// Reads a number or a `*` for width or precision.
    fn number(&mut self, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Size {
        if rest.next_if_eq(&'*').is_some() {
            return match self.take() {
                Some(Value::Int(value) | Value::Int64(value)) => Size::of(*value),
                Some(Value::Byte(value)) => Size::of(i64::from(*value)),
                _ => Size::Bad,
            };
        }
        let mut digits = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().map_or(Size::None, Size::of)
    }
}

/// A width or a precision.
enum Size {
    None,
    Known(i64),
    Bad,
}

impl Size {
    fn of(value: i64) -> Size {
        match usize::try_from(value.unsigned_abs()) {
            Ok(size) if size <= MAX_WIDTH => Size::Known(value),
            _ => Size::Bad,
        }
    }
}

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, values: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut arguments = Arguments {
        values,
        next: 0,
        reordered: false,
        bad_index: false,
    };
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        arguments.bad_index = false;
        let mut verb = Verb::new('%');
        while let Some(flag) = rest.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        let mut indexed = arguments.index(&mut rest);
        match arguments.number(&mut rest) {
            Size::Known(width) => {
                verb.minus |= width < 0;
                verb.width = usize::try_from(width.unsigned_abs()).ok();
                indexed = false;
            }
            Size::Bad => out.push_str("%!(BADWIDTH)"),
            Size::None => {}
        }
        if rest.next_if_eq(&'.').is_some() {
            if indexed {
                arguments.bad_index = true;
            }
            indexed = arguments.index(&mut rest);
            match arguments.number(&mut rest) {
                Size::Known(precision) if precision >= 0 => {
                    verb.precision = usize::try_from(precision).ok();
                    indexed = false;
                }
                Size::Known(_) | Size::Bad => out.push_str("%!(BADPREC)"),
                Size::None => verb.precision = Some(0),
            }
        }
        if !indexed {
            arguments.index(&mut rest);
        }
        let Some(letter) = rest.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        verb.letter = letter;
        if letter == '%' {
            out.push('%');
        } else if arguments.bad_index {
            let _ = write!(out, "%!{letter}(BADINDEX)");
        } else if let Some(value) = arguments.take() {
            verb.write(&mut out, value, 0);
        } else {
            let _ = write!(out, "%!{letter}(MISSING)");
        }
    }
    if !arguments.reordered && arguments.next < values.len() {
        let extra = values[arguments.next..].iter().map(|value| match value {
            Value::Missing | Value::Nil => "<nil>".into(),
            value => format!("{}={}", value.type_name(), print(value)),
        });
        let extra: Vec<String> = extra.collect();
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}
