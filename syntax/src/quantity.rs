//! Kubernetes resource quantities (`1500m`, `2Gi`, `1e3`), exact.
//!
//! Own code because the crate of the field (`kube_quantity` 0.9) reads through `f64` and knows no exponents.
//! The grammar and the rounding are those of `k8s.io/apimachinery` `resource.ParseQuantity`: what is finer than
//! a billionth is rounded away from zero, and a binary quantity stops at 2^63-1.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The finest power of ten that a quantity keeps.
const NANO: i32 = -9;
/// Significant digits that the parser takes: their tenfold still fits 128 bits.
const MAX_DIGITS: usize = 37;
/// A binary quantity's upper bound.
const MAX_BINARY: u128 = i64::MAX as u128;

const DECIMAL_SUFFIXES: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Why a text is not a quantity. The first three are the API server's own sentences.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is none of `n u m k M G T P E Ki Mi Gi Ti Pi Ei` and no exponent.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// More digits than 128 bits hold.
    #[error("a quantity has at most {MAX_DIGITS} significant digits, this one has {0}")]
    TooManyDigits(usize),
}

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// An amount, exactly `mantissa * 10^exponent`.
///
/// Equality and order are by amount (`1Ki == 1024`), [`fmt::Display`] prints the canonical form.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// Without trailing zeros; 0 for zero.
    mantissa: i128,
    /// At least [`NANO`]; 0 for zero.
    exponent: i32,
    format: Format,
}

impl Quantity {
    /// Zero, written as a decimal.
    pub const ZERO: Quantity = Quantity {
        mantissa: 0,
        exponent: 0,
        format: Format::DecimalSi,
    };

    /// A whole number, `5`.
    #[must_use]
    pub fn from_i64(value: i64) -> Quantity {
        Quantity::normal(i128::from(value), 0, Format::DecimalSi)
    }

    /// How it is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// The amount when it is a whole number of 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        i64::try_from(self.whole()?).ok()
    }

    /// The nearest binary floating point number.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // Decimal text is read with correct rounding, which a product of two floats is not.
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// The amount in units of `10^exponent`, rounded away from zero, as Kubernetes counts it: `MilliValue` is -3,
    /// `Value` is 0. `None` when 128 bits do not hold it.
    #[must_use]
    pub fn rounded_up(&self, exponent: i32) -> Option<i128> {
        if self.mantissa == 0 || self.exponent >= exponent {
            return self.aligned(exponent);
        }
        let shift = exponent.checked_sub(self.exponent)?.unsigned_abs();
        let Some(divisor) = 10u128.checked_pow(shift) else {
            return Some(self.mantissa.signum());
        };
        let rounded = self.mantissa.unsigned_abs().div_ceil(divisor);
        Some(i128::try_from(rounded).ok()? * self.mantissa.signum())
    }

    /// The sum, in the format of `self` unless that is zero; `None` when 128 bits do not hold it.
    #[must_use]
    pub fn checked_add(self, other: Quantity) -> Option<Quantity> {
        let format = if self.is_zero() {
            other.format
        } else {
            self.format
        };
        let exponent = self.exponent.min(other.exponent);
        let sum = self
            .aligned(exponent)?
            .checked_add(other.aligned(exponent)?)?;
        Some(Quantity::normal(sum, exponent, format))
    }

    /// The difference, in the format of `self` unless that is zero; `None` when 128 bits do not hold it.
    #[must_use]
    pub fn checked_sub(self, other: Quantity) -> Option<Quantity> {
        self.checked_add(Quantity {
            mantissa: other.mantissa.checked_neg()?,
            ..other
        })
    }

    fn normal(mut mantissa: i128, mut exponent: i32, format: Format) -> Quantity {
        if mantissa == 0 {
            exponent = 0;
        }
        while mantissa != 0 && mantissa % 10 == 0 && exponent < i32::MAX {
            mantissa /= 10;
            exponent += 1;
        }
        Quantity {
            mantissa,
            exponent,
            format,
        }
    }

    /// The mantissa at a smaller or equal exponent.
    fn aligned(&self, exponent: i32) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let shift = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.mantissa.checked_mul(10i128.checked_pow(shift)?)
    }

    fn whole(&self) -> Option<i128> {
        (self.exponent >= 0).then(|| self.aligned(0)).flatten()
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        let parts = Parts::split(text)?;
        let (unit, format) = Unit::of(parts.suffix)?;
        if parts.whole.is_empty() && parts.fraction.is_empty() {
            return Err(QuantityError::Number);
        }
        let fraction = parts.fraction.trim_end_matches('0');
        let digits = format!("{}{fraction}", parts.whole);
        let digits = digits.trim_start_matches('0');
        // Zeros at the end of a whole number cost nothing: they move into the exponent.
        let significant = digits.trim_end_matches('0');
        if significant.len() > MAX_DIGITS {
            return Err(QuantityError::TooManyDigits(significant.len()));
        }
        if significant.is_empty() {
            return Ok(Quantity {
                format,
                ..Quantity::ZERO
            });
        }
        let mantissa: u128 = significant.parse().map_err(|_| QuantityError::Number)?;
        let zeros = length(digits.len() - significant.len())?;
        let point = zeros - length(fraction.len())?;
        let (mantissa, exponent) = match unit {
            Unit::Ten(power) => round_to_nano(
                mantissa,
                point.checked_add(power).ok_or(QuantityError::Suffix)?,
            ),
            Unit::Two(power) => scale_binary(mantissa, point, power),
        };
        let fine = format == Format::BinarySi && exponent < 0 && mantissa < 1_000_000_000;
        let format = if fine { Format::DecimalSi } else { format };
        let signed = i128::try_from(mantissa).map_err(|_| QuantityError::Number)?;
        let signed = if parts.negative { -signed } else { signed };
        Ok(Quantity::normal(signed, exponent, format))
    }
}

