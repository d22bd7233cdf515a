//! `registry/<name>.json` as troubleshoot's `registryImages` writes it, and `registry/<name>/reachability.json`: where
//! the way to each image breaks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::or_default;

/// `registry/<name>.json` and `host-collectors/registry-images/<name>.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryImages {
    /// By the reference as the spec has it.
    #[serde(deserialize_with = "or_default")]
    pub images: BTreeMap<String, RegistryImage>,
}

/// Whether one image is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryImage {
    /// Whether its manifest could be read.
    pub exists: bool,
    /// Why that is not known; a manifest that the registry does not know is no error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// `registry/<name>/reachability.json`. No part of it is a credential, and no address in it has a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Reachability {
    /// Where the requests came from: `here` or `pod`.
    pub from: String,
    /// The platforms whose layers were asked for, `linux/arm64`; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Where these platforms are from: `spec`, `nodes`, or why they are not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platforms_from: String,
    /// Each server that was asked, registries and mirrors first, then token services and the targets of redirects.
    pub servers: Vec<Server>,
    /// Each image.
    pub images: Vec<Image>,
    /// The credentials that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// The mirrors that are configured, whether or not an image is affected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// Whether an upload may be started, where that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<Push>,
    /// What was asked, counted.
    pub requests: Requests,
    /// What could not be read of the cluster or of files, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// What a server is asked for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Images are named after it.
    #[default]
    Registry,
    /// It stands in for a registry.
    Mirror,
    /// It gives tokens.
    TokenService,
    /// A registry sends there for layers.
    Redirect,
}

/// A server, and how far the way to it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// `https://registry.example.com:5000`
    pub address: String,
    /// What it is asked for.
    pub role: Role,
    /// The proxy on the way, `http://proxy.example.com:3128`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy: String,
    /// The links, in their order. After the first that is broken they are not reached.
    pub steps: Vec<Step>,
    /// Why the way ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The TLS session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How it wants clients to prove themselves: `Basic`, `Bearer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<String>,
    /// What is left of a limit, as it was told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// A link of the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// Whether it holds.
    pub state: State,
    /// What was seen.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Whether a link holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// An earlier one is broken.
    #[default]
    NotReached,
    /// It holds.
    Holds,
    /// It is broken.
    Broken,
    /// There is none: no TLS, a name that only the proxy resolves.
    None,
}

/// The links from here to an image, in their order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Before anything was asked: a reference, a Secret, a file.
    #[default]
    Configuration,
    /// The name's addresses.
    Dns,
    /// The connection.
    Tcp,
    /// The proxy's consent.
    Proxy,
    /// Its certificate.
    Tls,
    /// `GET /v2/`
    Api,
    /// A token for the repository.
    Token,
    /// The manifest or index that the reference names.
    Manifest,
    /// The manifest of a platform.
    Platform,
    /// A layer or a configuration.
    Blob,
    /// The server that a registry sends to for a layer.
    Redirect,
    /// Starting an upload.
    Push,
}

/// Why a way ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Failure {
    /// The cause.
    pub reason: Reason,
    /// The link that is broken.
    pub stage: Stage,
    /// The server, as in [`Server::address`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// What was attempted and what came back.
    pub message: String,
    /// The status of the answer, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The registry's own code, `MANIFEST_UNKNOWN`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// The causes that are told apart.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The reference is none.
    BadReference,
    /// The name has no address.
    NameNotResolved,
    /// Nothing listens there.
    ConnectionRefused,
    /// There is no way there.
    Unreachable,
    /// The connection was not answered.
    ConnectTimeout,
    /// The connection was made, and a question not answered.
    NoAnswer,
    /// The server ended the connection.
    ClosedByServer,
    /// The proxy lets nobody through to there.
    ProxyRefused,
    /// The proxy wants a login.
    ProxyAuthentication,
    /// The proxy could not reach the server.
    ProxyCannotReach,
    /// Somebody on the way speaks for the server.
    Intercepted,
    /// No trusted authority signed the certificate.
    TlsUntrusted,
    /// The certificate's time is over.
    TlsExpired,
    /// The certificate's time has not begun.
    TlsNotYetValid,
    /// The certificate is for other names.
    TlsNameMismatch,
    /// No version or cipher in common.
    TlsUnsupported,
    /// Another failure of the handshake.
    TlsFailed,
    /// HTTP in clear on a port that was taken for HTTPS.
    HttpOnHttpsPort,
    /// HTTPS on a port that was taken for HTTP in clear.
    HttpsOnHttpPort,
    /// What answers is no registry.
    NotARegistry,
    /// How a client is to prove itself cannot be read.
    BadChallenge,
    /// There are no credentials, and some are wanted.
    CredentialsMissing,
    /// The credentials are not accepted.
    Unauthorized,
    /// They are accepted, and are not enough.
    Denied,
    /// The token service gives no token.
    TokenRefused,
    /// The registry or one on the way wants fewer requests.
    RateLimited,
    /// The registry has no such repository.
    RepositoryMissing,
    /// The repository has no such tag or digest.
    TagMissing,
    /// A manifest that nodes of today cannot use.
    ManifestUnsupported,
    /// A manifest that cannot be read.
    ManifestMalformed,
    /// Its bytes are not those that the digest names.
    DigestMismatch,
    /// The index names a manifest that is not there.
    PlatformMissing,
    /// A layer or configuration is not there.
    BlobMissing,
    /// A layer is not as long as the manifest says.
    BlobSize,
    /// The registry sends to a server that cannot be reached.
    RedirectUnreachable,
    /// The server that the registry sends to does not give the layer.
    RedirectRefused,
    /// The registry is in trouble itself.
    ServerError,
    /// The time was over.
    Deadline,
    /// Writing was not allowed by whoever started the run.
    WritesNotAllowed,
    /// The registry takes no uploads.
    ReadOnly,
    /// Anything else, and what a newer release tells apart.
    #[default]
    #[serde(other)]
    Other,
}

