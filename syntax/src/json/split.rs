//! Cuts a list into its items as its bytes arrive.

use super::{DEPTH_CAP, find, is_space, text};

/// What the document is at its top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object with an array named `items`: a Kubernetes list.
    List,
    /// An array.
    Array,
    /// Any other object.
    Object,
}

/// What stands around the items. Fields are there as soon as they were read: typed lists have them first,
/// lists of custom resources partly last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `PodList`
    pub kind: String,
    /// `v1`
    pub api_version: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `metadata.continue`, empty on the last page.
    pub continue_token: String,
    /// `metadata.remainingItemCount`
    pub remaining: Option<u64>,
}

/// One item, exactly as it stood in the document.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its bytes, from bracket to bracket. Whether they are JSON is for the reader to find out.
    pub bytes: &'a [u8],
    /// Where it began, in bytes from the document's start.
    pub offset: u64,
}

/// Why a document could not be cut to its end. The items before are whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// It ends too early.
    #[error("the document ends within {within}, at byte {offset}")]
    Truncated {
        /// Its length.
        offset: u64,
        /// What was under way.
        within: &'static str,
    },
    /// Something stands where it cannot.
    #[error("byte {offset}: {expected}")]
    Unexpected {
        /// Where.
        offset: u64,
        /// What was expected there.
        expected: &'static str,
    },
    /// An item is longer than the cap.
    #[error("the item at byte {offset} is longer than {cap} bytes")]
    TooLong {
        /// Where it begins.
        offset: u64,
        /// The cap.
        cap: usize,
    },
}

