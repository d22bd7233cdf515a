//! Temporary keys that are for one prefix only, and such that are over.

use super::servers::{self, ACCESS_KEY, BUCKET};
use super::signed::{Temporary, done};
use super::{Case, case, expect, found};
use crate::fixture::Cluster;
use crate::servers::Servers;

/// What an application's keys may do: everything below `team-a/`, nothing elsewhere.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
{"Effect":"Allow","Action":["s3:ListBucket","s3:ListBucketVersions"],"Resource":["arn:aws:s3:::*"],"Condition":{"StringLike":{"s3:prefix":["team-a/*"]}}},
{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetBucketVersioning","s3:GetBucketObjectLockConfiguration","s3:ListBucketMultipartUploads"],"Resource":["arn:aws:s3:::*"]},
{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],"Resource":["arn:aws:s3:::*/team-a/*"]}]}"#;

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one row for each thing that is wrong"
)]
fn keys_of_one_tenant() {
    let cluster = Cluster::new("s3-access");
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    done(
        minio,
        "PUT",
        &format!("/{BUCKET}/team-b/model"),
        "",
        &[],
        "theirs",
    );
    done(minio, "PUT", "/versioned", "", &[], "");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    done(minio, "PUT", "/versioned", "versioning=", &[], on);
    let tenant = Temporary::given(minio, POLICY);
    let ended = tenant.ended();
    let without = tenant.lines();
    let without = without.rsplit_once('\n').expect("three lines").0;
    let report = expect(
        &cluster,
        &[
            Case {
                lines: format!(
                    "{}\nprefix: team-a\nforeignPrefixes: [team-b]\nwrites: true",
                    tenant.lines()
                ),
                message: "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete",
                ..case("tenant", minio)
            },
            Case {
                lines: "prefix: team-a\nforeignPrefixes: [team-b]\nwrites: true".to_owned(),
                message: "write with a checksum trailer",
                ..case("root", minio)
            },
            Case {
                lines: format!("{}\nprefix: team-b", tenant.lines()),
                verdict: "fail",
                message: "bucket: GET /artifacts/: 403 AccessDenied",
                remedy: "Allow s3:ListBucket on artifacts to these keys",
                ..case("denied", minio)
            },
            Case {
                lines: format!("{}\nprefix: team-a", ended.lines()),
                verdict: "fail",
                message: "; the session token ended at ",
                remedy: "Get new temporary keys",
                ..case("ended", minio)
            },
            Case {
                lines: format!(
                    "{}\nprefix: team-a",
                    tenant.lines().replace(&tenant.access_key, ACCESS_KEY)
                ),
                verdict: "fail",
                message: "signature: GET /artifacts/: 403",
                remedy: "Use the session token that was given out with this access key",
                ..case("of-others", minio)
            },
            Case {
                lines: format!("{without}\nprefix: team-a"),
                verdict: "fail",
                message: "signature: GET /artifacts/: 403",
                remedy: "Use the session token that was given out with this access key",
                ..case("without", minio)
            },
            Case {
                lines: format!(
                    "{}\nprefix: team-a",
                    tenant
                        .lines()
                        .replace(&tenant.secret_key, "another-secret-of-some-length")
                ),
                verdict: "fail",
                message: "no variant of the request is accepted, so the secret key is another",
                remedy: "Correct the secret key",
                ..case("secret", minio)
            },
            // It may delete, and not for good.
            Case {
                lines: format!(
                    "{}\nprefix: team-a\nbucketName: versioned\nwrites: true",
                    tenant.lines()
                ),
                message: "write with a checksum trailer",
                ..case("versions", minio)
            },
        ],
    );
    let told = |id: &str| {
        let (verdict, finding) = found(&report, id).unwrap_or_else(|| panic!("{id}: {report:#}"));
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        (verdict, text("message"), text("remedy"))
    };
    let (verdict, message, _) = told("s3/tenant/foreign/team-b");
    assert_eq!(verdict, "pass");
    assert_eq!(
        message,
        "The prefix team-b of others is denied: list (403 AccessDenied), read (403 AccessDenied), write (403 AccessDenied)."
    );
    let (verdict, message, remedy) = told("s3/root/foreign/team-b");
    assert_eq!(verdict, "fail");
    assert_eq!(
        message,
        "These keys reach the prefix team-b of others: list (200), read (404 NoSuchKey), write (200)."
    );
    assert!(remedy.contains("a policy for team-a only"), "{remedy}");
    let (verdict, message, remedy) = told("s3/versions/leftovers");
    assert_eq!(verdict, "warn");
    assert!(
        message.contains("/signed (DELETE /versioned/team-a/.preflight-"),
        "{message}"
    );
    assert!(remedy.contains("s3:DeleteObjectVersion"), "{remedy}");
    // What was written to others' prefix is gone, too.
    assert_eq!(
        servers::names(&servers.path("minio/artifacts/team-b")),
        ["model"]
    );
    assert_eq!(
        servers::names(&servers.path("minio/artifacts/team-a")),
        [""; 0]
    );
    for secret in [
        &tenant.secret_key,
        &tenant.access_key,
        &tenant.token,
        &ended.token,
    ] {
        assert_eq!(cluster.bundle().holding(secret), [""; 0]);
    }
}
