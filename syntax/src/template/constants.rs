//! Numbers and characters as a template writes them.

use crate::quote::{quote, unquote};

use super::lexer::{Kind, Token};
use super::tree::Number;

/// Reads a number or a character.
pub(super) fn number(token: &Token<'_>) -> Result<Number, String> {
    let text = token.text.as_ref();
    let illegal = || format!("illegal number syntax: {}", quote(text));
    if token.kind == Kind::CharConstant {
        let inside = unquote(&text[1..text.len() - 1], '\'');
        let mut chars = inside.iter().flat_map(|inside| inside.chars());
        let (Some(c), None) = (chars.next(), chars.next()) else {
            return Err(format!("malformed character constant: {text}"));
        };
        let code = u32::from(c);
        return Ok(Number {
            int: Some(code.into()),
            float: code.into(),
            is_float: false,
        });
    }
    if let Some(value) = integer(text) {
        let Ok(int) = i64::try_from(value) else {
            return Err(format!("integer overflow: {}", quote(text)));
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "Go converts a constant likewise"
        )]
        let float = int as f64;
        return Ok(Number {
            int: Some(int),
            float,
            is_float: false,
        });
    }
    let digits = text.replace('_', "");
    let unsigned = digits.trim_start_matches(['+', '-']);
    let decimal = unsigned.bytes().all(|b| b.is_ascii_digit());
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return Err(illegal());
    }
    let float: f64 = digits.parse().map_err(|_| illegal())?;
    if decimal || !float.is_finite() {
        return Err(if decimal {
            format!("integer overflow: {}", quote(text))
        } else {
            illegal()
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "compared with the float afterwards"
    )]
    let whole = float as i64;
    #[expect(
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "asks whether it is whole"
    )]
    let int = Some(whole).filter(|whole| *whole as f64 == float && float.abs() < 9.2e18);
    Ok(Number {
        int,
        float,
        is_float: true,
    })
}

/// An integer of any base, with `_` between digits.
pub(super) fn integer(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', b'o' | b'O', ..] => (&unsigned[2..], 8),
        [b'0', b'b' | b'B', ..] => (&unsigned[2..], 2),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    let digits = digits.replace('_', "");
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) || digits.len() > 64 {
        return None;
    }
    let value = i128::from_str_radix(&digits, radix).ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}
