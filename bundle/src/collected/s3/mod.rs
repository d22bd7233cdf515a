//! `s3Status/<name>.json` and `s3/<name>.json`: whether an object storage that speaks S3 can be used, what broke first,
//! and what it accepts. Never a key, a token, a signature or a presigned address.

mod refusal;

use serde::{Deserialize, Serialize};

use super::list;
pub use refusal::{Cause, Change, Explanation, Trial};

/// `s3Status/<name>.json`, with troubleshoot's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// The bucket.
    pub bucket_name: String,
    /// The endpoint, where one is named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Whether HEAD of the bucket was answered with success.
    pub is_connected: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Never there: object storages tell none. Conditions may name it all the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// `s3/<name>.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Report {
    /// What was asked for.
    pub target: Target,
    /// The chain, in its order: the first that failed is what is wrong.
    #[serde(deserialize_with = "list")]
    pub steps: Vec<Step>,
    /// What answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// How the clocks compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Which ways to sign it accepts.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Accepted>,
    /// Which ways to address the bucket work.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub addressing: Vec<Addressed>,
    /// What may be done below the prefixes of others.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<Foreign>,
    /// What the bucket keeps of what is replaced or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeping: Option<Keeping>,
    /// What was written, and what of it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Writes>,
    /// What `--cleanup` removed of earlier runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
}

/// What was asked for; nothing in it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Target {
    /// `https://host:port`, as it is dialled.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Below which what belongs to the application is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// How the bucket is addressed.
    pub style: Style,
    /// Where the credentials come from: the spec, or the Secret.
    pub source: String,
    /// The key's id: how long it is, in classes, and its fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Presence>,
    /// The secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Presence>,
    /// The session token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Presence>,
    /// `http://host:port` of the proxy in between, without its credentials.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy: String,
    /// Whether certificates are not looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skips_verification: bool,
    /// What is odd in the settings although they can be used.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub oddities: Vec<String>,
}

/// What may be told of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Presence {
    /// `16-31`
    pub length_class: String,
    /// Equal where two secrets of one run are equal.
    pub fingerprint: String,
    /// Whether it begins or ends with a blank or a line break.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_blanks: bool,
}

/// Where the bucket's name is in an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Style {
    /// `https://host/bucket/key`
    Path,
    /// `https://bucket.host/key`
    #[default]
    VirtualHost,
}

/// A link of the chain.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// The settings and the credentials can be read.
    Configuration,
    /// The name has addresses.
    Dns,
    /// A TCP connection is taken.
    Tcp,
    /// The proxy opens a way.
    Proxy,
    /// TLS, with the certificate verified.
    Tls,
    /// What answers speaks S3.
    Http,
    /// A request signed by version 4 is let in.
    Auth,
    /// The bucket is there, in this region, and may be used.
    Bucket,
    /// Keys are listed, page by page.
    List,
    /// Keys with blanks, `+`, `=`, `//`, `%` and other scripts arrive as they were signed.
    OddKeys,
    /// One byte of an object can be read.
    Range,
    /// An object is written, its payload signed.
    Put,
    /// The same with the payload not signed.
    UnsignedPayload,
    /// The same in signed chunks.
    SignedChunks,
    /// The same with a checksum after the last chunk, as current SDKs send streams.
    ChecksumTrailer,
    /// The object is read back, unchanged.
    Get,
    /// An object of two parts is put together.
    Multipart,
    /// One that is begun can be given up.
    AbortMultipart,
    /// The server copies an object.
    Copy,
    /// A presigned address can be used.
    Presigned,
    /// An object is deleted, and is gone.
    Delete,
    /// A later release's.
    #[default]
    #[serde(other)]
    Other,
}

/// What became of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It broke.
    Failed,
    /// One before it broke.
    NotReached,
    /// There was nothing to try it on, or it is not allowed.
    Skipped,
    /// A later release's.
    #[default]
    #[serde(other)]
    Other,
}

