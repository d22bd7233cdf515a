//! How a run ends, and the number that says so.

use std::process::ExitCode;

/// The documented exit codes. `Error` and `Spec` beat all others; then `Fail` > `Warn` > `Unknown` > `Pass`.
/// 0 to 4 are troubleshoot's (its `pkg/constants`), 5 is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Exit {
    /// 0: every check passed, and everything asked for was collected.
    #[default]
    Pass,
    /// 5: something that the spec names, or that a check needs, was not collected or not evaluated.
    Unknown,
    /// 4: a check warned.
    Warn,
    /// 3: a check failed.
    Fail,
    /// 2: the spec is wrong.
    Spec,
    /// 1: the tool could not do it.
    Error,
}

impl Exit {
    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Error => 1,
            Self::Spec => 2,
            Self::Fail => 3,
            Self::Warn => 4,
            Self::Unknown => 5,
        }
    }

    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        let by_precedence = [
            Exit::Pass,
            Exit::Unknown,
            Exit::Warn,
            Exit::Fail,
            Exit::Spec,
            Exit::Error,
        ];
        for (index, worse) in by_precedence.iter().enumerate() {
            for better in &by_precedence[..index] {
                assert_eq!(better.and(*worse), *worse);
                assert_eq!(worse.and(*better), *worse);
            }
        }
    }
}
