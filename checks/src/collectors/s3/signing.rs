//! Requests made by hand: where an SDK hides what must be seen. Signed in each of the ways that S3 knows.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::hmac;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::collected::s3::{Style, Way};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use jiff::Timestamp;
use reqwest::Url;

use super::settings::{Keys, Settings};

/// How long a presigned address holds.
const HOLDS: Duration = Duration::from_mins(5);

/// `x-amz-content-sha256` where the payload is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// And where it comes in signed chunks.
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

/// A request to be signed.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) method: Method,
    /// Where it is sent.
    pub(super) endpoint: Url,
    pub(super) style: Style,
    pub(super) bucket: String,
    /// Not encoded.
    pub(super) key: String,
    /// Not encoded.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
    pub(super) payload: Payload,
    /// What is signed as the `Host` header where that is not the one that is sent.
    pub(super) signed_host: Option<String>,
}

/// What is signed of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    Signed,
    Unsigned,
    /// One chunk and the last, each with its signature.
    Chunks,
}

impl Draft {
    /// A GET of what `settings` name.
    pub(super) fn get(settings: &Settings, key: &str, query: Vec<(&'static str, String)>) -> Self {
        Self {
            method: Method::GET,
            endpoint: settings.endpoint.clone(),
            style: settings.style,
            bucket: settings.bucket.clone(),
            key: key.to_owned(),
            query,
            headers: Vec::new(),
            body: Bytes::new(),
            payload: Payload::Signed,
            signed_host: None,
        }
    }

    /// A list of at most one key: what every way to sign is tried on.
    pub(super) fn list(settings: &Settings, prefix: &str) -> Self {
        let mut query = vec![("list-type", "2".to_owned()), ("max-keys", "1".to_owned())];
        if !prefix.is_empty() {
            query.push(("prefix", prefix.to_owned()));
        }
        Self::get(settings, "", query)
    }

    fn host(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        let host = match self.style {
            Style::Path => host.to_owned(),
            Style::VirtualHost => format!("{}.{host}", self.bucket),
        };
        match self.endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Encoded, once.
    fn path(&self) -> String {
        match self.style {
            Style::Path => format!(
                "/{}/{}",
                encoded(&self.bucket, false),
                encoded(&self.key, true)
            ),
            Style::VirtualHost => format!("/{}", encoded(&self.key, true)),
        }
    }

    fn uri(&self) -> String {
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
            .collect();
        let mut uri = format!(
            "{}://{}{}",
            self.endpoint.scheme(),
            self.host(),
            self.path()
        );
        if !query.is_empty() {
            uri = format!("{uri}?{}", query.join("&"));
        }
        uri
    }

    /// Signs. The error says what cannot be put into a request.
    pub(super) fn sign(
        &self,
        way: Way,
        keys: Option<&Keys>,
        region: &str,
        now: Timestamp,
    ) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.uri())
            .body(self.body.clone())
            .map_err(|_| "the request's address cannot be made".to_owned())?;
        for (name, value) in &self.headers {
            add(&mut request, name.as_str(), value)?;
        }
        match (way, keys) {
            (Way::V4Header | Way::V4Presigned, Some(keys)) => {
                self.sign_v4(&mut request, way, keys, region, now)?;
            }
            (Way::V2Header, Some(keys)) => self.sign_v2_header(&mut request, keys, now)?,
            (Way::V2Presigned, Some(keys)) => self.sign_v2_query(&mut request, keys, now)?,
            _ => {}
        }
        Ok(request)
    }

