//! What may be told of a secret without telling it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// What makes fingerprints of one run comparable with each other and with nothing else. It is in no bundle,
/// so that nobody can try out likely values on a fingerprint.
#[derive(Clone)]
pub struct Salt([u8; 32]);

/// What is told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// How long it is, in bytes: `0`, `1-7`, `8-15`, `16-31`, … `1024-`.
    pub length_class: &'static str,
    /// Equal where two secrets of one run are equal: 16 hexadecimal digits.
    pub fingerprint: String,
}

/// The classes of length, each with the length below which it ends.
const CLASSES: [(usize, &str); 8] = [
    (1, "0"),
    (8, "1-7"),
    (16, "8-15"),
    (32, "16-31"),
    (64, "32-63"),
    (128, "64-127"),
    (1024, "128-1023"),
    (usize::MAX, "1024-"),
];

impl Default for Salt {
    /// A new one, made of the keys that the standard library draws from the operating system.
    fn default() -> Self {
        let mut salt = [0; 32];
        for (index, bytes) in salt.chunks_exact_mut(8).enumerate() {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_usize(index);
            bytes.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Self(salt)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(..)")
    }
}

impl Salt {
    /// The salt of a run that goes on elsewhere.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What another process of the same run needs, and nobody else may have.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// What is told of `secret`.
    #[must_use]
    pub fn facts(&self, secret: &[u8]) -> Facts {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(secret);
        let digest = hash.finalize();
        let start = digest.iter().take(8);
        let fingerprint = start.fold(0, |number, byte| (number << 8) | u64::from(*byte));
        let class = CLASSES.iter().find(|(end, _)| secret.len() < *end);
        Facts {
            length_class: class.map_or("1024-", |(_, class)| class),
            fingerprint: format!("{fingerprint:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_classes() {
        let salt = Salt::default();
        for (length, class) in [
            (0, "0"),
            (1, "1-7"),
            (7, "1-7"),
            (8, "8-15"),
            (31, "16-31"),
            (127, "64-127"),
            (1024, "1024-"),
            (1 << 20, "1024-"),
        ] {
            assert_eq!(salt.facts(&vec![b'x'; length]).length_class, class);
        }
    }

    #[test]
    fn equal_secrets_are_equal_within_a_run_only() {
        let (run, other) = (Salt::default(), Salt::default());
        assert_eq!(run.facts(b"hunter2"), run.clone().facts(b"hunter2"));
        assert_ne!(run.facts(b"hunter2"), run.facts(b"hunter3"));
        assert_ne!(run.facts(b"hunter2"), other.facts(b"hunter2"));
        assert_eq!(run.facts(b"").fingerprint.len(), 16);
        assert_eq!(format!("{run:?}"), "Salt(..)");
    }
}
