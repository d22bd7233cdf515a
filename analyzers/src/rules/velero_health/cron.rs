//! How far apart the runs of a schedule are.
//!
//! Five fields (minute, hour, day of month, month, day of week), `@daily` and its kin, `@every <duration>`, all after
//! `TZ=` or `CRON_TZ=`: what `ParseStandard` reads in `robfig/cron`, which Velero used up to 1.18.2, and in
//! `netresearch/go-cron`, which it uses since. The second also takes 7 for Sunday and ranges over the end (`22-2`), and
//! wants a day to match both the day of the month and the day of the week, where the first was content with one of them.
//!
//! Only distances are asked for, so that the time zone does not matter: what summer time shifts is an hour. No crate: none
//! of those that read five fields has both rules for the days.

use jiff::civil::{Date, Weekday};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

/// How many days are looked at: a leap day comes around in eight years at the latest.
const DAYS: i32 = 8 * 366;

/// The fields: name, lowest, highest, names of the values from the lowest.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    (
        "month",
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (
        "day of week",
        0,
        7,
        &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    ),
];

/// The longest time between two runs of `schedule` in the years from `from` on. With `both_days` a day has to match
/// both the day of the month and the day of the week; else one suffices where both are restricted.
///
/// # Errors
/// What of the schedule cannot be read, or that it never comes.
pub(super) fn longest_interval(
    schedule: &str,
    from: Timestamp,
    both_days: bool,
) -> Result<SignedDuration, String> {
    let mut text = schedule.trim();
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        let (_, rest) = text
            .split_once(' ')
            .ok_or_else(|| "nothing follows the time zone".to_owned())?;
        text = rest.trim();
    }
    if let Some(every) = text.strip_prefix("@every ") {
        let interval = syntax::duration::parse(every).map_err(|error| error.to_string())?;
        // Less than a second is rounded up to one.
        return Ok(interval.max(SignedDuration::from_secs(1)));
    }
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        fields => fields,
    };
    Cron::parse(fields, both_days)?.longest_interval(from)
}

/// A field: the values at which it holds, one bit each, and whether it was `*` or `?`.
#[derive(Debug, Clone, Copy)]
struct Field {
    values: u64,
    any: bool,
}

impl Field {
    fn holds(self, value: u32) -> bool {
        self.values & (1 << value) != 0
    }
}

struct Cron {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    both_days: bool,
}

impl Cron {
    fn parse(text: &str, both_days: bool) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else {
            return Err(format!("five fields were expected, not {}", words.len()));
        };
        Ok(Self {
            minute: field(minute, 0)?,
            hour: field(hour, 1)?,
            day: field(day, 2)?,
            month: field(month, 3)?,
            weekday: field(weekday, 4)?,
            both_days,
        })
    }

    /// Whether it runs on a day.
    fn runs_on(&self, date: Date) -> bool {
        let day = self.day.holds(u32::from(date.day().unsigned_abs()));
        let weekday = date.weekday().since(Weekday::Sunday).unsigned_abs();
        let weekday = self.weekday.holds(u32::from(weekday));
        let is_day = if self.both_days || self.day.any || self.weekday.any {
            day && weekday
        } else {
            day || weekday
        };
        is_day && self.month.holds(u32::from(date.month().unsigned_abs()))
    }

    /// The minutes of a day at which it runs.
    fn minutes(&self) -> Vec<u32> {
        (0..24)
            .filter(|hour| self.hour.holds(*hour))
            .flat_map(|hour| {
                (0..60)
                    .filter(|minute| self.minute.holds(*minute))
                    .map(move |minute| hour * 60 + minute)
            })
            .collect()
    }

    fn longest_interval(&self, from: Timestamp) -> Result<SignedDuration, String> {
        let minutes = self.minutes();
        let (Some(first), Some(last)) = (minutes.first(), minutes.last()) else {
            return Err("it never comes".to_owned());
        };
        let within_a_day = minutes.windows(2).map(|pair| pair[1] - pair[0]);
        let mut longest = i64::from(within_a_day.max().unwrap_or(0));
        let overnight = i64::from(*first) - i64::from(*last);
        let start = from.to_zoned(TimeZone::UTC).date();
        let mut previous = None;
        let mut runs = 0;
        for offset in 0..DAYS {
            let Ok(date) = start.checked_add(Span::new().days(offset)) else {
                break;
            };
            if !self.runs_on(date) {
                continue;
            }
            if let Some(previous) = previous {
                longest = longest.max(i64::from(offset - previous) * 24 * 60 + overnight);
                runs += 1;
            }
            previous = Some(offset);
        }
        if runs == 0 {
            return Err("it comes less than twice in eight years".to_owned());
        }
        Ok(SignedDuration::from_mins(longest))
    }
}