    fn sign_v4(
        &self,
        request: &mut Request<Bytes>,
        way: Way,
        keys: &Keys,
        region: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("the request cannot be signed: {error}");
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if way == Way::V4Presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(HOLDS);
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        }
        let identity = Credentials::new(
            keys.access_key.clone(),
            keys.secret_key.clone(),
            keys.session_token.clone(),
            None,
            "assay",
        )
        .into();
        let time = SystemTime::from(now);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(time)
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        if self.payload == Payload::Chunks {
            let length = self.body.len().to_string();
            add(request, "content-encoding", "aws-chunked")?;
            add(request, "x-amz-decoded-content-length", &length)?;
        }
        let uri = request.uri().to_string();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .chain(
                self.signed_host
                    .iter()
                    .map(|host| ("host".to_owned(), host.clone())),
            )
            .collect();
        let body = match self.payload {
            _ if way == Way::V4Presigned => SignableBody::UnsignedPayload,
            Payload::Signed => SignableBody::Bytes(&self.body),
            Payload::Unsigned => SignableBody::UnsignedPayload,
            Payload::Chunks => SignableBody::Precomputed(CHUNKS.to_owned()),
        };
        let signable = SignableRequest::new(
            self.method.as_str(),
            Cow::Borrowed(uri.as_str()),
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            body,
        )
        .map_err(|error| failed(&error))?;
        let (instructions, signature) = sign(signable, &parameters)
            .map_err(|error| failed(&error))?
            .into_parts();
        let (headers, query) = instructions.into_parts();
        for header in headers {
            add(request, header.name(), header.value())?;
        }
        if !query.is_empty() {
            let pairs: Vec<String> = query
                .iter()
                .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
                .collect();
            append_query(request, &pairs.join("&"))?;
        }
        if self.payload == Payload::Chunks {
            *request.body_mut() = chunked(&self.body, &signature, &keys.secret_key, region, now);
        }
        Ok(())
    }

    /// `AWS key:base64(HMAC-SHA1(secret, …))`. It covers the path, not the Host header and not the query.
    fn sign_v2_header(
        &self,
        request: &mut Request<Bytes>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<(), String> {
        let date = http_date(now);
        add(request, "date", &date)?;
        let mut amazon = String::new();
        if let Some(token) = &keys.session_token {
            add(request, "x-amz-security-token", token)?;
            amazon = format!("x-amz-security-token:{token}\n");
        }
        let text = format!("{}\n\n\n{date}\n{amazon}{}", self.method, self.resource());
        let signature = hmac_sha1(&keys.secret_key, &text);
        add(
            request,
            "authorization",
            &format!("AWS {}:{signature}", keys.access_key),
        )
    }

    fn sign_v2_query(
        &self,
        request: &mut Request<Bytes>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<(), String> {
        let expires = now.as_second() + i64::try_from(HOLDS.as_secs()).unwrap_or_default();
        let mut amazon = String::new();
        let mut query = format!("AWSAccessKeyId={}", encoded(&keys.access_key, false));
        if let Some(token) = &keys.session_token {
            amazon = format!("x-amz-security-token:{token}\n");
            query = format!("{query}&x-amz-security-token={}", encoded(token, false));
        }
        let text = format!(
            "{}\n\n\n{expires}\n{amazon}{}",
            self.method,
            self.resource()
        );
        let signature = hmac_sha1(&keys.secret_key, &text);
        append_query(
            request,
            &format!(
                "{query}&Expires={expires}&Signature={}",
                encoded(&signature, false)
            ),
        )
    }

    /// The bucket and the key, wherever the bucket is addressed.
    fn resource(&self) -> String {
        format!(
            "/{}/{}",
            encoded(&self.bucket, false),
            encoded(&self.key, true)
        )
    }
}

fn add(request: &mut Request<Bytes>, name: &str, value: &str) -> Result<(), String> {
    let field =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no header"))?;
    // The value may be secret.
    let mut text = HeaderValue::from_str(value)
        .map_err(|_| format!("the keys hold characters that the header {name} cannot carry"))?;
    text.set_sensitive(name.contains("auth") || name.contains("token"));
    request.headers_mut().insert(field, text);
    Ok(())
}

fn append_query(request: &mut Request<Bytes>, more: &str) -> Result<(), String> {
    let uri = request.uri().to_string();
    let separator = if uri.contains('?') { '&' } else { '?' };
    *request.uri_mut() = format!("{uri}{separator}{more}")
        .parse()
        .map_err(|_| "the request's address cannot be made".to_owned())?;
    Ok(())
}

/// The body of a request in two chunks, each signed over the signature before it.
fn chunked(body: &[u8], seed: &str, secret: &str, region: &str, now: Timestamp) -> Bytes {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/{region}/s3/aws4_request", &stamp[..8]);
    let key = v4::generate_signing_key(secret, SystemTime::from(now), region, "s3");
    let mut previous = seed.to_owned();
    let mut sent = Vec::with_capacity(body.len() + 256);
    for chunk in [body, &[]] {
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{previous}\n{}\n{}",
            sha256(b""),
            sha256(chunk)
        );
        previous = v4::calculate_signature(&key, text.as_bytes());
        sent.extend_from_slice(
            format!("{:x};chunk-signature={previous}\r\n", chunk.len()).as_bytes(),
        );
        sent.extend_from_slice(chunk);
        sent.extend_from_slice(b"\r\n");
    }
    sent.into()
}

/// In hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

fn hmac_sha1(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What S3 encodes: everything but letters, digits and `-._~`; in keys `/` stays, too.
pub(super) fn encoded(text: &str, keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_kept = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (keeps_slashes && byte == b'/');
        if is_kept {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