fn length(count: usize) -> Result<i32, QuantityError> {
    i32::try_from(count).map_err(|_| QuantityError::Number)
}

/// A quantity's text, cut as the API server cuts it.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Parts<'a>, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, rest) = cut_while(unsigned, |c| c.is_ascii_digit());
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => cut_while(rest, |c| c.is_ascii_digit()),
            None => ("", rest),
        };
        let (_, power) = cut_while(suffix, |c| "eEinumkKMGTP".contains(c));
        let power = power.strip_prefix(['-', '+']).unwrap_or(power);
        if !power.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        Ok(Parts {
            negative,
            whole,
            fraction,
            suffix,
        })
    }
}

fn cut_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

enum Unit {
    /// A power of ten.
    Ten(i32),
    /// A power of two.
    Two(u32),
}

impl Unit {
    fn of(suffix: &str) -> Result<(Unit, Format), QuantityError> {
        if let Some((_, power)) = DECIMAL_SUFFIXES.iter().find(|(s, _)| *s == suffix) {
            return Ok((Unit::Ten(*power), Format::DecimalSi));
        }
        if let Some(step) = (0u32..)
            .zip(BINARY_SUFFIXES)
            .find(|(_, s)| *s == suffix)
            .map(|(step, _)| step)
        {
            return Ok((Unit::Two(step * 10), Format::BinarySi));
        }
        let power = suffix
            .strip_prefix(['e', 'E'])
            .and_then(|power| power.parse().ok())
            .ok_or(QuantityError::Suffix)?;
        Ok((Unit::Ten(power), Format::DecimalExponent))
    }
}

/// Rounds away from zero where the exponent is finer than [`NANO`].
fn round_to_nano(mantissa: u128, exponent: i32) -> (u128, i32) {
    if exponent >= NANO {
        return (mantissa, exponent);
    }
    let shift = NANO.abs_diff(exponent);
    let rounded = 10u128
        .checked_pow(shift)
        .map_or(1, |divisor| mantissa.div_ceil(divisor));
    (rounded, NANO)
}

/// `mantissa * 10^point * 2^power`, in billionths, rounded up and capped at 2^63-1.
fn scale_binary(mantissa: u128, point: i32, power: u32) -> (u128, i32) {
    let (mut whole, mut rest, unit) = if point >= 0 {
        let whole = 10u128
            .checked_pow(point.unsigned_abs())
            .and_then(|factor| mantissa.checked_mul(factor));
        (whole.unwrap_or(u128::MAX), 0, 1)
    } else {
        match 10u128.checked_pow(point.unsigned_abs()) {
            Some(unit) if point >= -37 => (mantissa / unit, mantissa % unit, unit),
            // Below 10^-37 even 2^60 times as much is less than a billionth.
            _ => return (1, NANO),
        }
    };
    for _ in 0..power {
        if whole > MAX_BINARY {
            break;
        }
        rest *= 2;
        whole = whole * 2 + rest / unit;
        rest %= unit;
    }
    if whole >= MAX_BINARY {
        return (MAX_BINARY, 0);
    }
    if rest == 0 {
        return (whole, 0);
    }
    let mut nano = whole;
    for _ in 0..NANO.unsigned_abs() {
        rest *= 10;
        nano = nano * 10 + rest / unit;
        rest %= unit;
    }
    (nano + u128::from(rest > 0), NANO)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs != Ordering::Equal || self.mantissa == 0 {
            return signs;
        }
        let magnitudes = self.magnitude().cmp(&other.magnitude());
        let larger = magnitudes.then_with(|| {
            // Equal magnitude: the exponents differ by fewer places than the mantissas have digits.
            let exponent = self.exponent.min(other.exponent);
            let ours = self.aligned(exponent).map(i128::unsigned_abs);
            ours.cmp(&other.aligned(exponent).map(i128::unsigned_abs))
        });
        if self.mantissa < 0 {
            larger.reverse()
        } else {
            larger
        }
    }
}

