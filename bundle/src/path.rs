//! Paths inside a bundle: relative, normalised, UTF-8, never leaving the bundle's root.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A file's place in a bundle, from the bundle's own root folder down, `/` between segments:
/// `cluster-resources/pods/default.json`. There is no way to make one that is absolute, empty, holds
/// `.`/`..` segments, a NUL or a control character, or that would be one of these or name a drive or another machine
/// where a backslash separates segments, too. Copies share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundlePath(Arc<str>);

/// Why a text is no [`BundlePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path inside a bundle: {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl PathError {
    /// Why, without the path: `it is absolute`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl BundlePath {
    /// The longest path accepted, in bytes. Names of Kubernetes objects end at 253; eight of them fit.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a path. Repeated and trailing slashes and `.` segments fold away; a leading slash and `..`
    /// are refused. A backslash is an ordinary character, as on Linux, where systemd's names hold some; a path that
    /// leads out on Windows is refused all the same, for whoever unpacks a bundle there.
    pub fn new(path: impl AsRef<str>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let refuse = |reason| {
            Err(PathError {
                path: path.chars().take(200).collect(),
                reason,
            })
        };
        if path.starts_with('/') {
            return refuse("it is absolute");
        }
        if path.len() > Self::MAX_BYTES {
            return refuse("it is longer than 4,096 bytes");
        }
        if path.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        let mut normal = String::with_capacity(path.len());
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => return refuse("it holds a `..` segment"),
                name if name.starts_with('\\') => {
                    return refuse("it is absolute on Windows, or names another machine there");
                }
                name if matches!(name.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic()) =>
                {
                    return refuse("it names a drive of Windows");
                }
                name if name.split('\\').any(|part| part == "..") => {
                    return refuse("it holds a `..` segment");
                }
                name => {
                    if !normal.is_empty() {
                        normal.push('/');
                    }
                    normal.push_str(name);
                }
            }
        }
        if normal.is_empty() {
            return refuse("it is empty");
        }
        Ok(Self(normal.into()))
    }

    /// Joins segments that come from outside (object names, a spec's `name`), dropping empty ones, as Go's
    /// `path.Join` does for troubleshoot. A segment may hold slashes; a `..` is refused.
    pub fn join<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Result<Self, PathError> {
        let mut joined = String::new();
        for segment in segments {
            let segment = segment.as_ref().trim_start_matches('/');
            if segment.is_empty() {
                continue;
            }
            if !joined.is_empty() {
                joined.push('/');
            }
            joined.push_str(segment);
        }
        Self::new(joined)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that holds the file, empty at the root.
    #[must_use]
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

impl fmt::Display for BundlePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for BundlePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for BundlePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BundlePath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        Self::new(path)
    }
}

impl TryFrom<&str> for BundlePath {
    type Error = PathError;

    fn try_from(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

impl From<BundlePath> for String {
    fn from(path: BundlePath) -> Self {
        path.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_what_is_harmless() {
        for (text, normal) in [
            ("a/b.json", "a/b.json"),
            ("./a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("a\\b", "a\\b"),
            ("dev-disk\\x2duuid.device", "dev-disk\\x2duuid.device"),
            ("registry:5000", "registry:5000"),
            ("a..b\\c..", "a..b\\c.."),
        ] {
            assert_eq!(
                BundlePath::new(text).map(String::from),
                Ok(normal.to_owned())
            );
        }
    }

    #[test]
    fn refuses_what_leaves_the_bundle() {
        for text in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            ".",
            "a\0b",
            "a\nb",
            "C:\\evil",
            "C:evil",
            "c:/evil",
            "a/C:\\evil",
            "\\\\server\\share\\evil",
            "\\evil",
            "a/\\\\server\\share",
            "a\\..\\..\\evil",
            "..\\evil",
        ] {
            assert!(BundlePath::new(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn joins_as_path_join_does() {
        let joined = BundlePath::join(["", "logs", "/ns/", "pod.log"]).map(String::from);
        assert_eq!(joined, Ok("logs/ns/pod.log".to_owned()));
        assert!(BundlePath::join(["a", "../../x"]).is_err());
    }
}
