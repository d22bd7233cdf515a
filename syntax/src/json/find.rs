//! One field of a document, without reading the rest into anything.

use std::borrow::Cow;

use super::is_space;

/// The raw bytes of the value at a path of object keys, `["metadata", "name"]`, or `None` where there is
/// none or the document is broken before it. Of a key that stands twice the first is taken.
#[must_use]
pub fn find<'a>(document: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let mut value = trim(document);
    for key in path {
        value = member(value, key)?;
    }
    Some(value)
}

/// The text of a raw JSON string, `None` where the value is none.
#[must_use]
pub fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.iter().all(|byte| *byte != b'\\' && *byte != b'"') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(raw).ok().map(Cow::Owned)
}

fn member<'a>(object: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let mut rest = object.strip_prefix(b"{")?;
    loop {
        rest = trim_start(rest);
        let key_end = value_end(rest).filter(|_| rest.first() == Some(&b'"'))?;
        let (key, after) = rest.split_at(key_end);
        let after = trim_start(trim_start(after).strip_prefix(b":")?);
        let (value, after) = after.split_at(value_end(after)?);
        if text(key)? == wanted {
            return Some(value);
        }
        rest = trim_start(after).strip_prefix(b",")?;
    }
}

/// Where the value at the start of `bytes` ends, by structure alone.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut position = 0;
    loop {
        match *bytes.get(position)? {
            b'"' => position = string_end(bytes, position)?,
            b'{' | b'[' => {
                depth += 1;
                position += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                position += 1;
            }
            _ if depth == 0 => {
                let rest = &bytes[position..];
                let ends = |byte: &u8| is_space(*byte) || b",]}".contains(byte);
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                return (length > 0).then_some(position + length);
            }
            _ => {
                let rest = &bytes[position..];
                let structural = |byte: &u8| b"\"{}[]".contains(byte);
                position += rest.iter().position(structural)?;
            }
        }
        if depth == 0 {
            return Some(position);
        }
    }
}

/// Past the closing quote of the string that starts at `position`.
fn string_end(bytes: &[u8], position: usize) -> Option<usize> {
    let mut position = position + 1;
    loop {
        match *bytes.get(position)? {
            b'"' => return Some(position + 1),
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte));
    &bytes[start.unwrap_or(bytes.len())..]
}

fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = trim_start(bytes);
    let end = bytes.iter().rposition(|byte| !is_space(*byte));
    &bytes[..end.map_or(0, |end| end + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_by_path() {
        let pod = br#" {"spec": {"a": [{"name": "no"}, "}", "\"]"]}, "metadata": {"labels": {}, "name": "p\u0031", "n": -1.5e3 } } "#;
        let found = |path: &[&str]| find(pod, path).map(String::from_utf8_lossy);
        assert_eq!(
            found(&["metadata", "name"]).as_deref(),
            Some(r#""p\u0031""#)
        );
        assert_eq!(found(&["metadata", "n"]).as_deref(), Some("-1.5e3"));
        assert_eq!(found(&["metadata", "labels"]).as_deref(), Some("{}"));
        assert_eq!(found(&["metadata", "none"]), None);
        assert_eq!(found(&["name"]), None);
        assert_eq!(
            find(pod, &["metadata", "name"]).and_then(text).as_deref(),
            Some("p1")
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = find(&bytes, &["a", "b"]).and_then(text);
        }

        #[test]
        fn never_panics_on_near_json(text in r#"[\{\}\[\]",:\\a0 ]{0,60}"#) {
            let _ = find(text.as_bytes(), &["a"]).and_then(super::text);
        }
    }
}