/// Cuts a document that arrives in pieces of any size. It holds at most one item.
#[derive(Debug)]
pub struct Splitter {
    place: Place,
    shape: Option<Shape>,
    envelope: Envelope,
    /// The key under way or just read, raw, at the top of an object.
    key: Vec<u8>,
    nest: Nest,
    /// The start of the item or field under way, from earlier pieces.
    carry: Vec<u8>,
    item_offset: u64,
    offset: u64,
    cap: usize,
    items: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After `{` or `,` at the top.
    Key,
    InKey,
    Colon,
    Value,
    InValue,
    AfterValue,
    /// In an array of items, between two.
    Items,
    InItem,
    End,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl Splitter {
    /// A splitter that refuses items and fields longer than `cap` bytes.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self {
            place: Place::Start,
            shape: None,
            envelope: Envelope::default(),
            key: Vec::new(),
            nest: Nest::default(),
            carry: Vec::new(),
            item_offset: 0,
            offset: 0,
            cap,
            items: 0,
        }
    }

    /// What is known of the list so far.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// How many items there were so far.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Takes the next piece, and gives every item that it completes to `each`, with what is known by then of
    /// the list around it. An error of `each` ends it.
    pub fn push<E: From<SplitError>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Item<'_>, &Envelope) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(&byte) = rest.first() {
            let used = match self.place {
                Place::InItem => self.item(rest, &mut each)?,
                Place::InValue => self.field(rest)?,
                Place::InKey => self.key(rest),
                _ if is_space(byte) => 1,
                _ => self.between(byte)?,
            };
            rest = &rest[used..];
            self.offset += used as u64;
        }
        Ok(())
    }

    /// Ends the document.
    pub fn finish(self) -> Result<(Shape, Envelope), SplitError> {
        let within = match self.place {
            Place::End => "",
            Place::Start => "nothing",
            Place::InItem => "an item",
            Place::Items => "the items",
            _ => "the list around the items",
        };
        match self.shape {
            Some(shape) if within.is_empty() => Ok((shape, self.envelope)),
            _ => Err(SplitError::Truncated {
                offset: self.offset,
                within,
            }),
        }
    }

    /// A byte that is no space, outside of keys, values and items. Gives how many bytes it used up: none
    /// where a value begins, which is then read as a whole.
    fn between(&mut self, byte: u8) -> Result<usize, SplitError> {
        let (next, used) = match (self.place, byte) {
            (Place::Start, b'{') => {
                self.shape = Some(Shape::Object);
                (Place::Key, 1)
            }
            (Place::Start, b'[') => {
                self.shape = Some(Shape::Array);
                (Place::Items, 1)
            }
            // A byte order mark.
            (Place::Start, 0xef | 0xbb | 0xbf) if self.offset < 3 => (Place::Start, 1),
            (Place::Start, _) => return self.unexpected("expected `{` or `[`"),
            (Place::Key, b'"') => {
                self.key.clear();
                self.nest = Nest::default();
                (Place::InKey, 0)
            }
            (Place::Key | Place::AfterValue, b'}') => (Place::End, 1),
            (Place::Key, _) => return self.unexpected("expected a key or `}`"),
            (Place::Colon, b':') => (Place::Value, 1),
            (Place::Colon, _) => return self.unexpected("expected `:`"),
            (Place::Value, b'[') if self.key == b"\"items\"" => {
                self.shape = Some(Shape::List);
                (Place::Items, 1)
            }
            (Place::Value, b',' | b'}' | b']' | b':') => {
                return self.unexpected("expected a value");
            }
            (Place::Value, _) => {
                self.carry.clear();
                self.nest = Nest::default();
                (Place::InValue, 0)
            }
            (Place::AfterValue, b',') => (Place::Key, 1),
            (Place::AfterValue, _) => return self.unexpected("expected `,` or `}`"),
            (Place::Items, b',') => (Place::Items, 1),
            (Place::Items, b']') if self.shape == Some(Shape::Array) => (Place::End, 1),
            (Place::Items, b']') => (Place::AfterValue, 1),
            (Place::Items, b'}' | b':') => return self.unexpected("expected an item or `]`"),
            (Place::Items, _) => {
                self.carry.clear();
                self.nest = Nest::default();
                self.item_offset = self.offset;
                (Place::InItem, 0)
            }
            (Place::End, _) => return self.unexpected("expected the end"),
            (Place::InKey | Place::InValue | Place::InItem, _) => (self.place, 0),
        };
        self.place = next;
        Ok(used)
    }

    fn unexpected(&self, expected: &'static str) -> Result<usize, SplitError> {
        Err(SplitError::Unexpected {
            offset: self.offset,
            expected,
        })
    }

    fn item<E: From<SplitError>>(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(Item<'_>, &Envelope) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = self.nest.end(piece).map_err(|TooDeep| self.too_deep())?;
        let used = end.unwrap_or(piece.len());
        if self.carry.len() + used > self.cap {
            return Err(SplitError::TooLong {
                offset: self.item_offset,
                cap: self.cap,
            }
            .into());
        }
        if end.is_none() || !self.carry.is_empty() {
            self.carry.extend_from_slice(&piece[..used]);
        }
        if end.is_some() {
            self.items += 1;
            self.place = Place::Items;
            let bytes = if self.carry.is_empty() {
                &piece[..used]
            } else {
                &self.carry
            };
            let offset = self.item_offset;
            each(Item { bytes, offset }, &self.envelope)?;
            self.carry.clear();
        }
        Ok(used)
    }

    /// A value beside the items. Only those that [`Envelope`] holds are kept.
    fn field(&mut self, piece: &[u8]) -> Result<usize, SplitError> {
        let end = self.nest.end(piece).map_err(|TooDeep| self.too_deep())?;
        let used = end.unwrap_or(piece.len());
        let kept = matches!(
            self.key.as_slice(),
            b"\"kind\"" | b"\"apiVersion\"" | b"\"metadata\""
        );
        if kept && self.carry.len() < FIELD_CAP {
            self.carry.extend_from_slice(&piece[..used]);
        }
        if end.is_some() {
            self.place = Place::AfterValue;
            if kept {
                self.keep();
            }
        }
        Ok(used)
    }

    fn keep(&mut self) {
        let string = |raw: Option<&[u8]>| raw.and_then(text).unwrap_or_default().into_owned();
        let value = std::mem::take(&mut self.carry);
        match self.key.as_slice() {
            b"\"kind\"" => self.envelope.kind = string(Some(&value)),
            b"\"apiVersion\"" => self.envelope.api_version = string(Some(&value)),
            _ => {
                self.envelope.resource_version = string(find(&value, &["resourceVersion"]));
                self.envelope.continue_token = string(find(&value, &["continue"]));
                self.envelope.remaining = find(&value, &["remainingItemCount"])
                    .and_then(|raw| std::str::from_utf8(raw).ok())
                    .and_then(|raw| raw.parse().ok());
            }
        }
    }

    fn key(&mut self, piece: &[u8]) -> usize {
        // A string never nests.
        let end = self.nest.end(piece).unwrap_or_default();
        let used = end.unwrap_or(piece.len());
        if self.key.len() < 64 {
            self.key.extend_from_slice(&piece[..used.min(64)]);
        }
        if end.is_some() {
            self.place = Place::Colon;
        }
        used
    }

    fn too_deep(&self) -> SplitError {
        SplitError::Unexpected {
            offset: self.offset,
            expected: "nested too deep",
        }
    }
}

