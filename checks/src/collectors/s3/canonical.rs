//! The canonical request of Signature Version 4: of a request as it was sent, and as a server says that it saw it. Where
//! the two differ, something on the way changed the request.
//!
//! `aws-sigv4` makes the same text and keeps it to itself; a property test holds the two together.

use bundle::collected::s3::{Cause, Change};

use super::signing::{UNSIGNED, sha256};
use super::wire::Sent;

/// The parts, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canonical {
    method: String,
    path: String,
    /// `name=value`, encoded and sorted.
    query: Vec<String>,
    /// Names in lower case, trimmed values, sorted.
    headers: Vec<(String, String)>,
    signed: String,
    payload: String,
}

/// Differences that are told: a request that is another one altogether differs everywhere.
const MOST: usize = 8;
/// The longest value that is told.
const LONGEST: usize = 200;

impl Canonical {
    /// Of a request that carries a signature of version 4.
    pub(super) fn of(sent: &Sent) -> Option<Self> {
        let header = |name: &str| {
            let values = sent.headers.get_all(name);
            let values: Vec<&str> = values.iter().filter_map(|it| it.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let mut query: Vec<String> = sent
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("X-Amz-Signature="))
            .map(|pair| {
                if pair.contains('=') {
                    pair.to_owned()
                } else {
                    format!("{pair}=")
                }
            })
            .collect();
        query.sort();
        let signed = match header("authorization") {
            Some(text) => {
                let (_, rest) = text.split_once("SignedHeaders=")?;
                rest.split([',', ' ']).next()?.to_owned()
            }
            None => query
                .iter()
                .find_map(|pair| pair.strip_prefix("X-Amz-SignedHeaders="))?
                .replace("%3B", ";"),
        };
        let host = || sent.uri.authority().map(|it| it.as_str().to_owned());
        let headers = signed
            .split(';')
            .map(|name| {
                let value = header(name).or_else(|| host().filter(|_| name == "host"));
                (name.to_owned(), collapsed(&value.unwrap_or_default()))
            })
            .collect();
        let is_presigned = sent.headers.get("authorization").is_none();
        let payload = header("x-amz-content-sha256").unwrap_or_else(|| {
            if is_presigned {
                UNSIGNED.to_owned()
            } else {
                sha256(b"")
            }
        });
        Some(Self {
            method: sent.method.to_string(),
            path: sent.uri.path().to_owned(),
            query,
            headers,
            signed,
            payload,
        })
    }

    /// Of the text in a server's answer.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text
            .trim_matches('\n')
            .split('\n')
            .map(|it| it.trim_end_matches('\r'))
            .collect();
        let [method, path, query, headers @ .., signed, payload] = lines.as_slice() else {
            return None;
        };
        let headers = headers
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once(':'))
            .map(|pair| pair.map(|(name, value)| (name.to_lowercase(), collapsed(value))))
            .collect::<Option<Vec<_>>>()?;
        let mut query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(str::to_owned)
            .collect();
        query.sort();
        Some(Self {
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            query,
            headers,
            signed: (*signed).to_owned(),
            payload: (*payload).to_owned(),
        })
    }

    /// As the text that is signed.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        let headers = self
            .headers
            .iter()
            .fold(String::new(), |text, (name, value)| {
                text + name + ":" + value + "\n"
            });
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            self.method,
            self.path,
            self.query.join("&"),
            self.signed,
            self.payload
        )
    }

    /// What `seen` has differently, the elements that explain most first.
    pub(super) fn changes(&self, seen: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut differ = |element: String, sent: &str, seen: &str| {
            if sent != seen && changes.len() < MOST {
                let is_secret = ["token", "credential", "signature"]
                    .iter()
                    .any(|it| element.to_lowercase().contains(it));
                let told = |text: &str| {
                    if is_secret && !text.is_empty() {
                        "(not told)".to_owned()
                    } else {
                        short(text)
                    }
                };
                changes.push(Change {
                    sent: told(sent),
                    seen: told(seen),
                    element,
                });
            }
        };
        differ("method".to_owned(), &self.method, &seen.method);
        differ("path".to_owned(), &self.path, &seen.path);
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        for (name, sent, seen) in differing(
            self.query.iter().map(|it| pair(it)),
            seen.query.iter().map(|it| pair(it)),
        ) {
            differ(format!("query {name}"), &sent, &seen);
        }
        for (name, sent, seen) in
            differing(self.headers.iter().cloned(), seen.headers.iter().cloned())
        {
            differ(format!("header {name}"), &sent, &seen);
        }
        differ("signed headers".to_owned(), &self.signed, &seen.signed);
        differ("payload hash".to_owned(), &self.payload, &seen.payload);
        changes
    }
}

/// Names whose values differ, with the values.
fn differing(
    sent: impl Iterator<Item = (String, String)>,
    seen: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String, String)> {
    use std::collections::BTreeMap;
    let sent: BTreeMap<String, String> = sent.collect();
    let mut seen: BTreeMap<String, String> = seen.collect();
    let mut found: Vec<_> = sent
        .into_iter()
        .map(|(name, value)| {
            let other = seen.remove(&name).unwrap_or_default();
            (name, value, other)
        })
        .collect();
    found.extend(
        seen.into_iter()
            .map(|(name, value)| (name, String::new(), value)),
    );
    found.retain(|(_, sent, seen)| sent != seen);
    found
}

/// What changes mean together.
pub(super) fn cause(changes: &[Change]) -> Cause {
    let Some(first) = changes.first() else {
        return Cause::WrongSecret;
    };
    match first.element.as_str() {
        "method" => Cause::MethodChanged,
        "path" => Cause::PathChanged,
        "header host" => Cause::HostChanged,
        "payload hash" | "header x-amz-content-sha256" => Cause::PayloadChanged,
        element if element.starts_with("query ") => Cause::QueryChanged,
        _ => Cause::HeaderChanged,
    }
}

/// Blanks at the ends taken off, and those within made one.
fn collapsed(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
