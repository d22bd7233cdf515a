//! sprig: arithmetic. Whole numbers wrap around as Go's do; `addf` and the like count in decimals.

use super::format;
use super::functions::{Function, Kind, Work, int, row, text};
use super::value::{INT, List, Value};

use std::rc::Rc;

use Kind::{Any, Float, Int, Text};

type Called<'d> = Result<Value<'d>, String>;

pub(super) const FUNCTIONS: &[Function] = &[
    row("add", &[], Some(Any), |_, args| {
        Ok(fold(args, i64::wrapping_add))
    }),
    row("add1", &[Any], None, |_, args| {
        Ok(Value::Int64(to_int(&args[0]).wrapping_add(1)))
    }),
    row("add1f", &[Any], None, |_, args| {
        decimal(&[args[0].clone(), Value::Int(1)], Decimal::add)
    }),
    row("addf", &[], Some(Any), |_, args| {
        decimal(args, Decimal::add)
    }),
    row("atoi", &[Text], None, |_, args| {
        Ok(Value::Int(text(&args[0]).parse().unwrap_or(0)))
    }),
    row("biggest", &[Any], Some(Any), |_, args| {
        Ok(fold(args, Ord::max))
    }),
    row("ceil", &[Any], None, |_, args| {
        Ok(Value::Float(to_float(&args[0]).ceil()))
    }),
    row("div", &[Any, Any], None, |_, args| {
        divide(args, i64::wrapping_div)
    }),
    row("divf", &[Any], Some(Any), |_, args| {
        decimal(args, Decimal::div)
    }),
    row("float64", &[Any], None, |_, args| {
        Ok(Value::Float(to_float(&args[0])))
    }),
    row("floor", &[Any], None, |_, args| {
        Ok(Value::Float(to_float(&args[0]).floor()))
    }),
    row("int", &[Any], None, |_, args| {
        Ok(Value::Int(to_int(&args[0])))
    }),
    row("int64", &[Any], None, |_, args| {
        Ok(Value::Int64(to_int(&args[0])))
    }),
    row("max", &[Any], Some(Any), |_, args| Ok(fold(args, Ord::max))),
    row("maxf", &[Any], Some(Any), |_, args| {
        Ok(Value::Float(
            args.iter().map(to_float).fold(f64::NEG_INFINITY, f64::max),
        ))
    }),
    row("min", &[Any], Some(Any), |_, args| Ok(fold(args, Ord::min))),
    row("minf", &[Any], Some(Any), |_, args| {
        Ok(Value::Float(
            args.iter().map(to_float).fold(f64::INFINITY, f64::min),
        ))
    }),
    row("mod", &[Any, Any], None, |_, args| {
        divide(args, i64::wrapping_rem)
    }),
    row("mul", &[Any], Some(Any), |_, args| {
        Ok(fold(args, i64::wrapping_mul))
    }),
    row("mulf", &[Any], Some(Any), |_, args| {
        decimal(args, Decimal::mul)
    }),
    row("round", &[Any, Int], Some(Float), round),
    row("seq", &[], Some(Int), seq),
    row("sub", &[Any, Any], None, |_, args| {
        Ok(fold(args, i64::wrapping_sub))
    }),
    row("subf", &[Any], Some(Any), |_, args| {
        decimal(args, Decimal::sub)
    }),
    row("toDecimal", &[Any], None, |_, args| {
        Ok(Value::Int64(
            i64::from_str_radix(&format::print(&args[0]), 8).unwrap_or(0),
        ))
    }),
    row("until", &[Int], None, |work, args| {
        let count = int(&args[0]);
        ints(work, 0, count, if count < 0 { -1 } else { 1 }).map(list)
    }),
    row("untilStep", &[Int, Int, Int], None, |work, args| {
        ints(work, int(&args[0]), int(&args[1]), int(&args[2])).map(list)
    }),
];

/// Any value as a whole number: texts are read, what is none is 0.
pub(super) fn to_int(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(value) | Value::Int64(value) => *value,
        Value::Byte(value) => i64::from(*value),
        Value::Bool(value) => i64::from(*value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Go cuts a float off likewise"
        )]
        Value::Float(value) => *value as i64,
        Value::Text(text) => parse_int(text).unwrap_or(0),
        _ => 0,
    }
}

/// An integer of any base; a fraction of zeros is cut off.
fn parse_int(text: &str) -> Option<i64> {
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    super::constants::integer(text).and_then(|value| i64::try_from(value).ok())
}

/// Any value as a float: texts are read, what is none is 0.
fn to_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Text(text) => text.parse().unwrap_or(0.0),
        #[expect(clippy::cast_precision_loss, reason = "Go converts likewise")]
        other => to_int(other) as f64,
    }
}

