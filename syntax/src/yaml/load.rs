//! From the parser's events to trees.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag,
};

use super::scalar::{format_float, is_timestamp, resolve};
use super::{Content, Document, DuplicateKey, Entry, Limits, Node, Position, Scalar, YamlError};

/// Reads every document of a text. Documents without content are left out. A broken document is an error
/// in its place, and reading goes on at the next `---`; a text beyond the limits ends with an error.
#[must_use]
pub fn documents(text: &str, limits: &Limits) -> Vec<Result<Document, YamlError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > limits.bytes {
        return vec![Err(YamlError {
            position: Position::START,
            message: format!(
                "the text has {} bytes; {} are accepted",
                text.len(),
                limits.bytes
            ),
            beyond_limits: true,
        })];
    }
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = limits.depth;
    options.block_nesting_limit = limits.depth;
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(limits);
    let mut documents = Vec::new();
    loop {
        match next_document(&mut parser, &mut builder) {
            Ok(Some(document)) if document.root.is_null() => {}
            Ok(Some(document)) => documents.push(Ok(document)),
            Ok(None) => return documents,
            Err(Stop::Document(error)) => {
                // A broken document may have no value at all, and still costs an error.
                let counted = builder.count(1, error.position);
                documents.push(Err(error));
                if let Err(Stop::Text(error)) = counted {
                    documents.push(Err(error));
                    return documents;
                }
                match parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) => return documents,
                    Err(error) => {
                        documents.push(Err(scan_error(&error)));
                        return documents;
                    }
                }
            }
            Err(Stop::Text(error)) => {
                documents.push(Err(error));
                return documents;
            }
        }
    }
}

/// Reads the first document of a text, as go-yaml's `Unmarshal` does; a text without content is null.
pub fn document(text: &str, limits: &Limits) -> Result<Document, YamlError> {
    documents(text, limits)
        .into_iter()
        .next()
        .unwrap_or_else(|| {
            Ok(Document {
                root: Node {
                    position: Position::START,
                    content: Content::Scalar(Scalar::Null),
                },
                duplicate_keys: Vec::new(),
            })
        })
}

/// Why reading stops: at this document, or altogether.
enum Stop {
    Document(YamlError),
    Text(YamlError),
}

