//! Text line by line: logs, YAML, env files, anything. YAML is followed by its indentation, as far as Secrets,
//! pairs of name and value, and values over several lines need it.

use super::edits::{COMMENT, Edit};
use super::names::{Class, Name};
use super::objects::{NAMED, PAIR, SECRET_DATA, flag_class, is_secret_type};
use super::shapes::{NAMES, STRUCTURE};
use super::yaml::{
    Yaml, closing_quote, is_block, quote_plain, trimmed, unquoted, without_properties,
};
use super::{Finder, values};
use crate::redact::MASK;

/// How many bytes may wait for a decision. Then everything that waits is taken for secret.
const MAX_WAITING: usize = 16 << 20;
/// How many objects of YAML are followed.
const MAX_FRAMES: usize = 256;

const PRIVATE_KEY: &str = "private key";

/// What must be known of the lines before.
#[derive(Debug, Default)]
pub(super) struct Text {
    frames: Vec<Frame>,
    /// Within a private key.
    in_private_key: bool,
    /// Within a value over several lines.
    open: Option<OpenValue>,
    /// The column of a key without a value on its line, and what it promises of the line below.
    below: Option<(usize, Class)>,
    /// The flag in the list item before, and the column of its dash.
    flag: Option<(usize, Class)>,
    /// The frame whose value the line under way is text of: whatever that looks like, it ends no frame up to this one.
    within: Option<usize>,
}

/// An object of YAML that may turn out to be a Secret or a pair.
#[derive(Debug)]
struct Frame {
    column: usize,
    is_secret: Option<bool>,
    like_secret: bool,
    /// The lines under way belong to `data`.
    in_data: bool,
    /// What to mask if this is a Secret, and from where on.
    data: Vec<Edit>,
    waits_from: Option<usize>,
    name: Name,
    value: Option<(Edit, Vec<u8>)>,
}

/// A value that goes on in the lines after its key.
#[derive(Debug)]
struct OpenValue {
    /// The column of its key: its lines are indented more.
    column: usize,
    /// A plain scalar, which ends where another member begins.
    plain: bool,
    /// The quote that ends it.
    quote: Option<u8>,
    /// What stands in the place of its lines: text in a block scalar, else comments.
    with: &'static str,
    hidden: Hidden,
}

