//! Object storages and what stands in front of them, as children of a test.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fixture::{from_rig, wait_until};
use crate::servers::{Servers, free_port};

pub(crate) const ACCESS_KEY: &str = "rigaccesskey00000001";
pub(crate) const SECRET_KEY: &str = "rig-secret-key-that-nobody-may-see";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const BUCKET: &str = "artifacts";
/// Anybody may list it.
pub(crate) const PUBLIC: &str = "public";

/// `MinIO`'s two ports.
#[derive(Clone, Copy)]
pub(crate) struct MinIo {
    pub(crate) api: u16,
    pub(crate) console: u16,
}

impl Servers {
    /// `MinIO` in [`REGION`], with both buckets; pods reach it, too.
    pub(crate) fn minio(&mut self) -> MinIo {
        self.minio_with("", &[])
    }

    /// The same with a certificate of [`Servers::certificates`], where one is named, and settings.
    pub(crate) fn minio_with(&mut self, certificate: &str, settings: &[(&str, &str)]) -> MinIo {
        let ports = MinIo {
            api: free_port(),
            console: free_port(),
        };
        // The first has the plain name, which tests look below.
        let name = if self.path("minio").exists() {
            format!("minio-{}", ports.api)
        } else {
            "minio".to_owned()
        };
        let data = self.path(&name);
        let certificates = self.path(&format!("{name}-certificates"));
        if !certificate.is_empty() {
            fs::create_dir(&certificates).expect("a folder");
            self.copy(
                &format!("{certificate}.crt"),
                &certificates.join("public.crt"),
            );
            self.copy("server.key", &certificates.join("private.key"));
        }
        fs::create_dir_all(data.join(BUCKET)).expect("a bucket");
        self.start(
            "MINIO",
            &[
                "server",
                "--certs-dir",
                &certificates.to_string_lossy(),
                "--address",
                &format!("0.0.0.0:{}", ports.api),
                "--console-address",
                &format!("127.0.0.1:{}", ports.console),
                &data.to_string_lossy(),
            ],
            &[
                &[
                    ("MINIO_ROOT_USER", ACCESS_KEY),
                    ("MINIO_ROOT_PASSWORD", SECRET_KEY),
                    ("MINIO_SITE_REGION", REGION),
                ],
                settings,
            ]
            .concat(),
            ports.api,
        );
        wait_until("MinIO's buckets are there", || {
            let head = match certificate {
                "" => request(ports.api, "GET", &format!("/{BUCKET}/"), ""),
                _ => over_tls(ports.api, &format!("/{BUCKET}/")),
            };
            head.starts_with("HTTP/1.1 403")
        });
        ports
    }

    fn copy(&self, name: &str, to: &Path) {
        fs::copy(self.path(name), to).expect("a certificate");
    }

    /// versitygw, which is strict and tells what it saw.
    pub(crate) fn versitygw(&mut self) -> u16 {
        self.versitygw_with(&[])
    }

    /// The same with settings.
    pub(crate) fn versitygw_with(&mut self, settings: &[&str]) -> u16 {
        let port = free_port();
        let (data, sidecar) = (self.path("versitygw"), self.path("sidecar"));
        fs::create_dir_all(data.join(BUCKET)).expect("a bucket");
        fs::create_dir_all(&sidecar).expect("a folder");
        self.start(
            "VERSITYGW",
            &[
                &[
                    "--access",
                    ACCESS_KEY,
                    "--secret",
                    SECRET_KEY,
                    "--region",
                    REGION,
                    "--port",
                    &format!("127.0.0.1:{port}"),
                ],
                settings,
                &[
                    "posix",
                    "--sidecar",
                    &sidecar.to_string_lossy(),
                    &data.to_string_lossy(),
                ],
            ]
            .concat(),
            &[],
            port,
        );
        port
    }

    /// nginx with a server of these lines for each port.
    pub(crate) fn nginx(&mut self, servers: &[(u16, String)]) {
        let folder = self.folder().display().to_string();
        let mut text = format!(
            "daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx-error.log;\nevents {{}}\nhttp {{\naccess_log off;\nclient_max_body_size 64m;\nmap $request_method $writer {{ PUT $binary_remote_addr; default ''; }}\nlimit_req_zone $writer zone=writes:1m rate=1r/s;\n"
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{kind}_temp_path {folder}/{kind};");
        }
        for (port, lines) in servers {
            let _ = writeln!(text, "server {{ listen 127.0.0.1:{port}; {lines} }}");
        }
        text.push_str("}\n");
        let path = self.path("nginx.conf");
        fs::write(&path, text).expect("a configuration");
        let port = servers[0].0;
        self.start("NGINX", &["-c", &path.to_string_lossy()], &[], port);
    }

    /// `HAProxy` with a frontend of these lines for each port.
    pub(crate) fn haproxy(&mut self, frontends: &[(u16, u16, &str)]) {
        let mut text =
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
                .to_owned();
        for (port, to, line) in frontends {
            let _ = writeln!(
                text,
                "listen p{port}\n bind 127.0.0.1:{port}\n {line}\n server s 127.0.0.1:{to}"
            );
        }
        let path = self.path("haproxy.cfg");
        fs::write(&path, text).expect("a configuration");
        let port = frontends[0].0;
        self.start(
            "HAPROXY",
            &["-db", "-f", &path.to_string_lossy()],
            &[],
            port,
        );
    }
}

/// A request to `MinIO`, signed by version 2, which needs nothing but openssl. Returns the whole answer.
pub(crate) fn request(port: u16, method: &str, resource: &str, body: &str) -> String {
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let text = format!("{method}\n\n\n{date}\n{resource}");
    let signature = hmac_sha1(&text);
    let authorization = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("Authorization: AWS {ACCESS_KEY}:{signature}\r\n")
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
    write!(
        stream,
        "{method} {resource} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nDate: {date}\r\n{authorization}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The answer to a GET without a signature, from a server that speaks TLS.
fn over_tls(port: u16, resource: &str) -> String {
    let mut child = Command::new(from_rig("ASSAY_RIG_OPENSSL"))
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &format!("127.0.0.1:{port}"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    let mut input = child.stdin.take().expect("its input");
    write!(
        input,
        "GET {resource} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let output = child.wait_with_output().expect("openssl ends");
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn hmac_sha1(text: &str) -> String {
    use base64::Engine as _;
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha1", "-hmac", SECRET_KEY, "-binary"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(text.as_bytes())
        .expect("a text");
    let output = child.wait_with_output().expect("openssl ends");
    base64::engine::general_purpose::STANDARD.encode(output.stdout)
}

/// Makes a bucket that everybody may list. Not a folder that is there before the server starts: of those `MinIO` loads the
/// settings while it already takes connections, and may forget a policy that was just set.
pub(crate) fn make_public(port: u16) {
    let answer = request(port, "PUT", &format!("/{PUBLIC}/"), "");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["*"]}},"Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::{PUBLIC}"]}}]}}"#
    );
    let answer = request(port, "PUT", &format!("/{PUBLIC}/?policy"), &policy);
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

/// Names below a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