fn next_document<'a>(
    parser: &mut Parser<'a, StrInput<'a>>,
    builder: &mut Builder,
) -> Result<Option<Document>, Stop> {
    builder.start_document();
    loop {
        let Some(next) = parser.next_event() else {
            return Ok(None);
        };
        let (event, span) = next.map_err(|error| Stop::Document(scan_error(&error)))?;
        match event {
            Event::StreamEnd => return Ok(None),
            Event::DocumentEnd => {
                return Ok(builder.root.take().map(|root| Document {
                    root,
                    duplicate_keys: std::mem::take(&mut builder.duplicate_keys),
                }));
            }
            event => builder.take(event, &span)?,
        }
    }
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn scan_error(error: &ScanError) -> YamlError {
    YamlError {
        position: position(error.marker()),
        message: format!("not YAML: {}", error.info()),
        beyond_limits: matches!(error.kind(), ErrorKind::RecursionLimitExceeded),
    }
}

fn broken(position: Position, message: impl Into<String>) -> Stop {
    Stop::Document(YamlError {
        position,
        message: message.into(),
        beyond_limits: false,
    })
}

/// A collection whose end is not read yet.
enum Open {
    Sequence(Vec<Node>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    entries: Vec<Entry>,
    /// The entry of each key.
    places: HashMap<String, usize>,
    /// The key whose value is awaited.
    key: Option<(Key, Position)>,
}

enum Key {
    Scalar(Scalar),
    Merge,
}

struct Frame {
    open: Open,
    position: Position,
    anchor: usize,
}

struct Builder {
    limits: Limits,
    /// Values made so far, in the whole text.
    nodes: usize,
    /// Bytes that aliases have repeated so far.
    repeated: usize,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    duplicate_keys: Vec<DuplicateKey>,
}

impl Builder {
    fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            nodes: 0,
            repeated: 0,
            frames: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            duplicate_keys: Vec::new(),
        }
    }

    fn start_document(&mut self) {
        self.frames.clear();
        self.anchors.clear();
        self.root = None;
        self.duplicate_keys.clear();
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let at = position(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                if self.awaits_key() && tag.is_none() && style == ScalarStyle::Plain && text == "<<"
                {
                    return self.set_key(Key::Merge, at);
                }
                let scalar = scalar(&text, style, tag.as_deref(), at)?;
                let node = Node {
                    position: at,
                    content: Content::Scalar(scalar),
                };
                self.close(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Open::Sequence(Vec::new()), at, anchor),
            Event::MappingStart(_, anchor, _) => {
                self.open(Open::Mapping(OpenMapping::default()), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.frames.pop().ok_or_else(|| broken(at, "not YAML"))?;
                let content = match frame.open {
                    Open::Sequence(items) => Content::Sequence(items),
                    Open::Mapping(mapping) => Content::Mapping(mapping.entries),
                };
                let node = Node {
                    position: frame.position,
                    content,
                };
                self.close(node, frame.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    broken(at, "the alias stands inside the value that it repeats")
                })?;
                self.repeat(&node, at)?;
                self.close(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, at: Position, anchor: usize) -> Result<(), Stop> {
        self.count(1, at)?;
        if self.awaits_key() {
            return Err(broken(at, "a list or an object cannot be a key"));
        }
        if self.frames.len() >= self.limits.depth {
            return Err(broken(
                at,
                format!("values are nested more than {} deep", self.limits.depth),
            ));
        }
        self.frames.push(Frame {
            open,
            position: at,
            anchor,
        });
        Ok(())
    }

    /// A finished value goes where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.repeat(&node, node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        let at = node.position;
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::Sequence(items) => items.push(node),
            Open::Mapping(mapping) => match mapping.key.take() {
                None => {
                    return match node.content {
                        Content::Scalar(key) => self.set_key(Key::Scalar(key), at),
                        _ => Err(broken(at, "a list or an object cannot be a key")),
                    };
                }
                Some((Key::Scalar(key), position)) => {
                    let name = identity(&key);
                    let entry = Entry {
                        key,
                        position,
                        value: node,
                    };
                    if let Some(&place) = mapping.places.get(&name) {
                        let first = mapping.entries[place].position;
                        self.duplicate_keys.push(DuplicateKey {
                            key: entry.name().into_owned(),
                            position,
                            first,
                        });
                        mapping.entries[place] = entry;
                    } else {
                        mapping.places.insert(name, mapping.entries.len());
                        mapping.entries.push(entry);
                    }
                }
                Some((Key::Merge, _)) => {
                    let sources = match node.content {
                        Content::Mapping(entries) => vec![entries],
                        Content::Sequence(items) => items
                            .into_iter()
                            .map(|item| match item.content {
                                Content::Mapping(entries) => Ok(entries),
                                _ => Err(broken(item.position, MERGE)),
                            })
                            .collect::<Result<_, _>>()?,
                        Content::Scalar(_) => return Err(broken(at, MERGE)),
                    };
                    // Earlier sources win over later ones, and over keys that stand before the `<<`.
                    for entries in sources.into_iter().rev() {
                        for entry in entries {
                            mapping.merge(entry);
                        }
                    }
                }
            },
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame { open: Open::Mapping(mapping), .. }) if mapping.key.is_none()
        )
    }

    fn set_key(&mut self, key: Key, at: Position) -> Result<(), Stop> {
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            Some(Open::Mapping(mapping)) => {
                mapping.key = Some((key, at));
                Ok(())
            }
            _ => Err(broken(at, "not YAML")),
        }
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes {
            return Err(Stop::Text(YamlError {
                position: at,
                message: format!(
                    "the text has more than {} values, those that aliases repeat included",
                    self.limits.nodes
                ),
                beyond_limits: true,
            }));
        }
        Ok(())
    }

    /// Accounts for a copy of a value.
    fn repeat(&mut self, node: &Node, at: Position) -> Result<(), Stop> {
        let (nodes, bytes) = size(node);
        self.count(nodes, at)?;
        self.repeated = self.repeated.saturating_add(bytes);
        if self.repeated > self.limits.bytes {
            return Err(Stop::Text(YamlError {
                position: at,
                message: format!("aliases repeat more than {} bytes", self.limits.bytes),
                beyond_limits: true,
            }));
        }
        Ok(())
    }
}

impl OpenMapping {
    fn merge(&mut self, entry: Entry) {
        let name = identity(&entry.key);
        if let Some(&place) = self.places.get(&name) {
            self.entries[place] = entry;
        } else {
            self.places.insert(name, self.entries.len());
            self.entries.push(entry);
        }
    }
}

const MERGE: &str = "`<<` takes an object or a list of objects";

