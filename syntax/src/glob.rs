//! Globs: Go `filepath.Glob` for bundle files ([`FileGlob`]), gobwas/glob with `/` as separator for the file
//! selectors of redactors ([`GobwasGlob`]).
//!
//! Two kinds because specs use two: in the first `*` is one path element, `{` is a letter and `[^x]` negates; in
//! the second `**` crosses `/`, `{a,b}` chooses and `[!x]` negates.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("glob {pattern:?}: {reason}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A pattern over bundle paths with the rules of Go `filepath.Glob`: `*`, `?`, `[a-z]`, `[^a-z]` and `\x`, none
/// of which matches a `/`.
#[derive(Debug, Clone)]
pub struct FileGlob {
    /// `None` when the pattern leaves the bundle (`../x`) and so matches nothing.
    elements: Option<Vec<Vec<Token>>>,
    prefix: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    AnyChar,
    Star,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl FileGlob {
    /// Reads a pattern. Empty elements, `.` and `..` are resolved first, as joining it to the bundle's root does.
    pub fn new(pattern: &str) -> Result<FileGlob, GlobError> {
        let Some(names) = clean(pattern) else {
            return Ok(FileGlob {
                elements: None,
                prefix: String::new(),
            });
        };
        let elements = names
            .iter()
            .map(|name| tokens(name))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| GlobError {
                pattern: pattern.to_owned(),
                reason: "syntax error in pattern".into(),
            })?;
        let prefix = elements
            .iter()
            .map_while(|element| literal(element))
            .collect::<Vec<_>>()
            .join("/");
        Ok(FileGlob {
            elements: Some(elements),
            prefix,
        })
    }

    /// Whether a path of the bundle (no leading `/`, no `.` or `..`) matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(elements) = &self.elements else {
            return false;
        };
        let mut names = path.split('/');
        elements
            .iter()
            .all(|element| names.next().is_some_and(|name| matches(element, name)))
            && names.next().is_none()
    }

    /// The leading elements that hold no wildcard, joined: every match is this path or lies below it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the pattern names exactly one path, [`FileGlob::prefix`].
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.elements
            .as_ref()
            .is_some_and(|elements| elements.iter().all(|element| literal(element).is_some()))
    }
}

/// The elements of a path after Go `filepath.Clean`; `None` when it begins with `..`.
fn clean(path: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    for element in path.split('/') {
        match element {
            "" | "." => {}
            ".." => {
                elements.pop()?;
            }
            name => elements.push(name),
        }
    }
    Some(elements)
}

fn literal(element: &[Token]) -> Option<String> {
    element
        .iter()
        .map(|token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        })
        .collect()
}

/// The tokens of one path element; `None` for a pattern that Go refuses.
fn tokens(element: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = element.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                if tokens.last() != Some(&Token::Star) {
                    tokens.push(Token::Star);
                }
            }
            '?' => tokens.push(Token::AnyChar),
            '\\' => tokens.push(Token::Char(chars.next()?)),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
                    let low = class_char(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => class_char(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                tokens.push(Token::Class { negated, ranges });
            }
            c => tokens.push(Token::Char(c)),
        }
    }
    Some(tokens)
}

