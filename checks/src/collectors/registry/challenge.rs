//! How a registry wants clients to prove themselves: `WWW-Authenticate`, one or more headers with one or more challenges.
//!
//! Fact: RFC 7235, 2.1 and 4.1; the distribution project's token authentication specification.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::parser::ChallengeParser;

/// The longest header that is read.
const LONGEST: usize = 8 << 10;

/// One way to prove oneself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token of a service.
    Bearer(Bearer),
    /// Another scheme, `Negotiate`.
    Other(String),
}

/// Where a token is to be had, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// The address of the service.
    pub(crate) realm: String,
    /// What the service calls the registry.
    pub(crate) service: String,
    /// What the token is to allow, `repository:team/app:pull`; several are separated by blanks.
    pub(crate) scope: String,
    /// Why an earlier token did not do, `insufficient_scope`.
    pub(crate) error: String,
}

impl Challenge {
    pub(crate) fn scheme(&self) -> &str {
        match self {
            Self::Basic => "Basic",
            Self::Bearer(_) => "Bearer",
            Self::Other(scheme) => scheme,
        }
    }
}

/// Every challenge that can be read; the rest of a header that is malformed is left out.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|text| text.len() <= LONGEST);
    texts.flat_map(read).collect()
}

fn read(text: &str) -> Vec<Challenge> {
    ChallengeParser::new(text)
        .map_while(Result::ok)
        .filter_map(|challenge| {
            let scheme = challenge.scheme;
            if scheme.eq_ignore_ascii_case("Basic") {
                return Some(Challenge::Basic);
            }
            if !scheme.eq_ignore_ascii_case("Bearer") {
                return Some(Challenge::Other(scheme.to_owned()));
            }
            let mut bearer = Bearer::default();
            for (name, value) in &challenge.params {
                let field = match name.to_ascii_lowercase().as_str() {
                    "realm" => &mut bearer.realm,
                    "service" => &mut bearer.service,
                    "scope" => &mut bearer.scope,
                    "error" => &mut bearer.error,
                    _ => continue,
                };
                *field = value.to_unescaped();
            }
            // Without a realm there is nobody to ask.
            (!bearer.realm.is_empty()).then_some(Challenge::Bearer(bearer))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header");
            headers.append(WWW_AUTHENTICATE, value);
        }
        challenges(&headers)
    }

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scope.to_owned(),
            error: String::new(),
        })
    }

    #[test]
    fn challenges_in_one_header_and_in_several() {
        let both = r#"Bearer realm="https://auth.example.com/token",service="r.example.com",scope="repository:a/b:pull,push", Basic realm="x, y""#;
        let expected = [
            bearer(
                "https://auth.example.com/token",
                "r.example.com",
                "repository:a/b:pull,push",
            ),
            Challenge::Basic,
        ];
        assert_eq!(of(&[both]), expected);
        let (one, other) = both.split_at(both.find(", Basic").expect("the second"));
        assert_eq!(of(&[one, other.trim_start_matches(", ")]), expected);
        assert_eq!(
            of(&["bearer REALM=\"a\\\"b\""]),
            [bearer("a\"b", "", "")],
            "schemes and names are of any case, values may be escaped"
        );
        assert_eq!(of(&["Negotiate"]), [Challenge::Other("Negotiate".into())]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(
            of(&["Basic realm=\"a\", Bearer realm="]),
            [Challenge::Basic]
        );
        for text in ["", ",", "Bearer", "Bearer service=\"x\"", "\"", "=;"] {
            assert_eq!(of(&[text]), [], "{text}");
        }
        let long = format!("Basic realm=\"{}\"", "x".repeat(LONGEST));
        assert_eq!(of(&[&long]), []);
    }

    #[test]
    fn why_a_token_did_not_do() {
        let read = of(&[
            r#"Bearer realm="https://a/",scope="repository:x:pull",error="insufficient_scope""#,
        ]);
        assert!(
            matches!(&read[..], [Challenge::Bearer(bearer)] if bearer.error == "insufficient_scope")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(WWW_AUTHENTICATE, value);
            }
            for challenge in challenges(&headers) {
                prop_assert!(challenge.scheme().len() <= bytes.len());
            }
        }

        #[test]
        fn values_come_back_as_they_were(realm in "[ -~]{1,40}", scope in "[a-z:,/]{0,30}") {
            let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Digest nonce=\"a,b\", Bearer realm=\"{escaped}\", scope=\"{scope}\"");
            let read = of(&[&header]);
            prop_assert_eq!(&read[1], &bearer(&realm, "", &scope));
        }
    }
}
