//! From Go's regular expression syntax to the syntax of the `regex` crate, in one pass and without a tree:
//! every atom is printed in a form that a repetition operator can follow.

use super::{GoRegexError, Problem};

/// Go refuses repetition counts over this, and nested counts whose product is.
const MAX_REPEAT: u64 = 1000;
/// How deep groups may nest. Go stops at 1,000; compiling recurses, so we stop earlier.
pub(super) const MAX_DEPTH: usize = 250;
/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 32 << 10;

/// A class that matches nothing.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// A pattern for the `regex` crate; its groups have numbers only.
pub(super) struct Translation {
    pub(super) pattern: String,
    /// The names of the groups as written, by index; the whole match first, without a name.
    pub(super) names: Vec<Option<Box<str>>>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "they are Go's four independent flags"
)]
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

/// The last thing that a repetition operator can apply to.
#[derive(Clone, Copy)]
struct Atom {
    start: usize,
    weight: u64,
    repeated: bool,
}

struct Group {
    start: usize,
    flags: Flags,
    weight: u64,
}

pub(super) struct Translator<'p> {
    whole: &'p str,
    pub(super) rest: &'p str,
    out: String,
    names: Vec<Option<Box<str>>>,
    pub(super) flags: Flags,
    groups: Vec<Group>,
    atom: Option<Atom>,
    /// The largest product of nested counts within the open group.
    weight: u64,
}

