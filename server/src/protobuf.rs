//! Kubernetes' protobuf, as much of it as reviews need: `kubectl auth can-i` posts nothing else.

use serde_json::{Map, Value};

/// What stands before every protobuf object of the API.
const MAGIC: &[u8] = b"k8s\0";
/// `runtime.Unknown.raw`
const RAW: u64 = 2;
/// Field 2 of every API object.
const SPEC: u64 = 2;

/// A message's fields by number. Others are passed over.
type Message = &'static [(u64, Field)];

enum Field {
    Text(&'static str),
    Message(&'static str, Message),
}

const RESOURCE_ATTRIBUTES: Message = &[
    (1, Field::Text("namespace")),
    (2, Field::Text("verb")),
    (3, Field::Text("group")),
    (4, Field::Text("version")),
    (5, Field::Text("resource")),
    (6, Field::Text("subresource")),
    (7, Field::Text("name")),
];

const NON_RESOURCE_ATTRIBUTES: Message = &[(1, Field::Text("path")), (2, Field::Text("verb"))];

/// `spec` of each review, by its kind.
const SPECS: &[(&str, Message)] = &[
    (
        "SelfSubjectAccessReview",
        &[
            (1, Field::Message("resourceAttributes", RESOURCE_ATTRIBUTES)),
            (
                2,
                Field::Message("nonResourceAttributes", NON_RESOURCE_ATTRIBUTES),
            ),
        ],
    ),
    ("SelfSubjectReview", &[]),
    ("SelfSubjectRulesReview", &[(1, Field::Text("namespace"))]),
];

/// The `spec` of a review of `kind`, as JSON has it. `None` where the bytes are no such object.
pub(crate) fn review_spec(kind: &str, body: &[u8]) -> Option<Value> {
    let (_, message) = SPECS.iter().find(|(name, _)| *name == kind)?;
    let object = field(body.strip_prefix(MAGIC)?, RAW)?;
    let spec = field(object, SPEC)?;
    decode(spec, message).map(Value::Object)
}

fn decode(bytes: &[u8], message: Message) -> Option<Map<String, Value>> {
    let mut decoded = Map::new();
    for entry in Fields(bytes) {
        let (number, bytes) = entry?;
        match message.iter().find(|(known, _)| *known == number) {
            Some((_, Field::Text(name))) if !bytes.is_empty() => {
                let text = std::str::from_utf8(bytes).ok()?;
                decoded.insert((*name).to_owned(), Value::from(text));
            }
            Some((_, Field::Message(name, message))) => {
                let value = Value::Object(decode(bytes, message)?);
                decoded.insert((*name).to_owned(), value);
            }
            _ => {}
        }
    }
    Some(decoded)
}

/// The last value of a field; empty where the message lacks it, as protobuf has it.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut found: &[u8] = &[];
    for entry in Fields(message) {
        let (of, bytes) = entry?;
        if of == number {
            found = bytes;
        }
    }
    Some(found)
}

/// The length-delimited fields of a message; `None` where it breaks off.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn entry(&mut self) -> Option<(u64, &'a [u8])> {
        loop {
            let tag = self.varint()?;
            match tag & 7 {
                0 => self.varint().map(|_| ())?,
                1 => self.take(8).map(|_| ())?,
                2 => {
                    let length = self.varint()?;
                    return Some((tag >> 3, self.take(length)?));
                }
                5 => self.take(4).map(|_| ())?,
                _ => return None,
            }
            if self.0.is_empty() {
                // Nothing of interest follows: an empty field of no number.
                return Some((0, &[]));
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.0 = &[];
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, value) in fields {
            let length = u8::try_from(value.len()).expect("tests are short");
            bytes.extend([number << 3 | 2, length]);
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn body(spec: &[u8]) -> Vec<u8> {
        let types = message(&[
            (1, b"authorization.k8s.io/v1"),
            (2, b"SelfSubjectAccessReview"),
        ]);
        let object = message(&[(1, b""), (2, spec)]);
        [
            MAGIC,
            &message(&[(1, &types), (2, &object), (3, b""), (4, b"")]),
        ]
        .concat()
    }

    #[test]
    fn reads_what_kubectl_posts() {
        let attributes = message(&[
            (1, b"default"),
            (2, b"list"),
            (3, b""),
            (5, b"pods"),
            (9, b"\x0a\x01x"),
        ]);
        let spec = message(&[(1, &attributes)]);
        assert_eq!(
            review_spec("SelfSubjectAccessReview", &body(&spec)),
            Some(
                json!({ "resourceAttributes": { "namespace": "default", "verb": "list", "resource": "pods" } })
            )
        );
        let rules = message(&[(1, b"default")]);
        assert_eq!(
            review_spec("SelfSubjectRulesReview", &body(&rules)),
            Some(json!({ "namespace": "default" }))
        );
        assert_eq!(
            review_spec("SelfSubjectReview", &body(b"")),
            Some(json!({}))
        );
    }

    #[test]
    fn refuses_what_breaks_off() {
        let whole = body(&message(&[(1, &message(&[(2, b"list")]))]));
        for length in 0..4 {
            assert_eq!(
                review_spec("SelfSubjectAccessReview", &whole[..length]),
                None
            );
        }
        for cut in [10, whole.len() - 5, whole.len() - 1] {
            assert_eq!(
                review_spec("SelfSubjectAccessReview", &whole[..cut]),
                None,
                "{cut}"
            );
        }
        assert_eq!(review_spec("Pod", &whole), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = review_spec("SelfSubjectAccessReview", &[MAGIC, &bytes].concat());
        }
    }
}
