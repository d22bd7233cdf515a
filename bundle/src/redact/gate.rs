//! One automaton over a text, to tell which rules a line can meet.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

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
    automaton: DFA,
    start: StateID,
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
        let automaton = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(&literals)
            .expect("a handful of literals fit an automaton");
        let start = automaton
            .start_state(Anchored::No)
            .expect("the automaton is built for searches without an anchor");
        Self {
            rules: gated
                .into_iter()
                .map(|gated| Arc::new(gated.rule))
                .collect(),
            automaton,
            start,
            opened: opened.into(),
        }
    }

    /// The lines of `block` that hold a literal, in order.
    pub(super) fn hits<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = Hit> + 'a {
        let mut position = 0;
        std::iter::from_fn(move || {
            let hit = self.next_hit(block, position)?;
            position = block.len().min(hit.line.end + 1);
            Some(hit)
        })
    }

    /// The first line of `block` from `position` on that holds a literal. `position` is the beginning of a line.
    ///
    /// Every byte is looked at once, here: this is where redaction spends its time.
    pub(super) fn next_hit(&self, block: &[u8], position: usize) -> Option<Hit> {
        let mut state = self.start;
        let rest = &block[position..];
        let place = position
            + rest.iter().position(|byte| {
                state = self.automaton.next_state(Anchored::No, state, *byte);
                self.automaton.is_special(state) && self.automaton.is_match(state)
            })?;
        let start = memchr::memrchr(b'\n', &block[position..place]);
        let start = start.map_or(position, |end| position + end + 1);
        let end = memchr::memchr(b'\n', &block[place..]).map_or(block.len(), |end| place + end);
        let rules =
            self.opened_at(state) | self.rules_from(state, &block[place + 1..end.max(place + 1)]);
        Some(Hit {
            line: start..end,
            rules,
        })
    }

    /// Whether a text holds any literal.
    pub(super) fn any(&self, text: &[u8]) -> bool {
        let mut state = self.start;
        text.iter().any(|byte| {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            self.automaton.is_special(state) && self.automaton.is_match(state)
        })
    }

    /// The rules that a single line or a part of one meets.
    pub(super) fn rules_for(&self, line: &[u8]) -> u64 {
        self.rules_from(self.start, line)
    }

    /// The rules that `text` meets after what led to `state`.
    fn rules_from(&self, mut state: StateID, text: &[u8]) -> u64 {
        let mut rules = 0;
        for byte in text {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                rules |= self.opened_at(state);
            }
        }
        rules
    }

    /// The rules of all literals that end where `state` was reached.
    fn opened_at(&self, state: StateID) -> u64 {
        let literals = 0..self.automaton.match_len(state);
        literals.fold(0, |rules, index| {
            rules | self.opened[self.automaton.match_pattern(state, index).as_usize()]
        })
    }
}