/// A link with what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub link: Link,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found, or what was attempted and what came back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a link broke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Failure {
    /// The cause.
    pub reason: Reason,
    /// `PUT /bucket/key`, without its query where that is secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code in the answer, `SignatureDoesNotMatch`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The region that the answer names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Why a signature was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// Why a link broke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A setting cannot be used.
    BadSetting,
    /// The Secret or its key is not there.
    SecretMissing,
    /// The Secret may not be read, or could not be.
    SecretUnread,
    /// The name has no address.
    NameNotResolved,
    /// Nothing listens.
    ConnectionRefused,
    /// The network does not lead there.
    Unreachable,
    /// No answer to the TCP connection.
    ConnectTimeout,
    /// The proxy asks for credentials, or does not take them.
    ProxyAuthentication,
    /// The proxy refuses to open a way.
    ProxyRefused,
    /// The connection is accepted, and nothing comes.
    NoAnswer,
    /// The connection was closed without a word.
    ClosedByServer,
    /// The certificate's authority is not trusted.
    TlsUntrusted,
    /// The certificate has expired.
    TlsExpired,
    /// The certificate is not valid yet.
    TlsNotYetValid,
    /// The certificate names another host.
    TlsNameMismatch,
    /// What answers does not speak TLS, and the endpoint says https.
    TlsNotSpoken,
    /// What answers speaks TLS, and the endpoint says http.
    TlsExpected,
    /// The handshake failed otherwise.
    TlsFailed,
    /// The web console of the object storage answers, not its API.
    Console,
    /// Something that does not speak S3 answers.
    NotS3,
    /// The clocks differ by more than the server takes.
    ClockSkewed,
    /// The region is not the bucket's or the server's.
    WrongRegion,
    /// The server does not know the access key.
    UnknownKey,
    /// The signature was refused.
    Signature,
    /// The session token has expired.
    ExpiredToken,
    /// The session token is not one.
    InvalidToken,
    /// Signatures of version 4 are refused.
    SignatureV4Refused,
    /// Only signatures of version 4 are taken, and this was one of version 2.
    SignatureV4Required,
    /// The presigned address has expired.
    PresignedExpired,
    /// The policy denies it.
    AccessDenied,
    /// There is no such bucket.
    BucketMissing,
    /// The bucket in the host name is not understood, and in the path it is.
    PathStyleOnly,
    /// There is no such object.
    KeyMissing,
    /// A checksum in a trailer, or a payload in chunks, is not understood or was changed.
    ChecksumRefused,
    /// A length is demanded that SDKs do not send any more.
    LengthRequired,
    /// The server does not know how.
    NotImplemented,
    /// It is too large for something on the way.
    TooLarge,
    /// `Expect: 100-continue` is not understood.
    ExpectationFailed,
    /// What came back is not what was sent.
    ContentChanged,
    /// The server asks to be asked less.
    SlowDown,
    /// There is no space, or the quota is used up.
    StorageFull,
    /// A server on the way cannot reach the object storage.
    Gateway,
    /// Object lock or a retention would keep what is written.
    Locked,
    /// The operator has not allowed to write.
    WritesNotAllowed,
    /// The time for all of it was up.
    Deadline,
    /// Anything else.
    #[default]
    #[serde(other)]
    Other,
}

/// What answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// Its `Server` header.
    pub header: String,
    /// What it is, as far as it shows: `MinIO`, `Ceph`, `Amazon S3`, `versitygw`.
    pub kind: String,
    /// What `MinIO` says of itself.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
}

/// One of `MinIO`'s health addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Health {
    /// `live`, `cluster`, `cluster/read`.
    pub name: String,
    /// The HTTP status: 200 is healthy.
    pub status: u16,
    /// `X-Minio-Write-Quorum` and the like.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How the clocks compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Clock {
    /// The server's `Date` header, RFC 3339.
    pub server: String,
    /// The clock here, at that time.
    pub here: String,
    /// By how many seconds the clock here is ahead; negative where it is behind.
    pub ahead_seconds: i64,
}

/// A way to sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Version 4 in the header.
    V4Header,
    /// Version 4 in the query.
    V4Presigned,
    /// Version 2 in the header.
    V2Header,
    /// Version 2 in the query.
    V2Presigned,
    /// Not at all.
    Anonymous,
    /// A later release's.
    #[default]
    #[serde(other)]
    Other,
}

/// Whether a way to sign is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Accepted {
    /// Which.
    pub way: Way,
    /// Whether; `None` where the answer says neither.
    pub accepted: Option<bool>,
    /// What came back: `200`, `403 SignatureDoesNotMatch`.
    pub answer: String,
}

/// Whether a way to address the bucket works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Addressed {
    /// Which.
    pub style: Style,
    /// Whether.
    pub works: bool,
    /// What came back.
    pub answer: String,
}

/// What may be done below a prefix that is another's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Foreign {
    /// The prefix.
    pub prefix: String,
    /// `list`, `read`, `write`.
    pub operation: String,
    /// Whether it is denied; `None` where the answer says neither.
    pub denied: Option<bool>,
    /// What came back.
    pub answer: String,
}

/// What the bucket keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Keeping {
    /// `Enabled`, `Suspended`, `Disabled`; empty where it is not known.
    pub versioning: String,
    /// Whether object lock is on; `None` where it is not known.
    pub lock: Option<bool>,
    /// `GOVERNANCE 30 days`: the retention that every new object gets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_retention: String,
    /// What could not be read, and why.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// What was written, and what of it is left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Writes {
    /// Whether the operator allowed it.
    pub allowed: bool,
    /// Below which it was written.
    pub folder: String,
    /// Keys that could not be removed.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub remaining_keys: Vec<String>,
    /// Uploads that could not be given up: their keys.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub remaining_uploads: Vec<String>,
    /// Why it is not known what is left.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unseen: String,
}

/// What `--cleanup` did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cleanup {
    /// Keys removed, versions counted one by one.
    pub removed_keys: u64,
    /// Uploads given up.
    pub removed_uploads: u64,
    /// What is so young that its run may still be at work.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub young: Vec<String>,
    /// What could not be removed, and why.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
}
