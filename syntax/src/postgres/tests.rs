use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn shown_hosts(settings: &Settings) -> Vec<String> {
    let each = |host: &Host| match &host.address {
        Some(address) => format!("{}@{address}:{}", host.name, host.port),
        None => format!("{}:{}", host.name, host.port),
    };
    settings.hosts.iter().map(each).collect()
}

/// (string, hosts, user, password, database)
type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
);

const FORMS: &[Row] = &[
    ("postgresql://", &["localhost:5432"], "", "", ""),
    ("postgres://db", &["db:5432"], "", "", ""),
    ("postgresql://db:5433/shop", &["db:5433"], "", "", "shop"),
    ("postgresql://app@db/shop", &["db:5432"], "app", "", "shop"),
    (
        "postgresql://app:secret@db",
        &["db:5432"],
        "app",
        "secret",
        "",
    ),
    (
        "postgresql://app:p%40ss%2Fw%25@db",
        &["db:5432"],
        "app",
        "p@ss/w%",
        "",
    ),
    ("postgresql://app:a:b@db", &["db:5432"], "app", "a:b", ""),
    (
        "postgresql://app:what?not@db/x",
        &["db:5432"],
        "app",
        "what?not",
        "x",
    ),
    ("postgresql://a:1,b:2/x", &["a:1", "b:2"], "", "", "x"),
    ("postgresql://a,b:2/x", &["a:5432", "b:2"], "", "", "x"),
    (
        "postgresql://[::1]:6432,[fe80::1]/x",
        &["::1:6432", "fe80::1:5432"],
        "",
        "",
        "x",
    ),
    (
        "postgresql://%2Fvar%2Frun/x",
        &["/var/run:5432"],
        "",
        "",
        "x",
    ),
    (
        "postgresql:///x?host=/tmp&port=5544",
        &["/tmp:5544"],
        "",
        "",
        "x",
    ),
    (
        "postgresql:///x?user=u&password=p%20q",
        &["localhost:5432"],
        "u",
        "p q",
        "x",
    ),
    (
        "postgresql+psycopg2://u:p@db/x",
        &["db:5432"],
        "u",
        "p",
        "x",
    ),
    (
        "jdbc:postgresql://db:1/x?user=u&password=p",
        &["db:1"],
        "u",
        "p",
        "x",
    ),
    (
        "host=db port=5433 user=u dbname=x",
        &["db:5433"],
        "u",
        "",
        "x",
    ),
    (
        "host = db  user='a b' password = 'it\\'s' ",
        &["db:5432"],
        "a b",
        "it's",
        "",
    ),
    ("host=a,b port=1,2", &["a:1", "b:2"], "", "", ""),
    ("host=a,b port=7", &["a:7", "b:7"], "", "", ""),
    (
        "host=a,b hostaddr=10.0.0.1,10.0.0.2",
        &["a@10.0.0.1:5432", "b@10.0.0.2:5432"],
        "",
        "",
        "",
    ),
    ("hostaddr=10.0.0.1", &["10.0.0.1@10.0.0.1:5432"], "", "", ""),
    ("user=u password=a\\ b", &["localhost:5432"], "u", "a b", ""),
    ("user=u password=''", &["localhost:5432"], "u", "", ""),
    ("postgres://u:p@db/x\n", &["db:5432"], "u", "p", "x"),
];

#[test]
fn both_forms_are_read_as_libpq_reads_them() {
    for (text, hosts, user, password, database) in FORMS {
        let settings = read(text);
        assert_eq!(shown_hosts(&settings), *hosts, "{text}");
        assert_eq!(
            settings.user.as_deref().unwrap_or_default(),
            *user,
            "{text}"
        );
        assert_eq!(
            settings.password.as_deref().unwrap_or_default(),
            *password,
            "{text}"
        );
        assert_eq!(
            settings.database.as_deref().unwrap_or_default(),
            *database,
            "{text}"
        );
    }
}

#[test]
fn ssl_modes() {
    for (text, mode) in [
        ("host=a", SslMode::Prefer),
        ("host=a sslmode=allow", SslMode::Allow),
        ("postgres://a/?ssl=true", SslMode::Require),
        ("host=a requiressl=1", SslMode::Require),
        (
            "host=a sslmode=require sslrootcert=/ca.crt",
            SslMode::VerifyCa,
        ),
        ("host=a sslmode=prefer sslrootcert=/ca.crt", SslMode::Prefer),
        ("host=a sslrootcert=system", SslMode::VerifyFull),
        ("host=a sslmode=verify-ca", SslMode::VerifyCa),
        (
            "host=a sslmode=verify-full sslrootcert=system",
            SslMode::VerifyFull,
        ),
    ] {
        assert_eq!(read(text).ssl_mode, mode, "{text}");
    }
    assert_eq!(SslMode::VerifyFull.to_string(), "verify-full");
    assert!(SslMode::Require < SslMode::VerifyCa);
}

