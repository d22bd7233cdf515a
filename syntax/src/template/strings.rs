//! sprig: texts. Positions and lengths are bytes, as in Go; a character that is cut through becomes U+FFFD.

use std::collections::BTreeMap;

use crate::quote::quote;

use super::format;
use super::functions::{Function, Kind, Work, int, row, text};
use super::value::{STRING, Value};

use Kind::{Any, Int, Text};

type Called<'d> = Result<Value<'d>, String>;

pub(super) const FUNCTIONS: &[Function] = &[
    row("abbrev", &[Int, Text], None, |_, args| {
        Ok(Value::text(abbreviate(text(&args[1]), 0, int(&args[0]))))
    }),
    row("abbrevboth", &[Int, Int, Text], None, |_, args| {
        let (left, right, whole) = (int(&args[0]), int(&args[1]), text(&args[2]));
        if left > 0 && right < 7 {
            return Ok(args[2].clone());
        }
        Ok(Value::text(abbreviate(whole, left, right)))
    }),
    row("camelcase", &[Text], None, |_, args| {
        Ok(Value::text(pascal_case(text(&args[0]))))
    }),
    row("cat", &[], Some(Any), |_, args| {
        let shown = args
            .iter()
            .filter(|value| !value.is_nil())
            .map(format::print);
        Ok(Value::text(shown.collect::<Vec<_>>().join(" ")))
    }),
    row("contains", &[Text, Text], None, |_, args| {
        Ok(Value::Bool(text(&args[1]).contains(text(&args[0]))))
    }),
    row("hasPrefix", &[Text, Text], None, |_, args| {
        Ok(Value::Bool(text(&args[1]).starts_with(text(&args[0]))))
    }),
    row("hasSuffix", &[Text, Text], None, |_, args| {
        Ok(Value::Bool(text(&args[1]).ends_with(text(&args[0]))))
    }),
    row("indent", &[Int, Text], None, |work, args| {
        Ok(Value::text(indent(work, args)?))
    }),
    row("initials", &[Text], None, |_, args| {
        let words = text(&args[0]).split_whitespace();
        Ok(Value::text(
            words
                .filter_map(|word| word.chars().next())
                .collect::<String>(),
        ))
    }),
    row("kebabcase", &[Text], None, |_, args| {
        Ok(Value::text(lower_case(text(&args[0]), '-')))
    }),
    row("lower", &[Text], None, |_, args| {
        Ok(Value::text(map(text(&args[0]), to_lower)))
    }),
    row("nindent", &[Int, Text], None, |work, args| {
        Ok(Value::text(format!("\n{}", indent(work, args)?)))
    }),
    row("nospace", &[Text], None, |_, args| {
        Ok(Value::text(
            text(&args[0]).split_whitespace().collect::<String>(),
        ))
    }),
    row("plural", &[Text, Text, Int], None, |_, args| {
        Ok(args[usize::from(int(&args[2]) != 1)].clone())
    }),
    row("quote", &[], Some(Any), |_, args| {
        let shown = args.iter().filter(|value| !value.is_nil());
        let shown = shown.map(|value| quote(&format::print(value)));
        Ok(Value::text(shown.collect::<Vec<_>>().join(" ")))
    }),
    row("repeat", &[Int, Text], None, |work, args| {
        let Ok(count) = usize::try_from(int(&args[0])) else {
            return Err("strings: negative Repeat count".into());
        };
        let unit = text(&args[1]);
        work.spend(unit.len().saturating_mul(count))?;
        Ok(Value::text(if unit.is_empty() {
            String::new()
        } else {
            unit.repeat(count)
        }))
    }),
    row("replace", &[Text, Text, Text], None, |work, args| {
        let (old, new, whole) = (text(&args[0]), text(&args[1]), text(&args[2]));
        work.spend(whole.matches(old).count().saturating_mul(new.len()))?;
        Ok(Value::text(whole.replace(old, new)))
    }),
    row("snakecase", &[Text], None, |_, args| {
        Ok(Value::text(lower_case(text(&args[0]), '_')))
    }),
    row("split", &[Text, Text], None, |work, args| {
        numbered(work, &split(text(&args[1]), text(&args[0]), None))
    }),
    row("splitList", &[Text, Text], None, |work, args| {
        work.spend(text(&args[1]).len())?;
        Ok(Value::texts(split(text(&args[1]), text(&args[0]), None)))
    }),
    row("splitn", &[Text, Int, Text], None, |work, args| {
        let parts = match usize::try_from(int(&args[1])) {
            Ok(0) => Vec::new(),
            count => split(text(&args[2]), text(&args[0]), count.ok()),
        };
        numbered(work, &parts)
    }),
    row("squote", &[], Some(Any), |_, args| {
        let shown = args.iter().filter(|value| !value.is_nil());
        let shown = shown.map(|value| format!("'{}'", format::print(value)));
        Ok(Value::text(shown.collect::<Vec<_>>().join(" ")))
    }),
    row("substr", &[Int, Int, Text], None, |_, args| {
        let (start, end, whole) = (int(&args[0]), int(&args[1]), text(&args[2]));
        let length = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        match (start, end) {
            (..0, end) => cut(whole, 0, end),
            (start, end) if end < 0 || end > length => cut(whole, start, length),
            (start, end) => cut(whole, start, end),
        }
    }),
    row("swapcase", &[Text], None, |_, args| {
        Ok(Value::text(swap_case(text(&args[0]))))
    }),
    row("title", &[Text], None, |_, args| {
        Ok(Value::text(title(text(&args[0]))))
    }),
    row("trim", &[Text], None, |_, args| {
        Ok(Value::text(text(&args[0]).trim()))
    }),
    row("trimAll", &[Text, Text], None, |_, args| Ok(trim_all(args))),
    row("trimPrefix", &[Text, Text], None, |_, args| {
        let whole = text(&args[1]);
        Ok(Value::text(
            whole.strip_prefix(text(&args[0])).unwrap_or(whole),
        ))
    }),
    row("trimSuffix", &[Text, Text], None, |_, args| {
        let whole = text(&args[1]);
        Ok(Value::text(
            whole.strip_suffix(text(&args[0])).unwrap_or(whole),
        ))
    }),
    row("trimall", &[Text, Text], None, |_, args| Ok(trim_all(args))),
    row("trunc", &[Int, Text], None, |_, args| {
        let (count, whole) = (int(&args[0]), text(&args[1]));
        let length = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        match count {
            0.. if length > count => cut(whole, 0, count),
            ..0 if length + count > 0 => cut(whole, length + count, length),
            _ => Ok(args[1].clone()),
        }
    }),
    row("untitle", &[Text], None, |_, args| {
        let mut first = true;
        Ok(Value::text(map(text(&args[0]), |c| {
            let lower = first && !c.is_whitespace();
            first = c.is_whitespace();
            if lower { to_lower(c) } else { c }
        })))
    }),
    row("upper", &[Text], None, |_, args| {
        Ok(Value::text(map(text(&args[0]), to_upper)))
    }),
    row("wrap", &[Int, Text], None, |work, args| {
        wrap(work, text(&args[1]), int(&args[0]), "\n", false)
    }),
    row("wrapWith", &[Int, Text, Text], None, |work, args| {
        let separator = text(&args[1]);
        let separator = if separator.is_empty() {
            "\n"
        } else {
            separator
        };
        wrap(work, text(&args[2]), int(&args[0]), separator, true)
    }),
];

