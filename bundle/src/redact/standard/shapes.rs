//! Secrets that their own shape gives away, whatever they are called.

use crate::redact::gate::GatedRule;
use crate::redact::rules::{Action, Pattern, Rule};

use super::names;

/// A shape: how reports call it, what opens it, the secret, what closes it, the literals without which
/// it is not there.
struct Shape {
    name: &'static str,
    opening: &'static str,
    secret: &'static str,
    closing: &'static str,
    literals: &'static [&'static str],
}

const URL: &str = "credentials in a URL";
const DSN: &str = "credentials in a connection string";
const HEADER: &str = "authorization header";
const COMMAND: &str = "secret in a command";
const TOKEN: &str = "token of a known shape";
const HASH: &str = "password hash";

const SHAPES: &[Shape] = &[
    // scheme://user:password@host. In the web's schemes a password holds no slash: https://h:80/@scope/pkg.
    Shape {
        name: URL,
        opening: r"(?i)(\b(?:https?|ftps?|wss?|git\+https?)://)",
        secret: r#"(?P<mask>[^\s"'<>\\:@/?#,]*)(:)(?P<mask>[^\s"'<>\\/?#]+)"#,
        closing: "(@)",
        literals: &["://"],
    },
    // In the others it may, but what begins with a port is none: redis://h:6379/0.
    Shape {
        name: URL,
        opening: r"(?i)(\b[a-z][a-z0-9+.\-]*://)",
        secret: r#"(?P<mask>[^\s"'<>\\:@/?#,]*)(:)(?P<mask>\d+|\d*[^\s"'<>\\/,?#\d][^\s"'<>\\/]*|[^\s"'<>\\\d/][^\s"'<>\\]*?)"#,
        closing: "(@)",
        literals: &["://"],
    },
    // https://token@host: a user without a password that looks like a token.
    Shape {
        name: URL,
        opening: r"(?i)(\b(?:https?|git\+https?)://)",
        secret: r"(?P<mask>[A-Za-z0-9_\-]{20,})",
        closing: r"(@[A-Za-z0-9])",
        literals: &["://"],
    },
    Shape {
        name: DSN,
        opening: "",
        secret: r#"(?P<mask>[^\s"'<>\\:@/=,;(]+)(:)(?P<mask>[^\s"'<>\\]+)"#,
        closing: r"(@(?:tcp[46]?|udp|unix)\()",
        literals: &["@tcp", "@unix", "@udp"],
    },
    Shape {
        name: DSN,
        opening: r"(?i)(jdbc:oracle:[a-z]+:)",
        secret: r#"(?P<mask>[^\s"'/@]+)(/)(?P<mask>[^\s"'@]+)"#,
        closing: "(@)",
        literals: &["jdbc:oracle:"],
    },
    Shape {
        name: HEADER,
        opening: r"(?i)(\bbearer\s+)",
        secret: r"(?P<mask>[A-Za-z0-9+/_.~\-]*[0-9._~+/\-][A-Za-z0-9+/_.~\-]{7,}=*|[A-Za-z]{24,}=*|[A-Za-z0-9+/_.~\-]{7,}[0-9][A-Za-z0-9+/_.~\-]*=*)",
        closing: "",
        literals: &["bearer"],
    },
    Shape {
        name: HEADER,
        opening: r"(?i)(\bbasic\s+)",
        secret: r"(?P<mask>[A-Za-z0-9+/]{6,}={1,2}|[A-Za-z0-9+/]{4,}[0-9][A-Za-z0-9+/]{3,})",
        closing: "",
        literals: &["basic"],
    },
    Shape {
        name: HEADER,
        opening: r#"(?i)(\bauthorization\\*["']?\s*[:=]\s*\\*["']?[a-z0-9\-]+ )"#,
        secret: r#"(?P<mask>[A-Za-z]+=.*|[^\s"'\\,]{6,})"#,
        closing: "",
        literals: &["authorization"],
    },
    Shape {
        name: HEADER,
        opening: r#"(?i)(\b(?:set-)?cookie\\*["']?: ?\\*["']?)"#,
        secret: r#"(?P<mask>[^\s"'\\;=]+=[^"'\\\r\n]+)"#,
        closing: "",
        literals: &["cookie"],
    },
    // SMTP: AUTH PLAIN <base64>
    Shape {
        name: HEADER,
        opening: r"(?i)(\bauth (?:plain|login)\s+)",
        secret: r"(?P<mask>[A-Za-z0-9+/]{8,}={0,2})",
        closing: "",
        literals: &["auth plain", "auth login"],
    },
    // Redis: "AUTH" "default" "secret"
    Shape {
        name: DSN,
        opening: r#"(?i)(\\?"auth\\?" (?:\\?"[^"\\]*\\?" )?\\?")"#,
        secret: r#"(?P<mask>[^"\\]+)"#,
        closing: r#"(\\?")"#,
        literals: &["auth\" ", "auth\\\" "],
    },
    // .netrc
    Shape {
        name: HEADER,
        opening: r"(\blogin\s+\S+\s+password\s+)",
        secret: r"(?P<mask>\S+)",
        closing: "",
        literals: &["login"],
    },
    // SQL
    Shape {
        name: DSN,
        opening: r"(?i)(\b(?:password|identified\s+(?:with\s+\S+\s+)?by)\s+\\?')",
        secret: r"(?P<mask>[^'\\]+)",
        closing: r"(\\?')",
        literals: &["password", "identified"],
    },
    // Configuration files that put a space between a name and its value.
    Shape {
        name: DSN,
        opening: r#"(?i)(^\s*(?:requirepass|masterauth|bindpw|rootpw|insecure-password|enable secret \d|user \S+ (?:insecure-)?password|psk|aws_secret_access_key|aws_session_token)\s+"?)"#,
        secret: r#"(?P<mask>[^\s"]+)"#,
        closing: "",
        literals: &[
            "requirepass",
            "masterauth",
            "bindpw",
            "rootpw",
            "password",
            "secret",
            "psk",
            "aws_session",
        ],
    },
    // Commands that take a secret in a place of its own.
    Shape {
        name: COMMAND,
        opening: r#"(\b(?:curl|etcdctl|wget)\b[^\n|;&]*? (?:-u|--user)[ =]?["']?[^\s"':]+:)"#,
        secret: r#"(?P<mask>[^\s"']+)"#,
        closing: "",
        literals: &["curl", "etcdctl", "wget"],
    },
    Shape {
        name: COMMAND,
        opening: r"(\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b[^\n|;&]*? -p)",
        secret: r#"(?P<mask>[^\s"'\-=][^\s"']*)"#,
        closing: "",
        literals: &["mysql", "mariadb"],
    },
    Shape {
        name: COMMAND,
        opening: r#"(\b(?:redis-cli|sshpass|mongo|mongosh|mongodump|mongorestore|mongoimport|mongoexport|ldapsearch|ldapmodify|ldapadd|ldapwhoami|(?:docker|podman|nerdctl|helm registry|skopeo|crane|oras|buildah|az acr|oc) login)\b[^\n|;&]*? -[apw] ?["']?)"#,
        secret: r#"(?P<mask>[^\s"'\-\d][^\s"']*|\d+[^\s"'\d][^\s"']*)"#,
        closing: "",
        literals: &["redis-cli", "sshpass", "mongo", "ldap", " login "],
    },
    Shape {
        name: COMMAND,
        opening: r#"(\b(?:mc alias set|mc config host add) \S+ \S+ \S+ ["']?|\brabbitmqctl (?:add_user|change_password) \S+ ["']?|\bhtpasswd -\S*b\S* \S+ \S+ ["']?|\baws configure set aws_(?:secret_access_key|session_token) ["']?|-pass(?:in|out)? ["']?pass:)"#,
        secret: r#"(?P<mask>[^\s"']+)"#,
        closing: "",
        literals: &[
            "mc alias",
            "mc config",
            "rabbitmqctl",
            "htpasswd",
            "aws configure",
            "pass:",
        ],
    },
    Shape {
        name: COMMAND,
        opening: r#"(\becho ["']?[^\s"':|]+:)"#,
        secret: r#"(?P<mask>[^\s"'|]+)"#,
        closing: r#"(["']? *\| *(?:sudo +)?chpasswd)"#,
        literals: &["chpasswd"],
    },
    Shape {
        name: "JWT",
        opening: "",
        secret: r"(?P<mask>\beyJ[A-Za-z0-9_\-]{5,}(?:\.[A-Za-z0-9_\-]*){2,4})",
        closing: "",
        literals: &["eyj"],
    },
    // {"auths": in base64
    Shape {
        name: "registry credentials",
        opening: "",
        secret: r"(?P<mask>\b(?:eyJhdXRocyI|eyAiYXV0aHMi|ewogICAgImF1dGhz|ewogICJhdXRocy|ewoJImF1dGhz|eyJhdXRoIjoi)[A-Za-z0-9+/=]*)",
        closing: "",
        literals: &["eyjhdxro", "eyaiyxv0ahmi", "ewogica", "ewojimf1dghz"],
    },
    // A private key in base64: "-----BEGIN " and what follows decides the rest of the line.
    Shape {
        name: "private key",
        opening: "",
        secret: r"(?P<mask>\bLS0tLS1CRUdJTi(?:BQUklWQVRFIEtFW|BSU0EgUFJJVkFURSBLRV|BFQyBQUklWQVRFIEtFW|BPUEVOU1NIIFBSSVZBVE|BFTkNSWVBURUQgUFJJVk|BEU0EgUFJJVkFURSBLRV)[A-Za-z0-9+/=]*)",
        closing: "",
        literals: &["ls0tls1crudjti"],
    },
    Shape {
        name: "AWS access key",
        opening: "",
        secret: r"(?P<mask>\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b)",
        closing: "",
        literals: &["akia", "asia", "abia", "acca"],
    },
    Shape {
        name: TOKEN,
        opening: "",
        secret: r"(?P<mask>\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl(?:pat|dt|rt|ptt|soat|agent|cbt)-[A-Za-z0-9_.\-]{20,}))",
        closing: "",
        literals: &[
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "gldt-",
            "glrt-",
            "glptt-",
            "glsoat-",
            "glagent-",
            "glcbt-",
        ],
    },
    Shape {
        name: TOKEN,
        opening: "",
        secret: r"(?P<mask>\b(?:xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-\d-[A-Za-z0-9\-]{10,}))",
        closing: "",
        literals: &[
            "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-",
        ],
    },
    Shape {
        name: TOKEN,
        opening: r"(?i)(\bhooks\.slack\.com/(?:services|workflows|triggers)/|\bdiscord(?:app)?\.com/api/webhooks/|\bwebhook\.office\.com/webhookb2/|\bapi\.telegram\.org/(?:file/)?bot)",
        secret: r"(?P<mask>[A-Za-z0-9_/@:\-]{10,})",
        closing: "",
        literals: &[
            "hooks.slack.com",
            "/api/webhooks/",
            "/webhookb2/",
            "api.telegram.org",
        ],
    },
    Shape {
        name: TOKEN,
        opening: "",
        secret: r"(?P<mask>\b(?:[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}|sk-[A-Za-z0-9_\-]{20,}|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,}|GOCSPX-[A-Za-z0-9_\-]{20,}|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_\-]{30,}|dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,}|hv[sbr]\.[A-Za-z0-9_\-]{20,}|hf_[A-Za-z0-9]{30,}|glsa_[A-Za-z0-9_]{30,}|glc_[A-Za-z0-9+/=]{30,}|dop_v1_[a-f0-9]{40,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|AGE-SECRET-KEY-1[A-Z0-9]{30,}|NRAK-[A-Z0-9]{27}|lin_api_[A-Za-z0-9]{30,}|atlasv1\.[A-Za-z0-9_\-]{30,}|ATATT3[A-Za-z0-9_\-=]{30,}|key-[0-9a-f]{32}\b))",
        closing: "",
        literals: &[
            "k_live_",
            "k_test_",
            "whsec_",
            "sk-",
            "aiza",
            "ya29.",
            "gocspx-",
            "sg.",
            "npm_",
            "pypi-",
            "dckr_",
            "hvs.",
            "hvb.",
            "hvr.",
            "hf_",
            "glsa_",
            "glc_",
            "dop_v1_",
            "shpat_",
            "shpca_",
            "shppa_",
            "shpss_",
            "age-secret-key-1",
            "nrak-",
            "lin_api_",
            "atlasv1.",
            "atatt3",
            "key-",
        ],
    },
    // Ceph: 28 bytes that begin with a version and a time.
    Shape {
        name: TOKEN,
        opening: r"(\bkey\s*[=:]\s*)",
        secret: r"(?P<mask>AQ[A-Za-z0-9+/]{36}==)",
        closing: "",
        literals: &["key"],
    },
    // k3s node tokens, kubeadm bootstrap tokens.
    Shape {
        name: TOKEN,
        opening: "",
        secret: r"(?P<mask>\bK10[0-9a-f]{20,}::[^\s\x22']+)",
        closing: "",
        literals: &["k10"],
    },
    Shape {
        name: TOKEN,
        opening: r"(?i)(\btoken(?:[ :=\x22']|\\\x22)+)",
        secret: r"(?P<mask>[a-z0-9]{6}\.[a-z0-9]{16}\b)",
        closing: "",
        literals: &["token"],
    },
    Shape {
        name: HASH,
        opening: "",
        secret: r"(?P<mask>\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$(?:1|5|6|y|apr1|argon2(?:id?|d))\$[^\s\x22':]{20,}|\{S?SHA\}[A-Za-z0-9+/=]{20,}|\bpbkdf2[_\-]sha\d+\$[^\s\x22':]{20,}|\bSCRAM-SHA-256\$\d+:[^\s\x22']{20,})",
        closing: "",
        literals: &[
            "$1$",
            "$5$",
            "$6$",
            "$y$",
            "$2a$",
            "$2b$",
            "$2x$",
            "$2y$",
            "$apr1$",
            "$argon2",
            "{sha}",
            "{ssha}",
            "pbkdf2",
            "scram-sha-256$",
        ],
    },
];

