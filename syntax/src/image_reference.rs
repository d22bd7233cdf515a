//! References to images: `registry.example.com:5000/team/app:1.2@sha256:…`, as containerd, Docker, the kubelet and KOTS
//! read them.
//!
//! No crate: `oci-client` has one, and with it a client, chrono and a second base64; what is read here is a page of
//! the distribution project's grammar. Fact: `distribution/reference`, `reference.go` and `normalize.go`.

use std::fmt;

/// An image by its whole name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    /// The registry as the reference names it: `docker.io`, `registry.example.com:5000`.
    pub registry: String,
    /// The repository in it: `library/nginx`.
    pub repository: String,
    /// The tag; `latest` where there is neither a tag nor a digest.
    pub tag: Option<String>,
    /// `sha256:…`, which counts where there is a tag, too.
    pub digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// The registry.
    #[error("{0:?} is no host of a registry")]
    Host(String),
    /// The repository, which has lower-case letters, digits and `.`, `_`, `-` between them.
    #[error(
        "{0:?} is no name of a repository (lower-case letters, digits, and . _ - between them)"
    )]
    Repository(String),
    /// The tag.
    #[error("{0:?} is no tag (at most 128 letters, digits, _ . -)")]
    Tag(String),
    /// The digest.
    #[error("{0:?} is no digest (sha256: and 64 hexadecimal digits, or sha512: and 128)")]
    Digest(String),
}

/// The registry of references that name none.
pub const DOCKER_HUB: &str = "docker.io";

/// Where Docker Hub answers.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

/// The longest name of registry and repository together.
const LONGEST_NAME: usize = 255;

impl ImageReference {
    /// Reads a reference as people write it into specs: `docker://` and `oci://` before it are left out, and Docker Hub
    /// goes by its own name where its server is named.
    pub fn parse_written(text: &str) -> Result<Self, ImageError> {
        let text = text.trim();
        let text = text
            .strip_prefix("docker://")
            .or_else(|| text.strip_prefix("oci://"))
            .unwrap_or(text);
        let mut read = Self::parse(text)?;
        if read.registry == DOCKER_HUB_SERVER {
            DOCKER_HUB.clone_into(&mut read.registry);
            read.repository = in_docker_hub(&read.repository);
        }
        Ok(read)
    }

    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        let (text, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some((_, digest)) => return Err(ImageError::Digest(digest.to_owned())),
            None => (text, None),
        };
        // A colon in the first segment is a port's.
        let name_end = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text[name_end..].find(':') {
            Some(colon) => {
                let (name, tag) = text.split_at(name_end + colon);
                (name, Some(&tag[1..]))
            }
            None => (text, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ImageError::Tag(tag.to_owned()));
        }
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if is_host_like(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let host = match host {
            "index.docker.io" => DOCKER_HUB,
            other => other,
        };
        if !is_host(host) {
            return Err(ImageError::Host(host.to_owned()));
        }
        let repository = if host == DOCKER_HUB {
            in_docker_hub(path)
        } else {
            path.to_owned()
        };
        let fits = host.len() + repository.len() < LONGEST_NAME;
        if !fits || !repository.split('/').all(is_component) {
            return Err(ImageError::Repository(path.to_owned()));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            registry: host.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// What is asked of the registry: the digest, else the tag.
    #[must_use]
    pub fn reference(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest,
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }

    /// The host that answers for the registry; it differs for Docker Hub alone.
    #[must_use]
    pub fn server(&self) -> &str {
        server(&self.registry)
    }

    /// The last component of the path, which is all that KOTS keeps of it.
    #[must_use]
    pub fn last(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// Registry and repository: `docker.io/library/nginx`.
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
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// A path in Docker Hub: `nginx` is `library/nginx`.
fn in_docker_hub(path: &str) -> String {
    if path.contains('/') {
        path.to_owned()
    } else {
        format!("library/{path}")
    }
}

/// The host that answers for a registry.
#[must_use]
pub fn server(host: &str) -> &str {
    match host {
        DOCKER_HUB | "index.docker.io" => DOCKER_HUB_SERVER,
        other => other,
    }
}

/// Whether the first segment of a name is a registry: it has a dot, a port, a capital, or is `localhost`.
fn is_host_like(segment: &str) -> bool {
    segment.contains(['.', ':'])
        || segment == "localhost"
        || segment.chars().any(|char| char.is_ascii_uppercase())
}

/// Whether a text is a host with or without a port, an IPv6 address in brackets included.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("address", rest)
            }
            _ => return false,
        },
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        });
    is_port && name.split('.').all(is_label)
}