/// Go changes case character by character: one that would become several stays.
fn to_upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
}

fn to_lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    lower.next().filter(|_| lower.next().is_none()).unwrap_or(c)
}

fn map(text: &str, change: impl FnMut(char) -> char) -> String {
    text.chars().map(change).collect()
}

/// Bytes `start..end` of a text.
fn cut<'d>(text: &str, start: i64, end: i64) -> Called<'d> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let bytes = range.and_then(|(start, end)| text.as_bytes().get(start..end));
    match bytes {
        Some(bytes) => Ok(Value::text(String::from_utf8_lossy(bytes))),
        None => Err(format!(
            "runtime error: slice bounds out of range [{start}:{end}]"
        )),
    }
}

/// Shortens to `width` bytes with an ellipsis, keeping what is around `offset`.
fn abbreviate(text: &str, offset: i64, width: i64) -> String {
    let Some(width) = usize::try_from(width).ok().filter(|width| *width >= 4) else {
        return text.to_owned();
    };
    let length = text.len();
    if length <= width {
        return text.to_owned();
    }
    let bytes = |range: &[u8]| String::from_utf8_lossy(range).into_owned();
    let room = width - 3;
    let offset = usize::try_from(offset)
        .unwrap_or(0)
        .min(length)
        .min(length - room);
    if offset <= 4 {
        return bytes(&text.as_bytes()[..room]) + "...";
    }
    if width < 7 {
        return String::new();
    }
    let tail = &text.as_bytes()[offset..];
    if offset + room < length {
        return format!("...{}...", bytes(&tail[..room - 3]));
    }
    format!("...{}", bytes(&text.as_bytes()[length - room..]))
}