/// A TLS session, or what was seen of one that was not made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// `TLSv1.3`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The server certificate's subject.
    pub subject: String,
    /// The names it is for.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// When its time ends, RFC 3339.
    pub not_after: String,
    /// The subjects of the certificates that came with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What it was verified against: `the system's authorities`, `the authorities that were given`, `nothing`.
    pub verified: String,
    /// Why somebody on the way is taken to speak for the server; empty where nothing says so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interception: String,
}

/// What a registry says of its limit on pulls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RateLimit {
    /// Pulls in a window.
    pub limit: Option<u64>,
    /// Those that are left.
    pub remaining: Option<u64>,
    /// The window in seconds.
    pub window_seconds: Option<u64>,
}

/// An image, and how far the way to it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Image {
    /// As it was written.
    pub image: String,
    /// The whole name, empty where it is no reference.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who wants it: `spec`, `shop/Pod web`; three at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wanted_by: Vec<String>,
    /// The server that has it, or the last one asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The digest of what the reference names, computed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Its media type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Its platforms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// Layers and configurations that were asked for.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the way ends: the first link that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What else is broken, eight at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Failure>,
    /// Mirrors that were asked before and did not have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Failure>,
    /// How many manifests and layers the server that has the image does not have, and another has.
    #[serde(skip_serializing_if = "is_zero")]
    pub elsewhere: u64,
    /// Eight of them at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from_others: Vec<Elsewhere>,
    /// What is odd and breaks nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A manifest or layer that was had from another host than its image.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Elsewhere {
    /// Its digest.
    pub digest: String,
    /// Who has it, as in [`Server::address`].
    pub server: String,
    /// Why it was not had from the server that has the image.
    pub failure: Failure,
}

/// A platform of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Platform {
    /// `linux/arm64/v8`; empty where the manifest does not tell.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Whether its layers were asked for.
    pub walked: bool,
    /// What is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// An entry of a pull secret or of a credentials file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Credential {
    /// `Secret shop/pull`
    pub source: String,
    /// The registry that it is for, as it is written; empty where the source has none or cannot be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registry: String,
    /// Of the password: how long it is, in classes, and a fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<super::postgres::Password>,
    /// Whether it is an identity token, which the kubelet does not use.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub identity_token: bool,
    /// What became of it where it was used: `accepted`, `refused`; empty where nothing asked for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// A mirror that is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mirror {
    /// Where: a file, or `ImageDigestMirrorSet release`.
    pub source: String,
    /// The registry or part of one that it stands in for.
    pub registry: String,
    /// Its addresses, in their order.
    pub addresses: Vec<String>,
    /// Whether it answers for tags.
    pub tags: bool,
    /// Whether the registry itself is asked where the mirrors do not have an image.
    pub falls_back: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// Whether an upload may be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Push {
    /// Registry and repository.
    pub repository: String,
    /// Whether an upload was started.
    pub started: bool,
    /// Whether it was cancelled again.
    pub cancelled: bool,
    /// Why it is left, empty as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub left: String,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What was asked, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Requests {
    /// All requests.
    pub all: u64,
    /// Those for tokens.
    pub tokens: u64,
    /// Those for manifests.
    pub manifests: u64,
    /// Those for layers and configurations.
    pub blobs: u64,
    /// Those to the targets of redirects.
    pub redirects: u64,
    /// Those repeated, after 429 or a broken connection.
    pub repeated: u64,
}

/// What could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unread {
    /// What.
    pub what: String,
    /// What came back.
    pub reason: String,
}
