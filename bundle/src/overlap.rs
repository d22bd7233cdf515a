//! Whether two patterns over bundle paths could match a path in common.

/// Which wildcards a pattern knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// [`Gap::path`](crate::manifest::Gap::path): `*` within a segment, `**` across.
    Gap,
    /// Go's `filepath.Match`: `*`, `?`, `[…]`, `\x`. A class is taken to match every character.
    Go,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Letter(char),
    /// One character, no slash.
    One,
    /// Any run without a slash.
    Run,
    /// Any run.
    Across,
}

/// A pattern ready to be compared.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Vec<Token>);

impl Pattern {
    pub(crate) fn new(text: &str, dialect: Dialect) -> Self {
        let segments = text
            .split('/')
            .filter(|segment| !matches!(*segment, "" | "."));
        let mut tokens = Vec::new();
        for (index, segment) in segments.enumerate() {
            if index > 0 {
                tokens.push(Token::Letter('/'));
            }
            push_segment(segment, dialect, &mut tokens);
        }
        Self(tokens)
    }

    /// The pattern that only `path` matches.
    pub(crate) fn literal(path: &str) -> Self {
        Self(path.chars().map(Token::Letter).collect())
    }

    /// Whether some path matches both. Patterns too long to compare are taken to overlap.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        // Most pairs differ in a literal beginning.
        for pair in a.iter().zip(b) {
            match pair {
                (Token::Letter(x), Token::Letter(y)) if x == y => {}
                (Token::Letter(_), Token::Letter(_)) => return false,
                _ => break,
            }
        }
        let width = b.len() + 1;
        let Some(size) = (a.len() + 1)
            .checked_mul(width)
            .filter(|size| *size <= MAX_CELLS)
        else {
            return true;
        };
        // cells[i, j]: the first i tokens of `a` and the first j of `b` can match the same text.
        let mut cells = vec![false; size];
        cells[0] = true;
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                if !cells[i * width + j] {
                    continue;
                }
                let (x, y) = (a.get(i).copied(), b.get(j).copied());
                if x.is_some_and(|x| x.is_run() || y.is_some_and(|y| y.takes(x))) {
                    cells[(i + 1) * width + j] = true;
                }
                if y.is_some_and(|y| y.is_run() || x.is_some_and(|x| x.takes(y))) {
                    cells[i * width + j + 1] = true;
                }
                if a[i..].starts_with(&FOLDERS) {
                    cells[(i + 2) * width + j] = true;
                }
                if b[j..].starts_with(&FOLDERS) {
                    cells[i * width + j + 2] = true;
                }
                if x.zip(y).is_some_and(|(x, y)| x.meets(y)) {
                    cells[(i + 1) * width + j + 1] = true;
                }
            }
        }
        cells[size - 1]
    }
}

/// `**/`, which may stand for no folder at all.
const FOLDERS: [Token; 2] = [Token::Across, Token::Letter('/')];

/// The largest table that a comparison may take.
const MAX_CELLS: usize = 1 << 16;

impl Token {
    fn is_run(self) -> bool {
        matches!(self, Self::Run | Self::Across)
    }

    /// Whether this run can take the one character that `other` stands for.
    fn takes(self, other: Self) -> bool {
        match self {
            Self::Across => !other.is_run(),
            Self::Run => !other.is_run() && other != Self::Letter('/'),
            Self::Letter(_) | Self::One => false,
        }
    }

    /// Whether both can stand for the same one character.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Letter(x), Self::Letter(y)) => x == y,
            (Self::Letter(x), Self::One) | (Self::One, Self::Letter(x)) => x != '/',
            (Self::One, Self::One) => true,
            _ => false,
        }
    }
}

fn push_segment(segment: &str, dialect: Dialect, tokens: &mut Vec<Token>) {
    let mut letters = segment.chars().peekable();
    while let Some(letter) = letters.next() {
        tokens.push(match (letter, dialect) {
            ('*', Dialect::Gap) if letters.next_if_eq(&'*').is_some() => Token::Across,
            ('*', _) => Token::Run,
            ('?', Dialect::Go) => Token::One,
            ('\\', Dialect::Go) => Token::Letter(letters.next().unwrap_or('\\')),
            ('[', Dialect::Go) => {
                skip_class(&mut letters);
                Token::One
            }
            (letter, _) => Token::Letter(letter),
        });
    }
}

fn skip_class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    letters.next_if_eq(&'^');
    let mut first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            ']' if !first => return,
            _ => {}
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_path_matches_both() {
        for (gap, pattern, expected) in [
            ("a/b.json", "a/b.json", true),
            ("a/b.json", "./a//b.json", true),
            ("a/b.json", "a/c.json", false),
            ("a/*.json", "a/b.json", true),
            ("a/*.json", "a/*/b.json", false),
            ("a/**", "a/x/y/b.json", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("**/b", "b", true),
            ("a/**", "b/*", false),
            ("**", "x", true),
            ("logs/*/app.log", "logs/*/*.log", true),
            ("logs/*/app.log", "logs/ns-?/a[a-z]p.log", true),
            ("logs/x/app.log", "logs/*/[^b]pp.log", true),
            (
                "cluster-resources/pods/shop.json",
                "cluster-resources/pods/*.json",
                true,
            ),
            (
                "cluster-resources/pods/shop.json",
                "cluster-resources/pods/logs/*/*.log",
                false,
            ),
            ("a/*b*c", "a/*c*", true),
            ("a/xb", "a/*c", false),
            ("a?b", "a\\?b", true),
            ("axb", "a\\?b", false),
            ("a", "a/b", false),
        ] {
            let gap_pattern = Pattern::new(gap, Dialect::Gap);
            let go_pattern = Pattern::new(pattern, Dialect::Go);
            assert_eq!(
                gap_pattern.overlaps(&go_pattern),
                expected,
                "{gap} and {pattern}"
            );
            assert_eq!(
                go_pattern.overlaps(&gap_pattern),
                expected,
                "{pattern} and {gap}"
            );
        }
    }

    #[test]
    fn long_patterns_end() {
        let gap = Pattern::new(&"*a".repeat(2000), Dialect::Gap);
        assert!(gap.overlaps(&Pattern::new(&"*b".repeat(2000), Dialect::Go)));
    }
}
