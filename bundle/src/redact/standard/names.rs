//! Which names promise a secret: `DB_PASSWORD`, `clientSecret`, `x-api-key`, and not `secretName`,
//! `tokenExpirationSeconds`, `passwordPolicy`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::values;
use super::words::{Words, words};
use crate::redact::MASK;

/// What a name promises; it decides how its value is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Whatever the value looks like, it is secret.
    Password,
    /// A secret, or the name of an object that holds one.
    Secret,
    /// A token; also the head of many counters and times.
    Token,
    /// A key that opens something.
    Key,
    /// A key of unknown use: secret when the value looks random.
    MaybeKey,
}

/// The name in a pair of name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Still to come.
    Unknown,
    /// It promises nothing.
    Plain,
    /// It promises a secret.
    Promises(Class),
}

impl Name {
    /// Reads a name. One of which a part was masked is no name that anything looks up, and promised nothing before: had
    /// it, its value would be masked, too.
    pub(super) fn read(name: &[u8]) -> Self {
        let masked = memchr::memmem::find(name, MASK.as_bytes()).is_some();
        let class = if masked { None } else { class(name) };
        class.map_or(Self::Plain, Self::Promises)
    }

    /// Whether `value` is secret under this name.
    pub(super) fn hides(self, value: &[u8]) -> bool {
        matches!(self, Self::Promises(class) if values::is_secret(class, value))
    }
}

/// Literals without one of which no name promises a secret. Lower case.
pub(super) const LITERALS: &[&str] = &[
    "pass",
    "pwd",
    "_pw",
    "-pw",
    "secret",
    "token",
    "credential",
    "creds",
    "key",
    "authorization",
    "auth\"",
    "auth'",
    "auth=",
    "auth:",
    "jwt",
    "dockerc",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "cookie",
    "signature",
    "sig=",
    "sas=",
    "psk",
    "salt",
    "_pat",
    "-pat",
];

static PASSWORD_WORDS: Words = words("password passwords passwd passphrase passcode pass pwd pw");
const PASSWORD_ENDS: &[&str] = &["password", "passwd", "passphrase", "pwd"];
static SECRET_WORDS: Words =
    words("secret credential credentials creds dockerconfigjson dockercfg dockerconfig");
static TOKEN_WORDS: Words = words("token tokens jwt authorization cookie pat sas psk");
const KEY_ENDS: &[&str] = &[
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "accountkey",
    "sharedkey",
    "authkey",
];

/// What stands before `key` when the key is secret.
static KEY_OWNERS: Words = words(
    "access account api app application auth ca cipher client crypt crypto decrypt decryption deploy enc \
     encrypt encryption hmac jwt kms master preshared private rsa secret server service session shared sign signing \
     ssh storage tls webhook",
);

/// What says, after the word, that the value only speaks about a secret.
static ABOUT_AFTER: Words = words(
    "age alg algorithm algorithms arn attempts audience audiences auth authentication bytes class column \
     config count controller created creation date delay dir directory disabled duration enabled encoding \
     endpoint endpoints engine env error errors exists expiration expires expiry expired field file \
     filename files folder format generation generator group header hint id ids index interval issuer \
     issued key keys kind label labels length lifetime limit limits location lookup management manager \
     max message method min mode mount mounts name names namespace namespaces only optional order owner \
     path paths period policies policy prefix projection prompt property protected provider providers \
     rate ready reason ref refresh reference references refs request requests required requirements reset \
     resource resources retries reviews review role rotation rule rules schema scope scopes seconds \
     selector service set size source sources state status storage store strategy strength suffix sync \
     synced system target template time timeout timestamp total ttl type types updated uri uris url urls \
     usage used uid uuid valid validation validity var variable version versions volume volumes wait \
     webhook authn authz cleaner reviewer provisioner cache fingerprint thumbprint operator injector csi driver plugin exporter handler checksum conf crt ini \
     json properties tf toml tpl xml yaml yml",
);

/// What says, before the word, that the value is no secret.
static ABOUT_BEFORE: Words = words(
    "allow automount bytes cached change check checksum completion continue count disable empty enable \
     existing expired forgot generate generated has hash hide image input invalid is last length limit \
     max min missing need needs next no num number output page prompt public pull require required \
     requires reset resume rotate show skip sync total unexpected use uses using validate with without \
     sort partition primary foreign object map cache routing hot cold",
);

/// Owners of Kubernetes Secrets whose fields hold the Secret's name.
static NAMED_SECRETS: Words = words("tls ca cert certificate credential credentials pull existing");

/// Parts of words without one of which no name promises anything. Most names have none, and are told so without
/// being taken apart.
const PARTS: [&str; 21] = [
    "pass",
    "pwd",
    "pw",
    "secret",
    "credential",
    "creds",
    "dockerc",
    "token",
    "jwt",
    "authorization",
    "cookie",
    "pat",
    "sas",
    "psk",
    "key",
    "auth",
    "salt",
    "sig",
    "rsa",
    "ed25519",
    "dsa",
];

static ANY_PART: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let builder = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(PARTS);
    builder.expect("a handful of literals fit an automaton")
});

