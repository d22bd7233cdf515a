//! troubleshoot's default redactors, as data.
//!
//! Source: the behaviour of replicatedhq/troubleshoot at commit 5bf008f7. Each rule is an expression in three
//! parts and the literals without one of which it cannot match; the automaton over all literals decides which
//! rules a line meets at all.

use super::gate::GatedRule;
use super::rules::{Action, Expression, Pattern, Rule};

/// Where kURL's installer lies in a bundle, whether its CRD is cluster-scoped or not.
pub(super) const KURL_FILES: [&str; 2] = [
    "cluster-resources/custom-resources/installers.cluster.kurl.sh.json",
    "cluster-resources/custom-resources/installers.cluster.kurl.sh/*.json",
];

/// Environment variables in escaped JSON: a part of the name, the literals, the rule's name.
const ESCAPED_ENV: [(&str, &[&str], &str); 7] = [
    (
        "SECRET_?ACCESS_?KEY",
        &["access_key", "accesskey"],
        "Redact values for environment variables that look like AWS Secret Access Keys",
    ),
    (
        "ACCESS_?KEY_?ID",
        &["access_key", "accesskey"],
        "Redact values for environment variables that look like AWS Access Keys",
    ),
    (
        "OWNER_?ACCOUNT",
        &["owner_account", "owneraccount"],
        "Redact values for environment variables that look like AWS Owner or Account numbers",
    ),
    (
        r#"password[^"]*"#,
        &["password"],
        "Redact values for environment variables with names beginning with 'password'",
    ),
    (
        r#"token[^"]*"#,
        &["token"],
        "Redact values for environment variables with names beginning with 'token'",
    ),
    (
        r#"database[^"]*"#,
        &["database"],
        "Redact values for environment variables with names beginning with 'database'",
    ),
    (
        r#"user[^"]*"#,
        &["user"],
        "Redact values for environment variables with names beginning with 'user'",
    ),
];

/// Credentials in connection strings: opening, secret, literals, name.
const CONNECTIONS: [(&str, &str, &[&str], &str); 3] = [
    (
        "(?i)(https?|ftp)(://)",
        r#"(?P<mask>[^:"/]+)(:)(?P<mask>[^@"/]+)(@[^:/\s"]+)(:\d+)?"#,
        &["://"],
        "Redact connection strings with username and password",
    ),
    (
        r"\b",
        r#"(?P<mask>[^:"/]*)(:)(?P<mask>[^:"/]*)(@tcp\()(?P<mask>[^:"/]*)(:\d*)?(\)/)(?P<mask>\S+)\b"#,
        &["@tcp("],
        "Redact database connection strings that contain username and password",
    ),
    (
        r"\b(\w*://)",
        r#"(?P<mask>[^:"/]*)(:)(?P<mask>[^:"/]*)(@)(?P<mask>[^:"/]*)(:\d*)?(/)(?P<mask>\S+)\b"#,
        &["://"],
        "Redact database connection strings that contain username and password",
    ),
];

/// Keys of `key = value;` connection strings.
const CONNECTION_KEYS: [(&str, &str); 8] = [
    (
        "Data Source",
        "Redact 'Data Source' values commonly found in database connection strings",
    ),
    (
        "location",
        "Redact 'location' values commonly found in database connection strings",
    ),
    (
        "User ID",
        "Redact 'User ID' values commonly found in database connection strings",
    ),
    (
        "password",
        "Redact 'password' values commonly found in database connection strings",
    ),
    (
        "Server",
        "Redact 'Server' values commonly found in database connection strings",
    ),
    (
        "Database",
        "Redact 'Database' values commonly found in database connection strings",
    ),
    (
        "Uid",
        "Redact 'UID' values commonly found in database connection strings",
    ),
    (
        "Pwd",
        "Redact 'Pwd' values commonly found in database connection strings",
    ),
];

