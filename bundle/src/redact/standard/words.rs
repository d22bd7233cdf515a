//! Lists of words, written as text.

use std::collections::HashSet;
use std::sync::OnceLock;

/// A list of words to look up.
pub(super) struct Words {
    text: &'static str,
    set: OnceLock<HashSet<&'static str>>,
}

/// The words of a text, in lower case, with white space between them.
pub(super) const fn words(text: &'static str) -> Words {
    Words {
        text,
        set: OnceLock::new(),
    }
}

impl Words {
    /// The words, as they are written down.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.text.split_ascii_whitespace()
    }

    /// Whether the list has the word.
    pub(super) fn contains(&self, word: &str) -> bool {
        let set = self
            .set
            .get_or_init(|| self.text.split_ascii_whitespace().collect());
        set.contains(word)
    }
}
