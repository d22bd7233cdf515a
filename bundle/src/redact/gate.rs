//! One automaton over a text, to tell which rules a line can meet.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

use super::rules::Rule;

/// Letters that are no ASCII but equal `k` and `s` when case does not count: a line with one meets all rules.
const FOLDING_LETTERS: [&str; 2] = ["\u{212a}", "\u{17f}"];

/// Parts of a text that are read side by side.
const LANES: usize = 4;
/// The shortest part for which that is worth it, in bytes.
const MIN_LANE: usize = 64;

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
    /// Bytes of the longest literal.
    longest: usize,
    /// For each literal, the rules that it lets through, a bit each.
    opened: Box<[u64]>,
}

/// A literal in a text.
#[derive(Debug, Clone, Copy)]
struct Literal {
    /// The place of its last byte.
    end: usize,
    /// The rules that it lets through, a bit each.
    rules: u64,
}

/// The literals of a text that comes in pieces. Every byte is looked at once, here.
#[derive(Debug, Default)]
pub(super) struct Literals {
    /// In order.
    found: Vec<Literal>,
    /// About where the next question is answered: most are asked from front to back.
    next: usize,
    /// What the automaton knows of the bytes so far.
    state: Option<StateID>,
    /// How many bytes were looked at.
    seen: usize,
}

impl Literals {
    /// Looks at the whole of a text.
    pub(super) fn of(gate: &Gate, text: &[u8]) -> Self {
        let mut literals = Self::default();
        literals.extend(gate, text);
        literals
    }

    /// How many bytes were looked at.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Looks at the bytes that follow those before.
    pub(super) fn extend(&mut self, gate: &Gate, text: &[u8]) {
        let state = self.state.unwrap_or(gate.start);
        self.state = Some(gate.scan(state, text, self.seen, &mut self.found));
        self.seen += text.len();
    }

    /// Forgets the literals that end before `place`.
    pub(super) fn forget_before(&mut self, place: usize) {
        let kept = self.first_from(place);
        self.found.drain(..kept);
        self.next = 0;
    }

    /// The rules that the bytes in `range` meet.
    pub(super) fn rules(&mut self, range: Range<usize>) -> u64 {
        self.next = self.first_from(range.start);
        let within = self.found[self.next..].iter();
        within
            .take_while(|literal| literal.end < range.end)
            .fold(0, |rules, literal| rules | literal.rules)
    }

    /// Where the first literal ends that does not end before `place`.
    pub(super) fn next_end(&mut self, place: usize) -> Option<usize> {
        self.next = self.first_from(place);
        self.found.get(self.next).map(|literal| literal.end)
    }

    /// The index of the first literal that does not end before `place`.
    fn first_from(&self, place: usize) -> usize {
        let mut first = self.next;
        while first > 0 && self.found[first - 1].end >= place {
            first -= 1;
        }
        while self
            .found
            .get(first)
            .is_some_and(|literal| literal.end < place)
        {
            first += 1;
        }
        first
    }
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
            longest: literals
                .iter()
                .map(|literal| literal.len())
                .max()
                .unwrap_or(0),
            opened: opened.into(),
        }
    }

    /// The rules that a text as a whole meets.
    pub(super) fn rules_for(&self, text: &[u8]) -> u64 {
        Literals::of(self, text).rules(0..text.len())
    }

    /// Adds the literals of `text`, which begins at `base` and was led up to by `state`. Returns the state at its end.
    ///
    /// An automaton waits for memory at every byte; so [`LANES`] parts of the text are read side by side. A part's
    /// state is known once as many bytes before it are read as the longest literal has.
    fn scan(&self, state: StateID, text: &[u8], base: usize, found: &mut Vec<Literal>) -> StateID {
        let length = text.len() / LANES;
        if length < MIN_LANE.max(self.longest) {
            return self.scan_lane(state, text, base, found);
        }
        let lanes: [&[u8]; LANES] = std::array::from_fn(|lane| &text[lane * length..][..length]);
        let mut states: [StateID; LANES] = std::array::from_fn(|lane| {
            let start = lane * length;
            match lane {
                0 => state,
                _ => self.walk(self.start, &text[start - self.longest..start]),
            }
        });
        let mut later: [Vec<Literal>; LANES] = Default::default();
        for place in 0..length {
            let mut special = false;
            for (state, lane) in states.iter_mut().zip(lanes) {
                *state = self.automaton.next_state(Anchored::No, *state, lane[place]);
                special |= self.automaton.is_special(*state);
            }
            if special {
                for (lane, state) in states.into_iter().enumerate() {
                    if let Some(rules) = self.opened_at(state) {
                        let end = base + lane * length + place;
                        later[lane].push(Literal { end, rules });
                    }
                }
            }
        }
        found.extend(later.into_iter().flatten());
        let rest = LANES * length;
        self.scan_lane(states[LANES - 1], &text[rest..], base + rest, found)
    }

    /// As [`Gate::scan`], byte by byte.
    fn scan_lane(
        &self,
        mut state: StateID,
        text: &[u8],
        base: usize,
        found: &mut Vec<Literal>,
    ) -> StateID {
        for (place, byte) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if let Some(rules) = self.opened_at(state) {
                let end = base + place;
                found.push(Literal { end, rules });
            }
        }
        state
    }

    /// The state after `text`.
    fn walk(&self, state: StateID, text: &[u8]) -> StateID {
        text.iter().fold(state, |state, byte| {
            self.automaton.next_state(Anchored::No, state, *byte)
        })
    }

    /// The rules of all literals that end where `state` was reached, if any does.
    fn opened_at(&self, state: StateID) -> Option<u64> {
        if !self.automaton.is_special(state) || !self.automaton.is_match(state) {
            return None;
        }
        let literals = 0..self.automaton.match_len(state);
        Some(literals.fold(0, |rules, index| {
            rules | self.opened[self.automaton.match_pattern(state, index).as_usize()]
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::standard::Finder;
    use super::*;

    /// As [`Literals`], by asking for each literal at each place.
    fn one_by_one(gate: &Gate, text: &[u8]) -> Vec<(usize, u64)> {
        let mut state = gate.start;
        let mut found = Vec::new();
        for (end, byte) in text.iter().enumerate() {
            state = gate.automaton.next_state(Anchored::No, state, *byte);
            found.extend(gate.opened_at(state).map(|rules| (end, rules)));
        }
        found
    }

    proptest! {
        #[test]
        fn parts_read_side_by_side_give_what_one_reading_gives(
            words in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "password", "AWS_SECRET_ACCESS_KEY", "age-secret-key-1", "authorization", "://", "{\"", "\n",
                        "kind\"", "\u{212a}", "-----BEGIN ", "scram-sha-256$", "webhookb2/", "tok", "en",
                    ]).prop_map(str::to_owned),
                    "[ a-z]{0,12}",
                ],
                0..400,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let finder = Finder::new();
            let gate = finder.gate();
            let text = words.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut literals = Literals::default();
            for cut in cuts.windows(2) {
                literals.extend(gate, &text.as_bytes()[cut[0]..cut[1]]);
            }
            let found: Vec<_> = literals.found.iter().map(|literal| (literal.end, literal.rules)).collect();
            prop_assert_eq!(found, one_by_one(gate, text.as_bytes()));
            // Whatever the order of the questions.
            for place in [0, text.len() / 2, text.len(), text.len() / 3] {
                let wanted = one_by_one(gate, text.as_bytes()).into_iter().filter(|(end, _)| *end >= place);
                prop_assert_eq!(literals.rules(place..text.len()), wanted.fold(0, |rules, (_, more)| rules | more));
            }
        }
    }
}
