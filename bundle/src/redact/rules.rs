//! Rules over lines, with the semantics of troubleshoot's redactors.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use memchr::memmem;
use syntax::go_regex::{Captures, GoRegex};

use super::MASK;

/// One rule and the name that reports count it under.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) action: Action,
}

/// What a rule does to a line. Lines come without their line break.
#[derive(Debug)]
pub(super) enum Action {
    /// Masks every occurrence of a text.
    Literal(Box<[u8]>),
    /// Replaces every match.
    Replace {
        redactor: GoRegex,
        template: Box<[u8]>,
    },
    /// Replaces every match in the line after one that `selector` matches. That line is not asked
    /// whether it is a selector itself.
    ReplaceNext {
        selector: GoRegex,
        redactor: GoRegex,
        template: Box<[u8]>,
    },
    /// Masks the groups named `mask`, which with the other groups make up the whole match; so it can be said
    /// which bytes are masked.
    Mask(Pattern),
    /// As `Mask`, in the line after one that `selector` matches.
    MaskNext {
        selector: Expression,
        pattern: Pattern,
    },
}

/// One of our own expressions, compiled when it is first needed: most files meet few of them.
#[derive(Debug)]
pub(super) struct Expression {
    source: String,
    compiled: OnceLock<GoRegex>,
}

impl Expression {
    pub(super) fn new(source: String) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    pub(super) fn get(&self) -> &GoRegex {
        self.compiled.get_or_init(|| {
            GoRegex::new(&self.source).expect("our own expressions are tested to compile")
        })
    }
}

/// An expression in three parts: what opens a secret, the secret, and what closes it.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) whole: Expression,
    /// The expression without its closing part, to the end of the text.
    pub(super) unclosed: Expression,
    /// A byte that every match holds: most lines with a rule's literal are told so without the expression.
    needs: Option<u8>,
}

impl Pattern {
    /// Puts `opening`, `secret` and `closing` together; `closing` may be empty.
    pub(super) fn new(opening: &str, secret: &str, closing: &str) -> Self {
        Self {
            whole: Expression::new(format!("{opening}{secret}{closing}")),
            unclosed: Expression::new(format!(r"{opening}{secret}\z")),
            needs: None,
        }
    }

    /// No match is without `byte`.
    pub(super) fn needs(self, byte: u8) -> Self {
        Self {
            needs: Some(byte),
            ..self
        }
    }

    /// Adds the places of all secrets in `line`, in order.
    pub(super) fn secrets(&self, line: &[u8], found: &mut Vec<Range<usize>>) {
        if self
            .needs
            .is_some_and(|byte| memchr::memchr(byte, line).is_none())
        {
            return;
        }
        let whole = self.whole.get();
        whole.each_match(line, |captures| found.extend(masked(whole, captures)));
    }

    /// The secret that began in `text` and does not end in it.
    pub(super) fn open_secret(&self, text: &[u8]) -> Option<Range<usize>> {
        let unclosed = self.unclosed.get();
        let captures = unclosed.captures(text)?;
        masked(unclosed, &captures).last()
    }
}

/// The places of the groups named `mask`.
fn masked<'c>(
    regex: &'c GoRegex,
    captures: &'c Captures<'_>,
) -> impl Iterator<Item = Range<usize>> + 'c {
    let names = regex.group_names().iter().enumerate();
    let masks = names.filter(|(_, name)| name.as_deref() == Some("mask"));
    masks.filter_map(|(group, _)| captures.span(group))
}

/// What a rule made of a line.
pub(super) struct Changed {
    pub(super) line: Vec<u8>,
    pub(super) masks: u64,
}

impl Rule {
    /// Applies the rule to a line. `armed` is whether the rule's selector matched the line before; it says
    /// afterwards whether the rule waits for the next line.
    pub(super) fn apply(&self, line: &[u8], armed: &mut bool) -> Option<Changed> {
        match &self.action {
            Action::Literal(value) => mask_literal(line, value),
            Action::Replace { redactor, template } => replace(redactor, template, line),
            Action::ReplaceNext {
                selector,
                redactor,
                template,
            } => {
                if !std::mem::take(armed) {
                    *armed = selector.is_match(line);
                    return None;
                }
                replace(redactor, template, line)
            }
            Action::Mask(_) | Action::MaskNext { .. } => {
                let mut secrets = Vec::new();
                self.secrets(line, armed, &mut secrets);
                (!secrets.is_empty()).then(|| mask_spans(line, &secrets))
            }
        }
    }

    /// Adds the places that a masking rule masks in a line; none for the rules that rewrite.
    pub(super) fn secrets(&self, line: &[u8], armed: &mut bool, found: &mut Vec<Range<usize>>) {
        match &self.action {
            Action::Mask(pattern) => pattern.secrets(line, found),
            Action::MaskNext { selector, pattern } => {
                if std::mem::take(armed) {
                    pattern.secrets(line, found);
                } else {
                    *armed = selector.get().is_match(line);
                }
            }
            Action::Literal(_) | Action::Replace { .. } | Action::ReplaceNext { .. } => {}
        }
    }

    /// The pattern of a masking rule.
    pub(super) fn pattern(&self) -> Option<&Pattern> {
        match &self.action {
            Action::Mask(pattern) | Action::MaskNext { pattern, .. } => Some(pattern),
            Action::Literal(_) | Action::Replace { .. } | Action::ReplaceNext { .. } => None,
        }
    }
}

/// Puts a mask in the place of every span; they are in order and do not overlap.
pub(super) fn mask_spans(line: &[u8], spans: &[Range<usize>]) -> Changed {
    Changed {
        line: mask_spans_with(line, spans, MASK.as_bytes()),
        masks: spans.len() as u64,
    }
}

/// Puts `mask` in the place of every span.
pub(super) fn mask_spans_with(text: &[u8], spans: &[Range<usize>], mask: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len() + spans.len() * mask.len());
    let mut copied = 0;
    for span in spans {
        masked.extend_from_slice(&text[copied..span.start]);
        masked.extend_from_slice(mask);
        copied = span.end;
    }
    masked.extend_from_slice(&text[copied..]);
    masked
}

fn replace(redactor: &GoRegex, template: &[u8], line: &[u8]) -> Option<Changed> {
    let mut masks = 0;
    let replaced = redactor.replace_all_with(line, |captures, out| {
        masks += 1;
        redactor.expand(template, captures, out);
    });
    match replaced {
        Cow::Borrowed(_) => None,
        Cow::Owned(line) => Some(Changed { line, masks }),
    }
}

/// As Go's `bytes.ReplaceAll`: an empty value stands between any two characters, before the first and after
/// the last.
fn mask_literal(line: &[u8], value: &[u8]) -> Option<Changed> {
    let spans: Vec<Range<usize>> = if value.is_empty() {
        character_bounds(line).map(|place| place..place).collect()
    } else {
        memmem::find_iter(line, value)
            .map(|start| start..start + value.len())
            .collect()
    };
    (!spans.is_empty()).then(|| mask_spans(line, &spans))
}

/// Where characters begin, and the end; a byte that is no UTF-8 is a character.
fn character_bounds(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut start = 0;
    let mut bounds = Vec::new();
    for chunk in text.utf8_chunks() {
        bounds.extend(
            chunk
                .valid()
                .char_indices()
                .map(|(offset, _)| start + offset),
        );
        start += chunk.valid().len();
        bounds.extend(start..start + chunk.invalid().len());
        start += chunk.invalid().len();
    }
    bounds.push(start);
    bounds.into_iter()
}
