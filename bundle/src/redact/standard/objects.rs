//! The objects and lists that are open in a JSON document, and what is secret in them.
//!
//! Nothing is built but the stack of what is open. Where it depends on what comes later whether something is
//! secret (`data` before `kind`, `value` before `name`), the edits wait with the object that they belong to.

use std::ops::Range;

use super::edits::{Edit, QUOTED, decode};
use super::names::{self, Class, Name};
use super::shapes::NAMES;
use super::{Finder, values};

/// How many bytes may wait for a decision. Then everything that waits is taken for secret.
const MAX_WAITING: usize = 16 << 20;
/// How reports call the rules of this module.
pub(super) const SECRET_DATA: &str = "Secret data";
pub(super) const PAIR: &str = "environment variable";
pub(super) const NAMED: &str = "value with a secret's name";

/// What the key of the value under way says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Plain,
    Kind,
    Data,
    StringData,
    Type,
    /// `name` or `key`, the name in a pair.
    Name,
    Value,
    Auth,
    Secret(Class),
}

/// Whether the strings in an object or list are those of a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    No,
    Yes,
    /// It depends on the object at this depth.
    Waits(usize),
}

/// An open object or list.
#[derive(Debug)]
struct Frame {
    is_object: bool,
    /// The key of the member under way; for a list, the key that the list has.
    key: Key,
    holder: Holder,
    /// Whether the object is a Secret, once known.
    is_secret: Option<bool>,
    /// It is a list of Secrets, whose items need not say so.
    lists_secrets: bool,
    /// Its type is one that Secrets have.
    like_secret: bool,
    /// What to mask if the object is a Secret, and from where on.
    data: Vec<Edit>,
    data_from: Option<usize>,
    /// What the name of a pair promises.
    name: Name,
    /// The values of a pair whose name is still to come.
    values: Vec<(Edit, Vec<u8>)>,
    /// In a list: what the flag before promises.
    flag: Option<Class>,
}

/// The stack.
#[derive(Debug)]
pub(super) struct Objects {
    frames: Vec<Frame>,
    /// Some frame may have something that waits.
    waiting: bool,
    /// How many documents this one is nested in.
    nesting: usize,
}

impl Objects {
    pub(super) fn new(nesting: usize) -> Self {
        Self {
            frames: Vec::new(),
            waiting: false,
            nesting,
        }
    }