/// Environment variables in indented JSON, where the name stands on one line and the value on the next: a
/// part of the name, the literals, the rule's name.
const INDENTED_ENV: [(&str, &[&str], &str); 7] = [
    (
        r#"[^"]*SECRET_?ACCESS_?KEY"#,
        &["access_key", "accesskey"],
        "Redact AWS Secret Access Key values in multiline JSON",
    ),
    (
        r#"[^"]*ACCESS_?KEY_?ID"#,
        &["access_key", "accesskey"],
        "Redact AWS Access Key ID values in multiline JSON",
    ),
    (
        r#"[^"]*OWNER_?ACCOUNT"#,
        &["owner_account", "owneraccount"],
        "Redact AWS Owner and Account Numbers in multiline JSON",
    ),
    (
        ".*password",
        &["password"],
        "Redact password environment variables in multiline JSON",
    ),
    (
        ".*token",
        &["token"],
        "Redact values that look like API tokens in multiline JSON",
    ),
    (
        ".*database",
        &["database"],
        "Redact database connection strings in multiline JSON",
    ),
    (".*user", &["user"], "Redact usernames in multiline JSON"),
];

/// Fields of kURL's installer, and its last-applied copy.
const KURL_FIELDS: [(&str, &str, &[&str]); 4] = [
    ("bootstrapToken", r#"[^"]*"#, &["bootstraptoken"]),
    ("certKey", r#"[^"]*"#, &["certkey"]),
    ("kubeadmToken", r#"[^"]*"#, &["kubeadmtoken"]),
    (
        r"kubectl\.kubernetes\.io/last-applied-configuration",
        r#"(?:\\.|[^"\\])*"#,
        &["last-applied-configuration"],
    ),
];

/// The rules for every file, in troubleshoot's order.
pub(super) fn rules() -> Vec<GatedRule> {
    let mut rules = Vec::new();
    for (part, literals, name) in ESCAPED_ENV {
        let opening = format!(r#"(?i)(\\"name\\":\\"[^"]*{part}\\",\\"value\\":\\")"#);
        let pattern = Pattern::new(&opening, r#"(?P<mask>[^"]*)"#, r#"(\\")"#).needs(b'\\');
        rules.push(line(name, pattern, literals));
    }
    for (opening, secret, literals, name) in CONNECTIONS {
        let pattern = Pattern::new(opening, secret, "").needs(b'@');
        rules.push(line(name, pattern, literals));
    }
    for (key, name) in CONNECTION_KEYS {
        let pattern = Pattern::new(&format!("(?i)({key} *= *)"), "(?P<mask>[^;]+)", "(;)");
        let pattern = pattern.needs(b'=');
        rules.push(line(name, pattern, &[";"]));
    }
    for (part, literals, name) in INDENTED_ENV {
        let selector = format!(r#"(?i)"name": *"{part}[^"]*""#);
        rules.push(next_line(name, &selector, "value", ".*[^\"]*", literals));
    }
    rules.push(next_line(
        "Redact 'key' values found in Ceph auth lists",
        r#"(?i)"entity": *"(?:osd|client|mgr)\..*[^"]*""#,
        "key",
        ".{38}==[^\"]*",
        &["\"entity\":"],
    ));
    rules
}

/// The rules for kURL's installer.
pub(super) fn kurl_rules() -> Vec<GatedRule> {
    let fields = KURL_FIELDS.iter().enumerate();
    let rule =
        |(index, (field, secret, literals)): (usize, &(&str, &str, &'static [&'static str]))| {
            let opening = format!(r#"(?i)("{field}"\s*:\s*")"#);
            let pattern = Pattern::new(&opening, &format!("(?P<mask>{secret})"), "(\")");
            line(
                &format!("Redact kurl installer fields.regex.{index}"),
                pattern,
                literals,
            )
        };
    fields.map(rule).collect()
}

fn line(name: &str, pattern: Pattern, literals: &'static [&'static str]) -> GatedRule {
    GatedRule {
        rule: Rule {
            name: name.into(),
            action: Action::Mask(pattern),
        },
        literals,
    }
}

fn next_line(
    name: &str,
    selector: &str,
    key: &str,
    secret: &str,
    literals: &'static [&'static str],
) -> GatedRule {
    let opening = format!(r#"(?i)("{key}": *")"#);
    GatedRule {
        rule: Rule {
            name: name.into(),
            action: Action::MaskNext {
                selector: Expression::new(selector.to_owned()),
                pattern: Pattern::new(&opening, &format!("(?P<mask>{secret})"), "(\")"),
            },
        },
        literals,
    }
}
