//! Object storages as they are: one that is lenient and one that is strict, what stands in front of them and changes
//! requests, and every setting that can be wrong.

mod servers;

use std::fmt::Write;
use std::sync::Arc;

use bundle::collected::s3::{Link, Outcome, Reason, Report};
use bundle::io::{Inline, MemoryFile, MemorySpool};
use bundle::{ArchiveWriter, Manifest, Redactor, WriterOptions, manifest};
use checks::clock::Clock;
use checks::collector::{Cleanups, Meta, Writes};
use checks::collectors::KINDS;
use checks::fingerprint::Salt;
use checks::host::Host;
use checks::{Context, Output};
use serde_json::{Value, json};

use crate::fixture::{Bundle, Cluster, wait_until};
use crate::servers::{Servers, free_port};
use servers::{ACCESS_KEY, BUCKET, PUBLIC, REGION, SECRET_KEY};

/// A collector that differs from a good one in what is given, and what is said of it.
struct Case {
    name: &'static str,
    port: u16,
    /// More lines of the collector.
    lines: String,
    verdict: &'static str,
    /// In the message.
    message: &'static str,
    /// In the remedy.
    remedy: &'static str,
}

fn case(name: &'static str, port: u16) -> Case {
    Case {
        name,
        port,
        lines: String::new(),
        verdict: "pass",
        message: "can be used in region",
        remedy: "",
    }
}

fn spec(cases: &[Case]) -> String {
    let mut collectors = String::new();
    let mut analyzers = String::new();
    for case in cases {
        let mut fields = vec![
            ("endpoint", format!("http://127.0.0.1:{}", case.port)),
            ("bucketName", BUCKET.to_owned()),
            ("region", REGION.to_owned()),
            ("accessKeyID", ACCESS_KEY.to_owned()),
            ("secretAccessKey", format!("\"{SECRET_KEY}\"")),
            ("usePathStyle", "true".to_owned()),
        ];
        for line in case.lines.split('\n').filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a field");
            fields.retain(|(field, _)| *field != name);
            fields.push((name, value.to_owned()));
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("      {name}: {value}"))
            .collect();
        let _ = writeln!(
            collectors,
            "  - s3:\n      collectorName: {}\n{}",
            case.name,
            fields.join("\n")
        );
        let _ = writeln!(analyzers, "  - s3: {{collectorName: {}}}", case.name);
    }
    format!(
        "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {{name: s3}}\nspec:\n  collectors:\n  - clusterInfo: {{exclude: true}}\n  - clusterResources: {{exclude: true}}\n{collectors}  analyzers:\n{analyzers}"
    )
}

/// The finding of an id with its verdict.
fn found<'a>(report: &'a Value, id: &str) -> Option<(&'static str, &'a Value)> {
    ["pass", "warn", "fail", "unknown"].iter().find_map(|list| {
        let findings = report[list].as_array()?;
        let finding = findings.iter().find(|it| it["id"] == id)?;
        Some((*list, finding))
    })
}

