//! Which values are secret, given what their name promises.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::names::{self, Class};
use super::words::{Words, words};
use crate::redact::MASK;

/// Words that stand where a secret could and are none. Lower case.
static WORDS: Words = words(
    "true false yes no on off null nil none undefined unset set empty enabled disabled enable disable \
     required optional missing invalid expired valid unknown denied strict n/a na redacted masked \
     hidden changed unchanged present absent ok failed error rejected accepted not is was are has must \
     cannot could unable unexpected found created updated deleted rotated revoked refreshed default \
     auto generated string bool int object bytes opaque bearer basic for from the and with \
     authentication authorization auth verification validation mismatch incorrect wrong does didn't \
     doesn't to of in by or a an it",
);

/// How placeholders, references and descriptions of secrets begin.
const REFERENCES: &[&str] = &[
    "$(",
    "${",
    "{{",
    "<set to",
    "<unset",
    "<redacted",
    "<none",
    "<nil",
    "<masked",
    "<hidden",
    "<sensitive",
    "<secret",
    "<your",
    "<password",
    "<token",
    "<no value",
    "<omitted",
    "<bytes",
    "(sensitive",
    "(redacted",
    "(hidden",
    "[redacted",
    "[hidden",
    "[filtered",
    "[masked",
    "vault:",
    "arn:aws:",
    "file:",
    "env:",
    "ref+",
    "%!s(",
    "%s",
    "%v",
    "%q",
    "%d",
    "%w",
    "%+v",
    "map[",
    "&{",
    "{\"",
    "[{",
    "[\"",
    "op://",
    "projects/",
    "-----BEGIN CERT",
    "-----BEGIN PUBLIC",
];

/// Folders that files with secrets are mounted in.
const FOLDERS: &[&str] = &[
    "/app/",
    "/bitnami/",
    "/data/",
    "/etc/",
    "/home/",
    "/mnt/",
    "/opt/",
    "/root/",
    "/run/",
    "/secrets/",
    "/tmp/",
    "/usr/",
    "/var/",
    "/vault/",
    "~/",
    "./",
    "../",
];

/// Parts of names that people give to Secrets and the like.
static NAME_PARTS: Words = words(
    "secret secrets tls creds credential credentials cert certs certificate keys token config registry \
     regcred auth ca webhook pull sa default dockercfg keypair operator controller server client admin \
     app user superuser password passwords key",
);

/// A value longer than this is no description.
const LONGEST: usize = 4096;

/// Words that sentences have and secrets do not.
static PROSE: Words = words(
    "the a an is are of for to in be must or and with that this from by on not should used was will \
     when if as at has have no",
);

/// Whether a value without quotes is a sentence about its name: `Password for the user`.
pub(super) fn is_prose(value: &[u8]) -> bool {
    let mut words = value
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
        .take(40);
    let first = words.next().unwrap_or_default();
    let plain = first
        .iter()
        .filter(|byte| !byte.is_ascii_alphabetic())
        .count()
        <= 1
        && !first.iter().skip(1).any(u8::is_ascii_uppercase);
    plain
        && words.any(|word| {
            std::str::from_utf8(word).is_ok_and(|word| PROSE.contains(&word.to_ascii_lowercase()))
        })
}

/// Whether a value is to be masked under a name that promises `class`. `value` comes without quotes.
pub(super) fn is_secret(class: Class, value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let Ok(text) = std::str::from_utf8(value) else {
        return true;
    };
    if text.len() > LONGEST {
        return true;
    }
    if text.is_empty() || text.contains(MASK) || is_placeholder(text) {
        return false;
    }
    match class {
        Class::Password => !is_path(text),
        Class::MaybeKey => !is_about(text) && (looks_random(text) || is_basic_auth(text)),
        Class::Key => !is_about(text) && text.len() >= 4 && !is_object_name(text),
        Class::Secret | Class::Token => !is_about(text) && !is_object_name(text),
    }
}

fn is_placeholder(text: &str) -> bool {
    let starts = |prefix: &&str| {
        text.len() >= prefix.len()
            && text.is_char_boundary(prefix.len())
            && text[..prefix.len()].eq_ignore_ascii_case(prefix)
    };
    if REFERENCES.iter().any(starts) || WORDS.contains(&text.to_ascii_lowercase()) {
        return true;
    }
    // A variable, a run of one character, a size as `kubectl describe` gives it.
    let variable = text.strip_prefix('$').is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_uppercase())
    });
    let mut characters = text.chars();
    let first = characters.next();
    let filler = matches!(
        first,
        Some('*' | 'x' | 'X' | '.' | '-' | '#' | '•' | '_' | '?' | '=')
    ) && characters.all(|next| Some(next) == first);
    let size = text
        .strip_suffix(" bytes")
        .is_some_and(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
    variable || filler || size || is_code(text)
}