/// A list's `metadata` is some hundred bytes; a continue token some thousand.
const FIELD_CAP: usize = 1 << 20;

struct TooDeep;

/// Where one value ends, by structure alone.
#[derive(Debug, Default)]
struct Nest {
    /// The brackets that are open.
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// In a number, a literal, or something that is neither.
    in_scalar: bool,
}

impl Nest {
    /// Reads on. Gives where in `piece` the value ends, `None` where it does not. A bracket that closes
    /// another than the last closes all up to its own, and is ignored where it has none: so damage stays
    /// within one item where it can.
    fn end(&mut self, piece: &[u8]) -> Result<Option<usize>, TooDeep> {
        let mut position = 0;
        while position < piece.len() {
            if self.in_string {
                position += self.string(&piece[position..]);
                if !self.in_string && self.open.is_empty() {
                    return Ok(Some(position));
                }
                continue;
            }
            let byte = piece[position];
            match byte {
                b'"' | b'{' | b'[' if self.in_scalar => return Ok(Some(position)),
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    if self.open.len() >= DEPTH_CAP {
                        return Err(TooDeep);
                    }
                    self.open.push(byte);
                }
                b'}' | b']' if self.open.is_empty() => return Ok(Some(position)),
                b'}' | b']' => {
                    let opener = if byte == b'}' { b'{' } else { b'[' };
                    if let Some(level) = self.open.iter().rposition(|open| *open == opener) {
                        self.open.truncate(level);
                    }
                    if self.open.is_empty() {
                        return Ok(Some(position + 1));
                    }
                }
                _ if !self.open.is_empty() => {
                    let rest = &piece[position..];
                    let plain = rest.iter().position(|byte| STRUCTURAL[usize::from(*byte)]);
                    position += plain.unwrap_or(rest.len());
                    continue;
                }
                _ if is_space(byte) || byte == b',' => return Ok(Some(position)),
                _ => self.in_scalar = true,
            }
            position += 1;
        }
        Ok(None)
    }

    /// Reads on within a string; gives how much it used.
    fn string(&mut self, piece: &[u8]) -> usize {
        let mut position = 0;
        while position < piece.len() {
            if self.escaped {
                self.escaped = false;
                position += 1;
                continue;
            }
            let rest = &piece[position..];
            let Some(plain) = rest.iter().position(|byte| *byte == b'"' || *byte == b'\\') else {
                return piece.len();
            };
            position += plain + 1;
            if rest[plain] == b'"' {
                self.in_string = false;
                return position;
            }
            self.escaped = true;
        }
        position
    }
}

