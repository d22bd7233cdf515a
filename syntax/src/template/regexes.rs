//! sprig: regular expressions, in Go's syntax.

use crate::go_regex::GoRegex;

use super::functions::{Function, Kind, Work, int, row, text};
use super::value::Value;

use Kind::{Int, Text};

type Called<'d> = Result<Value<'d>, String>;

pub(super) const FUNCTIONS: &[Function] = &[
    row("mustRegexFind", &[Text, Text], None, find),
    row("mustRegexFindAll", &[Text, Text, Int], None, find_all),
    row("mustRegexMatch", &[Text, Text], None, |_, args| {
        Ok(Value::Bool(
            compile(&args[0])?.is_match(text(&args[1]).as_bytes()),
        ))
    }),
    row(
        "mustRegexReplaceAll",
        &[Text, Text, Text],
        None,
        replace_all,
    ),
    row(
        "mustRegexReplaceAllLiteral",
        &[Text, Text, Text],
        None,
        replace_literally,
    ),
    row("mustRegexSplit", &[Text, Text, Int], None, split),
    row("regexFind", &[Text, Text], None, find),
    row("regexFindAll", &[Text, Text, Int], None, find_all),
    // A bad expression matches nothing here, and is an error everywhere else.
    row("regexMatch", &[Text, Text], None, |_, args| {
        let matches =
            compile(&args[0]).is_ok_and(|regex| regex.is_match(text(&args[1]).as_bytes()));
        Ok(Value::Bool(matches))
    }),
    row("regexQuoteMeta", &[Text], None, |_, args| {
        let quoted = text(&args[0]).chars().flat_map(|c| {
            r"\.+*?()|[]{}^$"
                .contains(c)
                .then_some('\\')
                .into_iter()
                .chain([c])
        });
        Ok(Value::text(quoted.collect::<String>()))
    }),
    row("regexReplaceAll", &[Text, Text, Text], None, replace_all),
    row(
        "regexReplaceAllLiteral",
        &[Text, Text, Text],
        None,
        replace_literally,
    ),
    row("regexSplit", &[Text, Text, Int], None, split),
];

fn compile(pattern: &Value<'_>) -> Result<GoRegex, String> {
    GoRegex::new(text(pattern)).map_err(|error| error.to_string())
}

fn found<'d>(bytes: &[u8]) -> Value<'d> {
    Value::text(String::from_utf8_lossy(bytes))
}

fn find<'d>(_: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let whole = text(&args[1]).as_bytes();
    let range = compile(&args[0])?.find(whole);
    Ok(found(range.map_or(&[][..], |range| &whole[range])))
}

/// The matches one after the other; an empty one directly behind another does not count.
fn matches(
    work: &mut Work,
    regex: &GoRegex,
    whole: &str,
    most: i64,
) -> Result<Vec<std::ops::Range<usize>>, String> {
    work.spend(whole.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut ranges = Vec::new();
    if most > 0 {
        regex.replace_all_with(whole.as_bytes(), |captures, _| {
            if ranges.len() < most {
                ranges.push(captures.whole());
            }
        });
    }
    Ok(ranges)
}

fn find_all<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let whole = text(&args[1]);
    let ranges = matches(work, &compile(&args[0])?, whole, int(&args[2]))?;
    Ok(Value::texts(
        ranges
            .into_iter()
            .map(|range| whole.get(range).unwrap_or_default()),
    ))
}

fn replace_all<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let (whole, with) = (text(&args[1]), text(&args[2]));
    work.spend(whole.len().saturating_mul(with.len() / 8 + 1))?;
    Ok(found(
        &compile(&args[0])?.replace_all(whole.as_bytes(), with.as_bytes()),
    ))
}

fn replace_literally<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let (whole, with) = (text(&args[1]), text(&args[2]));
    work.spend(whole.len().saturating_mul(with.len() / 8 + 1))?;
    let regex = compile(&args[0])?;
    let replaced = regex.replace_all_with(whole.as_bytes(), |_, out| {
        out.extend_from_slice(with.as_bytes());
    });
    Ok(found(&replaced))
}

fn split<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let (pattern, whole, most) = (text(&args[0]), text(&args[1]), int(&args[2]));
    let regex = compile(&args[0])?;
    if most == 0 {
        return Ok(Value::texts::<&str>([]));
    }
    if !pattern.is_empty() && whole.is_empty() {
        return Ok(Value::texts([""]));
    }
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for range in matches(work, &regex, whole, most)? {
        if parts.len() + 1 == limit {
            break;
        }
        end = range.start;
        if range.end != 0 {
            parts.push(whole.get(start..end).unwrap_or_default());
        }
        start = range.end;
    }
    if end != whole.len() {
        parts.push(whole.get(start..).unwrap_or_default());
    }
    Ok(Value::texts(parts))
}