/// Equal for equal keys: `1` and `"1"` are two keys.
fn identity(key: &Scalar) -> String {
    match key {
        Scalar::Null => "n".to_owned(),
        Scalar::Bool(bool) => format!("b{bool}"),
        Scalar::Int(int) => format!("i{int}"),
        Scalar::Uint(uint) => format!("i{uint}"),
        Scalar::Float(float) => format!("f{}", format_float(*float)),
        Scalar::String(text) => format!("s{text}"),
    }
}

fn size(node: &Node) -> (usize, usize) {
    match &node.content {
        Content::Scalar(Scalar::String(text)) => (1, text.len()),
        Content::Scalar(_) => (1, 0),
        Content::Sequence(items) => items.iter().map(size).fold((1, 0), add),
        Content::Mapping(entries) => entries
            .iter()
            .map(|entry| add(size(&entry.value), (1, entry.name().len())))
            .fold((1, 0), add),
    }
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Scalar, Stop> {
    let string = || Scalar::String(text.to_owned());
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => resolve(text),
            _ => string(),
        });
    };
    let refuse = || broken(at, format!("`{}` cannot be read as {tag}", shown(text)));
    let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
    match (name.as_deref(), resolve(text)) {
        (Some("null"), Scalar::Null) => Ok(Scalar::Null),
        (Some("bool"), Scalar::Bool(bool)) => Ok(Scalar::Bool(bool)),
        (Some("int"), number @ (Scalar::Int(_) | Scalar::Uint(_))) => Ok(number),
        (Some("float"), Scalar::Float(float)) => Ok(Scalar::Float(float)),
        (Some("float"), Scalar::Int(_) | Scalar::Uint(_)) => text
            .replace('_', "")
            .parse()
            .map(Scalar::Float)
            .map_err(|_| refuse()),
        (Some("binary"), _) => {
            let packed: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(packed).map_err(|_| refuse())?;
            String::from_utf8(bytes)
                .map(Scalar::String)
                .map_err(|_| refuse())
        }
        (Some("timestamp"), _) if is_timestamp(text) => Ok(string()),
        (Some("null" | "bool" | "int" | "float" | "timestamp"), _) => Err(refuse()),
        _ => Ok(string()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Vec<Result<Value, YamlError>> {
        documents(text, &Limits::default())
            .into_iter()
            .map(|document| document.and_then(|document| document.root.to_json()))
            .collect()
    }

    #[test]
    fn documents_are_split_wherever_a_marker_stands() {
        for (text, values) in [
            ("a: 1", vec![json!({"a": 1})]),
            (
                "---\na: 1\n---\nb: 2\n",
                vec![json!({"a": 1}), json!({"b": 2})],
            ),
            (
                "--- # one\na: 1\n--- # two\nb: 2",
                vec![json!({"a": 1}), json!({"b": 2})],
            ),
            (
                "---\r\na: 1\r\n---\r\nb: 2\r\n",
                vec![json!({"a": 1}), json!({"b": 2})],
            ),
            (
                "a: 1\n...\n---\nb: 2\n...\n",
                vec![json!({"a": 1}), json!({"b": 2})],
            ),
            ("\u{feff}---\na: 1\n", vec![json!({"a": 1})]),
            ("%YAML 1.1\n---\na: yes\n", vec![json!({"a": true})]),
            ("a: |\n  x\n  ---\n  y\n", vec![json!({"a": "x\n---\ny\n"})]),
            ("", vec![]),
            ("# nothing\n---\n---\n# nothing\n", vec![]),
        ] {
            let values: Vec<_> = values.into_iter().map(Ok).collect();
            assert_eq!(read(text), values, "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_does_not_take_the_others_with_it() {
        for broken in [
            "a: [1, 2",
            "a: \"x",
            "a: {{ .Values.x }}",
            "a: b: c",
            "a: 1\n b: 2",
            "*none",
            "? [a]\n: 1",
            "<<: 1",
            "a: !!int x",
            "a:\n\tb: 1",
            "a: &x [*x]",
        ] {
            let text = format!("first: 1\n---\n{broken}\n---\nlast: 2\n");
            let documents = read(&text);
            assert_eq!(documents.len(), 3, "{broken:?} gave {documents:?}");
            assert_eq!(documents[0], Ok(json!({"first": 1})));
            let error = documents[1].as_ref().expect_err(broken);
            assert!(
                (3..=6).contains(&error.position.line),
                "{broken:?}: {error}"
            );
            assert_eq!(documents[2], Ok(json!({"last": 2})), "{broken:?}");
        }
    }

    #[test]
    fn values_and_keys_have_positions() -> Result<(), YamlError> {
        let text = "spec:\n  analyzers:\n    - textAnalyze:\n        regex: 'é' # x\n        a.b/c: [1, 2]\n";
        let root = document(text, &Limits::default())?.root;
        for (path, key, value) in [
            ("spec", Some((1, 1)), (2, 3)),
            ("spec.analyzers", Some((2, 3)), (3, 5)),
            ("spec.analyzers[0]", None, (3, 7)),
            ("spec.analyzers[0].textAnalyze.regex", Some((4, 9)), (4, 16)),
            ("spec.analyzers[0].textAnalyze.a.b/c[1]", None, (5, 20)),
        ] {
            let found = root.find(path).expect(path);
            let place = |position: Position| (position.line, position.column);
            assert_eq!(found.key.map(place), key, "{path}");
            assert_eq!(place(found.node.position), value, "{path}");
            assert_eq!(place(root.position(path)), value, "{path}");
        }
        assert!(root.find("spec.absent").is_none());
        assert_eq!(
            root.position("spec.absent.x"),
            Position { line: 2, column: 3 }
        );
        assert_eq!(root.position("."), Position::START);
        Ok(())
    }

    #[test]
    fn the_last_of_two_equal_keys_wins_and_is_reported() -> Result<(), YamlError> {
        let document = document("a: 1\nb: 2\na: 3\n", &Limits::default())?;
        assert_eq!(document.root.to_json()?, json!({"a": 3, "b": 2}));
        assert_eq!(
            document.duplicate_keys,
            [DuplicateKey {
                key: "a".into(),
                position: Position { line: 3, column: 1 },
                first: Position::START,
            }]
        );
        Ok(())
    }

    #[test]
    fn anchors_merges_and_tags_are_followed() {
        for (text, value) in [
            (
                "a: &x {k: 1}\nb: *x\n",
                json!({"a": {"k": 1}, "b": {"k": 1}}),
            ),
            (
                "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}",
                json!({"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}}),
            ),
            (
                "b: {<<: [{k: 1}, {k: 2, l: 2}]}",
                json!({"b": {"k": 1, "l": 2}}),
            ),
            ("a: !!str 1", json!({"a": "1"})),
            ("a: !!int \"1\"", json!({"a": 1})),
            ("a: !!binary aGk=", json!({"a": "hi"})),
            ("a: !custom 1", json!({"a": "1"})),
            ("on: 1\n1: 2\n1.5: 3", json!({"true": 1, "1": 2, "1.5": 3})),
            ("a: 1e3", json!({"a": 1000})),
            ("a: \"yes\"", json!({"a": "yes"})),
        ] {
            assert_eq!(read(text), [Ok(value)], "{text}");
        }
        for text in ["~: 1", "a: .inf"] {
            assert!(read(text)[0].is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_costs_more_than_its_limits() {
        let small = Limits {
            bytes: 4096,
            nodes: 1000,
            depth: 10,
        };
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x]\n".to_owned();
        let levels = ["a", "b", "c", "d", "e", "f", "g"];
        for pair in levels.windows(2) {
            let repeated = vec![format!("*{}", pair[0]); 6].join(", ");
            bomb.extend([pair[1], ": &", pair[1], " [", &repeated, "]\n"]);
        }
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(2000), ["*a"; 10].join(", "));
        let deep_flow = "[".repeat(50) + &"]".repeat(50);
        let deep_block = (0..50).fold(String::new(), |text, depth| {
            text + &"  ".repeat(depth) + "a:\n"
        });
        let wide = "- x\n".repeat(1001);
        let broken = "---\n*x\n".repeat(500);
        let few = Limits {
            nodes: 100,
            ..small
        };
        assert_eq!(documents(&broken, &few).len(), 102);
        let large = "x".repeat(4097);
        for (text, word) in [
            (bomb, "values"),
            (long, "bytes"),
            (deep_flow, "limit"),
            (deep_block, "limit"),
            (wide, "values"),
            (large, "bytes"),
        ] {
            let documents = documents(&text, &small);
            let error = documents[0].as_ref().expect_err(word);
            assert!(error.message.contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c:\\-{}\\[\\]&*!|>%#'\"?, \n\t.<é\\\\0]{0,200}") {
            for document in documents(&text, &Limits::default()).into_iter().flatten() {
                prop_assert!(document.root.position("a[0].b").line >= 1);
            }
        }
    }
}