#[test]
fn the_other_settings() {
    let settings = read(
        "host=a connect_timeout=7 target_session_attrs=read-write channel_binding=require sslnegotiation=direct sslmode=require \
         options='-c search_path=x' sslcert=/c sslkey=/k application_name=x keepalives=1 pool_max_conns=4",
    );
    assert_eq!(settings.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(settings.target, Target::ReadWrite);
    assert_eq!(settings.channel_binding, ChannelBinding::Require);
    assert!(settings.direct_tls);
    assert_eq!(settings.options.as_deref(), Some("-c search_path=x"));
    assert_eq!(settings.client_certificate.as_deref(), Some("/c"));
    assert_eq!(
        settings.unused,
        ["application_name", "keepalives", "pool_max_conns"]
    );
    for endless in ["0", "-1"] {
        assert_eq!(
            read(&format!("connect_timeout={endless}")).connect_timeout,
            None
        );
    }
}

#[test]
fn what_cannot_be_used_is_refused_without_showing_it() {
    for text in [
        "",
        " ",
        "mysql://u:hunter2@db/x",
        "http://hunter2",
        "postgres://u:hunter2@more@db/x",
        "postgres://u:hun/ter2@db/x",
        "postgres://u:hunter2#x/@db:5432/x",
        "postgres://u:hunter2%@db/x",
        "postgres://u:hunter2%zz@db/x",
        "postgres://u:hunter2%00@db/x",
        "postgres://u:%ff@hunter2/x",
        "postgres://db:hunter2/x",
        "postgres://[::1/hunter2",
        "postgres://db/x?hunter2",
        "host=db password=my hunter2",
        "host=db password='hunter2",
        "=hunter2",
        "host=db sslmode=hunter2",
        "host=db port=hunter2",
        "host=db port=0",
        "host=db port=65536",
        "host=db connect_timeout=hunter2",
        "host=db target_session_attrs=hunter2",
        "host=a,b port=1,2,3",
        "host=a,b hostaddr=1.1.1.1",
        "host=a sslmode=require sslrootcert=system",
        "host=a sslnegotiation=direct",
        "host=a gssencmode=require",
        "service=hunter2",
    ] {
        let error = Settings::parse(text).expect_err(text).to_string();
        assert!(!error.contains("hunter2"), "{text}: {error}");
        assert!(!error.contains("ter2"), "{text}: {error}");
    }
}

#[test]
fn a_setting_that_may_be_part_of_a_password_is_not_named() {
    let settings = read("host=db password=a hunter2=x search_path=y");
    assert_eq!(settings.unused, ["(unknown)", "search_path"]);
    assert!(!format!("{:?}", read("postgres://u:hunter2@db")).contains("hunter2"));
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        encoded.push('%');
        for digit in [byte >> 4, byte & 15] {
            encoded.extend(char::from_digit(digit.into(), 16));
        }
    }
    encoded
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

proptest! {
    #[test]
    fn never_panics_and_never_shows_a_password(text in ".{0,60}") {
        let secret = "Zq7Xv9Kw";
        for text in [
            text.clone(),
            format!("postgres://{text}"),
            format!("postgres://u:{secret}{text}"),
            format!("postgres://u:{text}{secret}@db/x"),
            format!("host=db password={secret}{text}"),
            format!("host=db password={text}{secret}"),
        ] {
            let said = match Settings::parse(&text) {
                Ok(settings) => {
                    prop_assert!(!settings.hosts.is_empty());
                    settings.unused.join(" ")
                }
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!said.contains(secret), "{}", said);
        }
    }

    #[test]
    fn what_is_escaped_comes_back(
        user in "[^\0]{1,12}",
        password in "[^\0]{1,20}",
        database in "[^\0]{1,12}",
    ) {
        let uri = format!("postgresql://{}:{}@db/{}", encoded(&user), encoded(&password), encoded(&database));
        let words = format!("host=db user={} password={} dbname={}", quoted(&user), quoted(&password), quoted(&database));
        for text in [uri, words] {
            let settings = Settings::parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(settings.user.as_ref(), Some(&user));
            prop_assert_eq!(settings.password.as_ref(), Some(&password));
            prop_assert_eq!(settings.database.as_ref(), Some(&database));
        }
    }
}