/// Translates a whole pattern.
pub(super) fn translate(pattern: &str) -> Result<Translation, GoRegexError> {
    if pattern.len() > MAX_PATTERN {
        return Err(GoRegexError::new(Problem::TooLarge, ""));
    }
    let mut translator = Translator {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() * 2),
        names: vec![None],
        flags: Flags::default(),
        groups: Vec::new(),
        atom: None,
        weight: 1,
    };
    translator.run()?;
    Ok(Translation {
        pattern: translator.out,
        names: translator.names,
    })
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Result<(), GoRegexError> {
        // The text of the repetition operator just read, for the message about a second one.
        let mut last_repeat: Option<&'p str> = None;
        while let Some(next) = self.rest.chars().next() {
            let before = self.rest;
            let mut repeat = None;
            match next {
                '(' => self.open_group()?,
                ')' => self.close_group()?,
                '|' => {
                    self.advance(1);
                    self.out.push('|');
                    self.atom = None;
                }
                '^' | '$' | '.' => {
                    self.advance(1);
                    let piece = self.anchor_or_dot(next);
                    self.push_atom(piece);
                }
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.advance(1);
                    let counts = match next {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(before, counts, last_repeat)?;
                    repeat = Some(before);
                }
                '{' => match parse_counts(self.rest) {
                    None => {
                        self.advance(1);
                        self.literal('{');
                    }
                    Some((counts, length)) => {
                        let (min, max) = counts;
                        self.advance(length);
                        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || min > max)
                        {
                            return Err(GoRegexError::new(Problem::RepeatCount, &before[..length]));
                        }
                        self.repeat(before, counts, last_repeat)?;
                        repeat = Some(before);
                    }
                },
                '\\' => self.escape()?,
                character => {
                    self.advance(character.len_utf8());
                    self.literal(character);
                }
            }
            last_repeat = repeat;
        }
        if self.groups.is_empty() {
            Ok(())
        } else {
            Err(GoRegexError::new(Problem::MissingParen, self.whole))
        }
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// The part of `text`, which began earlier, that has been read since.
    pub(super) fn read_of(&self, text: &'p str) -> &'p str {
        &text[..text.len() - self.rest.len()]
    }

    pub(super) fn push_atom(&mut self, piece: &str) {
        self.atom = Some(Atom {
            start: self.out.len(),
            weight: 1,
            repeated: false,
        });
        self.out.push_str(piece);
    }

    fn literal(&mut self, character: char) {
        self.push_atom("");
        let folds = self.flags.fold_case && (character.is_alphabetic() || !character.is_ascii());
        if folds {
            self.out.push_str("(?i:");
        }
        if regex_syntax::is_meta_character(character) {
            self.out.push('\\');
        }
        self.out.push(character);
        if folds {
            self.out.push(')');
        }
    }

    fn anchor_or_dot(&self, sign: char) -> &'static str {
        match sign {
            '^' if self.flags.multi_line => "(?m:^)",
            '^' => r"(?:\A)",
            '$' if self.flags.multi_line => "(?m:$)",
            '$' => r"(?:\z)",
            _ if self.flags.dot_newline => "(?s:.)",
            _ => r"[^\n]",
        }
    }

    fn repeat(
        &mut self,
        before: &'p str,
        (min, max): (u64, Option<u64>),
        last_repeat: Option<&'p str>,
    ) -> Result<(), GoRegexError> {
        let mut lazy = self.flags.swap_greed;
        if self.rest.starts_with('?') {
            self.advance(1);
            lazy = !lazy;
        }
        if let Some(last) = last_repeat {
            return Err(GoRegexError::new(Problem::RepeatOp, self.read_of(last)));
        }
        let operator = self.read_of(before);
        let Some(mut atom) = self.atom else {
            return Err(GoRegexError::new(Problem::RepeatArgument, operator));
        };
        if atom.repeated {
            // Only flags stand between two operators: the second applies to the repeated atom.
            self.out.insert_str(atom.start, "(?:");
            self.out.push(')');
        }
        if min >= 2 || max.is_some_and(|max| max >= 2) {
            atom.weight *= max.unwrap_or(min).max(1);
            if atom.weight > MAX_REPEAT {
                return Err(GoRegexError::new(Problem::RepeatCount, operator));
            }
        }
        let counts = match (min, max) {
            (0, None) => "*".into(),
            (1, None) => "+".into(),
            (0, Some(1)) => "?".into(),
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        self.out.push_str(&counts);
        if lazy {
            self.out.push('?');
        }
        atom.repeated = true;
        self.weight = self.weight.max(atom.weight);
        self.atom = Some(atom);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), GoRegexError> {
        let text = self.rest;
        if !text.starts_with("(?") {
            self.advance(1);
            self.names.push(None);
            return self.enter("(");
        }
        let name_at = match text {
            _ if text.starts_with("(?P<") && text.len() > 4 => Some(4),
            _ if text.starts_with("(?<") && text.len() > 3 => Some(3),
            _ => None,
        };
        if let Some(start) = name_at {
            let Some(end) = text.find('>') else {
                return Err(GoRegexError::new(Problem::NamedCapture, text));
            };
            let name = &text[start.min(end)..end];
            let valid =
                !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
            if !valid {
                return Err(GoRegexError::new(Problem::NamedCapture, &text[..=end]));
            }
            self.advance(end + 1);
            self.names.push(Some(name.into()));
            return self.enter("(");
        }
        self.advance(2);
        let mut flags = self.flags;
        let mut value = true;
        let mut saw_flag = false;
        while let Some(sign) = self.rest.chars().next() {
            self.advance(sign.len_utf8());
            match sign {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.swap_greed = value,
                '-' if value => {
                    value = false;
                    saw_flag = false;
                    continue;
                }
                ':' if value || saw_flag => {
                    self.enter("(?:")?;
                    self.flags = flags;
                    return Ok(());
                }
                ')' if value || saw_flag => {
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            saw_flag = true;
        }
        Err(GoRegexError::new(Problem::PerlSyntax, self.read_of(text)))
    }

    fn enter(&mut self, opening: &str) -> Result<(), GoRegexError> {
        if self.groups.len() == MAX_DEPTH {
            return Err(GoRegexError::new(Problem::Nesting, self.whole));
        }
        self.groups.push(Group {
            start: self.out.len(),
            flags: self.flags,
            weight: self.weight,
        });
        self.out.push_str(opening);
        self.weight = 1;
        self.atom = None;
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), GoRegexError> {
        let Some(group) = self.groups.pop() else {
            return Err(GoRegexError::new(Problem::UnexpectedParen, self.whole));
        };
        self.advance(1);
        self.out.push(')');
        self.flags = group.flags;
        self.atom = Some(Atom {
            start: group.start,
            weight: self.weight,
            repeated: false,
        });
        self.weight = self.weight.max(group.weight);
        Ok(())
    }

    /// A backslash outside a class.
    fn escape(&mut self) -> Result<(), GoRegexError> {
        let assertion = match self.rest.as_bytes().get(1) {
            Some(b'A') => r"(?:\A)",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => r"(?-u:\B)",
            Some(b'z') => r"(?:\z)",
            Some(b'Q') => {
                let quoted = &self.rest[2..];
                let (literal, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                self.rest = rest;
                literal
                    .chars()
                    .for_each(|character| self.literal(character));
                return Ok(());
            }
            _ => {
                if let Some(class) = self.unicode_class()? {
                    self.push_class(&class);
                } else if let Some((members, negated)) = self.perl_class() {
                    let not = if negated { "^" } else { "" };
                    self.push_class(&format!("[{not}{members}]"));
                } else {
                    match char::from_u32(self.escaped()?) {
                        Some(character) => self.literal(character),
                        None => self.push_atom(NOTHING),
                    }
                }
                return Ok(());
            }
        };
        self.advance(2);
        self.push_atom(assertion);
        Ok(())
    }

    /// A single escaped character. May be a surrogate, which no text holds.
    pub(super) fn escaped(&mut self) -> Result<u32, GoRegexError> {
        let text = self.rest;
        self.advance(1);
        let Some(sign) = self.rest.chars().next() else {
            return Err(GoRegexError::new(Problem::TrailingBackslash, ""));
        };
        self.advance(sign.len_utf8());
        let code = match sign {
            '0' => self.octal(0),
            // A single digit would be a backreference.
            '1'..='7' if self.rest.starts_with(|next| matches!(next, '0'..='7')) => {
                self.octal(u32::from(sign) - u32::from('0'))
            }
            'x' => {
                if let Some(code) = self.hexadecimal() {
                    code
                } else {
                    return Err(GoRegexError::new(Problem::Escape, self.read_of(text)));
                }
            }
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => {
                u32::from(punctuation)
            }
            _ => return Err(GoRegexError::new(Problem::Escape, self.read_of(text))),
        };
        Ok(code)
    }

    /// Up to two more octal digits.
    fn octal(&mut self, first: u32) -> u32 {
        let digits = self.rest.bytes().take(2);
        let digits = digits.take_while(|digit| matches!(digit, b'0'..=b'7'));
        let (mut code, mut length) = (first, 0);
        for digit in digits {
            code = code * 8 + u32::from(digit - b'0');
            length += 1;
        }
        self.advance(length);
        code
    }

    /// The digits after `\x`: two, or any number in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        let sign = self.rest.chars().next()?;
        self.advance(sign.len_utf8());
        if sign != '{' {
            let first = sign.to_digit(16)?;
            let sign = self.rest.chars().next()?;
            self.advance(sign.len_utf8());
            return Some(first * 16 + sign.to_digit(16)?);
        }
        let mut code: Option<u32> = None;
        loop {
            let sign = self.rest.chars().next()?;
            self.advance(sign.len_utf8());
            if sign == '}' {
                return code;
            }
            let next = code.unwrap_or(0) * 16 + sign.to_digit(16)?;
            if next > u32::from(char::MAX) {
                return None;
            }
            code = Some(next);
        }
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`: the counts and the length of the operator. Anything
/// else is text to Go, also `{,n}` and numbers with a leading zero.
fn parse_counts(text: &str) -> Option<((u64, Option<u64>), usize)> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !plain || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        // Too long for a number is too large for a count.
        Some(digits.parse().unwrap_or(u64::MAX))
    };
    let counts = match inside.split_once(',') {
        None => {
            let count = number(inside)?;
            (count, Some(count))
        }
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((counts, end + 1))
}
