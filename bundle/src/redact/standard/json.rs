//! JSON documents as they stream: Secrets, pairs of name and value, secret keys, in any layout and order.
//!
//! This is the reading; what is secret is decided in [`super::objects`].

use super::edits::Edit;
use super::objects::{Objects, SECRET_DATA};
use super::{Finder, REREAD};
use crate::redact::MASK;
use crate::redact::gate::Literals;

/// The longest string that is looked into; a longer one is no part of a document we know.
pub(super) const MAX_STRING: usize = 4 << 20;
/// How deep documents may nest.
const MAX_DEPTH: usize = 1_000;

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
    objects: Objects,
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
            objects: Objects::new(depth),
        }
    }

    /// Up to where bytes are decided. A line waits until it is read, as it is read again if the document breaks
    /// off in it.
    pub(super) fn decided(&self) -> usize {
        self.objects.undecided(self.at).min(self.line())
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
        literals: &mut Literals,
        found: &mut Vec<Edit>,
    ) -> Step {
        loop {
            if self.expect == Expect::MaskedString && !self.masked_string(text, base, found) {
                return if last { self.broken(found) } else { Step::More };
            }
            let rest = self.skip_blanks(&text[self.at - base..]);
            let Some(&byte) = rest.first() else {
                return if last { self.broken(found) } else { Step::More };
            };
            let value = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
            let key = matches!(self.expect, Expect::Key | Expect::KeyOrEnd);
            let in_object = self.objects.in_object();
            let read = match byte {
                b'{' | b'[' if value && self.objects.depth() < MAX_DEPTH => {
                    self.objects.open(byte == b'{', self.at, found);
                    self.expect = if byte == b'{' {
                        Expect::KeyOrEnd
                    } else {
                        Expect::ValueOrEnd
                    };
                    1
                }
                b'}' if in_object
                    && matches!(self.expect, Expect::KeyOrEnd | Expect::CommaOrEnd) =>
                {
                    self.objects.close(found);
                    self.expect = Expect::CommaOrEnd;
                    1
                }
                b']' if !in_object
                    && matches!(self.expect, Expect::ValueOrEnd | Expect::CommaOrEnd) =>
                {
                    self.objects.close(found);
                    self.expect = Expect::CommaOrEnd;
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
                        let rules = literals.rules(inside.clone());
                        if key {
                            self.objects.key(raw, rules);
                            self.expect = Expect::Colon;
                        } else {
                            self.objects.string(raw, inside, rules, finder, found);
                            self.expect = Expect::CommaOrEnd;
                        }
                        end + 1 - self.at
                    }
                    End::Open if !last => return Step::More,
                    End::TooLong if value && self.objects.hides_unseen(found) => {
                        self.at += 1;
                        self.mask_due = true;
                        self.expect = Expect::MaskedString;
                        continue;
                    }
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
                    self.objects.literal(&rest[..length], self.at, found);
                    self.expect = Expect::CommaOrEnd;
                    length
                }
                _ => return self.broken(found),
            };
            self.at += read;
            self.searched = self.at;
            if self.objects.depth() == 0 {
                return Step::Done(self.at);
            }
            self.objects.bound(self.at, found);
        }
    }

    /// Goes on to the next token in `rest`, which begins here. Half of an indented document is blanks.
    fn skip_blanks<'t>(&mut self, rest: &'t [u8]) -> &'t [u8] {
        const INDENT: [u8; 8] = [b' '; 8];
        let mut blanks = 0;
        while let Some(byte) = rest.get(blanks).filter(|byte| byte.is_ascii_whitespace()) {
            blanks += 1;
            if *byte == b'\n' {
                self.line = self.at + blanks;
                while rest[blanks..].first_chunk() == Some(&INDENT) {
                    blanks += INDENT.len();
                }
            }
        }
        self.at += blanks;
        &rest[blanks..]
    }

    fn string_end(&mut self, text: &[u8], base: usize) -> End {
        let mut at = self.searched.max(self.at + 1);
        loop {
            let rest = &text[at - base..];
            let Some(place) = memchr::memchr3(b'"', b'\\', b'\n', rest) else {
                at += rest.len();
                break;
            };
            at += place;
            if at - self.at > MAX_STRING {
                return End::TooLong;
            }
            match text[at - base] {
                b'"' => return End::At(at),
                b'\\' => match text.get(at + 1 - base) {
                    // Half an escape waits for its other half: a line break is none.
                    None => break,
                    Some(b'\n') => return End::Broken,
                    Some(_) => at += 2,
                },
                _ => return End::Broken,
            }
        }
        self.searched = at;
        if self.searched - self.at > MAX_STRING {
            End::TooLong
        } else {
            End::Open
        }
    }

    fn broken(&mut self, found: &mut Vec<Edit>) -> Step {
        self.objects.take_for_secret(found);
        Step::Broken(self.at)
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
