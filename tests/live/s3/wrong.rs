//! Each setting that can be wrong, by itself.

use std::fmt::Write as _;

use super::servers::{self, ACCESS_KEY, BUCKET, PUBLIC, REGION, SECRET_KEY};
use super::signed::done;
use super::{Case, case, expect, found};
use crate::fixture::Cluster;
use crate::servers::Servers;

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one row for each thing that is wrong"
)]
fn what_is_wrong_is_named() {
    let cluster = Cluster::new("s3-wrong");
    let mut servers = Servers::new();
    let minio = servers.minio();
    servers::make_public(minio.api);
    let strict = servers.versitygw();
    done(minio.api, "PUT", "/filled", "", &[], "");
    for key in ["a", "b", "c"] {
        done(
            minio.api,
            "PUT",
            &format!("/filled/{key}"),
            "",
            &[],
            "content",
        );
    }
    let report = expect(
        &cluster,
        &[
            Case {
                lines: "writes: true\nprefix: team-a".to_owned(),
                message: "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete",
                ..case("minio", minio.api)
            },
            Case {
                lines: "writes: true\nprefix: team-a".to_owned(),
                message: "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete",
                ..case("versitygw", strict)
            },
            Case {
                lines: "secretAccessKey: another-secret-than-the-servers".to_owned(),
                verdict: "fail",
                message: "no variant of the request is accepted, so the secret key is another",
                remedy: "Correct the secret key",
                ..case("minio-secret", minio.api)
            },
            Case {
                lines: "secretAccessKey: another-secret-than-the-servers".to_owned(),
                verdict: "fail",
                message: "The server saw the request exactly as it was signed",
                remedy: "Correct the secret key",
                ..case("versitygw-secret", strict)
            },
            Case {
                lines: format!("secretAccessKey: \"{SECRET_KEY}\\n\""),
                verdict: "fail",
                message: "without the blanks or line break around the keys the signature is accepted",
                remedy: "--from-literal",
                ..case("line-break", minio.api)
            },
            Case {
                lines: "accessKeyID: nobodyknowsthiskey00".to_owned(),
                verdict: "fail",
                message: "403 InvalidAccessKeyId",
                remedy: "Use a key of this object storage",
                ..case("key", minio.api)
            },
            Case {
                lines: "region: us-east-1".to_owned(),
                verdict: "fail",
                message: "400 AuthorizationHeaderMalformed",
                remedy: "Set the region to eu-west-1",
                ..case("region", minio.api)
            },
            Case {
                lines: "bucketName: absent".to_owned(),
                verdict: "fail",
                message: "bucket: GET /absent/: 404 NoSuchBucket",
                remedy: "Create the bucket absent",
                ..case("bucket", minio.api)
            },
            Case {
                verdict: "fail",
                message: "it is the web console, not the API",
                remedy: "for MinIO 9000",
                ..case("console", minio.console)
            },
            Case {
                lines: "sessionToken: eyJhbGciOiJIUzUxMiJ9.e30.made-up-by-the-test".to_owned(),
                verdict: "fail",
                message: "signature: GET /artifacts/: 403 InvalidTokenId",
                remedy: "session token",
                ..case("token", minio.api)
            },
            Case {
                lines: "bucketName: filled".to_owned(),
                message: "signature, bucket, list, odd keys, range.",
                ..case("filled", minio.api)
            },
            Case {
                lines: format!("bucketName: {PUBLIC}"),
                ..case("public", minio.api)
            },
            Case {
                verdict: "fail",
                message: "TCP: cannot connect to 127.0.0.1:1",
                remedy: "Nothing listens there",
                ..case("port", 1)
            },
        ],
    );
    let verdict = |id: &str| found(&report, id).map(|(verdict, _)| verdict);
    assert_eq!(verdict("s3/public/anonymous"), Some("fail"));
    assert_eq!(verdict("s3/minio/anonymous"), Some("pass"));
    assert_eq!(verdict("s3/minio/signatures"), Some("warn"));
    assert_eq!(verdict("s3/versitygw/signatures"), Some("pass"));
    assert_eq!(verdict("s3/minio/health"), Some("pass"));
    let filled = cluster.bundle().text("s3/filled.json");
    assert!(
        filled.contains("3 pages of a list follow each other"),
        "{filled}"
    );
    assert_eq!(servers::names(&servers.path("minio/artifacts")), [""; 0]);
    // Its own folder stays.
    let mut names = servers::names(&servers.path("versitygw/artifacts"));
    names.retain(|name| name != ".sgwtmp");
    assert_eq!(names, [""; 0]);
}

#[test]
fn the_peers_check_is_whether_head_is_answered() {
    let cluster = Cluster::new("s3-status");
    let mut servers = Servers::new();
    servers.certificates();
    let minio = servers.minio_with("self", &[]).api;
    let mut spec = "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {name: s3}\nspec:\n  collectors:\n  - clusterInfo: {exclude: true}\n  - clusterResources: {exclude: true}\n".to_owned();
    let mut analyzers = "  analyzers:\n".to_owned();
    for (name, bucket, secret, insecure) in [
        ("good", BUCKET, SECRET_KEY, true),
        ("absent", "absent", SECRET_KEY, true),
        ("secret", BUCKET, "another-secret-than-the-servers", true),
        ("untrusted", BUCKET, SECRET_KEY, false),
    ] {
        let _ = writeln!(
            spec,
            "  - s3Status: {{collectorName: {name}, endpoint: 'https://127.0.0.1:{minio}', bucketName: {bucket}, region: {REGION}, usePathStyle: true, accessKeyID: {ACCESS_KEY}, secretAccessKey: {secret}, insecure: {insecure}}}"
        );
        let _ = writeln!(
            analyzers,
            "  - s3Status: {{checkName: {name}, collectorName: {name}, outcomes: [{{fail: {{when: connected == false, message: 'no way:'}}}}, {{pass: {{message: reached}}}}]}}"
        );
    }
    cluster.write("spec.yaml", &(spec + &analyzers));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let run = cluster.assay(&arguments).run().expect_code(3);
    let report = run.json();
    let bundle = cluster.bundle();
    for (name, verdict, said) in [
        ("good", "pass", "reached"),
        ("absent", "fail", "404 NoSuchBucket"),
        ("secret", "fail", "403 SignatureDoesNotMatch"),
        ("untrusted", "fail", "no way:"),
    ] {
        let list = report[verdict].as_array().expect("a list");
        let finding = list.iter().find(|it| it["title"] == name);
        let finding = finding.unwrap_or_else(|| panic!("{name}: {report:#}"));
        let message = finding["message"].as_str().unwrap_or_default();
        assert!(message.contains(said), "{finding:#}");
        let status = bundle.json(&format!("s3Status/{name}.json"));
        assert_eq!(status["isConnected"], verdict == "pass", "{status:#}");
    }
    for secret in [ACCESS_KEY, SECRET_KEY] {
        assert_eq!(bundle.holding(secret), [""; 0]);
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret));
    }
}
