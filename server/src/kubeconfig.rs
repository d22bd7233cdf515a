//! The kubeconfig that leads a client to a served bundle, and the token in it.

use std::fmt;
use std::net::SocketAddr;

use serde_json::json;

/// The secret that a client of a served bundle shows.
///
/// Clients may send it as a bearer token, or as the first segment of the path. The kubeconfig uses the
/// path: over plain HTTP `kubectl` sends no credentials of its user entry.
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token is {} to 256 letters, digits, `-` or `_`; this one is not",
    Token::MIN_LENGTH
)]
pub struct TokenError;

impl Token {
    /// The shortest token accepted: 128 bits in base64.
    pub const MIN_LENGTH: usize = 22;

    /// Takes a token that the caller drew at random.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let length = (Self::MIN_LENGTH..=256).contains(&text.len());
        if length && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(TokenError)
        }
    }

    /// Compares in a time that does not tell how much of it is right.
    pub(crate) fn is(&self, other: &str) -> bool {
        let differs = |(own, other): (u8, u8)| u32::from(own ^ other);
        self.0.len() == other.len()
            && self.0.bytes().zip(other.bytes()).map(differs).sum::<u32>() == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// One served bundle in a kubeconfig.
#[derive(Debug)]
pub struct Context<'a> {
    /// Name of the context, cluster and user: the bundle's file name, say.
    pub name: &'a str,
    /// Where it is served.
    pub address: SocketAddr,
    /// Its token.
    pub token: &'a Token,
}

/// A kubeconfig with one context for each served bundle; the first is the current one.
#[must_use]
pub fn kubeconfig(contexts: &[Context<'_>]) -> String {
    let each = |render: fn(&Context<'_>) -> serde_json::Value| {
        contexts.iter().map(render).collect::<Vec<_>>()
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": each(|context| json!({
            "name": context.name,
            "cluster": { "server": format!("http://{}/{}", context.address, context.token.0) },
        })),
        "users": each(|context| json!({ "name": context.name, "user": { "token": context.token.0 } })),
        "contexts": each(|context| json!({
            "name": context.name,
            "context": { "cluster": context.name, "user": context.name },
        })),
        "current-context": contexts.first().map_or("", |context| context.name),
    });
    syntax::yaml::emit(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "abcdefghijklmnopqrstuvwxyz-_0123456789";

    #[test]
    fn takes_only_tokens_that_can_stand_in_a_path() {
        assert!(Token::new(TEXT).is_ok());
        for text in [
            "",
            "short",
            "has a space and more than 22",
            "a/slash/abcdefghijklmnopq",
        ] {
            assert_eq!(Token::new(text).err(), Some(TokenError), "{text}");
        }
    }

    #[test]
    fn compares_and_hides() {
        let token = Token::new(TEXT).expect("the text is a token");
        assert!(token.is(TEXT));
        assert!(!token.is(""));
        assert!(!token.is(&TEXT.replace('z', "y")));
        assert!(!format!("{token:?}").contains("abc"));
    }

    #[test]
    fn renders_a_context_for_each_bundle() {
        let token = Token::new(TEXT).expect("the text is a token");
        let address = SocketAddr::from(([127, 0, 0, 1], 8001));
        let contexts = ["a", "b"].map(|name| Context {
            name,
            address,
            token: &token,
        });
        let text = kubeconfig(&contexts);
        let read =
            syntax::yaml::document(&text, &syntax::yaml::Limits::default()).expect("it is YAML");
        let read = read.root.to_json().expect("it is JSON too");
        assert_eq!(read["current-context"], "a");
        assert_eq!(read["contexts"][1]["name"], "b");
        assert_eq!(
            read["clusters"][0]["cluster"]["server"],
            format!("http://127.0.0.1:8001/{TEXT}")
        );
    }
}
