//! One automaton over a text, to tell which rules a line can meet.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::rules::Rule;

/// Letters that are no ASCII but equal `k` and `s` when case does not count: a line with one meets all rules.
const FOLDING_LETTERS: [&str; 2] = ["\u{212a}", "\u{17f}"];

/// A rule and the literals without one of which it matches nothing. Case does not count.
pub(super) struct GatedRule {
    pub(super) rule: Rule,
    pub(super) literals: &'static [&'static str],
}

/// Rules behind one automaton.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) rules: Box<[Arc<Rule>]>,
    automaton: AhoCorasick,
    /// For each literal, the rules that it lets through, a bit each.
    opened: Box<[u64]>,
}

/// A line with a literal in it: its place without the line break, and the rules that are to be tried.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) line: Range<usize>,
    pub(super) rules: u64,
}

impl Gate {
    /// Builds the automaton. At most 63 rules.
    pub(super) fn new(gated: Vec<GatedRule>) -> Self {
        let mut literals: Vec<&str> = FOLDING_LETTERS.to_vec();
        let every = (1 << gated.len()) - 1;
        let mut opened = vec![every; literals.len()];
        for (index, rule) in gated.iter().enumerate() {
            for literal in rule.literals {
                let place = literals.iter().position(|known| known == literal);
                let place = place.unwrap_or_else(|| {
                    literals.push(literal);
                    opened.push(0);
                    literals.len() - 1
                });
                opened[place] |= 1 << index;
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&literals)
            .expect("a handful of literals fit an automaton");
        Self {
            rules: gated
                .into_iter()
                .map(|gated| Arc::new(gated.rule))
                .collect(),
            automaton,
            opened: opened.into(),
        }
    }

    /// The lines of `block` that hold a literal, in order.
    pub(super) fn hits<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = Hit> + 'a {
        let mut found = self.automaton.find_overlapping_iter(block).peekable();
        std::iter::from_fn(move || {
            let first = found.next()?;
            let mut rules = self.opened[first.pattern().as_usize()];
            let start =
                memchr::memrchr(b'\n', &block[..first.start()]).map_or(0, |place| place + 1);
            let end = memchr::memchr(b'\n', &block[first.end()..])
                .map_or(block.len(), |place| first.end() + place);
            while let Some(more) = found.next_if(|next| next.end() <= end) {
                rules |= self.opened[more.pattern().as_usize()];
            }
            Some(Hit {
                line: start..end,
                rules,
            })
        })
    }

    /// Whether a text holds any literal.
    pub(super) fn any(&self, text: &[u8]) -> bool {
        self.automaton.is_match(text)
    }

    /// The rules that a single line or a part of one meets.
    pub(super) fn rules_for(&self, line: &[u8]) -> u64 {
        let found = self.automaton.find_overlapping_iter(line);
        found.fold(0, |rules, literal| {
            rules | self.opened[literal.pattern().as_usize()]
        })
    }
}
