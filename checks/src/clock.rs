//! The clock that collectors go by.

use jiff::{SignedDuration, Timestamp};

/// The machine's clock, or one that is off by a known amount, for tests of what a wrong clock does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    ahead: SignedDuration,
}

impl Clock {
    /// A clock that is ahead of the machine's; behind where `by` is negative.
    #[must_use]
    pub fn ahead(by: SignedDuration) -> Self {
        Self { ahead: by }
    }

    /// The time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.ahead).unwrap_or(now)
    }
}
