//! The two forms of a connection string, taken apart into keywords and values.

use std::collections::BTreeMap;

use super::ConnectionStringError as Error;

/// libpq's keywords that stand in no other list here; what is not acted on is told by its name.
const KEYWORDS: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "database",
    "user",
    "password",
    "passfile",
    "options",
    "replication",
    "service",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslsni",
    "sslnegotiation",
    "gssencmode",
    "keepalives",
    "krbsrvname",
    "gsslib",
    "requirepeer",
    "requiressl",
    "timezone",
    "datestyle",
];

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// What follows `scheme://` where the text is a URI.
pub(super) fn uri(text: &str) -> Result<Option<&str>, Error> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(None);
    };
    // `host=a options='-c x=y://z'` holds no scheme.
    if !scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return Ok(None);
    }
    // SQLAlchemy names its driver after a plus sign.
    match scheme.split('+').next() {
        Some("postgres" | "postgresql") => Ok(Some(rest)),
        _ => Err(Error::Scheme),
    }
}

/// `[user[:password]@][host[:port][,…]][/database][?keyword=value[&…]]`
pub(super) fn read_uri(rest: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut words = BTreeMap::new();
    // As libpq: the credentials end at the first `@`, and there are none where a `/` comes first.
    let end = rest.find(['@', '/']);
    let rest = match end {
        Some(end) if rest[end..].starts_with('@') => {
            let (credentials, rest) = (&rest[..end], &rest[end + 1..]);
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (credentials, None),
            };
            insert(&mut words, "user", decode(user)?);
            if let Some(password) = password {
                insert(&mut words, "password", decode(password)?);
            }
            rest
        }
        _ => rest,
    };
    let (location, query) = match rest.split_once('?') {
        Some((location, query)) => (location, query),
        None => (rest, ""),
    };
    let (authority, database) = match location.split_once('/') {
        Some((authority, database)) => (authority, database),
        None => (location, ""),
    };
    // A second `@` was meant for a password.
    if authority.contains('@') || database.contains(['@', '/']) {
        return Err(Error::Unescaped);
    }
    read_authority(authority, &mut words)?;
    insert(&mut words, "dbname", decode(database)?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or(Error::Unescaped)?;
        let (keyword, value) = (decode(keyword)?, decode(value)?);
        match (keyword.as_str(), value.as_str()) {
            // The JDBC driver's spelling, which libpq takes, too.
            ("ssl", "true") => insert(&mut words, "sslmode", "require".to_owned()),
            _ => insert(&mut words, &keyword, value),
        }
    }
    Ok(words)
}

/// `host[:port][,host[:port]…]`; IPv6 addresses stand in brackets.
fn read_authority(authority: &str, words: &mut BTreeMap<String, String>) -> Result<(), Error> {
    if authority.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for server in authority.split(',') {
        let (host, rest) = match server.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or(Error::Unescaped)?,
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port,
            None if rest.is_empty() => "",
            None => return Err(Error::Unescaped),
        };
        if port.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(Error::Unescaped);
        }
        hosts.push(decode(host)?);
        ports.push(port);
    }
    insert(words, "host", hosts.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        insert(words, "port", ports.join(","));
    }
    Ok(())
}

fn insert(words: &mut BTreeMap<String, String>, keyword: &str, value: String) {
    // An empty one does not take away what was said before: `postgres:///?host=a`.
    if !value.is_empty() || !words.contains_key(keyword) {
        words.insert(keyword.to_owned(), value);
    }
}

/// Percent-decoding; `+` is a plus sign.
fn decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(Error::Escape);
        };
        let byte = u8::try_from(high * 16 + low).map_err(|_| Error::Escape)?;
        if byte == 0 {
            return Err(Error::Escape);
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| Error::Escape)
}

/// `keyword = value` words: values in single quotes or up to white space, a backslash takes the next character as it
/// is.
pub(super) fn read_words(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut words = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|character: char| character == '=' || character.is_ascii_whitespace())
            .ok_or(Error::Words)?;
        let keyword = &rest[..end];
        rest = rest[end..]
            .trim_start()
            .strip_prefix('=')
            .ok_or(Error::Words)?
            .trim_start();
        if keyword.is_empty() {
            return Err(Error::Words);
        }
        let value;
        (value, rest) = read_value(rest)?;
        words.insert(keyword.to_owned(), value);
        rest = rest.trim_start();
    }
    Ok(words)
}

fn read_value(text: &str) -> Result<(String, &str), Error> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\'' if quoted => return Ok((value, &text[index + 1..])),
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            _ if !quoted && character.is_ascii_whitespace() => return Ok((value, &text[index..])),
            _ => value.push(character),
        }
    }
    if quoted {
        Err(Error::Quote)
    } else {
        Ok((value, ""))
    }
}
