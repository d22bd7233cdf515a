//! Certificates, and the wrong scheme on either side.

use super::servers::REGION;
use super::{Case, Place, case, expect, expect_at, found};
use crate::fixture::Cluster;
use crate::servers::Servers;

/// A certificate as one line of YAML.
pub(super) fn trusting(authority: &str) -> String {
    format!("tls: {{cacert: {}}}", serde_json::json!(authority))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one row for each thing that is wrong"
)]
fn certificates_are_judged_before_anything_is_signed() {
    let cluster = Cluster::new("s3-tls");
    let mut servers = Servers::new();
    servers.certificates();
    let minio = servers.minio_with("good", &[]).api;
    let key = servers.shown("server.key");
    let mut strict = |certificate: &str| {
        let certificate = servers.shown(&format!("{certificate}.crt"));
        servers.versitygw_with(&["--cert", &certificate, "--key", &key])
    };
    let (good, expired, other, itself) = (
        strict("good"),
        strict("expired"),
        strict("other"),
        strict("self"),
    );
    let plain = servers.versitygw();
    let authority = servers.authority();
    let secret = format!("--from-file=ca.crt={}", servers.shown("ca.crt"));
    cluster.kubectl(&["create", "secret", "generic", "authority", &secret]);
    let https = |port: u16| format!("endpoint: https://127.0.0.1:{port}");
    let trusted = |port: u16| format!("{}\n{}", https(port), trusting(&authority));
    let all = "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete";
    let report = expect(
        &cluster,
        &[
            Case {
                lines: https(minio),
                verdict: "fail",
                message: "TLS: 127.0.0.1: its certificate (CN=registry) is signed by CN=Test authority, which is not trusted. 6 later links not reached",
                remedy: "tls.cacert or tls.secret here, AWS_CA_BUNDLE for SDKs",
                ..case("untrusted", minio)
            },
            Case {
                lines: format!("{}\nwrites: true", trusted(minio)),
                message: all,
                ..case("trusted", minio)
            },
            Case {
                lines: format!("{}\nwrites: true", trusted(good)),
                message: all,
                ..case("trusted-strict", good)
            },
            Case {
                lines: format!(
                    "{}\ntls: {{secret: {{namespace: s3-tls, name: authority}}}}",
                    https(minio)
                ),
                ..case("trusted-by-secret", minio)
            },
            Case {
                lines: format!(
                    "{}\n{}",
                    https(minio),
                    trusting(
                        &std::fs::read_to_string(servers.path("token.crt")).expect("a certificate")
                    )
                ),
                verdict: "fail",
                message: "signed by CN=Test authority, which is not trusted",
                remedy: "tls.cacert",
                ..case("other-authority", minio)
            },
            Case {
                lines: format!("{}\ntls: {{skipVerify: true}}", https(minio)),
                ..case("skipped", minio)
            },
            Case {
                lines: trusted(expired),
                verdict: "fail",
                message: "TLS: 127.0.0.1: its certificate (CN=registry) expired at ",
                remedy: "Renew the server's certificate",
                ..case("expired", expired)
            },
            Case {
                lines: trusted(other),
                verdict: "fail",
                message: "TLS: 127.0.0.1: its certificate (CN=registry) is for other.example.com",
                remedy: "Use a name that the certificate holds",
                ..case("name", other)
            },
            Case {
                lines: trusted(itself),
                verdict: "fail",
                message: "TLS: 127.0.0.1: its certificate (CN=self) ",
                remedy: "tls.cacert",
                ..case("self", itself)
            },
            Case {
                lines: https(plain),
                verdict: "fail",
                message: "plain HTTP listens there",
                remedy: "Write http://",
                ..case("https-asked", plain)
            },
            Case {
                verdict: "fail",
                message: "speaks TLS only",
                remedy: "Write https://",
                ..case("http-asked", minio)
            },
            Case {
                verdict: "fail",
                message: "speaks TLS only",
                remedy: "Write https://",
                ..case("http-asked-strict", good)
            },
        ],
    );
    let verification = found(&report, "s3/skipped/verification").map(|(verdict, _)| verdict);
    assert_eq!(verification, Some("warn"));
    assert!(found(&report, "s3/trusted/verification").is_none());

    // A certificate for a host is none for the names below it, where buckets are.
    expect_at(
        &Place {
            hosts: "127.0.0.1 registry.test artifacts.registry.test",
            ..Place::default()
        },
        &cluster,
        &[
            Case {
                lines: format!(
                    "endpoint: https://registry.test:{minio}\nusePathStyle: false\nregion: {REGION}\n{}",
                    trusting(&authority)
                ),
                verdict: "fail",
                message: "TLS: artifacts.registry.test: its certificate (CN=registry) is for localhost, registry.test",
                remedy: "Issue a certificate for *.HOST",
                ..case("wildcard", minio)
            },
            Case {
                lines: format!(
                    "endpoint: https://registry.test:{minio}\n{}",
                    trusting(&authority)
                ),
                ..case("by-name", minio)
            },
        ],
    );
}