const STRUCTURAL: [bool; 256] = {
    let mut table = [false; 256];
    table[b'"' as usize] = true;
    table[b'{' as usize] = true;
    table[b'}' as usize] = true;
    table[b'[' as usize] = true;
    table[b']' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Cut = (Vec<(u64, String)>, Result<(Shape, Envelope), SplitError>);

    fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Cut {
        let mut splitter = Splitter::new(1000);
        let mut items = Vec::new();
        for piece in pieces {
            let pushed = splitter.push(piece, |item, _| {
                let text = String::from_utf8_lossy(item.bytes).into_owned();
                items.push((item.offset, text));
                Ok::<_, SplitError>(())
            });
            if let Err(error) = pushed {
                return (items, Err(error));
            }
        }
        (items, splitter.finish())
    }

    fn texts(document: &str) -> (Vec<String>, Result<Shape, SplitError>) {
        let (items, end) = cut([document.as_bytes()]);
        let texts = items.into_iter().map(|(_, text)| text).collect();
        (texts, end.map(|(shape, _)| shape))
    }

    #[test]
    fn reads_what_stands_around_the_items() -> Result<(), SplitError> {
        let typed = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"a\u003d","remainingItemCount":12},"items":[{"a":1}, {"b":"]}"}]}"#;
        let custom = r#"{"apiVersion":"v1","items":[{"a":1},{"b":"]}"}],"kind":"PodList","metadata":{"continue":"a=","remainingItemCount":12,"resourceVersion":"7"}}"#;
        for document in [typed, custom] {
            let (items, end) = cut([document.as_bytes()]);
            let (shape, envelope) = end?;
            assert_eq!(shape, Shape::List);
            assert_eq!(
                envelope,
                Envelope {
                    kind: "PodList".into(),
                    api_version: "v1".into(),
                    resource_version: "7".into(),
                    continue_token: "a=".into(),
                    remaining: Some(12),
                }
            );
            for (offset, text) in &items {
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                assert!(document[offset..].starts_with(text.as_str()));
            }
            assert_eq!(items.len(), 2);
        }
        Ok(())
    }

    #[test]
    fn knows_the_shapes() {
        for (document, items, shape) in [
            (r#"[{"a":1},2,"x",null]"#, 4, Shape::Array),
            ("[]", 0, Shape::Array),
            (r#"{"items":[]}"#, 0, Shape::List),
            (r#"{"items":null}"#, 0, Shape::Object),
            (
                r#"{"kind":"Namespace","spec":{"items":[1]}}"#,
                0,
                Shape::Object,
            ),
            ("\u{feff}[1]", 1, Shape::Array),
        ] {
            let (texts, end) = texts(document);
            assert_eq!((texts.len(), end), (items, Ok(shape)), "{document}");
        }
    }

    #[test]
    fn damage_stays_within_one_item_where_it_can() {
        for (document, whole) in [
            (r#"{"items":[{"a":1},{"a":nope},{"c":3}]}"#, 3),
            (r#"{"items":[{"a":1},{"a":[1},{"c":3}]}"#, 3),
            (r#"{"items":[{"a":1},{"a":1]},{"c":3}]}"#, 3),
            (r#"{"items":[{"a":1},{"a":"\q"},{"c":3}]}"#, 3),
        ] {
            let (texts, end) = texts(document);
            assert_eq!(texts.len(), whole, "{document}");
            assert_eq!(texts[2], r#"{"c":3}"#);
            assert_eq!(end, Ok(Shape::List));
        }
    }

    #[test]
    fn what_came_before_the_end_is_kept() {
        let (before, end) = texts(r#"{"items":[{"a":1},{"a":"#);
        assert_eq!(before.len(), 1);
        assert!(
            matches!(end, Err(SplitError::Truncated { offset: 23, .. })),
            "{end:?}"
        );
        let (before, end) = texts(r#"{"items":[{"a":1}]}{"#);
        assert_eq!(before.len(), 1);
        assert!(
            matches!(end, Err(SplitError::Unexpected { offset: 19, .. })),
            "{end:?}"
        );
        assert!(texts("").1.is_err());
        assert!(texts("<html>").1.is_err());
        assert!(texts("true").1.is_err());
        let long = format!(r#"{{"items":["{}"]}}"#, "x".repeat(2000));
        assert!(matches!(texts(&long).1, Err(SplitError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_pieces(
            document in prop_oneof![
                r#"\{"kind":"L","metadata":\{"continue":"[a-z\\\\"]{0,6}"\},"items":\[(\{"a":"[x\\\\"\]\}]{0,5}"\},?){0,4}\]\}"#,
                r#"[\{\}\[\]",:\\a0 ]{0,60}"#,
            ],
            cuts in proptest::collection::vec(0_usize..200, 0..6),
        ) {
            let bytes = document.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let pieces: Vec<&[u8]> = cuts.iter().map(|to| &bytes[std::mem::replace(&mut from, *to)..*to]).collect();
            prop_assert_eq!(cut([bytes]), cut(pieces));
        }

        #[test]
        fn items_are_those_of_serde(values in proptest::collection::vec(
            proptest::collection::btree_map(".{0,4}", "[\\PC\\n]{0,9}", 0..4), 0..8)
        ) {
            let document = serde_json::json!({"kind": "L", "items": values});
            let (texts, end) = texts(&document.to_string());
            prop_assert_eq!(end, Ok(Shape::List));
            let items: Vec<serde_json::Value> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            prop_assert_eq!(serde_json::Value::from(items), document["items"].clone());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = cut([bytes.as_slice()]);
        }
    }
}