    /// How many objects and lists are open.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Whether the innermost is an object.
    pub(super) fn in_object(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.is_object)
    }

    /// From where on bytes must wait, because what is masked in them is not decided; at most `at`.
    pub(super) fn undecided(&self, at: usize) -> usize {
        if !self.waiting {
            return at;
        }
        let waiting = self.frames.iter().flat_map(|frame| {
            let values = frame.values.first().map(|(edit, _)| edit.range.start - 1);
            frame.data_from.into_iter().chain(values)
        });
        waiting.min().map_or(at, |from| from.min(at))
    }

    /// Keeps what waits within bounds.
    pub(super) fn bound(&mut self, at: usize, found: &mut Vec<Edit>) {
        if self.waiting {
            let from = self.undecided(at);
            if at - from > MAX_WAITING {
                self.take_for_secret(found);
            }
            self.waiting = from < at;
        }
    }

    /// Takes a key, which meets `rules`.
    pub(super) fn key(&mut self, raw: &[u8], rules: u64) {
        let key = match raw {
            b"kind" => Key::Kind,
            b"data" => Key::Data,
            b"stringData" => Key::StringData,
            b"type" => Key::Type,
            b"name" | b"key" | b"Name" | b"Key" | b"variable" => Key::Name,
            b"value" | b"Value" => Key::Value,
            b"auth" => Key::Auth,
            raw if rules & NAMES != 0 => names::class(&decode(raw)).map_or(Key::Plain, Key::Secret),
            _ => Key::Plain,
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.key = key;
        }
    }

    /// Opens an object or a list at `at`.
    pub(super) fn open(&mut self, is_object: bool, at: usize, found: &mut Vec<Edit>) {
        let depth = self.frames.len();
        let mut frame = Frame {
            is_object,
            key: Key::Plain,
            holder: Holder::No,
            is_secret: None,
            lists_secrets: false,
            like_secret: false,
            data: Vec::new(),
            data_from: None,
            name: Name::Unknown,
            values: Vec::new(),
            flag: None,
        };
        let mut waits = None;
        if let Some(parent) = self.frames.last_mut() {
            let data = is_object && parent.is_object;
            frame.holder = match (parent.key, parent.is_secret) {
                (Key::StringData, _) | (Key::Data, Some(true)) if data => Holder::Yes,
                (Key::Data, None) if data => {
                    parent.data_from.get_or_insert(at);
                    self.waiting = true;
                    Holder::Waits(depth - 1)
                }
                _ => match parent.holder {
                    Holder::Waits(object) => {
                        waits = Some(object);
                        Holder::No
                    }
                    holder => holder,
                },
            };
            if !is_object {
                frame.lists_secrets = parent.lists_secrets;
                if matches!(parent.key, Key::Secret(_)) {
                    frame.key = parent.key;
                }
            } else if !parent.is_object && parent.lists_secrets {
                frame.is_secret = Some(true);
            }
        }
        // The data of a Secret are strings: this is none.
        if let Some(object) = waits {
            self.settle(object, false, found);
        }
        self.frames.push(frame);
    }

    /// Closes the innermost.
    pub(super) fn close(&mut self, found: &mut Vec<Edit>) {
        if let Some(mut frame) = self.frames.pop()
            && (frame.is_secret == Some(true) || (frame.is_secret.is_none() && frame.like_secret))
        {
            found.append(&mut frame.data);
        }
    }

    /// Decides what waits for the object at `depth`.
    fn settle(&mut self, depth: usize, is_secret: bool, found: &mut Vec<Edit>) {
        let frame = &mut self.frames[depth];
        if is_secret {
            found.append(&mut frame.data);
        }
        frame.data.clear();
        frame.data_from = None;
        let holder = if is_secret { Holder::Yes } else { Holder::No };
        for frame in &mut self.frames[depth + 1..] {
            if frame.holder == Holder::Waits(depth) {
                frame.holder = holder;
            }
        }
    }

    /// Masks all that waits for a decision that does not come.
    pub(super) fn take_for_secret(&mut self, found: &mut Vec<Edit>) {
        for depth in 0..self.frames.len() {
            if self.frames[depth].data_from.is_some() {
                self.frames[depth].is_secret = Some(true);
                self.settle(depth, true, found);
            }
            let values = std::mem::take(&mut self.frames[depth].values);
            found.extend(values.into_iter().map(|(edit, _)| edit));
        }
    }

    /// Whether the value at hand is secret without being looked into, so that it can be masked as it comes.
    pub(super) fn hides_unseen(&mut self, found: &mut Vec<Edit>) -> bool {
        let Some(frame) = self.frames.last() else {
            return false;
        };
        if let Holder::Waits(object) = frame.holder {
            self.frames[object].is_secret = Some(true);
            self.settle(object, true, found);
        } else if frame.holder == Holder::No && !matches!(frame.key, Key::Secret(_) | Key::Value) {
            return false;
        }
        true
    }

    /// A string as a value; `inside` is where its inside lies, `raw` what it is, `rules` what it meets.
    pub(super) fn string(
        &mut self,
        raw: &[u8],
        inside: Range<usize>,
        rules: u64,
        finder: &Finder,
        found: &mut Vec<Edit>,
    ) {
        let Some(depth) = self.frames.len().checked_sub(1) else {
            return;
        };
        match self.frames[depth].holder {
            Holder::Yes => {
                found.push(Edit::mask(inside, SECRET_DATA));
                return;
            }
            Holder::Waits(object) => self.frames[object]
                .data
                .push(Edit::mask(inside.clone(), SECRET_DATA)),
            Holder::No => {}
        }
        let text = decode(raw);
        if let Some(rule) = self.judge(depth, &text, &inside, found) {
            found.push(Edit::mask(inside, rule));
            return;
        }
        if raw.len() > 5 && rules != 0 {
            finder.inside_string(raw, &text, inside.start, self.nesting, found);
        }
    }

    /// What the place of a string says about it: the rule by which it is masked, if any.
    fn judge(
        &mut self,
        depth: usize,
        text: &[u8],
        inside: &Range<usize>,
        found: &mut Vec<Edit>,
    ) -> Option<&'static str> {
        let frame = &mut self.frames[depth];
        if !frame.is_object {
            let flag = frame.flag.take();
            frame.flag = flag_class(text);
            if flag.is_some_and(|class| values::is_secret(class, text)) {
                return Some(NAMED);
            }
        }
        match frame.key {
            Key::Plain | Key::Data | Key::StringData => {}
            Key::Kind => {
                let is_secret = text == b"Secret";
                frame.is_secret = Some(is_secret);
                frame.lists_secrets = text == b"SecretList";
                self.settle(depth, is_secret, found);
            }
            Key::Type => frame.like_secret |= is_secret_type(text),
            Key::Name => {
                frame.name = Name::read(text);
                let name = frame.name;
                let values = std::mem::take(&mut frame.values);
                let hidden = values.into_iter().filter(|(_, value)| name.hides(value));
                found.extend(hidden.map(|(edit, _)| edit));
            }
            Key::Value if frame.name == Name::Unknown => {
                let edit = Edit::mask(inside.clone(), PAIR);
                frame.values.push((edit, text.to_vec()));
                self.waiting = true;
            }
            Key::Value => return frame.name.hides(text).then_some(PAIR),
            Key::Auth => {
                if values::is_secret(Class::MaybeKey, text) {
                    return Some("registry credentials");
                }
            }
            Key::Secret(class) => {
                if values::is_secret(class, text) {
                    return Some(NAMED);
                }
            }
        }
        None
    }

    /// A number, a boolean or a null.
    pub(super) fn literal(&mut self, text: &[u8], at: usize, found: &mut Vec<Edit>) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        let number = !text[0].is_ascii_alphabetic();
        let password = match (frame.key, frame.name) {
            (Key::Secret(class), _) | (Key::Value, Name::Promises(class)) => {
                class == Class::Password
            }
            _ => false,
        };
        if let Holder::Waits(object) = frame.holder
            && text != b"null"
        {
            self.settle(object, false, found);
        } else if number && (password || frame.holder == Holder::Yes) {
            found.push(Edit::new(at..at + text.len(), QUOTED, NAMED));
        }
    }
}

/// What a flag in a list of arguments promises of the argument after it: `--password`.
pub(super) fn flag_class(text: &[u8]) -> Option<Class> {
    let name = text.strip_prefix(b"-")?;
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if !name.iter().all(is_name) {
        return None;
    }
    names::class(name).filter(|class| *class != Class::MaybeKey)
}

/// Whether this is the type of a Secret.
pub(super) fn is_secret_type(text: &[u8]) -> bool {
    text == b"Opaque"
        || text == b"bootstrap.kubernetes.io/token"
        || text.starts_with(b"kubernetes.io/")
        || text.starts_with(b"helm.sh/release")
}
