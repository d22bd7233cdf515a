//! What stands in front of an object storage and changes requests.

use super::signed::done;
use super::{Case, case, expect};
use crate::fixture::Cluster;
use crate::servers::{Servers, free_port};

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
    let ports: Vec<u16> = (0..12).map(|_| free_port()).collect();
    let pass =
        |to: u16, rest: &str| format!("location / {{ proxy_pass http://127.0.0.1:{to}{rest} }}");
    done(minio, "PUT", "/filled", "", &[], "");
    done(minio, "PUT", "/filled/a", "", &[], "content");
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
        (
            ports[9],
            strict,
            "http-request set-query %[query]&tracked=1",
        ),
        (
            ports[10],
            minio,
            "http-request set-query %[query]&tracked=1",
        ),
        (ports[11], minio, "http-request del-header range"),
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
                lines: format!("{writes}\npublicEndpoint: http://localhost:{minio}"),
                message: "presigned address, delete",
                ..case("public", minio)
            },
            Case {
                lines: format!("{writes}\npublicEndpoint: http://localhost:{}", ports[1]),
                verdict: "fail",
                message: "a presigned address gives the object, and one for localhost, the name that others use, does not",
                remedy: "Host",
                ..case("public-host", minio)
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
            Case {
                verdict: "fail",
                message: "The server's canonical request differs from the one that was signed: the query is changed on the way (query tracked added as 1)",
                remedy: "pass the query on as it came",
                ..case("query", ports[9])
            },
            Case {
                verdict: "fail",
                message: "By experiment: the same keys are accepted signed by version 2, which covers neither the Host header nor the query, so they are right",
                remedy: "let it pass the Host header, the path and the query on as they came",
                ..case("query-guessed", ports[10])
            },
            Case {
                lines: "bucketName: filled".to_owned(),
                verdict: "fail",
                message: "range: GET /filled/a: 400 AccessDenied: There were headers present in the request which were not signed. By experiment: a signed header is changed on the way (header range)",
                remedy: "pass signed headers on as they came: range",
                ..case("range", ports[11])
            },
        ],
    );
}

/// Headers of uploads in chunks and with trailers, each taken off on its way.
#[test]
fn headers_of_streams_that_are_lost_are_named() {
    const LOST: [&str; 4] = [
        "x-amz-trailer",
        "x-amz-decoded-content-length",
        "content-encoding",
        "x-amz-sdk-checksum-algorithm",
    ];
    let cluster = Cluster::new("s3-streams");
    let mut servers = Servers::new();
    let minio = servers.minio().api;
    let strict = servers.versitygw();
    let lost: Vec<String> = LOST
        .iter()
        .map(|name| format!("http-request del-header {name}"))
        .collect();
    let hashed = "http-request replace-header x-amz-content-sha256 STREAMING-.* UNSIGNED-PAYLOAD";
    let mut frontends = Vec::new();
    let mut cases = Vec::new();
    for (server, port) in [("minio", minio), ("versitygw", strict)] {
        for (name, line) in LOST.iter().zip(&lost) {
            let front = free_port();
            frontends.push((front, port, line.as_str()));
            cases.push(Case {
                lines: "writes: true".to_owned(),
                verdict: "fail",
                message: leaked(format!(
                    "a signed header is changed on the way (header {name}"
                )),
                remedy: leaked(format!("pass signed headers on as they came: {name}")),
                ..case(leaked(format!("{server}-{name}")), front)
            });
        }
        let front = free_port();
        frontends.push((front, port, hashed));
        cases.push(Case {
            lines: "writes: true".to_owned(),
            verdict: "fail",
            message: "the payload, or what is told of it, is changed on the way",
            remedy: "pass bodies on as they come, chunks and trailers with them",
            ..case(leaked(format!("{server}-hash")), front)
        });
    }
    servers.haproxy(&frontends);
    // One that takes whole bodies before it sends them on, which changes nothing.
    let whole = free_port();
    servers.nginx(&[(
        whole,
        format!("location / {{ proxy_request_buffering on; proxy_pass http://127.0.0.1:{minio}; proxy_set_header Host $http_host; }}"),
    )]);
    cases.push(Case {
        lines: "writes: true".to_owned(),
        message: "write in signed chunks, write with a checksum trailer",
        ..case("whole", whole)
    });
    expect(&cluster, &cases);
}

/// Texts of cases that are made of others.
fn leaked(text: String) -> &'static str {
    text.leak()
}