fn fold<'d>(args: &[Value<'d>], with: fn(i64, i64) -> i64) -> Value<'d> {
    Value::Int64(args.iter().map(to_int).reduce(with).unwrap_or(0))
}

fn divide<'d>(args: &[Value<'d>], with: fn(i64, i64) -> i64) -> Called<'d> {
    match to_int(&args[1]) {
        0 => Err("runtime error: integer divide by zero".into()),
        divisor => Ok(Value::Int64(with(to_int(&args[0]), divisor))),
    }
}

fn round<'d>(_: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let limit = args.get(2).map_or(0.5, to_float);
    let places = i32::try_from(int(&args[1])).map_err(|_| "too many places")?;
    let power = 10f64.powi(places);
    let digits = power * to_float(&args[0]);
    let rounded = if digits.fract() >= limit {
        digits.ceil()
    } else {
        digits.floor()
    };
    Ok(Value::Float(rounded / power))
}

fn ints(work: &mut Work, start: i64, end: i64, step: i64) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    let mut number = start;
    while step != 0 && (if step > 0 { number < end } else { number > end }) {
        work.spend(8)?;
        numbers.push(number);
        let Some(next) = number.checked_add(step) else {
            break;
        };
        number = next;
    }
    Ok(numbers)
}

fn list<'d>(numbers: Vec<i64>) -> Value<'d> {
    let items = numbers.into_iter().map(Value::Int).collect();
    Value::List(Rc::new(List { of: INT, items }))
}

fn seq<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let numbers: Vec<i64> = args.iter().map(int).collect();
    let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, end, step) = match numbers[..] {
        [end] => (1, end, toward(1, end)),
        [start, end] => (start, end, toward(start, end)),
        [start, step, end] if end >= start || step <= 0 => (start, end, step),
        _ => return Ok(Value::text("")),
    };
    let numbers = ints(work, start, end.saturating_add(toward(start, end)), step)?;
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Ok(Value::text(numbers.join(" ")))
}

/// A decimal number: `mantissa / 10^scale`.
#[derive(Clone, Copy)]
struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// The digits behind the point that a division gives.
const DIVISION_SCALE: u32 = 16;

impl Decimal {
    /// The shortest decimal that the float stands for.
    fn of(value: f64) -> Option<Decimal> {
        let text = format!("{value}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal {
            mantissa,
            scale: u32::try_from(fraction.len()).ok()?,
        })
    }

    fn at(self, scale: u32) -> Option<i128> {
        self.mantissa
            .checked_mul(10i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn add(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        Some(Decimal {
            mantissa: self.at(scale)?.checked_add(other.at(scale)?)?,
            scale,
        })
    }

    fn sub(self, other: Decimal) -> Option<Decimal> {
        self.add(Decimal {
            mantissa: -other.mantissa,
            ..other
        })
    }

    fn mul(self, other: Decimal) -> Option<Decimal> {
        let mantissa = self.mantissa.checked_mul(other.mantissa)?;
        Some(Decimal {
            mantissa,
            scale: self.scale + other.scale,
        })
    }

    fn div(self, other: Decimal) -> Option<Decimal> {
        let scale = DIVISION_SCALE + other.scale;
        // What the dividend has beyond the wanted scale goes to the divisor.
        let (dividend, divisor) = if let Some(dividend) = self.at(scale) {
            (dividend, other.mantissa)
        } else {
            let more = 10i128.checked_pow(self.scale.checked_sub(scale)?)?;
            (self.mantissa, other.mantissa.checked_mul(more)?)
        };
        let (quotient, rest) = (dividend.checked_div(divisor)?, dividend % divisor);
        let up = rest.unsigned_abs().checked_mul(2)? >= divisor.unsigned_abs();
        let sign = if (dividend < 0) == (divisor < 0) {
            1
        } else {
            -1
        };
        let mantissa = quotient + if up { sign } else { 0 };
        Some(Decimal {
            mantissa,
            scale: DIVISION_SCALE,
        })
    }

    fn to_float(self) -> f64 {
        format!("{}e-{}", self.mantissa, self.scale)
            .parse()
            .unwrap_or(f64::NAN)
    }
}

fn decimal<'d>(args: &[Value<'d>], with: fn(Decimal, Decimal) -> Option<Decimal>) -> Called<'d> {
    const RANGE: &str = "the numbers are beyond the range of decimals";
    let mut numbers = args
        .iter()
        .map(|value| Decimal::of(to_float(value)).ok_or(RANGE));
    let Some(first) = numbers.next() else {
        return Ok(Value::Float(0.0));
    };
    let mut result = first?;
    for number in numbers {
        let number = number?;
        result = with(result, number).ok_or(match number.mantissa {
            0 => "decimal division by 0",
            _ => RANGE,
        })?;
    }
    Ok(Value::Float(result.to_float()))
}