fn class_char(chars: &mut impl Iterator<Item = char>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

/// Matches one element, going back to the last star only: at most pattern × name steps.
fn matches(element: &[Token], name: &str) -> bool {
    let (mut token, mut rest) = (0, name);
    let mut star: Option<(usize, &str)> = None;
    loop {
        let next = rest.chars().next();
        match (element.get(token), next) {
            (Some(Token::Star), _) => {
                token += 1;
                star = Some((token, rest));
                continue;
            }
            (None, None) => return true,
            (Some(pattern), Some(c)) if one(pattern, c) => {
                token += 1;
                rest = &rest[c.len_utf8()..];
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = star else {
            return false;
        };
        let Some(skipped) = from.chars().next() else {
            return false;
        };
        rest = &from[skipped.len_utf8()..];
        token = after;
        star = Some((after, rest));
    }
}

fn one(pattern: &Token, c: char) -> bool {
    match pattern {
        Token::Char(expected) => *expected == c,
        Token::AnyChar => true,
        Token::Star => false,
        Token::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
    }
}

/// A pattern of gobwas/glob compiled with the separator `/`: `*` and `?` stop at it, `**` does not; `[abc]`,
/// `[a-c]`, `[!a]`, `{one,two}` and `\x`.
#[derive(Debug, Clone)]
pub struct GobwasGlob {
    regex: Regex,
    /// The texts around a lone `**`.
    ends: Option<(String, String)>,
}

/// A redactor's file selector is a line of a spec; a translated pattern beyond this is no selector.
const MAX_COMPILED: usize = 1 << 20;

impl GobwasGlob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<GobwasGlob, GlobError> {
        let refuse = |reason: String| GlobError {
            pattern: pattern.to_owned(),
            reason,
        };
        let translated = translate(pattern).map_err(refuse)?;
        let regex = RegexBuilder::new(&translated)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|_| refuse("the pattern is too large or too deeply nested".into()))?;
        let ends = ends(pattern);
        Ok(GobwasGlob { regex, ends })
    }

    /// Whether the whole path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        // The original tests only the two ends around a lone `**`, and lets them overlap: `a/**/b` matches `a/b`.
        let around =
            |(head, tail): &(String, String)| path.starts_with(head) && path.ends_with(tail);
        self.ends.as_ref().is_some_and(around) || self.regex.is_match(path)
    }
}

fn ends(pattern: &str) -> Option<(String, String)> {
    let (head, tail) = pattern.split_once("**")?;
    let literal = |text: &str| !text.is_empty() && !text.contains(['*', '?', '[', '{', '\\']);
    (literal(head) && literal(tail)).then(|| (head.to_owned(), tail.to_owned()))
}

fn translate(pattern: &str) -> Result<String, String> {
    let mut regex = String::from("^");
    let mut chars = pattern.chars().peekable();
    let mut depth = 0u32;
    let mut literal = [0; 4];
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => regex.push_str(".*"),
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => range(&mut chars, &mut regex)?,
            '{' => {
                depth += 1;
                regex.push_str("(?:");
            }
            ',' if depth > 0 => regex.push('|'),
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            // A backslash at the end stands for nothing.
            '\\' => {
                if let Some(c) = chars.next() {
                    regex.push_str(&regex::escape(c.encode_utf8(&mut literal)));
                }
            }
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut literal))),
        }
    }
    // An open choice ends with the pattern.
    regex.extend(std::iter::repeat_n(')', depth as usize));
    regex.push('$');
    Ok(regex)
}

/// Reads `abc]`, `a-c]`, `!abc]` or `!a-c]` into a character class. Either a list or one range, not both.
fn range(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    regex: &mut String,
) -> Result<(), String> {
    const OPEN: &str = "unexpected end of input";
    regex.push_str(if chars.next_if_eq(&'!').is_some() {
        "[^"
    } else {
        "["
    });
    let first = chars.next().ok_or(OPEN)?;
    if chars.next_if_eq(&'-').is_some() {
        let high = chars.next().ok_or(OPEN)?;
        match chars.next() {
            None => return Err(OPEN.into()),
            Some(']') => {}
            Some(_) => return Err("expected close range character".into()),
        }
        if high < first {
            return Err(format!(
                "hi character '{high}' should be greater than lo '{first}'"
            ));
        }
        push_class_char(regex, first);
        regex.push('-');
        push_class_char(regex, high);
    } else {
        let mut next = Some(first);
        let mut empty = true;
        loop {
            match next.ok_or(OPEN)? {
                ']' => break,
                '\\' => push_class_char(regex, chars.next().ok_or(OPEN)?),
                c => push_class_char(regex, c),
            }
            empty = false;
            next = chars.next();
        }
        if empty {
            return Err("could not parse range".into());
        }
    }
    regex.push(']');
    Ok(())
}