/// `[a-z0-9]+` with single `.`, one or two `_`, or any number of `-` between.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = bytes.first().zip(bytes.last());
    let Some((first, last)) = ends else {
        return false;
    };
    if !is_letter(*first) || !is_letter(*last) {
        return false;
    }
    text.split(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit())
        .filter(|between| !between.is_empty())
        .all(|between| {
            matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether a text is a digest by SHA-256 or SHA-512.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    digits.len() == length
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_names_are_completed() {
        for (text, whole, server) in [
            (
                "nginx",
                "docker.io/library/nginx:latest",
                "registry-1.docker.io",
            ),
            ("team/app:1", "docker.io/team/app:1", "registry-1.docker.io"),
            (
                "index.docker.io/app",
                "docker.io/library/app:latest",
                "registry-1.docker.io",
            ),
            ("localhost/app", "localhost/app:latest", "localhost"),
            ("LOCAL/app", "LOCAL/app:latest", "LOCAL"),
            (
                "r.example.com:5000/a/b/c:v1.2",
                "r.example.com:5000/a/b/c:v1.2",
                "r.example.com:5000",
            ),
            ("docker://quay.io/a/b:1", "quay.io/a/b:1", "quay.io"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000"),
            ("r.io/a__b--c.d/e_f", "r.io/a__b--c.d/e_f:latest", "r.io"),
        ] {
            let read = ImageReference::parse_written(text)
                .map(|it| (it.to_string(), it.server().to_owned()));
            assert_eq!(read, Ok((whole.to_owned(), server.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_digest_counts_before_a_tag() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let both = ImageReference::parse(&format!("r.io/a:1@{digest}")).expect("a reference");
        assert_eq!(both.reference(), digest);
        assert_eq!(both.tag.as_deref(), Some("1"));
        let alone = ImageReference::parse(&format!("r.io/a@{digest}")).expect("a reference");
        assert_eq!((alone.reference(), &alone.tag), (digest.as_str(), &None));
    }

    #[test]
    fn what_is_no_reference_says_why() {
        let short = format!("r.io/a@sha256:{}", "0".repeat(63));
        for (text, words) in [
            ("", "empty"),
            ("r.io/App", "no name of a repository"),
            ("r.io/a//b", "no name of a repository"),
            ("r.io/a_-b", "no name of a repository"),
            ("r.io/-a", "no name of a repository"),
            ("r.io/a:", "no tag"),
            ("r.io/a:b c", "no tag"),
            ("r.io:99999/a", "no host"),
            ("-r.io/a", "no host"),
            ("r.io/", "no name of a repository"),
            ("r.io/a@md5:00", "no digest"),
            (short.as_str(), "no digest"),
            ("r.io/../etc", "no name of a repository"),
            ("r.io/a?b", "no name of a repository"),
        ] {
            let error = ImageReference::parse_written(text)
                .expect_err(text)
                .to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_of_manifests_are_completed() {
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

    proptest! {
        /// What was read is read again as the same, and never holds what would change the path of a request.
        #[test]
        fn reading_is_stable(text in "[a-zA-Z0-9.:/@_%?#\\[\\] -]{0,60}") {
            if let Ok(read) = ImageReference::parse_written(&text) {
                prop_assert!(!read.repository.contains(['?', '#', '%', ' ', '@', ':']));
                prop_assert!(!read.repository.split('/').any(|part| matches!(part, "" | "." | "..")));
                prop_assert_eq!(ImageReference::parse(&read.to_string()), Ok(read.clone()));
                prop_assert_eq!(ImageReference::parse_written(&read.to_string()), Ok(read));
            }
        }

        #[test]
        fn any_text_has_an_answer(text in ".{0,300}") {
            let _ = ImageReference::parse_written(&text);
            let _ = ImageReference::parse(&text);
        }
    }
}
