//! sprig: dates and durations. Times are UTC: a rendering knows no other zone, and no present time.

use jiff::{SignedDuration, Timestamp};

use super::functions::{Function, Kind, Work, row, text};
use super::layout::{format, parse};
use super::value::Value;

use Kind::{Any, Text};

type Called<'d> = Result<Value<'d>, String>;

pub(super) const FUNCTIONS: &[Function] = &[
    row("date", &[Text, Any], None, |_, args| {
        formatted(text(&args[0]), &args[1])
    }),
    row("dateInZone", &[Text, Any, Text], None, in_zone),
    row("dateModify", &[Text, Kind::Time], None, |_, args| {
        Ok(modified(args).unwrap_or_else(|_| args[1].clone()))
    }),
    row("date_in_zone", &[Text, Any, Text], None, in_zone),
    row("date_modify", &[Text, Kind::Time], None, |_, args| {
        Ok(modified(args).unwrap_or_else(|_| args[1].clone()))
    }),
    row("duration", &[Any], None, |_, args| {
        let seconds = match &args[0] {
            Value::Text(seconds) => seconds.parse().unwrap_or(0),
            Value::Int64(seconds) => *seconds,
            _ => 0,
        };
        Ok(Value::text(crate::duration::format(
            SignedDuration::from_secs(seconds),
        )))
    }),
    row("durationRound", &[Any], None, |_, args| {
        let duration = match &args[0] {
            Value::Text(duration) => crate::duration::parse(duration).unwrap_or_default(),
            Value::Int64(nanoseconds) => SignedDuration::from_nanos(*nanoseconds),
            Value::Time(_) => return Err(NO_CLOCK.into()),
            _ => SignedDuration::ZERO,
        };
        Ok(Value::text(rounded(duration)))
    }),
    row("htmlDate", &[Any], None, |_, args| {
        formatted("2006-01-02", &args[0])
    }),
    row("htmlDateInZone", &[Any, Text], None, |_, args| {
        formatted("2006-01-02", &args[0])
    }),
    row("mustDateModify", &[Text, Kind::Time], None, |_, args| {
        modified(args)
    }),
    row("mustToDate", &[Text, Text], None, |_, args| {
        parse(text(&args[0]), text(&args[1])).map(Value::Time)
    }),
    row("must_date_modify", &[Text, Kind::Time], None, |_, args| {
        modified(args)
    }),
    row("toDate", &[Text, Text], None, |_, args| {
        Ok(Value::Time(
            parse(text(&args[0]), text(&args[1])).unwrap_or(YEAR_ONE),
        ))
    }),
    row("unixEpoch", &[Kind::Time], None, |_, args| {
        let seconds = moment(&args[0]).map_or(0, Timestamp::as_second);
        Ok(Value::text(seconds.to_string()))
    }),
];

const NO_CLOCK: &str = "it is not available here: a rendering has no clock";
/// Go's zero time, which an unreadable date gives.
const YEAR_ONE: Timestamp = Timestamp::constant(-62_135_596_800, 0);

fn moment(value: &Value<'_>) -> Option<Timestamp> {
    match value {
        Value::Time(time) => Some(*time),
        Value::Int(seconds) | Value::Int64(seconds) => Timestamp::from_second(*seconds).ok(),
        _ => None,
    }
}

/// What is no time means the present one to sprig.
fn formatted<'d>(layout: &str, value: &Value<'_>) -> Called<'d> {
    let time = moment(value).ok_or(NO_CLOCK)?;
    Ok(Value::text(format(layout, time)))
}

fn in_zone<'d>(_: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    match text(&args[2]) {
        "" | "UTC" | "Local" => formatted(text(&args[0]), &args[1]),
        zone => Err(format!(
            "the time zone {zone} is not available here: a rendering knows UTC"
        )),
    }
}

fn modified<'d>(args: &[Value<'d>]) -> Called<'d> {
    let by = crate::duration::parse(text(&args[0])).map_err(|error| error.to_string())?;
    let time = moment(&args[1]).ok_or(NO_CLOCK)?;
    time.checked_add(by)
        .map(Value::Time)
        .map_err(|error| error.to_string())
}

fn rounded(duration: SignedDuration) -> String {
    const HOUR: u64 = 3600;
    let units = [
        (365 * 24 * HOUR, "y"),
        (30 * 24 * HOUR, "mo"),
        (24 * HOUR, "d"),
        (HOUR, "h"),
        (60, "m"),
        (1, "s"),
    ];
    let size = duration.unsigned_abs();
    let longer = |(unit, _): &&(u64, &str)| size > std::time::Duration::from_secs(*unit);
    units
        .iter()
        .find(longer)
        .map_or("0s".into(), |(unit, name)| {
            format!("{}{name}", size.as_secs() / unit)
        })
}

/// A time as Go prints it.
pub(super) fn print(time: Timestamp) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", time)
}

pub(super) fn rfc3339(time: Timestamp) -> String {
    format("2006-01-02T15:04:05.999999999Z07:00", time)
}