/// Runs a spec of these cases, expects of each what it says, and no secret anywhere.
fn expect(cluster: &Cluster, cases: &[Case]) -> Value {
    cluster.write("spec.yaml", &spec(cases));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--allow-writes",
        "--debug",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let run = cluster.assay(&arguments).run().expect_code(3);
    let report = run.json();
    for case in cases {
        let id = format!("s3/{}", case.name);
        let (verdict, finding) = found(&report, &id).unwrap_or_else(|| panic!("{id}: {report:#}"));
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(verdict, case.verdict, "{finding:#}");
        assert!(
            text("message").contains(case.message),
            "{}\n{finding:#}",
            case.message
        );
        assert!(
            text("remedy").contains(case.remedy),
            "{}\n{finding:#}",
            case.remedy
        );
    }
    let bundle = cluster.bundle();
    for secret in [ACCESS_KEY, SECRET_KEY, "X-Amz-Signature", "Signature="] {
        assert_eq!(bundle.holding(secret), [""; 0], "{secret}");
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{secret}"
        );
    }
    let arguments = [
        "analyze",
        "--bundle",
        "bundle.tar.gz",
        "--format",
        "json",
        "spec.yaml",
    ];
    let offline = cluster.assay(&arguments).run().expect_code(3).json();
    for list in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(report[list], offline[list], "{list}");
    }
    report
}

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
                lines: format!("bucketName: {PUBLIC}"),
                ..case("public", minio.api)
            },
            Case {
                lines: format!("endpoint: https://127.0.0.1:{}", minio.api),
                verdict: "fail",
                message: "plain HTTP listens there",
                remedy: "Write http://",
                ..case("scheme", minio.api)
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
    assert_eq!(servers::names(&servers.path("minio/artifacts")), [""; 0]);
    // Its own folder stays.
    let mut names = servers::names(&servers.path("versitygw/artifacts"));
    names.retain(|name| name != ".sgwtmp");
    assert_eq!(names, [""; 0]);
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one row for each thing that is wrong"
)]
fn what_stands_in_front_and_changes_requests_is_named() {
    let cluster = Cluster::new("s3-front");
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    let strict = servers.versitygw();
    let ports: Vec<u16> = (0..9).map(|_| free_port()).collect();
    let pass =
        |to: u16, rest: &str| format!("location / {{ proxy_pass http://127.0.0.1:{to}{rest} }}");
    servers.nginx(&[
        (ports[0], pass(strict, ";")),
        (ports[1], pass(minio, ";")),
        (ports[2], pass(minio, "; proxy_set_header Host $host;")),
        (
            ports[3],
            pass(minio, "/; proxy_set_header Host $http_host;"),
        ),
        (
            ports[4],
            pass(strict, "/; proxy_set_header Host $http_host;"),
        ),
        (
            ports[5],
            format!(
                "client_max_body_size 1m; {}",
                pass(
                    minio,
                    "; proxy_set_header Host $http_host; proxy_http_version 1.1;"
                )
            ),
        ),
    ]);
    servers.haproxy(&[
        (
            ports[6],
            strict,
            "http-request replace-path (.*)%252F(.*) \\1%%2F\\2",
        ),
        (ports[7], strict, "http-request del-header x-amz-trailer"),
        (
            ports[8],
            minio,
            "http-request set-header Expect 100-continue",
        ),
    ]);
    let writes = "writes: true";
    expect(
        &cluster,
        &[
            Case {
                verdict: "fail",
                message: "the Host header is changed on the way (header host signed as 127.0.0.1:",
                remedy: "proxy_set_header Host $http_host",
                ..case("host", ports[0])
            },
            Case {
                lines: format!("directEndpoint: http://127.0.0.1:{minio}"),
                verdict: "fail",
                message: "By experiment: the Host header is changed on the way (header host signed as 127.0.0.1:",
                remedy: "proxy_set_header Host $http_host",
                ..case("host-guessed", ports[1])
            },
            Case {
                verdict: "fail",
                message: "seen as 127.0.0.1)",
                remedy: "not $host, which has no port",
                ..case("host-without-port", ports[2])
            },
            Case {
                verdict: "fail",
                message: "keys with //: GET /artifacts/.preflight-",
                remedy: "merge_slashes off",
                ..case("slashes", ports[3])
            },
            Case {
                verdict: "fail",
                message: "The server's canonical request differs from the one that was signed: the path is changed",
                remedy: "merge_slashes off",
                ..case("slashes-compared", ports[4])
            },
            Case {
                lines: writes.to_owned(),
                verdict: "fail",
                message: "multipart upload: PUT /artifacts/.preflight-",
                remedy: "client_max_body_size",
                ..case("size", ports[5])
            },
            Case {
                verdict: "fail",
                message: "keys with an encoded slash: GET /artifacts/.preflight-",
                remedy: "no url_dec",
                ..case("decoded", ports[6])
            },
            Case {
                lines: writes.to_owned(),
                verdict: "fail",
                message: "header x-amz-trailer",
                remedy: "x-amz-trailer",
                ..case("trailer", ports[7])
            },
            Case {
                lines: writes.to_owned(),
                ..case("expect", ports[8])
            },
        ],
    );
}

/// A run's id that began so many minutes ago.
fn run_id(minutes: i64) -> String {
    let started = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
    format!("{:x}-{:x}", started.as_nanosecond(), 4711)
}

