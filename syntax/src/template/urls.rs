//! sprig: URLs taken apart and put together, and Go's `urlquery`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::functions::{Function, Kind, row, text};
use super::value::{ANY, Value};

use Kind::{Map, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    row("urlJoin", &[Map], None, |_, args| {
        Ok(Value::text(join(&args[0])?))
    }),
    row("urlParse", &[Text], None, |_, args| {
        let url = Url::parse(text(&args[0])).map_err(|e| format!("unable to parse url: {e}"))?;
        let hostname = match (url.host.rfind(']'), url.host.rfind(':')) {
            (Some(end), _) => url.host[..end].trim_start_matches('['),
            (None, Some(colon)) => &url.host[..colon],
            (None, None) => &url.host,
        };
        let parts = [
            ("fragment", url.fragment.as_str()),
            ("host", &url.host),
            ("hostname", hostname),
            ("opaque", &url.opaque),
            ("path", &url.path),
            ("query", &url.query),
            ("scheme", &url.scheme),
            ("userinfo", &url.userinfo),
        ];
        let members = parts
            .into_iter()
            .map(|(name, part)| (name.into(), Value::text(part)));
        Ok(Value::map(ANY, members.collect::<BTreeMap<_, _>>()))
    }),
];

/// Escapes for a query, blanks as `+`.
pub(super) fn query_escape(text: &str) -> String {
    escape(text, b"").replace("%20", "+")
}

fn escape(text: &str, also: &[u8]) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut escaped, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
            escaped
        })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            let shown = String::from_utf8_lossy(&rest[..rest.len().min(3)]);
            return Err(format!(
                "invalid URL escape {}",
                crate::quote::quote(&shown)
            ));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The parts of a URL; path and fragment unescaped.
#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    userinfo: String,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        let fail = |reason: String| format!("parse {}: {reason}", crate::quote::quote(text));
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(fail("net/url: invalid control character in URL".into()));
        }
        let mut url = Url::default();
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        url.fragment = unescape(fragment).map_err(fail)?;
        let mut rest = rest;
        let colon = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        if let Some(colon) = colon.filter(|colon| rest[*colon..].starts_with(':')) {
            if colon == 0 {
                return Err(fail("missing protocol scheme".into()));
            }
            if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                return Err(fail(
                    "first path segment in URL cannot contain colon".into(),
                ));
            }
            url.scheme = rest[..colon].to_ascii_lowercase();
            rest = &rest[colon + 1..];
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        query.clone_into(&mut url.query);
        if !rest.starts_with('/') && !url.scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix("//") {
            let slash = authority.find('/').unwrap_or(authority.len());
            path = &authority[slash..];
            let authority = &authority[..slash];
            let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            userinfo.clone_into(&mut url.userinfo);
            let port = host
                .rsplit_once(':')
                .map(|(_, port)| port)
                .filter(|p| !p.contains(']'));
            if let Some(port) = port.filter(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
                let port = crate::quote::quote(&format!(":{port}"));
                return Err(fail(format!("invalid port {port} after host")));
            }
            if host.contains(' ') {
                return Err(fail("invalid character \" \" in host name".into()));
            }
            url.host = unescape(host).map_err(fail)?;
        }
        url.path = unescape(path).map_err(fail)?;
        Ok(url)
    }
}

fn join(parts: &Value<'_>) -> Result<String, String> {
    let part = |name: &str| match parts.member(name) {
        None | Some(Value::Missing) => Ok(String::new()),
        Some(Value::Text(text)) => Ok(text.to_string()),
        Some(other) => Err(format!(
            "unable to parse {name} key, must be of type string, but {} found",
            other.kind_name()
        )),
    };
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, opaque) = (part("query")?, part("opaque")?);
    let (fragment, userinfo) = (part("fragment")?, part("userinfo")?);
    let mut url = String::new();
    if !scheme.is_empty() {
        url.push_str(&scheme);
        url.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                url.push_str("//");
            }
            if !userinfo.is_empty() {
                url.push_str(&escape(&userinfo, b"$&+,;=:%"));
                url.push('@');
            }
            url.push_str(&host);
        }
        let escaped = escape(&path, b"$&+,/:;=@");
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            url.push('/');
        }
        url.push_str(&escaped);
    } else {
        url.push_str(&opaque);
    }
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    if !fragment.is_empty() {
        url.push('#');
        url.push_str(&escape(&fragment, b"$&+,/:;=?@!()*"));
    }
    Ok(url)
}