fn field(text: &str, index: usize) -> Result<Field, String> {
    let (name, lowest, highest, names) = FIELDS[index];
    let mut read = Field {
        values: 0,
        any: false,
    };
    for part in text.split(',') {
        let refuse = || format!("{part:?} is no {name}");
        let number = |text: &str| {
            let position = names
                .iter()
                .position(|each| each.eq_ignore_ascii_case(text))
                .and_then(|position| u32::try_from(position).ok());
            let number = position
                .map(|position| position + lowest)
                .or(text.parse().ok());
            number.filter(|number| (lowest..=highest).contains(number))
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().map_err(|_| refuse())?)),
            None => (part, None),
        };
        let (start, end) = match range.split_once('-') {
            Some((start, end)) => (number(start), number(end)),
            None if range == "*" || range == "?" => {
                read.any |= step.is_none_or(|step| step == 1);
                (Some(lowest), Some(highest))
            }
            // `5/15` is 5, 20, 35 and so on.
            None if step.is_some() => (number(range), Some(highest)),
            None => (number(range), number(range)),
        };
        let (Some(start), Some(end)) = (start, end) else {
            return Err(refuse());
        };
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(refuse());
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let over_the_end = start > end;
        // 7 is Sunday, too, and no day of its own.
        let last = if index == 4 { 6 } else { highest };
        let values: Vec<u32> = if over_the_end {
            (start..=last).chain(lowest..=end).collect()
        } else {
            (start..=end).collect()
        };
        for value in values.into_iter().step_by(step) {
            read.values |= 1 << if value > last { lowest } else { value };
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutes(schedule: &str, both_days: bool) -> Option<i64> {
        let from = "2026-11-20T10:00:00Z".parse().expect("a time");
        let interval = longest_interval(schedule, from, both_days).ok()?;
        Some(interval.as_secs() / 60)
    }

    #[test]
    fn intervals() {
        const HOUR: i64 = 60;
        const DAY: i64 = 24 * HOUR;
        for (schedule, expected) in [
            ("0 2 * * *", DAY),
            ("CRON_TZ=Europe/Berlin 0 2 * * *", DAY),
            ("TZ=UTC @daily", DAY),
            ("0 */6 * * *", 6 * HOUR),
            ("*/15 * * * *", 15),
            ("5/15 * * * *", 15),
            ("0 0,12 * * *", 12 * HOUR),
            ("0 8-17 * * 1-5", 3 * DAY - 9 * HOUR),
            ("30 1 * * sun", 7 * DAY),
            ("0 3 1 * *", 31 * DAY),
            ("0 22-2 * * *", 20 * HOUR),
            ("0 0 * * 7", 7 * DAY),
            ("0 0 * * fri-mon", 4 * DAY),
            // `*/2` is a restriction of its own and no star.
            ("0 3 */2 * 1", 2 * DAY),
            ("0 0 29 2 *", 4 * 365 * DAY + DAY),
            ("@every 90m", 90),
            ("@every 10ms", 0),
            ("@hourly", HOUR),
            ("@weekly", 7 * DAY),
        ] {
            assert_eq!(minutes(schedule, false), Some(expected), "{schedule}");
        }
        for schedule in [
            "",
            "0 2 * *",
            "0 2 * * * *",
            "60 * * * *",
            "0 0 31 2 *",
            "0 0 * * 8",
            "*/0 * * * *",
            "@often",
            "@every day",
            "CRON_TZ=UTC",
            "0 2 L * *",
            "- - - - -",
        ] {
            assert_eq!(minutes(schedule, true), None, "{schedule}");
        }
        // The first of a month, or a Monday; the first Monday of a month.
        assert_eq!(minutes("0 3 1 * MON", false), Some(7 * DAY));
        assert_eq!(minutes("0 3 1-7 * MON", true), Some(35 * DAY));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(schedule in "[-0-9*/,?@a-zTZ= ]{0,40}|(\\*|[0-9]{1,2}) ([0-9*/,-]{1,5} ){3}[0-7*]") {
            let _ = minutes(&schedule, false);
        }
    }
}
