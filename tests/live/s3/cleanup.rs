//! What is written is gone afterwards, whatever ended the run and whatever the bucket keeps.

use super::servers::{self, BUCKET};
use super::signed::{ask, done};
use super::{Case, case, expect, found, spec};
use crate::fixture::{Cluster, wait_until};
use crate::servers::{Servers, free_port};

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

#[test]
fn versions_and_object_lock() {
    let cluster = Cluster::new("s3-keeping");
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let retention = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let lock = [("x-amz-bucket-object-lock-enabled", "true")];
    done(minio, "PUT", "/versioned", "", &[], "");
    done(minio, "PUT", "/versioned", "versioning=", &[], on);
    done(minio, "PUT", "/locked", "", &lock, "");
    done(minio, "PUT", "/retained", "", &lock, "");
    done(minio, "PUT", "/retained", "object-lock=", &[], retention);
    let bucket = |name: &'static str| Case {
        lines: format!("bucketName: {name}\nwrites: true"),
        message: "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete",
        ..case(name, minio)
    };
    let report = expect(
        &cluster,
        &[
            bucket("versioned"),
            bucket("locked"),
            Case {
                message: "can be used in region",
                ..bucket("retained")
            },
            // Something that fails, so that all of it is read.
            Case {
                verdict: "fail",
                message: "404 NoSuchBucket",
                ..bucket("absent")
            },
        ],
    );
    let (_, untried) = found(&report, "s3/retained").expect("a result");
    assert_eq!(untried["verdict"], "pass", "{untried:#}");
    let unknown = report["unknown"].as_array().cloned().unwrap_or_default();
    assert!(
        unknown.iter().any(|it| it["message"].as_str().is_some_and(
            |reason| reason.contains("object lock keeps every new object (GOVERNANCE 30 days)")
        )),
        "{unknown:#?}"
    );
    let bundle = cluster.bundle();
    for (name, versioning, lock) in [
        ("versioned", "Enabled", false),
        ("locked", "Enabled", true),
        ("retained", "Enabled", true),
    ] {
        let keeping = &bundle.json(&format!("s3/{name}.json"))["keeping"];
        assert_eq!(keeping["versioning"], versioning, "{name}");
        assert_eq!(keeping["lock"], lock, "{name}");
        let left = ask(
            minio,
            "s3",
            "GET",
            &format!("/{name}"),
            "versions=",
            &[],
            "",
        );
        assert!(
            left.contains("<ListVersionsResult") && !left.contains("<Key>"),
            "{name}: {left}"
        );
    }
}