fn indent(work: &mut Work, args: &[Value<'_>]) -> Result<String, String> {
    let Ok(count) = usize::try_from(int(&args[0])) else {
        return Err("strings: negative Repeat count".into());
    };
    let whole = text(&args[1]);
    let lines = whole.matches('\n').count() + 1;
    work.spend(count.saturating_mul(lines))?;
    let pad = " ".repeat(count);
    Ok(format!("{pad}{}", whole.replace('\n', &format!("\n{pad}"))))
}

/// Go `strings.SplitN`: an empty separator splits between characters.
fn split(whole: &str, separator: &str, most: Option<usize>) -> Vec<String> {
    let most = most.unwrap_or(usize::MAX);
    if separator.is_empty() {
        let mut parts: Vec<String> = Vec::new();
        let mut rest = whole;
        while let Some(c) = rest.chars().next() {
            if parts.len() + 1 == most {
                parts.push(rest.to_owned());
                break;
            }
            parts.push(c.to_string());
            rest = &rest[c.len_utf8()..];
        }
        return parts;
    }
    whole.splitn(most, separator).map(str::to_owned).collect()
}

/// `{_0: first, _1: second}`
fn numbered<'d>(work: &mut Work, parts: &[String]) -> Called<'d> {
    work.spend(parts.len().saturating_mul(8))?;
    let members = parts.iter().enumerate();
    let members = members.map(|(index, part)| (format!("_{index}").into(), Value::text(part)));
    Ok(Value::map(STRING, members.collect::<BTreeMap<_, _>>()))
}

fn trim_all<'d>(args: &[Value<'d>]) -> Value<'d> {
    let any = text(&args[0]);
    Value::text(text(&args[1]).trim_matches(|c| any.contains(c)))
}

/// Go `strings.Title`: the first letter of every word.
fn title(text: &str) -> String {
    let mut first = true;
    map(text, |c| {
        let start = first;
        first = if c.is_ascii() {
            !c.is_ascii_alphanumeric() && c != '_'
        } else {
            c.is_whitespace()
        };
        if start { to_upper(c) } else { c }
    })
}