impl OpenValue {
    /// What may follow `value` in the next lines; nothing where its quotes close.
    fn of(yaml: &Yaml<'_>, value: &[u8], hidden: Hidden) -> Option<Self> {
        let quote = value
            .first()
            .copied()
            .filter(|first| matches!(first, b'"' | b'\''));
        if quote.is_some_and(|quote| closing_quote(value, 1, quote).is_some()) {
            return None;
        }
        Some(Self {
            column: yaml.column,
            plain: quote.is_none() && !is_block(without_properties(value)),
            quote,
            with: if is_block(value) { MASK } else { COMMENT },
            hidden,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    Yes,
    /// If the frame at this place is a Secret.
    Waits(usize),
}

/// Where a line lies that belongs to an open value.
enum Place {
    /// It is masked, and nothing else matters.
    Hidden,
    /// It may be masked, if the frame at this place is a Secret; until then it is a line like others.
    Inside(usize),
}

impl Text {
    /// Whether lines without literals matter.
    pub(super) fn needs_every_line(&self) -> bool {
        self.in_private_key
            || self.open.is_some()
            || self.below.is_some()
            || self.flag.is_some()
            || !self.frames.is_empty()
    }

    /// From where on bytes must wait.
    pub(super) fn waits_from(&self) -> Option<usize> {
        let values = self.frames.iter().filter_map(|frame| frame.value.as_ref());
        let values = values.map(|(edit, _)| edit.range.start);
        self.frames
            .iter()
            .filter_map(|frame| frame.waits_from)
            .chain(values)
            .min()
    }

    /// Adds the edits for a line, which begins at `base`. `bits` says which literals it holds.
    pub(super) fn line(
        &mut self,
        line: &[u8],
        base: usize,
        bits: u64,
        finder: &Finder,
        depth: usize,
        found: &mut Vec<Edit>,
    ) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let content = trimmed(line);
        if content.is_empty() || self.private_key(line, base, found) {
            return;
        }
        self.within = match self.open_value(line, base, found) {
            Some(Place::Hidden) => return,
            Some(Place::Inside(frame)) => Some(frame),
            None => None,
        };
        let yaml = Yaml::read(line);
        if let Some(edit) = self.value_below(yaml.as_ref(), line) {
            found.push(edit.shifted(base));
            return;
        }
        let mut edits = Vec::new();
        finder.lexical(line, bits, &mut edits);
        if bits & STRUCTURE != 0 {
            finder.embedded(line, depth, &mut edits);
        }
        match &yaml {
            _ if line[content.start] == b'#' => {}
            Some(yaml) => self.structure(yaml, line, base, bits, &edits, found),
            None => self.close(0, found),
        }
        if let Some(yaml) = yaml {
            yaml.keep_key(&mut edits);
            quote_plain(line, &yaml, &mut edits);
        }
        found.extend(edits.into_iter().map(|edit| edit.shifted(base)));
        self.bound(base + line.len(), found);
    }

    /// The end of the text: what waits for an object that never said what it is.
    pub(super) fn finish(&mut self, found: &mut Vec<Edit>) {
        self.within = None;
        self.close(0, found);
    }

    /// Lines of a private key, from the one that opens it to the one that closes it.
    fn private_key(&mut self, line: &[u8], base: usize, found: &mut Vec<Edit>) -> bool {
        const BEGIN: &[u8] = b"-----BEGIN ";
        const END: &[u8] = b"-----END ";
        if self.in_private_key {
            let end = memchr::memmem::find(line, END);
            let body = trimmed(&line[..end.unwrap_or(line.len())]);
            let inside = &line[body.clone()];
            let looks_like_one = is_key_material(inside);
            self.in_private_key = end.is_none() && looks_like_one;
            if end.is_some() || looks_like_one {
                found.push(Edit::mask(base + body.start..base + body.end, PRIVATE_KEY));
                // What stands behind the end of a key is a line like others.
                if end.is_none() {
                    return true;
                }
            }
        }
        if let Some(begin) = memchr::memmem::rfind(line, BEGIN) {
            let header = &line[begin + BEGIN.len()..];
            let label = memchr::memmem::find(header, b"-----").unwrap_or(header.len());
            let is_private = memchr::memmem::find(&header[..label], b"PRIVATE KEY").is_some();
            let rest = &header[label..];
            self.in_private_key =
                is_private && memchr::memmem::find(rest, END).is_none() && rest.len() <= 5;
        }
        false
    }

    /// Lines of a value whose key said what becomes of it.
    fn open_value(&mut self, line: &[u8], base: usize, found: &mut Vec<Edit>) -> Option<Place> {
        let open = self.open.as_ref()?;
        let content = trimmed(line);
        let inside = content.start > open.column || open.quote.is_some();
        let another = open.plain && Yaml::read(line).is_some_and(|yaml| yaml.has_place());
        if !inside || another {
            self.open = None;
            return None;
        }
        let ended = open
            .quote
            .is_some_and(|quote| closing_quote(&line[content.clone()], 0, quote).is_some());
        let range = base + content.start..base + content.end;
        let edit = Edit::new(range, open.with, SECRET_DATA);
        let hidden = open.hidden;
        if ended {
            self.open = None;
        }
        match hidden {
            Hidden::Yes => {
                found.push(edit);
                Some(Place::Hidden)
            }
            Hidden::Waits(place) => {
                if let Some(frame) = self.frames.get_mut(place) {
                    frame.data.push(edit);
                }
                Some(Place::Inside(place))
            }
        }
    }

    /// A value on the line below its key: one word, or quotes that close. More words may as well be a text of something else.
    fn value_below(&mut self, yaml: Option<&Yaml<'_>>, line: &[u8]) -> Option<Edit> {
        let below = self.below.take();
        let yaml = yaml?;
        let value = &line[yaml.value.clone()];
        if value.first() == Some(&b'#') {
            self.below = below;
            return None;
        }
        let (column, class) = below?;
        let word = match value.first() {
            Some(quote @ (b'"' | b'\'')) => closing_quote(value, 1, *quote).is_some(),
            _ => !unquoted(value).contains(&b' '),
        };
        let is_value = yaml.column > column && !yaml.has_place() && word;
        let secret = is_value && values::is_secret(class, unquoted(value));
        yaml.mask(value, NAMED).filter(|_| secret)
    }

    /// Follows the objects of YAML. `edits` is what is masked in the line as such.
    fn structure(
        &mut self,
        yaml: &Yaml<'_>,
        line: &[u8],
        base: usize,
        bits: u64,
        edits: &[Edit],
        found: &mut Vec<Edit>,
    ) {
        let around = self.within.and_then(|frame| self.frames.get(frame));
        if around.is_some_and(|frame| yaml.column <= frame.column) {
            // Text of a value, further left than the object that has the value.
            return;
        }
        if let Some(dash) = yaml.dash {
            self.close(dash + 1, found);
        }
        self.close(yaml.column + 1, found);
        let value = &line[yaml.value.clone()];
        self.list_flag(yaml, value, base, found);
        let Some(key) = yaml.key else {
            if self
                .frames
                .last()
                .is_some_and(|frame| frame.column >= yaml.column)
                && yaml.dash.is_none()
            {
                // Not a member of any object: this is no YAML.
                self.close(0, found);
            }
            return;
        };
        if self.within.is_none() {
            self.data_member(yaml, value, base, found);
        }
        let interesting = matches!(
            key,
            b"kind" | b"data" | b"stringData" | b"type" | b"name" | b"key" | b"value"
        );
        if bits & NAMES != 0
            && let Name::Promises(class) = Name::read(key)
            && class != Class::MaybeKey
            && self.open.is_none()
        {
            let masked = edits.iter().any(|edit| edit.range.end > yaml.value.start);
            self.open_named(yaml, class, value, masked, base, found);
        }
        if interesting {
            let plain = unquoted(value);
            self.member(yaml, key, plain, value, base, found);
        }
    }

    /// A member of an object that may be a Secret or a pair.
    fn member(
        &mut self,
        yaml: &Yaml<'_>,
        key: &[u8],
        plain: &[u8],
        value: &[u8],
        base: usize,
        found: &mut Vec<Edit>,
    ) {
        if self
            .frames
            .last()
            .is_none_or(|frame| frame.column < yaml.column)
        {
            if self.frames.len() == MAX_FRAMES {
                return;
            }
            self.frames.push(Frame {
                column: yaml.column,
                is_secret: None,
                like_secret: false,
                in_data: false,
                data: Vec::new(),
                waits_from: None,
                name: Name::Unknown,
                value: None,
            });
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        match key {
            b"kind" => {
                let is_secret = plain == b"Secret";
                frame.is_secret = Some(is_secret);
                if is_secret {
                    found.append(&mut frame.data);
                }
                frame.data.clear();
                frame.waits_from = None;
            }
            b"type" => frame.like_secret |= is_secret_type(plain),
            b"data" | b"stringData" => {
                frame.in_data =
                    value.is_empty() || value.starts_with(b"#") || value.starts_with(b"&");
                frame.like_secret |= key == b"stringData";
                if frame.in_data && frame.is_secret.is_none() {
                    frame.waits_from.get_or_insert(base);
                }
            }
            b"name" | b"key" => {
                frame.name = Name::read(plain);
                let name = frame.name;
                if let Some((edit, value)) = frame.value.take()
                    && name.hides(&value)
                {
                    found.push(edit);
                }
            }
            _ => {
                let edit = yaml.mask(value, PAIR).map(|edit| edit.shifted(base));
                match (frame.name, edit) {
                    (Name::Unknown, Some(edit)) => frame.value = Some((edit, plain.to_vec())),
                    (Name::Promises(class), edit) => {
                        found.extend(edit.filter(|_| values::is_secret(class, plain)));
                        if class != Class::MaybeKey {
                            self.open_named(yaml, class, value, true, base, found);
                        }
                    }
                    (Name::Unknown, None) | (Name::Plain, _) => {}
                }
            }
        }
    }

    /// A member of the `data` of what may be a Secret.
    fn data_member(&mut self, yaml: &Yaml<'_>, value: &[u8], base: usize, found: &mut Vec<Edit>) {
        let Some(place) = self.frames.iter().rposition(|frame| frame.in_data) else {
            return;
        };
        let frame = &mut self.frames[place];
        if yaml.column <= frame.column {
            frame.in_data = false;
            return;
        }
        let hidden = match frame.is_secret {
            Some(false) => return,
            Some(true) => Hidden::Yes,
            None => Hidden::Waits(place),
        };
        if let Some(edit) = yaml.mask(value, SECRET_DATA).map(|edit| edit.shifted(base)) {
            match hidden {
                Hidden::Yes => found.push(edit),
                Hidden::Waits(_) => frame.data.push(edit),
            }
        }
        self.open = OpenValue::of(yaml, value, hidden);
    }

    /// A value with a secret's name may go on in the next lines. What those are, the first is: a plain scalar goes on
    /// only where its first line is `masked`, and a mask in quotes takes the place of what would leave a quote open.
    fn open_named(
        &mut self,
        yaml: &Yaml<'_>,
        class: Class,
        value: &[u8],
        masked: bool,
        base: usize,
        found: &mut Vec<Edit>,
    ) {
        if matches!(without_properties(value).first(), None | Some(b'#')) {
            self.below = Some((yaml.column, class));
            return;
        }
        let secret = values::is_secret(class, unquoted(value)) && !values::is_prose(value);
        self.open = OpenValue::of(yaml, value, Hidden::Yes).filter(|open| match open.quote {
            Some(_) => secret,
            None => !open.plain || (secret && masked),
        });
        if self.open.as_ref().is_some_and(|open| !open.plain) {
            let edit = yaml.mask(value, NAMED);
            found.extend(edit.map(|edit| edit.shifted(base)));
        }
    }

    /// Arguments as list items: a flag, then its value.
    fn list_flag(&mut self, yaml: &Yaml<'_>, value: &[u8], base: usize, found: &mut Vec<Edit>) {
        let before = self.flag.take();
        let (Some(dash), None) = (yaml.dash, yaml.key) else {
            return;
        };
        let plain = unquoted(value);
        if let Some((column, class)) = before
            && column == dash
            && values::is_secret(class, plain)
            && let Some(edit) = yaml.mask(value, NAMED)
        {
            found.push(edit.shifted(base));
        }
        self.flag = flag_class(plain).map(|class| (dash, class));
    }

    /// Closes the objects whose members stand at `column` or further right.
    fn close(&mut self, column: usize, found: &mut Vec<Edit>) {
        let held = self.within.map_or(0, |frame| frame + 1);
        while self.frames.len() > held
            && let Some(frame) = self.frames.pop_if(|frame| frame.column >= column)
        {
            if frame.is_secret.is_none() && frame.like_secret {
                found.extend(frame.data);
            }
        }
    }

    /// Lets nothing wait for more than [`MAX_WAITING`] bytes before `end`.
    pub(super) fn bound(&mut self, end: usize, found: &mut Vec<Edit>) {
        if self
            .waits_from()
            .is_none_or(|from| end - from <= MAX_WAITING)
        {
            return;
        }
        for frame in &mut self.frames {
            if frame.waits_from.take().is_some() {
                frame.is_secret = Some(true);
                found.append(&mut frame.data);
            }
            found.extend(frame.value.take().map(|(edit, _)| edit));
        }
        if let Some(open) = &mut self.open
            && matches!(open.hidden, Hidden::Waits(_))
        {
            open.hidden = Hidden::Yes;
        }
    }
}

/// Whether a line can stand within a private key, possibly behind the time that a log puts in front.
fn is_key_material(line: &[u8]) -> bool {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'"' | b'\''));
    let allowed = line
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+/=,:- ._[]|\"'\\".contains(byte));
    let one_word = !line.contains(&b' ');
    let header = line.starts_with(b"Proc-Type")
        || line.starts_with(b"DEK-Info")
        || line.starts_with(b"Comment");
    allowed && (one_word || header || words.any(|word| word.len() >= 40))
}