impl Quantity {
    /// The power of ten of the first digit, plus one.
    fn magnitude(&self) -> i64 {
        let digits = self.mantissa.unsigned_abs().checked_ilog10().unwrap_or(0);
        i64::from(digits) + 1 + i64::from(self.exponent)
    }

    /// The canonical form with a binary suffix, where there is one.
    fn binary(&self) -> Option<String> {
        let mut whole = self.whole().filter(|whole| whole.unsigned_abs() >= 1024)?;
        let mut step = 0;
        while whole % 1024 == 0 && step + 1 < BINARY_SUFFIXES.len() {
            whole /= 1024;
            step += 1;
        }
        Some(format!("{whole}{}", BINARY_SUFFIXES[step]))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if let Some(text) = self.binary().filter(|_| self.format == Format::BinarySi) {
            return f.write_str(&text);
        }
        let power = self.exponent - self.exponent.rem_euclid(3);
        if self.format == Format::DecimalExponent {
            write_shifted(f, self.mantissa, self.exponent - power)?;
            return match power {
                0 => Ok(()),
                power => write!(f, "e{power}"),
            };
        }
        let (suffix, power) = DECIMAL_SUFFIXES
            .iter()
            .rfind(|(_, p)| *p <= power)
            .unwrap_or(&DECIMAL_SUFFIXES[0]);
        write_shifted(f, self.mantissa, self.exponent - power)?;
        f.write_str(suffix)
    }
}

/// Writes `mantissa * 10^zeros`. More zeros than anyone reads become an exponent.
fn write_shifted(f: &mut fmt::Formatter<'_>, mantissa: i128, zeros: i32) -> fmt::Result {
    let width = usize::try_from(zeros).unwrap_or(0);
    if width > 1000 {
        return write!(f, "{mantissa}e{zeros}");
    }
    write!(f, "{mantissa}{:0<width$}", "")
}