fn swap_case(text: &str) -> String {
    let mut blank = true;
    map(text, |c| {
        let swapped = if c.is_uppercase() {
            to_lower(c)
        } else {
            to_upper(c)
        };
        let letter = c.is_uppercase() || c.is_lowercase();
        // The letter after a blank keeps its title case, which is its upper case.
        blank = if letter { false } else { c.is_whitespace() };
        if letter { swapped } else { c }
    })
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// `some_long-name` → `SomeLongName`; connectors at the start stay, words in capitals become lower case.
fn pascal_case(text: &str) -> String {
    let body = text.trim_start_matches(is_connector);
    let mut cased = text[..text.len() - body.len()].to_owned();
    let mut chars = body.chars();
    let Some(first) = chars.next() else {
        return text.to_owned();
    };
    let mut capitals = first.is_uppercase();
    let mut last = to_upper(first);
    for c in chars {
        let mut c = c;
        if is_connector(last) {
            if is_connector(c) {
                cased.push(last);
                last = c;
                continue;
            }
            capitals = c.is_uppercase();
            c = to_upper(c);
        } else if is_connector(c) {
            cased.push(last);
        } else {
            if capitals {
                if c.is_uppercase() {
                    c = to_lower(c);
                } else {
                    capitals = false;
                }
            }
            cased.push(last);
        }
        last = c;
    }
    cased.push(last);
    cased
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn word_kind(c: char) -> Word {
    if is_connector(c) {
        Word::Connector
    } else if c.is_ascii_punctuation() {
        Word::Punctuation
    } else if c.is_uppercase() {
        Word::Upper
    } else if c.is_alphabetic() {
        Word::Letters
    } else if c.is_numeric() {
        Word::Number
    } else {
        Word::Other
    }
}

/// Cuts a name into words: `HTTPServer2x` is `HTTP`, `Server`, `2`, `x`.
fn words(text: &str) -> Vec<(Word, &str)> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = word_kind(first);
        let upper = rest
            .chars()
            .take_while(|c| word_kind(*c) == Word::Upper)
            .count();
        let length = match kind {
            Word::Upper if upper > 1 => {
                let run: usize = rest.chars().take(upper).map(char::len_utf8).sum();
                let last = rest[..run].chars().next_back().map_or(0, char::len_utf8);
                // The last capital before small letters begins the next word.
                if rest[run..].starts_with(|c| word_kind(c) == Word::Letters) {
                    run - last
                } else {
                    run
                }
            }
            Word::Upper => {
                let tail = &rest[first.len_utf8()..];
                let letters = tail
                    .find(|c| word_kind(c) != Word::Letters)
                    .unwrap_or(tail.len());
                first.len_utf8() + letters
            }
            kind => rest.find(|c| word_kind(c) != kind).unwrap_or(rest.len()),
        };
        words.push((kind, &rest[..length]));
        rest = &rest[length..];
    }
    words
}

/// `someLongName2` → `some_long_name2`: words in lower case, a connector between them.
fn lower_case(text: &str, connector: char) -> String {
    let words = words(text);
    let mut cased = String::with_capacity(text.len() + 8);
    let letters = |kind: Word| {
        matches!(
            kind,
            Word::Upper | Word::Letters | Word::Number | Word::Other
        )
    };
    let mut index = 0;
    while let Some((kind, word)) = words.get(index) {
        let next = words.get(index + 1).map(|(kind, _)| *kind);
        if *kind == Word::Connector {
            cased.extend(word.chars().map(|_| connector));
            index += 1;
            continue;
        }
        cased.push_str(&map(word, to_lower));
        index += 1;
        match (kind, next) {
            (Word::Punctuation, _) | (_, None) => {}
            // A number holds on to the small letters behind it, and to a word that ends with it.
            (Word::Number, Some(_)) => {
                while let Some((Word::Letters | Word::Number, word)) = words.get(index) {
                    cased.push_str(word);
                    index += 1;
                }
                if words.get(index).is_some_and(|(kind, _)| letters(*kind)) {
                    cased.push(connector);
                }
            }
            (_, Some(Word::Number)) => {
                if words
                    .get(index + 1)
                    .is_some_and(|(kind, _)| *kind == Word::Letters)
                {
                    cased.push(connector);
                }
            }
            (_, Some(next)) => {
                if letters(next) {
                    cased.push(connector);
                }
            }
        }
    }
    cased
}

/// Breaks lines at blanks, and long words if asked to.
fn wrap<'d>(work: &mut Work, whole: &str, width: i64, end: &str, cut_words: bool) -> Called<'d> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    work.spend((whole.len() / width + 1).saturating_mul(end.len()))?;
    let bytes = whole.as_bytes();
    let mut wrapped = Vec::with_capacity(whole.len());
    let mut offset = 0;
    while bytes.len() - offset > width {
        if bytes[offset] == b' ' {
            offset += 1;
            continue;
        }
        let line = &bytes[offset..=offset + width];
        let blank = line.iter().rposition(|b| *b == b' ');
        let next_blank = || bytes[offset + width..].iter().position(|b| *b == b' ');
        let (length, skipped) = match blank {
            Some(blank) => (blank, 1),
            None if cut_words => (width, 0),
            None => match next_blank() {
                Some(blank) => (width + blank, 1),
                None => break,
            },
        };
        wrapped.extend_from_slice(&bytes[offset..offset + length]);
        wrapped.extend_from_slice(end.as_bytes());
        offset += length + skipped;
    }
    wrapped.extend_from_slice(&bytes[offset..]);
    Ok(Value::text(String::from_utf8_lossy(&wrapped)))
}
