//! JSON documents as they stream: Secrets, pairs of name and value, secret keys, in any layout and order.
//!
//! Nothing is built but a stack of what is open. Where it depends on what comes later whether something is
//! secret (`data` before `kind`, `value` before `name`), the edits wait with the object that they belong to.

use std::ops::Range;

use super::edits::{Edit, QUOTED, decode};
use super::names::{self, Class, Name};
use super::{Finder, REREAD, values};
use crate::redact::MASK;

/// The longest string that is looked into; a longer one is no part of a document we know.
pub(super) const MAX_STRING: usize = 4 << 20;
/// How many bytes may wait for a decision. Then everything that waits is taken for secret.
const MAX_WAITING: usize = 16 << 20;
/// How deep documents may nest.
const MAX_DEPTH: usize = 2_000;

/// How reports call the rules of this module.
pub(super) const SECRET_DATA: &str = "Secret data";
pub(super) const PAIR: &str = "environment variable";
pub(super) const NAMED: &str = "value with a secret's name";

/// How far a scan came.
pub(super) enum Step {
    /// To the end of what is there.
    More,
    /// To the end of a document, which is here.
    Done(usize),
    /// To something that is no JSON, here.
    Broken(usize),
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    /// The rest of a string that is masked and too long to wait for.
    MaskedString,
}

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
    /// The value of a pair whose name is still to come, and where it begins.
    value: Option<(Edit, Vec<u8>)>,
    /// In a list: what the flag before promises.
    flag: Option<Class>,
}

/// A scan under way. Offsets are those of the whole stream.
#[derive(Debug)]
pub(super) struct Json {
    at: usize,
    /// Where the line begins that holds `at`.
    line: usize,
    /// Where to look on for the end of the string at `at`.
    searched: usize,
    expect: Expect,
    /// The mask for the masked string is not set yet.
    mask_due: bool,
    frames: Vec<Frame>,
    /// How many documents this one is nested in.
    depth: usize,
}

/// The end of a string.
enum End {
    At(usize),
    Open,
    TooLong,
    Broken,
}

impl Json {
    /// Starts at `at`, in the line that begins at `line`.
    pub(super) fn new(at: usize, line: usize, depth: usize) -> Self {
        Self {
            at,
            line,
            searched: at,
            expect: Expect::Value,
            mask_due: false,
            frames: Vec::new(),
            depth,
        }
    }

    /// From where on bytes must wait, because what is masked in them is not decided.
    fn undecided(&self) -> usize {
        let waiting = self.frames.iter().filter_map(|frame| {
            let value = frame.value.as_ref().map(|(edit, _)| edit.range.start - 1);
            frame.data_from.into_iter().chain(value).min()
        });
        waiting.min().map_or(self.at, |from| from.min(self.at))
    }

    /// Up to where bytes are decided. A line waits until it is read, as it is read again if the document breaks
    /// off in it.
    pub(super) fn decided(&self) -> usize {
        self.undecided().min(self.line())
    }

    /// From where on lines are read when the document breaks off.
    pub(super) fn line(&self) -> usize {
        if self.at - self.line <= REREAD {
            self.line
        } else {
            self.at
        }
    }

