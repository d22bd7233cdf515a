//! What to do about a way that breaks.

use bundle::collected::registry::{Failure, Reason};

/// The nearest change that helps.
#[expect(clippy::too_many_lines, reason = "a table: one row for each reason")]
pub(super) fn remedy(failure: &Failure) -> &'static str {
    match failure.reason {
        Reason::BadReference => {
            "Correct the image's name: REGISTRY/REPOSITORY:TAG, in lower case up to the tag."
        }
        Reason::NameNotResolved => {
            "Correct the registry's name, or the DNS record. A name that only the cluster's DNS knows cannot be resolved by nodes: they pull, not pods."
        }
        Reason::ConnectionRefused => {
            "Nothing listens there: see that the registry runs and that the port is right (443 where the name has none)."
        }
        Reason::Unreachable | Reason::ConnectTimeout => {
            "Open the way to the registry (firewall, routes), name the proxy (HTTPS_PROXY), or use a mirror inside."
        }
        Reason::NoAnswer => {
            "Something takes the connection and says nothing: a firewall that swallows, a load balancer without a registry behind it, or a registry that hangs. See its log."
        }
        Reason::ClosedByServer => {
            "See the registry's log, and that of the load balancer in front of it."
        }
        Reason::ProxyRefused => {
            "Let the proxy through to this host and port, or add the registry to NO_PROXY if it is inside."
        }
        Reason::ProxyAuthentication => {
            "Give the proxy's login in HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), also for containerd's service on the nodes, or let the proxy pass the registry without one."
        }
        Reason::ProxyCannotReach => {
            "The proxy itself does not get there: add the registry to NO_PROXY if it is inside, else see the proxy's log."
        }
        Reason::Intercepted => {
            "A proxy opens TLS and signs with its own authority: exempt the registry from interception, or give its authority to this machine (SSL_CERT_FILE, or tls.cacert of the collector) and to containerd on every node."
        }
        Reason::TlsUntrusted => {
            "Give the certificate of the registry's authority: to every node (the system's authorities, or ca in containerd's hosts.toml), and here as tls.cacert of the collector or SSL_CERT_FILE."
        }
        Reason::TlsExpired => "Renew the registry's certificate, and reload it.",
        Reason::TlsNotYetValid => {
            "Correct the clock of this machine, or of whoever issued the certificate."
        }
        Reason::TlsNameMismatch => {
            "Use a name that the certificate holds, or issue one that has this name as subjectAltName: the common name alone does not count."
        }
        Reason::TlsUnsupported => {
            "Let the registry, or what stands before it, speak TLS 1.2 or 1.3."
        }
        Reason::TlsFailed => "See the registry's log for the other side of the handshake.",
        Reason::HttpOnHttpsPort => {
            "Give the registry a certificate. If it is to stay without: plainHttp of the collector, and on the nodes an http:// address in containerd's hosts.toml."
        }
        Reason::HttpsOnHttpPort => "Leave the registry out of plainHttp: it speaks HTTPS.",
        Reason::NotARegistry => {
            "Correct host and port: what answers is no registry. Harbor, Nexus and Artifactory have it on a host or port of its own, or under a path."
        }
        Reason::BadChallenge => {
            "See what stands before the registry: it must pass WWW-Authenticate on, and the realm in it must be reached by HTTPS."
        }
        Reason::CredentialsMissing => {
            "Create a pull secret for this registry (kubectl create secret docker-registry) and name it in imagePullSecrets or in the ServiceAccount. Several registries also ask for credentials where a repository does not exist."
        }
        Reason::Unauthorized => {
            "Correct name and password in the pull secret: they are not accepted. A robot account's name often has a prefix, as robot$NAME; tokens of ECR end after 12 hours."
        }
        Reason::Denied => {
            "Let this account pull from the repository. Several registries say the same of a repository that does not exist: compare its name letter by letter."
        }
        Reason::TokenRefused => {
            "See the log of the token service: it gives no token for this repository."
        }
        Reason::RateLimited => {
            "Wait until the window is over, log in with an account that may pull more, or put a mirror in between."
        }
        Reason::RepositoryMissing => {
            "Push the image, or correct the repository's name: KOTS keeps of a source image's path the last part alone."
        }
        Reason::TagMissing => {
            "Push the image: run push-images again without --skip-existing-images; or name a tag that is there. Publishers move old tags to other repositories, as bitnami to bitnamilegacy."
        }
        Reason::ManifestUnsupported => {
            "Build and push the image anew: its manifest is of a form that is no longer pulled."
        }
        Reason::ManifestMalformed => {
            "Push the image again; if it stays so, see what stands before the registry."
        }
        Reason::DigestMismatch => {
            "What the registry gives is not what was pushed: push the image again, and see the registry's storage and what stands before it."
        }
        Reason::PlatformMissing => {
            "Push the image again with all its platforms (crane copy, skopeo copy --all): the index was pushed, and this manifest of it was not."
        }
        Reason::BlobMissing => {
            "Push the image again; if it is taken to be there already, delete its tag first. Garbage collection while something is pushed loses layers so."
        }
        Reason::BlobSize => {
            "Push the image again: a layer is cut. See that the registry's storage is not full."
        }
        Reason::RedirectUnreachable => {
            "Let nodes reach the storage that the registry sends to, too; or let the registry give layers itself (distribution: redirect: disable: true)."
        }
        Reason::RedirectRefused => {
            "The storage behind the registry does not give the layer: see the registry's key for it, and both clocks."
        }
        Reason::ServerError => "See the registry's log: it is in trouble, often with its storage.",
        Reason::Deadline => {
            "Give the collector more time (timeout), or see why the registry is slow."
        }
        Reason::WritesNotAllowed => {
            "Run with --allow-writes to have an upload started and cancelled."
        }
        Reason::ReadOnly => {
            "The registry takes no uploads: it is read-only, or a mirror. Push to the one behind it."
        }
        Reason::Other => "See what the message says, and the registry's log.",
    }
}

/// Whether nothing is proven by it: another run may find what is there.
pub(super) fn is_unknown(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RateLimited | Reason::Deadline | Reason::WritesNotAllowed
    )
}

/// Why the images of a group cannot be had, in a few words.
pub(super) fn cause(reason: Reason) -> &'static str {
    match reason {
        Reason::BadReference => "by names that are no references",
        Reason::CredentialsMissing => "for want of credentials",
        Reason::Unauthorized => "with credentials that are not accepted",
        Reason::Denied => "with credentials that do not suffice",
        Reason::TokenRefused => "for want of a token",
        Reason::RateLimited => "to spare the registry's limit",
        Reason::RepositoryMissing => "from repositories that do not exist",
        Reason::TagMissing => "by tags or digests that are not there",
        Reason::ManifestUnsupported => "for manifests of a form that is no longer pulled",
        Reason::ManifestMalformed => "for manifests that cannot be read",
        Reason::DigestMismatch => "for bytes that are not those of their digest",
        Reason::PlatformMissing => "for manifests of a node's platform that are missing",
        Reason::BlobMissing => "for layers that are missing",
        Reason::BlobSize => "for layers that are cut",
        Reason::RedirectUnreachable => "for layers on a server that cannot be reached",
        Reason::RedirectRefused => "for layers that their storage does not give",
        Reason::Deadline => "for want of time",
        _ => "for what came back",
    }
}