/// What a name promises, if anything. Words are told apart by punctuation and by case.
pub(super) fn class(name: &[u8]) -> Option<Class> {
    const LONGEST: usize = 128;
    if name.is_empty() || name.len() > LONGEST || !ANY_PART.is_match(name) {
        return None;
    }
    let words = split(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["auth" | "salt"] | [.., "salt"] => return Some(Class::MaybeKey),
        ["id", "rsa" | "ed25519" | "ecdsa" | "dsa"] => return Some(Class::Key),
        ["sig" | "signature"] | [.., "amz", "signature" | "credential"] => {
            return Some(Class::MaybeKey);
        }
        _ => {}
    }
    (0..words.len()).rev().find_map(|at| class_at(&words, at))
}

/// What the word at `at` promises in its surroundings.
fn class_at(words: &[&str], at: usize) -> Option<Class> {
    let word = words[at];
    let before = at.checked_sub(1).map(|place| words[place]);
    let after = &words[at + 1..];
    let ends = |ends: &[&str]| ends.iter().any(|end| word.ends_with(end));
    let class = if PASSWORD_WORDS.contains(word) || ends(PASSWORD_ENDS) {
        Class::Password
    } else if SECRET_WORDS.contains(word) || word.ends_with("secret") {
        Class::Secret
    } else if TOKEN_WORDS.contains(word) || word.ends_with("token") {
        Class::Token
    } else if ends(KEY_ENDS) {
        Class::Key
    } else if word == "key" {
        match before {
            Some(owner) if KEY_OWNERS.contains(owner) => Class::Key,
            Some(other) if !ABOUT_BEFORE.contains(other) => Class::MaybeKey,
            _ => return None,
        }
    } else {
        return None;
    };
    // `access_key_id` is the other half of a pair, `client-key-data` the key itself.
    if class == Class::Key && matches!(after, ["id" | "data"]) {
        return Some(Class::Key);
    }
    let secret_key = class == Class::Secret && matches!(after, ["key"] | ["key", "base" | "id"]);
    if secret_key {
        return Some(Class::Key);
    }
    if after.iter().any(|word| ABOUT_AFTER.contains(word)) {
        return None;
    }
    if before.is_some_and(|word| ABOUT_BEFORE.contains(word)) {
        return None;
    }
    if class == Class::Secret && before.is_some_and(|word| NAMED_SECRETS.contains(word)) {
        return None;
    }
    // Plural and short words need to end the name.
    let ends_name = matches!(
        word,
        "tokens" | "psk" | "pass" | "pw" | "pat" | "sas" | "cookie" | "jwt"
    );
    (!ends_name || after.is_empty()).then_some(class)
}

/// The words of a name in lower case.
fn split(name: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous = 0u8;
    for (index, &byte) in name.iter().enumerate() {
        let next = name.get(index + 1).copied().unwrap_or(0);
        let starts_word = byte.is_ascii_uppercase()
            && (previous.is_ascii_lowercase()
                || previous.is_ascii_digit()
                || (previous.is_ascii_uppercase() && next.is_ascii_lowercase()));
        if (starts_word || !byte.is_ascii_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if byte.is_ascii_alphanumeric() {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
        previous = byte;
    }
    if !word.is_empty() {
        words.push(word);
    }
    // Numbers at the end tell variants apart: `PASSWORD_2`.
    while words.len() > 1
        && words
            .last()
            .is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
    {
        words.pop();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_promises_has_a_part() {
        let ends = PASSWORD_ENDS.iter().chain(KEY_ENDS).copied();
        let lists = [&PASSWORD_WORDS, &SECRET_WORDS, &TOKEN_WORDS];
        let others = [
            "auth",
            "salt",
            "sig",
            "signature",
            "key",
            "id_rsa",
            "id_ed25519",
            "id_ecdsa",
            "id_dsa",
        ];
        let words = lists
            .iter()
            .flat_map(|list| list.all())
            .chain(ends)
            .chain(others);
        for word in words {
            assert!(ANY_PART.is_match(word), "{word}");
        }
    }

    #[test]
    fn names_promise_secrets() {
        for (name, expected) in [
            ("DB_PASSWORD", Some(Class::Password)),
            ("PGPASSWORD", Some(Class::Password)),
            ("spring.datasource.password", Some(Class::Password)),
            ("dbPass", Some(Class::Password)),
            ("PASSWORD_2", Some(Class::Password)),
            ("clientSecret", Some(Class::Secret)),
            ("AWS_SECRET_ACCESS_KEY", Some(Class::Key)),
            ("aws_access_key_id", Some(Class::Key)),
            ("accessKey", Some(Class::Key)),
            ("x-api-key", Some(Class::Key)),
            ("client-key-data", Some(Class::Key)),
            ("SECRET_KEY_BASE", Some(Class::Key)),
            ("tls.key", Some(Class::Key)),
            ("GITHUB_TOKEN", Some(Class::Token)),
            ("idToken", Some(Class::Token)),
            ("id_rsa", Some(Class::Key)),
            ("STRIPE_KEY", Some(Class::MaybeKey)),
            ("secretName", None),
            ("secretKeyRef", None),
            ("passwordPolicy", None),
            ("tokenExpirationSeconds", None),
            ("automountServiceAccountToken", Some(Class::Token)),
            ("imagePullSecrets", None),
            ("imagePullSecret", None),
            ("TOKEN_PATH", None),
            ("passwordFile", None),
            ("max_tokens", None),
            ("nextToken", None),
            ("checksum/secret", None),
            ("publicKey", None),
            ("key", None),
            ("keyspace", None),
            ("passed", None),
            ("bypass", None),
            ("compass", None),
            ("licenseID", None),
            ("tokenizer", None),
        ] {
            assert_eq!(class(name.as_bytes()), expected, "{name}");
        }
    }
}