    /// Reads on in `text`, which begins at `base`.
    pub(super) fn scan(
        &mut self,
        text: &[u8],
        base: usize,
        last: bool,
        finder: &Finder,
        found: &mut Vec<Edit>,
    ) -> Step {
        loop {
            if self.expect == Expect::MaskedString && !self.masked_string(text, base, found) {
                return if last { self.broken(found) } else { Step::More };
            }
            let rest = &text[self.at - base..];
            let blanks = rest
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            if let Some(end) = memchr::memrchr(b'\n', &rest[..blanks]) {
                self.line = self.at + end + 1;
            }
            self.at += blanks;
            let rest = &rest[blanks..];
            let Some(&byte) = rest.first() else {
                return if last { self.broken(found) } else { Step::More };
            };
            let value = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
            let key = matches!(self.expect, Expect::Key | Expect::KeyOrEnd);
            let in_object = self.frames.last().is_some_and(|frame| frame.is_object);
            let read = match byte {
                b'{' | b'[' if value && self.frames.len() < MAX_DEPTH => {
                    self.open(byte == b'{', found);
                    1
                }
                b'}' if in_object
                    && matches!(self.expect, Expect::KeyOrEnd | Expect::CommaOrEnd) =>
                {
                    self.close(found);
                    1
                }
                b']' if !in_object
                    && matches!(self.expect, Expect::ValueOrEnd | Expect::CommaOrEnd) =>
                {
                    self.close(found);
                    1
                }
                b',' if self.expect == Expect::CommaOrEnd => {
                    self.expect = if in_object {
                        Expect::Key
                    } else {
                        Expect::Value
                    };
                    1
                }
                b':' if self.expect == Expect::Colon => {
                    self.expect = Expect::Value;
                    1
                }
                b'"' if value || key => match self.string_end(text, base) {
                    End::At(end) => {
                        let inside = self.at + 1..end;
                        let raw = &text[inside.start - base..inside.end - base];
                        if key {
                            self.key(raw, finder);
                        } else {
                            self.string(raw, inside, finder, found);
                        }
                        end + 1 - self.at
                    }
                    End::Open if !last => return Step::More,
                    End::TooLong if value && self.begins_masked_string(found) => continue,
                    End::Open | End::TooLong | End::Broken => return self.broken(found),
                },
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if value => {
                    let length = rest
                        .iter()
                        .take(64)
                        .take_while(|byte| is_word(**byte))
                        .count();
                    if length == rest.len() && !last {
                        return Step::More;
                    }
                    if !is_literal(&rest[..length]) {
                        return self.broken(found);
                    }
                    self.literal(&rest[..length], found);
                    length
                }
                _ => return self.broken(found),
            };
            self.at += read;
            self.searched = self.at;
            if self.frames.is_empty() {
                return Step::Done(self.at);
            }
            if self.at - self.undecided() > MAX_WAITING {
                self.take_for_secret(found);
            }
        }
    }

    fn string_end(&mut self, text: &[u8], base: usize) -> End {
        let mut at = self.searched.max(self.at + 1);
        while let Some(place) = memchr::memchr3(
            b'"',
            b'\\',
            b'\n',
            &text[at.min(base + text.len()) - base..],
        ) {
            at += place;
            match text[at - base] {
                b'"' if at - self.at > MAX_STRING => return End::TooLong,
                b'"' => return End::At(at),
                b'\\' => at += 2,
                _ => return End::Broken,
            }
        }
        // An escape may end beyond what is there.
        self.searched = at.max(base + text.len());
        if self.searched - self.at > MAX_STRING {
            End::TooLong
        } else {
            End::Open
        }
    }

    fn key(&mut self, raw: &[u8], finder: &Finder) {
        let key = match raw {
            b"kind" => Key::Kind,
            b"data" => Key::Data,
            b"stringData" => Key::StringData,
            b"type" => Key::Type,
            b"name" | b"key" | b"Name" | b"Key" | b"variable" => Key::Name,
            b"value" | b"Value" => Key::Value,
            b"auth" => Key::Auth,
            raw if finder.may_be_name(raw) => {
                names::class(&decode(raw)).map_or(Key::Plain, Key::Secret)
            }
            _ => Key::Plain,
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.key = key;
        }
        self.expect = Expect::Colon;
    }

