//! Through proxies: one that lets through, one that wants a login, one that opens TLS, one that changes requests.

use super::tls::trusting;
use super::{Case, Place, case, expect, expect_at};
use crate::fixture::Cluster;
use crate::servers::{Servers, free_port};

const LOGIN: &str = "a-password-of-the-proxy";

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one row for each thing that is wrong"
)]
fn proxies_on_the_way() {
    let cluster = Cluster::new("s3-proxy");
    let mut servers = Servers::new();
    servers.certificates();
    let minio = servers.minio().api;
    let secure = servers.minio_with("good", &[]).api;
    let (login, bump) = (servers.proxy(true), servers.proxy(false));
    let rewriting = free_port();
    servers.haproxy(&[(
        rewriting,
        minio,
        "http-request set-uri %[path]?%[query]\n http-request set-header Host elsewhere.example.com",
    )]);
    let http = |proxy: &str| format!("proxy: http://{proxy}");
    let trusted = trusting(&servers.authority());
    let https = |proxy: &str| {
        format!("endpoint: https://127.0.0.1:{secure}\nproxy: http://{proxy}\n{trusted}")
    };
    let all = "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete";
    expect(
        &cluster,
        &[
            Case {
                lines: format!("{}\nwrites: true", http(&format!("127.0.0.1:{bump}"))),
                message: all,
                ..case("forward", minio)
            },
            Case {
                lines: format!(
                    "{}\nwrites: true",
                    https(&format!("alice:{LOGIN}@127.0.0.1:{login}"))
                ),
                message: all,
                ..case("tunnel", secure)
            },
            Case {
                lines: https(&format!("127.0.0.1:{login}")),
                verdict: "fail",
                message: "proxy: the proxy asks for credentials (407). 7 later links not reached",
                remedy: "Give the proxy's user and password",
                ..case("tunnel-login", secure)
            },
            Case {
                lines: http(&format!("127.0.0.1:{login}")),
                verdict: "fail",
                message: "S3: GET /artifacts/: 407",
                remedy: "Give the proxy's user and password",
                ..case("forward-login", minio)
            },
            Case {
                lines: https(&format!("127.0.0.1:{bump}")),
                verdict: "fail",
                message: "which is not trusted",
                remedy: "Where the issuer is a company's proxy, it is that proxy's authority",
                ..case("opened", secure)
            },
            Case {
                lines: format!(
                    "endpoint: https://127.0.0.1:1\nproxy: http://alice:{LOGIN}@127.0.0.1:{login}"
                ),
                verdict: "fail",
                message: "proxy: the proxy cannot reach 127.0.0.1:1: 503",
                remedy: "See why the proxy cannot reach the object storage",
                ..case("beyond", secure)
            },
            Case {
                lines: http("127.0.0.1:1"),
                verdict: "fail",
                message: "TCP: cannot connect to 127.0.0.1:1",
                remedy: "Nothing listens there",
                ..case("absent", minio)
            },
            Case {
                lines: https(&format!("127.0.0.1:{minio}")),
                verdict: "fail",
                message: "proxy: the proxy refuses to open a way to 127.0.0.1:",
                remedy: "Allow CONNECT to that host and port",
                ..case("no-proxy-at-all", secure)
            },
            Case {
                lines: http(&format!("127.0.0.1:{rewriting}")),
                verdict: "fail",
                message: "By experiment: the same keys are accepted without the proxy",
                remedy: "Look at the proxy",
                ..case("rewriting", minio)
            },
        ],
    );
    assert_eq!(cluster.bundle().holding(LOGIN), [""; 0]);

    // As the environment says; it never counts for this machine itself, so a name is needed.
    let hosts = "127.0.0.1 registry.test";
    let by_name = |port: u16| format!("endpoint: http://registry.test:{port}");
    let through = format!("http://127.0.0.1:{bump}");
    let nowhere = "http://127.0.0.1:1";
    for (environment, verdict, message) in [
        (
            vec![("HTTP_PROXY", through.as_str())],
            "pass",
            "can be used in region",
        ),
        (
            vec![("HTTP_PROXY", nowhere)],
            "fail",
            "TCP: cannot connect to 127.0.0.1:1",
        ),
        (
            vec![
                ("HTTP_PROXY", nowhere),
                ("NO_PROXY", "other.test,registry.test"),
            ],
            "pass",
            "can be used in region",
        ),
    ] {
        let place = Place {
            environment: &environment,
            hosts,
        };
        let cases = [
            Case {
                lines: by_name(minio),
                verdict,
                message,
                ..case("environment", minio)
            },
            Case {
                lines: format!("{}\nproxy: none", by_name(minio)),
                ..case("none", minio)
            },
        ];
        expect_at(&place, &cluster, &cases);
        let target = |name: &str| {
            let report = cluster.bundle().json(&format!("s3/{name}.json"));
            report["target"]["proxy"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let proxy = match environment[..] {
            [(_, proxy)] => proxy,
            _ => "",
        };
        assert_eq!([target("environment"), target("none")], [proxy, ""]);
    }
}
