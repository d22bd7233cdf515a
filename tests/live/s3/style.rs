//! The bucket in the host name: servers that know that, and servers that know the path only.

use super::{Case, Place, case, expect_at};
use crate::fixture::Cluster;
use crate::servers::Servers;

#[test]
fn the_bucket_in_the_host_name() {
    let cluster = Cluster::new("s3-style");
    let mut servers = Servers::new();
    let minio = servers.minio_with("", &[("MINIO_DOMAIN", "s3.test")]).api;
    let path_only = servers.minio_with("", &[]).api;
    let strict = servers.versitygw_with(&["--virtual-domain", "s3.test"]);
    let strict_path_only = servers.versitygw();
    let named = |port: u16, host: &str, more: &str| {
        format!("endpoint: http://{host}:{port}\nusePathStyle: false\n{more}")
    };
    let all = "write with a checksum trailer, read back, multipart upload, giving up an upload, copy, presigned address, delete. The bucket's name may stand in the path and in the host name";
    expect_at(
        &Place {
            hosts: "127.0.0.1 s3.test artifacts.s3.test",
            ..Place::default()
        },
        &cluster,
        &[
            Case {
                lines: named(minio, "s3.test", "writes: true"),
                message: all,
                ..case("minio", minio)
            },
            Case {
                lines: named(strict, "s3.test", "writes: true"),
                message: all,
                ..case("versitygw", strict)
            },
            Case {
                lines: named(path_only, "s3.test", ""),
                verdict: "fail",
                message: "bucket: the server does not find the bucket in the host name: GET / of artifacts.s3.test:",
                remedy: "usePathStyle: true here",
                ..case("minio-path-only", path_only)
            },
            Case {
                lines: named(strict_path_only, "s3.test", ""),
                verdict: "fail",
                message: "bucket: the server does not find the bucket in the host name: GET / of artifacts.s3.test:",
                remedy: "usePathStyle: true here",
                ..case("versitygw-path-only", strict_path_only)
            },
            Case {
                lines: format!("endpoint: http://s3.test:{path_only}"),
                message: "The bucket's name may stand in the path.",
                ..case("path", path_only)
            },
            Case {
                lines: named(minio, "s3.test", "bucketName: nobody"),
                verdict: "fail",
                message: "DNS: the name nobody.s3.test cannot be resolved",
                remedy: "needs a wildcard (*.HOST)",
                ..case("no-wildcard", minio)
            },
        ],
    );
}
