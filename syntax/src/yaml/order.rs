//! The order in which go-yaml v2 writes the keys of a mapping.

use std::cmp::Ordering;

use super::{Entry, Scalar};

/// The members in go-yaml's order. Its comparison is no total order for every input, so that the
/// standard sort, which may refuse such a one, is not for it.
pub(super) fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    let mut width = 1;
    while width < sorted.len() {
        let mut merged = Vec::with_capacity(sorted.len());
        for pair in sorted.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
                if compare(&b.key, &a.key) == Ordering::Less {
                    merged.push(*b);
                    right = right_rest;
                } else {
                    merged.push(*a);
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        sorted = merged;
        width *= 2;
    }
    sorted
}

fn compare(a: &Scalar, b: &Scalar) -> Ordering {
    match (a, b) {
        (Scalar::String(a), Scalar::String(b)) => natural(a, b),
        _ => match (as_number(a), as_number(b)) {
            (Some(x), Some(y)) => x.total_cmp(&y).then(rank(a).cmp(&rank(b))),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "go-yaml compares numeric keys as doubles"
)]
fn as_number(key: &Scalar) -> Option<f64> {
    match key {
        Scalar::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Scalar::Int(int) => Some(*int as f64),
        Scalar::Uint(uint) => Some(*uint as f64),
        Scalar::Float(float) => Some(*float),
        Scalar::Null | Scalar::String(_) => None,
    }
}

/// The order of Go's kinds.
fn rank(key: &Scalar) -> u8 {
    match key {
        Scalar::Null => 0,
        Scalar::Bool(_) => 1,
        Scalar::Int(_) => 2,
        Scalar::Uint(_) => 3,
        Scalar::Float(_) => 4,
        Scalar::String(_) => 5,
    }
}

/// Letters after everything else, runs of digits by their value: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|&at| a[at] != b[at]) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // After a digit other than 0, a 0 is no leading one: both runs then begin with a 1.
    let counts = (a[at] == '0' || b[at] == '0')
        && a[..at]
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .any(|&c| c != '0');
    let start = i64::from(counts);
    let ((an, alen), (bn, blen)) = (digits(&a[at..], start), digits(&b[at..], start));
    an.cmp(&bn).then(alen.cmp(&blen)).then(a[at].cmp(&b[at]))
}

fn digits(text: &[char], start: i64) -> (i64, usize) {
    let run = text.iter().map_while(|c| c.to_digit(10));
    run.fold((start, 0), |(value, length), digit| {
        let value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        (value, length + 1)
    })
}
