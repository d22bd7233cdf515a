//! Character classes: bracketed, POSIX, Perl and Unicode ones.

use regex_syntax::ParserBuilder;

use super::translate::{NOTHING, Translator};
use super::{GoRegexError, Problem};

const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0C\r ";
const WORD: &str = "0-9A-Za-z_";

/// POSIX class names and their members.
const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x00-\x7F"),
    ("blank", r"\t "),
    ("cntrl", r"\x00-\x1F\x7F"),
    ("digit", DIGIT),
    ("graph", "!-~"),
    ("lower", "a-z"),
    ("print", " -~"),
    ("punct", r"!-/:-@\[-`\{-~"),
    ("space", r"\t\n\x0B\x0C\r "),
    ("upper", "A-Z"),
    ("word", WORD),
    ("xdigit", "0-9A-Fa-f"),
];

impl Translator<'_> {
    pub(super) fn push_class(&mut self, class: &str) {
        if self.flags.fold_case {
            self.push_atom(&format!("(?i:{class})"));
        } else {
            self.push_atom(class);
        }
    }

    /// `\d` and its like, if it stands here: the members, and whether they are meant or all others.
    pub(super) fn perl_class(&mut self) -> Option<(&'static str, bool)> {
        let mut signs = self.rest.bytes();
        if signs.next() != Some(b'\\') {
            return None;
        }
        let sign = signs.next()?;
        let members = match sign.to_ascii_lowercase() {
            b'd' => DIGIT,
            b's' => SPACE,
            b'w' => WORD,
            _ => return None,
        };
        self.advance(2);
        Some((members, sign.is_ascii_uppercase()))
    }

    /// `\pL`, `\p{Greek}`, `\P{^Lu}`, if it stands here, in the other syntax.
    pub(super) fn unicode_class(&mut self) -> Result<Option<String>, GoRegexError> {
        let text = self.rest;
        let mut negated = match text.get(..2) {
            Some(r"\p") => false,
            Some(r"\P") => true,
            _ => return Ok(None),
        };
        let invalid = |shown: &str| Err(GoRegexError::new(Problem::CharRange, shown));
        let (name, length) = if text[2..].starts_with('{') {
            match text.find('}') {
                Some(end) => (&text[3..end], end + 1),
                None => return invalid(text),
            }
        } else {
            let length = text[2..].chars().next().map_or(0, char::len_utf8);
            (&text[2..2 + length], 2 + length)
        };
        let shown = &text[..length];
        let name = name.strip_prefix('^').map_or(name, |rest| {
            negated = !negated;
            rest
        });
        if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return invalid(shown);
        }
        self.advance(length);
        let sign = if negated { 'P' } else { 'p' };
        match name {
            // Surrogates are in no text.
            "Cs" if negated => return Ok(Some(r"[\x00-\x{10FFFF}]".to_owned())),
            "Cs" => return Ok(Some(NOTHING.to_owned())),
            _ => {}
        }
        for property in ["gc", "sc"] {
            let class = format!(r"\{sign}{{{property}={name}}}");
            if ParserBuilder::new().build().parse(&class).is_ok() {
                return Ok(Some(class));
            }
        }
        invalid(shown)
    }

    /// A bracketed class.
    pub(super) fn class(&mut self) -> Result<(), GoRegexError> {
        let whole = self.rest;
        self.advance(1);
        let mut class = String::from("[");
        if self.rest.starts_with('^') {
            self.advance(1);
            class.push('^');
        }
        let mut members = String::new();
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.posix_class(&mut members)? {
                continue;
            }
            if let Some(unicode) = self.unicode_class()? {
                members.push_str(&unicode);
                continue;
            }
            if let Some((set, negated)) = self.perl_class() {
                push_set(&mut members, set, negated);
                continue;
            }
            let range = self.rest;
            let low = self.class_character(whole)?;
            let mut high = low;
            let mut ahead = self.rest.bytes();
            if ahead.next() == Some(b'-') && ahead.next().is_some_and(|next| next != b']') {
                self.advance(1);
                high = self.class_character(whole)?;
                if high < low {
                    return Err(GoRegexError::new(Problem::CharRange, self.read_of(range)));
                }
            }
            push_range(&mut members, low, high);
        }
        self.advance(1);
        if members.is_empty() {
            // Only surrogates were named.
            let all = if class.len() > 1 {
                r"[\x00-\x{10FFFF}]"
            } else {
                NOTHING
            };
            self.push_atom(all);
        } else {
            class.push_str(&members);
            class.push(']');
            self.push_class(&class);
        }
        Ok(())
    }

    fn class_character(&mut self, whole: &str) -> Result<u32, GoRegexError> {
        match self.rest.chars().next() {
            None => Err(GoRegexError::new(Problem::MissingBracket, whole)),
            Some('\\') => self.escaped(),
            Some(character) => {
                self.advance(character.len_utf8());
                Ok(u32::from(character))
            }
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`, if it stands here.
    fn posix_class(&mut self, members: &mut String) -> Result<bool, GoRegexError> {
        if !self.rest.starts_with("[:") {
            return Ok(false);
        }
        let Some(end) = self.rest[2..].find(":]") else {
            return Ok(false);
        };
        let written = &self.rest[..end + 4];
        let name = &written[2..end + 2];
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let Some((_, set)) = POSIX.iter().find(|(known, _)| *known == name) else {
            return Err(GoRegexError::new(Problem::CharRange, written));
        };
        self.advance(written.len());
        push_set(members, set, negated);
        Ok(true)
    }
}

fn push_set(members: &mut String, set: &str, negated: bool) {
    if negated {
        members.push_str("[^");
        members.push_str(set);
        members.push(']');
    } else {
        members.push_str(set);
    }
}

/// Adds a range of code points, without the surrogates, which are in no text.
fn push_range(members: &mut String, low: u32, high: u32) {
    let low = if (0xD800..=0xDFFF).contains(&low) {
        0xE000
    } else {
        low
    };
    let high = if (0xD800..=0xDFFF).contains(&high) {
        0xD7FF
    } else {
        high
    };
    if low <= high {
        let range = format!(r"\x{{{low:X}}}-\x{{{high:X}}}");
        members.push_str(&range);
    }
}