    fn open(&mut self, is_object: bool, found: &mut Vec<Edit>) {
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
            value: None,
            flag: None,
        };
        let mut waits = None;
        if let Some(parent) = self.frames.last_mut() {
            let data = is_object && parent.is_object;
            frame.holder = match (parent.key, parent.is_secret) {
                (Key::StringData, _) | (Key::Data, Some(true)) if data => Holder::Yes,
                (Key::Data, None) if data => {
                    parent.data_from.get_or_insert(self.at);
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
        self.expect = if is_object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
    }

    fn close(&mut self, found: &mut Vec<Edit>) {
        if let Some(mut frame) = self.frames.pop()
            && (frame.is_secret == Some(true) || (frame.is_secret.is_none() && frame.like_secret))
        {
            found.append(&mut frame.data);
        }
        self.expect = Expect::CommaOrEnd;
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
    fn take_for_secret(&mut self, found: &mut Vec<Edit>) {
        for depth in 0..self.frames.len() {
            if self.frames[depth].data_from.is_some() {
                self.frames[depth].is_secret = Some(true);
                self.settle(depth, true, found);
            }
            if let Some((edit, _)) = self.frames[depth].value.take() {
                found.push(edit);
            }
        }
    }

    fn broken(&mut self, found: &mut Vec<Edit>) -> Step {
        self.take_for_secret(found);
        Step::Broken(self.at)
    }

    /// Whether the string at hand is secret without being looked into, so that it can be masked as it comes.
    fn begins_masked_string(&mut self, found: &mut Vec<Edit>) -> bool {
        let Some(frame) = self.frames.last() else {
            return false;
        };
        if let Holder::Waits(object) = frame.holder {
            self.frames[object].is_secret = Some(true);
            self.settle(object, true, found);
        } else if frame.holder == Holder::No && !matches!(frame.key, Key::Secret(_) | Key::Value) {
            return false;
        }
        self.at += 1;
        self.mask_due = true;
        self.expect = Expect::MaskedString;
        true
    }

    /// Removes what there is of a masked string. Says whether that was all.
    fn masked_string(&mut self, text: &[u8], base: usize, found: &mut Vec<Edit>) -> bool {
        let start = self.at;
        let ended = loop {
            let rest = &text[self.at.min(base + text.len()) - base..];
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(place) if rest[place] == b'"' => {
                    self.at += place;
                    break true;
                }
                Some(place) if place + 1 < rest.len() => self.at += place + 2,
                Some(place) => {
                    self.at += place;
                    break false;
                }
                None => {
                    self.at += rest.len();
                    break false;
                }
            }
        };
        if self.at > start {
            let with = if std::mem::take(&mut self.mask_due) {
                MASK
            } else {
                ""
            };
            found.push(Edit::new(start..self.at, with, SECRET_DATA));
        }
        if ended {
            self.at += 1;
            self.searched = self.at;
            self.expect = Expect::CommaOrEnd;
        }
        ended
    }

    /// A string as a value; `inside` is where its inside lies, `raw` what it is.
    fn string(&mut self, raw: &[u8], inside: Range<usize>, finder: &Finder, found: &mut Vec<Edit>) {
        self.expect = Expect::CommaOrEnd;
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
        if finder.may_hold_secrets(raw) {
            finder.inside_string(raw, &text, inside.start, self.depth, found);
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
                if let Some((edit, value)) = frame.value.take()
                    && name.hides(&value)
                {
                    found.push(edit);
                }
            }
            Key::Value if frame.name == Name::Unknown => {
                frame.value = Some((Edit::mask(inside.clone(), PAIR), text.to_vec()));
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
    fn literal(&mut self, text: &[u8], found: &mut Vec<Edit>) {
        self.expect = Expect::CommaOrEnd;
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
            found.push(Edit::new(self.at..self.at + text.len(), QUOTED, NAMED));
        }
    }
}

/// What a flag in a list of arguments promises of the argument after it: `--password`.
pub(super) fn flag_class(text: &[u8]) -> Option<Class> {
    let name = text.strip_prefix(b"-")?;
    let name = name.strip_prefix(b"-").unwrap_or(name);
    if name.contains(&b'=') || name.contains(&b' ') {
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

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn is_literal(text: &[u8]) -> bool {
    matches!(text, b"true" | b"false" | b"null")
        || (matches!(text.first(), Some(b'-' | b'0'..=b'9'))
            && text
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)))
}
