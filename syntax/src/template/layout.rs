//! Go's layouts: a date is written as the reference time would be, 2 January 2006, 15:04:05.

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

/// An element of a layout: how the reference time, 2 January 2006, 15:04:05 in the zone MST (-0700), shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    LongMonth,
    ShortMonth,
    Month,
    ZeroMonth,
    LongDay,
    ShortDay,
    Day,
    BlankDay,
    ZeroDay,
    DayOfYear,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    Year,
    ShortYear,
    Half,
    SmallHalf,
    Zone,
    /// With a colon, and `Z` for UTC.
    Offset {
        colon: bool,
        z: bool,
    },
    /// `.000` keeps its zeros, `.999` does not.
    Fraction {
        digits: usize,
        zeros: bool,
    },
}

/// The longer of two that begin alike comes first.
const ELEMENTS: [(&str, Element); 27] = [
    ("January", Element::LongMonth),
    ("Jan", Element::ShortMonth),
    ("Monday", Element::LongDay),
    ("Mon", Element::ShortDay),
    ("MST", Element::Zone),
    ("2006", Element::Year),
    (
        "-07:00",
        Element::Offset {
            colon: true,
            z: false,
        },
    ),
    (
        "-0700",
        Element::Offset {
            colon: false,
            z: false,
        },
    ),
    (
        "Z07:00",
        Element::Offset {
            colon: true,
            z: true,
        },
    ),
    (
        "Z0700",
        Element::Offset {
            colon: false,
            z: true,
        },
    ),
    ("002", Element::DayOfYear),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::ShortYear),
    ("_2", Element::BlankDay),
    ("15", Element::Hour),
    ("PM", Element::Half),
    ("pm", Element::SmallHalf),
    ("1", Element::Month),
    ("2", Element::Day),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("_2006", Element::Year),
];

enum Piece<'a> {
    Literal(&'a str),
    Element(Element),
}