#[test]
fn what_is_written_is_removed_by_the_run_or_by_a_later_one() {
    let cluster = Cluster::new("s3-cleanup");
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    // Writes one after the other, so that a run can be met while it writes.
    let slow = free_port();
    servers.nginx(&[(
        slow,
        format!(
            "location / {{ limit_req zone=writes burst=100; proxy_pass http://127.0.0.1:{minio}; proxy_set_header Host $http_host; }}"
        ),
    )]);
    let team = servers.path("minio/artifacts/team-a");
    let cases = [Case {
        lines: "writes: true\nprefix: team-a".to_owned(),
        ..case("good", slow)
    }];
    cluster.write("spec.yaml", &spec(&cases));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--allow-writes",
        "--output",
        "bundle.tar.gz",
    ];

    // Interrupted while it writes: what there is by then is removed, and bundled.
    let running = cluster.assay(&arguments).start();
    wait_until("the run writes", || !servers::names(&team).is_empty());
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(servers::names(&team), [""; 0], "{}", run.stderr);

    // Killed: it stays, and so it does while its run could be at work.
    let mut arguments = arguments;
    arguments[4] = "killed.tar.gz";
    let running = cluster.assay(&arguments).start();
    wait_until("the run writes", || !servers::names(&team).is_empty());
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    let left = servers::names(&team);
    let old = run_id(30);
    for key in [
        format!("team-a/.preflight-{old}/signed"),
        "team-a/.preflight-notes/mine".to_owned(),
        "team-a/model".to_owned(),
    ] {
        let answer = servers::request(minio, "PUT", &format!("/{BUCKET}/{key}"), "x");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let refused = cluster
        .assay(&["preflight", "spec.yaml", "--cleanup"])
        .run();
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let arguments = [
        "preflight",
        "spec.yaml",
        "--allow-writes",
        "--cleanup",
        "--format",
        "json",
        "--output",
        "cleanup.tar.gz",
    ];
    let report = cluster
        .assay(&arguments)
        .run()
        .expect_code(if left.is_empty() { 0 } else { 4 })
        .json();
    let (_, finding) = found(&report, "s3/good/cleanup").expect("a result");
    let message = finding["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("1 object and 0 uploads of earlier runs are removed"),
        "{finding:#}"
    );
    let mut names = servers::names(&team);
    names.sort();
    let mut expected = [
        left,
        vec![".preflight-notes".to_owned(), "model".to_owned()],
    ]
    .concat();
    expected.sort();
    assert_eq!(names, expected);
}

/// The harness with a clock that is wrong, against a server whose own is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_the_verdict() {
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    for (minutes, reason) in [
        (20, Some(Reason::ClockSkewed)),
        (-20, Some(Reason::ClockSkewed)),
        (6, None),
    ] {
        let report = ask_at(minio, jiff::SignedDuration::from_mins(minutes)).await;
        let broken = report
            .steps
            .iter()
            .find(|step| step.outcome == Outcome::Failed);
        let failure = broken.and_then(|step| step.failure.as_ref());
        assert_eq!(failure.map(|failure| failure.reason), reason, "{report:#?}");
        assert!(
            broken.is_none_or(|step| step.link == Link::Auth),
            "{report:#?}"
        );
        let ahead = report.clock.expect("the server's clock").ahead_seconds;
        assert!((ahead - minutes * 60).abs() <= 2, "{minutes}: {ahead}");
    }
}

/// What the collector finds with a clock that is ahead by so much.
async fn ask_at(port: u16, ahead: jiff::SignedDuration) -> Report {
    let kind = KINDS
        .iter()
        .find(|kind| kind.name == "s3")
        .expect("the kind");
    let config = json!({
        "endpoint": format!("http://127.0.0.1:{port}"), "bucketName": BUCKET, "region": REGION,
        "accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY,
    });
    let collector = (kind.parse)(&config, &Meta::default())
        .expect("a configuration")
        .config;
    let context = Context {
        cluster: None,
        host: Host::default(),
        namespace: None,
        logs_since: None,
        log_budget: checks::budget::LogBudget::default(),
        ends_by: None,
        run_id: "clock".to_owned(),
        salt: Salt::default(),
        agent_image: None,
        cleanups: Cleanups::default(),
        clock: Clock::ahead(ahead),
        writes: Writes::Refused,
    };
    let options = WriterOptions::new("clock", 0, Arc::new(MemorySpool), Arc::new(Inline));
    let file = MemoryFile::default();
    let archive = ArchiveWriter::new(Box::new(file.clone()), Redactor::default(), options);
    let archive = Arc::new(archive.expect("an archive"));
    let output = Output::new(Arc::clone(&archive));
    collector
        .collect(&context, &output)
        .await
        .expect("an answer");
    let manifest = Manifest {
        format: manifest::FORMAT,
        tool: "test".to_owned(),
        collected_at: jiff::Timestamp::now(),
        finished_at: jiff::Timestamp::now(),
        ending: manifest::Ending::Complete,
        redaction: archive.redaction(),
        collectors: Vec::new(),
        lost: Vec::new(),
    };
    archive.finish(&manifest).expect("a whole archive");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bundle.tar.gz");
    std::fs::write(&path, file.bytes()).expect("a file");
    let report = Bundle::open(&path).text("s3/s3.json");
    serde_json::from_str(&report).expect("a report")
}