fn push_class_char(regex: &mut String, c: char) {
    if c.is_alphanumeric() {
        regex.push(c);
    } else {
        // By its number: a backslash makes an assertion of some. Writing to a String cannot fail.
        let _ = write!(regex, "\\x{{{:x}}}", u32::from(c));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_as_go_globs_them() -> Result<(), GlobError> {
        for (pattern, path, expected) in [
            ("a/b.json", "a/b.json", true),
            ("a/*.json", "a/b.json", true),
            ("a/*.json", "a/.json", true),
            ("a/*.json", "a/b/c.json", false),
            ("*", "a/b", false),
            ("**/c", "a/c", true),
            ("**/c", "a/b/c", false),
            ("*/*/x-stdout.txt", "ns/pod/x-stdout.txt", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("[a-c]x[^0-9]", "bxy", true),
            ("[a-c]x[^0-9]", "bx1", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("/a/./b//../c", "a/c", true),
            ("../a", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("A.log", "a.log", false),
        ] {
            assert_eq!(
                FileGlob::new(pattern)?.matches(path),
                expected,
                "{pattern} {path}"
            );
        }
        for pattern in [
            "[", "a/[", "[]a]", "[a", "[a-", "[a-]", "[-a]", "a\\", "[\\",
        ] {
            assert!(FileGlob::new(pattern).is_err(), "{pattern}");
        }
        Ok(())
    }

    #[test]
    fn the_fixed_part_is_known() -> Result<(), GlobError> {
        let glob = FileGlob::new("pods/logs/*/x.log")?;
        assert_eq!((glob.prefix(), glob.is_literal()), ("pods/logs", false));
        let glob = FileGlob::new("pods//a\\*.log")?;
        assert_eq!((glob.prefix(), glob.is_literal()), ("pods/a*.log", true));
        assert_eq!(FileGlob::new("*")?.prefix(), "");
        Ok(())
    }

    #[test]
    fn redactor_selectors() -> Result<(), GlobError> {
        for (pattern, path, expected) in [
            ("**/file.txt", "a/b/file.txt", true),
            ("**/file.txt", "file.txt", false),
            ("**file.txt", "file.txt", true),
            ("data/*", "data/x", true),
            ("data/*", "data/x/y", false),
            ("data/**", "data/x/y", true),
            ("/data/x", "data/x", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("{a,b*}/c", "bcd/c", true),
            ("{a,{b,c}}d", "cd", true),
            ("{a,b", "b", true),
            ("a,b}", "a,b}", true),
            ("[!ab]c", "xc", true),
            ("[!ab]c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a]x", "^x", true),
            ("[.*]", "*", true),
            ("[<>-]", ">", true),
            ("[ -~]", "^", true),
            ("a.b", "axb", false),
            ("a\\*", "a*", true),
            ("?", "/", false),
            ("?", "é", true),
        ] {
            assert_eq!(
                GobwasGlob::new(pattern)?.matches(path),
                expected,
                "{pattern} {path}"
            );
        }
        for (pattern, reason) in [
            ("[a", "unexpected end of input"),
            ("[]", "could not parse range"),
            ("[a-cx]", "expected close range character"),
            ("[c-a]", "hi character 'a' should be greater than lo 'c'"),
        ] {
            let error = GobwasGlob::new(pattern).err().map(|error| error.reason);
            assert_eq!(error.as_deref(), Some(reason), "{pattern}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn never_panics(pattern in r"[a-c*?\[\]{},!^\\/é-]{0,20}|.*", path in "[a-c/é]{0,20}|.*") {
            if let Ok(glob) = FileGlob::new(&pattern) {
                let _ = (glob.matches(&path), glob.prefix(), glob.is_literal());
            }
            match GobwasGlob::new(&pattern) {
                Ok(glob) => { let _ = glob.matches(&path); }
                // Every refusal has a reason of its own: none comes from the translated expression.
                Err(error) => prop_assert!(!error.reason.contains("too large"), "{}", pattern),
            }
        }
    }
}
