//! References to container images, as `docker`, the kubelet and KOTS read them (the grammar of
//! distribution/reference).

use std::fmt;

/// A reference with everything that its short form leaves to be known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    /// The registry's host and port, `docker.io` where none is written.
    pub registry: String,
    /// The path in it, `library/nginx` for `nginx`.
    pub repository: String,
    /// The tag; `latest` where neither a tag nor a digest is written.
    pub tag: Option<String>,
    /// `sha256:<hex>`.
    pub digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

/// The registry of short names.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The longest name, of registry and repository together, that registries take.
const MAX_NAME: usize = 255;

impl ImageReference {
    /// Reads `[registry[:port]/]path[:tag][@digest]`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let refuse = |reason| ReferenceError {
            text: text.chars().take(200).collect(),
            reason,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(refuse("what follows `@` is not a digest")),
            None => (text, None),
        };
        let after_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[after_slash..].rfind(':') {
            Some(at) => {
                let (name, tag) = rest.split_at(after_slash + at);
                (name, Some(&tag[1..]))
            }
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("what follows `:` is not a tag"));
        }
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(refuse("its name is empty or longer than 255 characters"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == "index.docker.io" {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        if !registry
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
        {
            return Err(refuse("its registry is not a host"));
        }
        if !path.split('/').all(is_component) {
            return Err(refuse(
                "its path is not lower-case words with single `.`, `_`, `__` or dashes between",
            ));
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let latest = || digest.is_none().then_some("latest");
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.or_else(latest).map(str::to_owned),
            digest,
        })
    }

    /// The last component of the path, which is all that KOTS keeps of it.
    #[must_use]
    pub fn last(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// Registry and path.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Where KOTS pushes it: the last component of its path under `registry` (a host, with or without a
    /// namespace), by digest without a tag, else by tag.
    #[must_use]
    pub fn rewritten(&self, registry: &str) -> String {
        let name = format!("{}/{}", registry.trim_end_matches('/'), self.last());
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{name}@{digest}"),
            (None, Some(tag)) => format!("{name}:{tag}"),
            (None, None) => name,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether a text is a digest of an algorithm that registries use: `sha256:` and 64 hexadecimal digits, `sha512:` and 128.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", digits)) if digits.len() == 64 => digits,
        Some(("sha512", digits)) if digits.len() == 128 => digits,
        _ => return false,
    };
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// Whether the first component of a name is a registry and not a path: by its dot, its port or its name.
fn is_registry(text: &str) -> bool {
    text == "localhost"
        || text.contains(['.', ':'])
        || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    bytes.split(alphanumeric).all(|between| {
        matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_completed() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/a:1", "localhost/a:1"),
            ("reg:5000/ns/a", "reg:5000/ns/a:latest"),
            (
                "quay.io/minio/operator:v7.1.1",
                "quay.io/minio/operator:v7.1.1",
            ),
            ("ghcr.io/a/b__c-d--e.f:x", "ghcr.io/a/b__c-d--e.f:x"),
        ] {
            let read = ImageReference::parse(text).map(|it| it.to_string());
            assert_eq!(read, Ok(full.to_owned()), "{text}");
        }
        let pinned = ImageReference::parse(&format!("nginx@{DIGEST}")).map(|it| it.to_string());
        assert_eq!(pinned, Ok(format!("docker.io/library/nginx@{DIGEST}")));
        let both = ImageReference::parse(&format!("a.io/b:1@{DIGEST}")).map(|it| it.to_string());
        assert_eq!(both, Ok(format!("a.io/b:1@{DIGEST}")));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            ":1",
            "UPPER",
            "a b",
            "a//b",
            "a:",
            "a:tag:tag",
            "a/-b",
            "a@sha256:12",
            "a___b",
            "repl{{ LocalImageName }}",
            "{{ .Values.image }}",
            "https://a.io/b",
        ] {
            assert!(ImageReference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn kots_keeps_the_last_component() {
        for (text, there) in [
            (
                "quay.io/minio/operator:v7",
                "reg.local/ns/operator:v7".to_owned(),
            ),
            ("nginx", "reg.local/ns/nginx:latest".to_owned()),
        ] {
            let read = ImageReference::parse(text).map(|it| it.rewritten("reg.local/ns/"));
            assert_eq!(read, Ok(there));
        }
        let both = ImageReference::parse(&format!("a.io/b/c:1@{DIGEST}"));
        let there = both.map(|it| it.rewritten("reg.local"));
        assert_eq!(there, Ok(format!("reg.local/c@{DIGEST}")));
    }
}
