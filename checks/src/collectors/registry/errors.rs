//! What a registry says when it refuses: `{"errors": [{"code", "message"}]}`.
//!
//! Fact: OCI distribution specification 1.1, error codes.

use serde::Deserialize;

use super::question::Answer;
use crate::web_proxy::printable;
use syntax::image_reference::is_digest;

/// Words that are longer are not passed on: a server could say a token or password back.
const LONGEST_WORD: usize = 40;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    errors: Vec<Error>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    code: String,
    message: String,
}

/// The first code, `MANIFEST_UNKNOWN`; empty where there is none.
pub(super) fn code(answer: &Answer) -> String {
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let first = body.errors.into_iter().next().unwrap_or_default();
    let is_code = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    if first.code.len() <= LONGEST_WORD && first.code.bytes().all(is_code) {
        first.code
    } else {
        String::new()
    }
}

/// The status, the code and the message, for people.
pub(super) fn said(answer: &Answer) -> String {
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut text = answer.status.to_string();
    let code = code(answer);
    if !code.is_empty() {
        text.push(' ');
        text.push_str(&code);
    }
    if let Some(first) = body.errors.first()
        && !first.message.is_empty()
    {
        text.push_str(": ");
        text.push_str(&cautious(&first.message));
    }
    text
}

/// A server's words without what could be a secret.
fn cautious(text: &str) -> String {
    let text = printable(text);
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        let bare = bare.rsplit('@').next().unwrap_or_default();
        if word.len() <= LONGEST_WORD || is_digest(bare) {
            word
        } else {
            "…"
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 404,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            is_of_another: false,
        }
    }

    #[test]
    fn codes_and_messages() {
        let unknown = answer(
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#,
        );
        assert_eq!(code(&unknown), "MANIFEST_UNKNOWN");
        assert_eq!(said(&unknown), "404 MANIFEST_UNKNOWN: manifest unknown");
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"errors":null}"#,
            r#"{"errors":[{"code":"<b>"}]}"#,
        ] {
            assert_eq!(
                (code(&answer(body)), said(&answer(body))),
                (String::new(), "404".into())
            );
        }
    }

    #[test]
    fn what_could_be_a_secret_is_not_passed_on() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJhY2Nlc3MiOltdfQ.c2lnbmF0dXJl";
        let digest = format!("sha256:{}", "0".repeat(64));
        let body =
            format!(r#"{{"errors":[{{"code":"DENIED","message":"bad {token} for {digest}"}}]}}"#);
        assert_eq!(
            said(&answer(&body)),
            format!("404 DENIED: bad … for {digest}")
        );
    }
}