impl<'de> Deserialize<'de> for Quantity {
    /// A string or a number, as the API server takes both.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 500m, 2Gi or 1e3")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.trim()
                    .parse()
                    .map_err(|error| E::custom(format!("quantity {text:?}: {error}")))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_i64(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Quantity, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Quantity, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text, canonical form. The answers are those of apimachinery 0.36 unless a remark says otherwise.
    const CANONICAL: &[(&str, &str)] = &[
        ("0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("+5", "5"),
        ("007", "7"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.5", "1500m"),
        ("100.000", "100"),
        ("-1.25k", "-1250"),
        ("1000", "1k"),
        ("12345000", "12345k"),
        ("1000000", "1M"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E", "1E"),
        ("12e6", "12e6"),
        ("12e5", "1200e3"),
        ("1e-3", "1e-3"),
        ("1.5e2", "150"),
        ("1e-12", "1e-9"),
        ("1.0000000001", "1000000001n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("0.5Ki", "512"),
        ("1.5Gi", "1536Mi"),
        ("0.0001Ki", "102400u"),
        ("1.3Ki", "1331200m"),
        ("1000Ki", "1000Ki"),
        ("0.1Gi", "107374182400m"),
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("-100Ei", "-9223372036854775807"),
        ("7Ei", "7Ei"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        (
            "12345678901234567890123456789",
            "12345678901234567890123456789",
        ),
        // Go prints "1" here: it has no suffix beyond E and drops the exponent.
        ("1000E", "1000E"),
        ("3954452Ki", "3954452Ki"),
        ("16344160Ki", "16344160Ki"),
        ("110", "110"),
        ("61255492Ki", "61255492Ki"),
        ("3920m", "3920m"),
    ];

    const REFUSED: &[(&str, QuantityError)] = &[
        ("", QuantityError::Format),
        (" 1", QuantityError::Format),
        ("1 ", QuantityError::Format),
        ("1.2.3", QuantityError::Format),
        ("1Kb", QuantityError::Format),
        ("abc", QuantityError::Format),
        ("1GB", QuantityError::Format),
        ("é", QuantityError::Format),
        ("--1", QuantityError::Suffix),
        // apimachinery reads most of these as zero, which makes `>= Gi` hold for everything.
        (".", QuantityError::Number),
        ("+", QuantityError::Number),
        ("Gi", QuantityError::Number),
        ("Pi", QuantityError::Number),
        ("1K", QuantityError::Suffix),
        ("1e", QuantityError::Suffix),
        ("1Ki3", QuantityError::Suffix),
        ("1mi", QuantityError::Suffix),
        ("1e+", QuantityError::Suffix),
        ("1e99999999999", QuantityError::Suffix),
    ];

    #[test]
    fn canonical_form() {
        for (text, expected) in CANONICAL {
            match text.parse::<Quantity>() {
                Ok(quantity) => assert_eq!(&quantity.to_string(), expected, "{text}"),
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }

    #[test]
    fn refused() {
        for (text, expected) in REFUSED {
            assert_eq!(text.parse::<Quantity>().as_ref(), Err(expected), "{text}");
        }
    }

    #[test]
    fn order_is_by_amount() -> Result<(), QuantityError> {
        for (left, order, right) in [
            ("1Ki", Ordering::Equal, "1024"),
            ("1500m", Ordering::Equal, "1.5"),
            ("1e3", Ordering::Equal, "1k"),
            ("1Gi", Ordering::Greater, "1G"),
            ("-1", Ordering::Less, "0"),
            ("-2", Ordering::Less, "-1"),
            ("1e1000000", Ordering::Greater, "9e999999"),
            ("1n", Ordering::Greater, "0"),
            ("0", Ordering::Equal, "0Ki"),
            (
                "9223372036854775808",
                Ordering::Greater,
                "9223372036854775807",
            ),
            ("16344160Ki", Ordering::Less, "16Gi"),
        ] {
            let (l, r): (Quantity, Quantity) = (left.parse()?, right.parse()?);
            assert_eq!(l.cmp(&r), order, "{left} against {right}");
        }
        Ok(())
    }

    #[test]
    fn rounds_as_kubernetes_counts() -> Result<(), QuantityError> {
        for (text, milli, whole) in [
            ("0", 0, 0),
            ("100m", 100, 1),
            ("1500m", 1500, 2),
            ("1", 1000, 1),
            ("100n", 1, 1),
            ("-100u", -1, -1),
            ("2Gi", 2_147_483_648_000, 2_147_483_648),
        ] {
            let quantity: Quantity = text.parse()?;
            assert_eq!(quantity.rounded_up(-3), Some(milli), "{text}");
            assert_eq!(quantity.rounded_up(0), Some(whole), "{text}");
        }
        assert_eq!("1n".parse::<Quantity>()?.rounded_up(60), Some(1));
        assert_eq!("1e90".parse::<Quantity>()?.rounded_up(0), None);
        Ok(())
    }

    #[test]
    fn sums_keep_the_first_format() -> Result<(), QuantityError> {
        let sum = |a: &str, b: &str| -> Result<Option<String>, QuantityError> {
            let (a, b): (Quantity, Quantity) = (a.parse()?, b.parse()?);
            Ok(a.checked_add(b).map(|sum| sum.to_string()))
        };
        assert_eq!(sum("1Gi", "1Gi")?.as_deref(), Some("2Gi"));
        assert_eq!(sum("0", "1Gi")?.as_deref(), Some("1Gi"));
        assert_eq!(sum("500m", "1500m")?.as_deref(), Some("2"));
        assert_eq!(sum("1e100000", "1")?, None);
        assert_eq!("1Gi".parse::<Quantity>()?.as_i64(), Some(1 << 30));
        assert_eq!("1500m".parse::<Quantity>()?.as_i64(), None);
        assert!(("1500m".parse::<Quantity>()?.to_f64() - 1.5).abs() < f64::EPSILON);
        Ok(())
    }

    proptest! {
        #[test]
        fn never_panics_and_prints_what_it_reads(text in "[-+]?[0-9.]{0,40}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,6}|.*") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let printed = quantity.to_string();
                if !printed.contains('e') || quantity.format() == Format::DecimalExponent {
                    prop_assert_eq!(printed.parse::<Quantity>(), Ok(quantity), "{} printed as {}", text, printed);
                }
                let _ = quantity.checked_add(quantity);
                let _ = quantity.to_f64();
            }
        }
    }
}