fn pieces(layout: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut literal, mut at) = (0, 0);
    while at < layout.len() {
        let Some((length, element)) = element(&layout[at..]) else {
            at += layout[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        pieces.push(Piece::Literal(&layout[literal..at]));
        pieces.push(Piece::Element(element));
        at += length;
        literal = at;
    }
    pieces.push(Piece::Literal(&layout[literal..]));
    pieces
}

fn element(layout: &str) -> Option<(usize, Element)> {
    if let Some(rest) = layout.strip_prefix(['.', ',']) {
        let zeros = rest.starts_with('0');
        let digit = if zeros { '0' } else { '9' };
        let digits = rest.len() - rest.trim_start_matches(digit).len();
        let last = !rest[digits..].starts_with(|c: char| c.is_ascii_digit());
        return (digits > 0 && last).then_some((digits + 1, Element::Fraction { digits, zeros }));
    }
    // `_2006` is a `_` before a year, not a day.
    if layout.starts_with("_2006") {
        return None;
    }
    let (name, element) = ELEMENTS.iter().find(|(name, _)| layout.starts_with(name))?;
    // `Mon` within `Month` and `Jan` within `Janet` are words.
    let word = matches!(element, Element::ShortMonth | Element::ShortDay);
    let inside = word && layout[name.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    (!inside).then_some((name.len(), *element))
}

/// Writes a time by a layout.
pub(super) fn format(layout: &str, time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    let mut out = String::new();
    for piece in pieces(layout) {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Element(element) => write_element(&mut out, element, &time),
        }
    }
    out
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

fn named(names: &[&'static str], number: i8) -> &'static str {
    usize::try_from(number - 1)
        .ok()
        .and_then(|index| names.get(index))
        .copied()
        .unwrap_or("")
}

fn write_element(out: &mut String, element: Element, time: &Zoned) {
    let hour12 = (time.hour() + 11) % 12 + 1;
    let month = named(&MONTHS, time.month());
    let day = named(&DAYS, time.weekday().to_monday_one_offset());
    // Writing to a String cannot fail.
    let _ = match element {
        Element::LongMonth => write!(out, "{month}"),
        Element::ShortMonth => write!(out, "{}", month.get(..3).unwrap_or_default()),
        Element::Month => write!(out, "{}", time.month()),
        Element::ZeroMonth => write!(out, "{:02}", time.month()),
        Element::LongDay => write!(out, "{day}"),
        Element::ShortDay => write!(out, "{}", day.get(..3).unwrap_or_default()),
        Element::Day => write!(out, "{}", time.day()),
        Element::BlankDay => write!(out, "{:2}", time.day()),
        Element::ZeroDay => write!(out, "{:02}", time.day()),
        Element::DayOfYear => write!(out, "{:03}", time.day_of_year()),
        Element::Hour => write!(out, "{:02}", time.hour()),
        Element::Hour12 => write!(out, "{hour12}"),
        Element::ZeroHour12 => write!(out, "{hour12:02}"),
        Element::Minute => write!(out, "{}", time.minute()),
        Element::ZeroMinute => write!(out, "{:02}", time.minute()),
        Element::Second => write!(out, "{}", time.second()),
        Element::ZeroSecond => write!(out, "{:02}", time.second()),
        Element::Year => write!(out, "{:04}", time.year()),
        Element::ShortYear => write!(out, "{:02}", time.year().rem_euclid(100)),
        Element::Half => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
        Element::SmallHalf => write!(out, "{}", if time.hour() < 12 { "am" } else { "pm" }),
        Element::Zone => write!(out, "UTC"),
        Element::Offset { z: true, .. } => write!(out, "Z"),
        Element::Offset { colon: true, .. } => write!(out, "+00:00"),
        Element::Offset { .. } => write!(out, "+0000"),
        Element::Fraction { digits, zeros } => {
            let fraction = format!("{:09}", time.subsec_nanosecond());
            let fraction = &fraction[..digits.min(9)];
            let fraction = if zeros {
                fraction
            } else {
                fraction.trim_end_matches('0')
            };
            match fraction {
                "" => Ok(()),
                fraction => write!(out, ".{fraction}"),
            }
        }
    };
}

/// Reads a time by a layout; without a zone it is UTC.
pub(super) fn parse(layout: &str, text: &str) -> Result<Timestamp, String> {
    let fail = || {
        let (text, layout) = (crate::quote::quote(text), crate::quote::quote(layout));
        format!("parsing time {text} as {layout}: cannot parse it")
    };
    let mut read = Read::default();
    let mut rest = text;
    for piece in pieces(layout) {
        rest = match piece {
            Piece::Literal(literal) => rest.strip_prefix(literal).ok_or_else(fail)?,
            Piece::Element(element) => read.element(element, rest).ok_or_else(fail)?,
        };
        // A fraction may follow the seconds though the layout has none.
        if let Some(digits) = rest.strip_prefix('.').filter(|_| read.just_seconds) {
            let length = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            if length > 0 {
                read.fraction(&digits[..length]);
                rest = &digits[length..];
            }
        }
        read.just_seconds = false;
    }
    if !rest.is_empty() {
        return Err(format!(
            "parsing time {}: extra text",
            crate::quote::quote(text)
        ));
    }
    read.timestamp().ok_or_else(fail)
}

#[derive(Default)]
struct Read {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    /// Seconds east of UTC.
    offset: i32,
    just_seconds: bool,
}

impl Read {
    fn element<'a>(&mut self, element: Element, rest: &'a str) -> Option<&'a str> {
        let name = |names: &[&str], short: bool| {
            names.iter().zip(1i8..).find_map(|(name, number)| {
                let name = if short { name.get(..3)? } else { name };
                let head = rest.get(..name.len())?;
                head.eq_ignore_ascii_case(name)
                    .then(|| (number, &rest[name.len()..]))
            })
        };
        let (number, rest) = match element {
            Element::LongMonth | Element::ShortMonth => {
                let (month, rest) = name(&MONTHS, element == Element::ShortMonth)?;
                self.month = Some(month);
                return Some(rest);
            }
            Element::LongDay | Element::ShortDay => {
                return name(&DAYS, element == Element::ShortDay).map(|(_, rest)| rest);
            }
            Element::Half | Element::SmallHalf => {
                let half = rest.get(..2)?;
                let (am, pm) = if element == Element::Half {
                    ("AM", "PM")
                } else {
                    ("am", "pm")
                };
                self.afternoon = Some(if half == pm {
                    true
                } else if half == am {
                    false
                } else {
                    return None;
                });
                return rest.get(2..);
            }
            Element::Zone => {
                let letters = rest
                    .find(|c: char| !c.is_ascii_uppercase())
                    .unwrap_or(rest.len());
                return (letters >= 3).then(|| &rest[letters..]);
            }
            Element::Offset { colon, z } => return self.zone_offset(colon, z, rest),
            Element::Fraction { zeros, .. } => {
                let Some(tail) = rest.strip_prefix(['.', ',']) else {
                    return (!zeros).then_some(rest);
                };
                let length = tail
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(tail.len());
                self.fraction(&tail[..length]);
                return Some(&tail[length..]);
            }
            Element::Year => digits(rest, 4, 4)?,
            Element::DayOfYear => digits(rest, 3, 3)?,
            Element::Month | Element::Day | Element::Hour12 | Element::Minute | Element::Second => {
                digits(rest, 1, 2)?
            }
            Element::BlankDay => digits(rest.trim_start_matches(' '), 1, 2)?,
            _ => digits(rest, 2, 2)?,
        };
        let small = i8::try_from(number).ok();
        match element {
            Element::Year => self.year = i16::try_from(number).ok()?,
            Element::ShortYear => {
                self.year = i16::try_from(if number >= 69 {
                    1900 + number
                } else {
                    2000 + number
                })
                .ok()?;
            }
            Element::Month | Element::ZeroMonth => self.month = small,
            Element::Day | Element::BlankDay | Element::ZeroDay => self.day = small,
            Element::DayOfYear => {
                let date = Date::new(self.year, 1, 1).ok()?;
                let days = i64::from(number) - 1;
                let date = date
                    .checked_add(SignedDuration::from_hours(24 * days))
                    .ok()?;
                (self.month, self.day) = (Some(date.month()), Some(date.day()));
            }
            Element::Hour | Element::Hour12 | Element::ZeroHour12 => self.hour = small?,
            Element::Minute | Element::ZeroMinute => self.minute = small?,
            _ => {
                self.second = small?;
                self.just_seconds = true;
            }
        }
        Some(rest)
    }

    /// Reads `Z`, `+0100` or `+01:00`.
    fn zone_offset<'a>(&mut self, colon: bool, z: bool, rest: &'a str) -> Option<&'a str> {
        if let Some(rest) = rest.strip_prefix('Z').filter(|_| z) {
            return Some(rest);
        }
        let sign = match rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, rest) = digits(&rest[1..], 2, 2)?;
        let rest = if colon { rest.strip_prefix(':')? } else { rest };
        let (minutes, rest) = digits(rest, 2, 2)?;
        self.offset = sign * i32::try_from(hours * 3600 + minutes * 60).ok()?;
        Some(rest)
    }

    fn fraction(&mut self, digits: &str) {
        let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
        self.nanosecond = nine.parse().unwrap_or(0);
    }

    fn timestamp(&self) -> Option<Timestamp> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?;
        let time = Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        let offset = Offset::from_seconds(self.offset).ok()?;
        offset.to_timestamp(DateTime::from_parts(date, time)).ok()
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let length = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    (length >= least).then(|| (text[..length].parse().unwrap_or(0), &text[length..]))
}