/// Whether a text is no plain word: it has a digit, an inner capital, a sign, or is long.
pub(super) fn is_made_up(value: &[u8]) -> bool {
    let sign = |byte: &u8| !byte.is_ascii_alphabetic() && !b"-.,;:()[]'\"".contains(byte);
    value.len() >= 20 || value.iter().any(sign) || value.iter().skip(1).any(u8::is_ascii_uppercase)
}

/// Whether a value is code that speaks of a secret: `cfg.Password`, `getToken(`.
fn is_code(text: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let text = text.trim_end_matches([',', ';', ')']);
    if let Some((function, _)) = text.split_once('(') {
        return function.split('.').all(name);
    }
    let mut parts = text.rsplit('.');
    let last = parts.next().unwrap_or_default();
    text.contains('.') && name(last) && parts.all(name) && names::class(last.as_bytes()).is_some()
}

/// Whether a value names a file.
fn is_path(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/._-".contains(&byte);
    FOLDERS.iter().any(|folder| text.starts_with(folder))
        || (text.starts_with('/') && text.len() > 1 && text.bytes().all(plain))
}

/// Whether a value is a place, a count, a time: what goes with the name of a token or key, not the thing itself.
fn is_about(text: &str) -> bool {
    if is_path(text) || text.contains("://") {
        return true;
    }
    let number = text.len() < 8
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = &text[digits..];
    let duration = digits > 0
        && matches!(
            unit,
            "s" | "m" | "h" | "d" | "ms" | "m0s" | "h0m0s" | "ns" | "us"
        );
    let date = text.len() >= 10
        && text
            .bytes()
            .enumerate()
            .take(10)
            .all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
    number || duration || date
}

/// Whether a value is a name in the style of Kubernetes that speaks of a secret: `db-credentials`.
fn is_object_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    if text.len() > 253
        || !bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(&byte)
        })
    {
        return false;
    }
    let mut parts = text.split(['-', '.', '/']);
    let vocabulary = [
        "regcred",
        "password",
        "token",
        "key",
        "secret",
        "credentials",
        "tls",
    ];
    vocabulary.contains(&text)
        || (text.contains(['-', '.']) && parts.any(|part| NAME_PARTS.contains(part)))
}

/// Whether a value is a user and a password in base64, as registries and HTTP have them.
pub(super) fn is_basic_auth(text: &str) -> bool {
    text.len() >= 4
        && STANDARD
            .decode(text)
            .is_ok_and(|decoded| decoded.is_ascii() && decoded.contains(&b':'))
}

/// Whether a text looks like no word and no name: long, of several kinds of characters, without spaces.
pub(super) fn looks_random(text: &str) -> bool {
    const SHORTEST: usize = 16;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-.~:%".contains(&byte);
    if text.len() < SHORTEST || !text.bytes().all(plain) {
        return false;
    }
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let (lower, upper, digit) = (
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_digit),
    );
    // Hex, base64 and the like have letters and digits in no order; names have words.
    let changes = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit());
    let mixed = lower && upper && digit;
    digit && (lower || upper) && changes.count() * 8 >= text.len() || mixed && text.len() >= 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_by_what_their_name_promises() {
        for (class, value, expected) in [
            (Class::Password, "hunter2", true),
            (Class::Password, "12345", true),
            (Class::Password, "correct horse battery", true),
            (Class::Password, "$(DB_PASSWORD)", false),
            (Class::Password, "/run/secrets/db", false),
            (Class::Password, "strict", false),
            (Class::Password, "cfg.db.Password", false),
            (Class::Password, "abc.def", true),
            (Class::Token, "getToken(ctx)", false),
            (Class::Password, "********", false),
            (Class::Password, "12 bytes", false),
            (
                Class::Password,
                "<set to the key 'pw' in secret 'db'>",
                false,
            ),
            (Class::Secret, "db-credentials", false),
            (Class::Secret, "8f3kd0s", true),
            (Class::Token, "3600", false),
            (Class::Token, "15m", false),
            (Class::Token, "default-token-x7k2p", false),
            (Class::Token, "abc123def", true),
            (Class::Key, "password", false),
            (Class::Key, "minioadmin", true),
            (Class::Key, "https://example.org/keys", false),
            (Class::MaybeKey, "some-config-key", false),
            (Class::MaybeKey, "9f86d081884c7d659a2feaa0c55ad015", true),
        ] {
            assert_eq!(
                is_secret(class, value.as_bytes()),
                expected,
                "{class:?} {value}"
            );
        }
    }
}