/// The bit of [`rules`] that stands for literals of secret names: no rule, but a reason to look for pairs.
pub(super) const NAMES: u64 = 1;
/// The bit for what concerns the structure of a text: objects, private keys, embedded documents.
pub(super) const STRUCTURE: u64 = 2;

/// Literals of the structure that lines and strings can have.
const STRUCTURE_LITERALS: &[&str] = &[
    "-----begin",
    "kind:",
    "kind\"",
    "data:",
    "data\":",
    "data\\\"",
    "value:",
    "value\"",
    "value\\\"",
    "{\"",
    "{\\\"",
    "***hidden***",
];

/// What reports call the rule at `index` of [`rules`].
pub(super) fn name(index: usize) -> &'static str {
    SHAPES
        .get(index.wrapping_sub(2))
        .map_or("", |shape| shape.name)
}

/// All shapes, behind the two markers.
pub(super) fn rules() -> Vec<GatedRule> {
    let marker = |literals| GatedRule {
        rule: Rule {
            name: "".into(),
            action: Action::Literal(b"\n"[..].into()),
        },
        literals,
    };
    let mut rules = vec![marker(names::LITERALS), marker(STRUCTURE_LITERALS)];
    rules.extend(SHAPES.iter().map(|shape| GatedRule {
        rule: Rule {
            name: shape.name.into(),
            action: Action::Mask(Pattern::new(shape.opening, shape.secret, shape.closing)),
        },
        literals: shape.literals,
    }));
    rules
}
