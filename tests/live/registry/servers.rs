//! Registries, a token service, proxies and certificates, as children of a test.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixture::from_rig;
use crate::servers::{Servers, free_port};

/// `alice:alice-pw` in bcrypt.
const HTPASSWD: &str = "alice:$2b$12$zi0AWio/nNff9B8NeARYeeosfS281bcKU4DFZKQzkNrWcWCmZkRE6\n";

/// What is pushed: repository, and of each layer a word.
pub(crate) const AMD64: &str = "amd64";
pub(crate) const ARM64: &str = "arm64";

/// A folder with everything that registries need: people's passwords and certificates.
pub(crate) fn registries() -> Servers {
    let servers = Servers::new();
    fs::write(servers.path("htpasswd"), HTPASSWD).expect("htpasswd");
    servers.certificates();
    servers
}

impl Servers {
    /// A registry of this version with further settings, over the storage that all of them share.
    pub(crate) fn registry(&mut self, version: u32, settings: &str, http: &str) -> u16 {
        let port = free_port();
        let file = self.path(&format!("registry-{port}.yml"));
        let text = format!(
            "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}
http: {{addr: '0.0.0.0:{port}'{http}}}
{settings}",
            self.shown("storage"),
        );
        fs::write(&file, text).expect("the registry's configuration");
        self.start(
            &format!("REGISTRY_{version}"),
            &["serve", &file.to_string_lossy()],
            &[("OTEL_TRACES_EXPORTER", "none")],
            port,
        );
        port
    }

    /// A registry that asks for a login, of which `htpasswd` has alice's.
    pub(crate) fn registry_with_logins(&mut self) -> u16 {
        let settings = format!(
            "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            self.shown("htpasswd")
        );
        self.registry(2, &settings, "")
    }

    pub(crate) fn tls(&self, name: &str) -> String {
        format!(
            ", tls: {{certificate: {}, key: {}}}",
            self.shown(&format!("{name}.crt")),
            self.shown("server.key")
        )
    }

    /// A service that gives tokens to people by what they may: `puller` may pull, `pusher` push as well, `keeper` delete,
    /// too, `nobody` nothing. All of them have their name with `-pw` as password.
    pub(crate) fn token_service(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let folder = self.folder().to_path_buf();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let folder = folder.clone();
                thread::spawn(move || give_token(stream, &folder));
            }
        });
        port
    }

    /// Pushes an image by hand: one layer for each platform, an index where there are several.
    pub(crate) fn push(port: u16, repository: &str, tag: &str, platforms: &[&str]) -> Pushed {
        let mut children = Vec::new();
        let mut layers = Vec::new();
        for platform in platforms {
            let config = json!({"os": "linux", "architecture": platform, "rootfs": {"type": "layers", "diff_ids": []}});
            let layer = format!("{repository} {tag} {platform} layer");
            let config = Self::blob(port, repository, config.to_string().as_bytes());
            let layer = Self::blob(port, repository, layer.as_bytes());
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
                "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
            });
            let text = manifest.to_string();
            let reference = if platforms.len() == 1 {
                tag.to_owned()
            } else {
                digest(text.as_bytes())
            };
            put(
                port,
                &format!("/v2/{repository}/manifests/{reference}"),
                "application/vnd.oci.image.manifest.v1+json",
                text.as_bytes(),
            );
            let mut child = descriptor(
                "application/vnd.oci.image.manifest.v1+json",
                &(digest(text.as_bytes()), text.len()),
            );
            child["platform"] = json!({"os": "linux", "architecture": platform});
            children.push(child);
            layers.push(layer.0);
        }
        if platforms.len() > 1 {
            let index = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": children,
            });
            put(
                port,
                &format!("/v2/{repository}/manifests/{tag}"),
                "application/vnd.oci.image.index.v1+json",
                index.to_string().as_bytes(),
            );
        }
        let manifests = children
            .iter()
            .map(|child| child["digest"].as_str().unwrap_or_default().to_owned());
        Pushed {
            manifests: manifests.collect(),
            layers,
        }
    }

    fn blob(port: u16, repository: &str, bytes: &[u8]) -> (String, usize) {
        let (_, headers, _) = request(
            port,
            "POST",
            &format!("/v2/{repository}/blobs/uploads/"),
            "",
            b"",
        );
        let location = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location")
                .then(|| value.trim().to_owned())
        });
        let location = location.unwrap_or_else(|| panic!("no upload: {headers}"));
        let path = location
            .split_once("/v2/")
            .map_or(location.clone(), |(_, rest)| format!("/v2/{rest}"));
        let digest = digest(bytes);
        put(
            port,
            &format!("{path}&digest={digest}"),
            "application/octet-stream",
            bytes,
        );
        (digest, bytes.len())
    }

    /// Takes a layer's bytes from under the registry.
    pub(crate) fn remove_blob(&self, digest: &str) {
        let digits = digest.trim_start_matches("sha256:");
        let blob = format!(
            "storage/docker/registry/v2/blobs/sha256/{}/{digits}/data",
            &digits[..2]
        );
        fs::remove_file(self.path(&blob)).expect("the layer");
    }
}

/// What was pushed.
pub(crate) struct Pushed {
    pub(crate) manifests: Vec<String>,
    pub(crate) layers: Vec<String>,
}

fn descriptor(media_type: &str, (digest, size): &(String, usize)) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn put(port: u16, path: &str, content_type: &str, bytes: &[u8]) {
    let (status, headers, body) = request(port, "PUT", path, content_type, bytes);
    assert_eq!(status, 201, "PUT {path}: {headers}{body}");
}

pub(crate) fn delete(port: u16, path: &str) {
    let (status, headers, body) = request(port, "DELETE", path, "", b"");
    assert_eq!(status, 202, "DELETE {path}: {headers}{body}");
}

fn request(
    port: u16,
    method: &str,
    path: &str,
    content_type: &str,
    bytes: &[u8],
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the registry");
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n",
        bytes.len()
    );
    if !content_type.is_empty() {
        let _ = write!(head, "Content-Type: {content_type}\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or_default();
    (status, head.to_owned(), body.to_owned())
}

fn give_token(mut stream: TcpStream, folder: &Path) {
    let mut reader = BufReader::new(stream.try_clone().expect("the stream"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        let query = line
            .split(' ')
            .nth(1)
            .and_then(|it| it.split_once('?'))
            .map(|(_, it)| it.to_owned());
        let mut user = String::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            if header.trim().is_empty() {
                break;
            }
            if let Some(basic) = header.trim().strip_prefix("authorization: Basic ") {
                user = String::from_utf8(STANDARD.decode(basic).expect("base64")).expect("UTF-8");
            }
        }
        let scope = query.unwrap_or_default();
        let scope = scope
            .split('&')
            .find_map(|it| it.strip_prefix("scope="))
            .unwrap_or_default();
        let scope = scope
            .replace("%2F", "/")
            .replace("%2C", ",")
            .replace("%3A", ":");
        let (status, body) = match user.as_str() {
            "puller:puller-pw" => (200, token(folder, &scope, &["pull"])),
            "pusher:pusher-pw" => (200, token(folder, &scope, &["pull", "push"])),
            "keeper:keeper-pw" => (200, token(folder, &scope, &["pull", "push", "delete"])),
            "nobody:nobody-pw" => (200, token(folder, &scope, &[])),
            _ => (
                401,
                json!({"errors": [{"code": "UNAUTHORIZED", "message": format!("who is {user}?")}]})
                    .to_string(),
            ),
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A token for what is asked for, as far as it is allowed, signed by openssl.
fn token(folder: &Path, scope: &str, allowed: &[&str]) -> String {
    let mut parts = scope.split(':');
    let (kind, name, actions) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let granted: Vec<&str> = actions
        .split(',')
        .filter(|it| allowed.contains(it))
        .collect();
    let access = if granted.is_empty() {
        json!([])
    } else {
        json!([{"type": kind, "name": name, "actions": granted}])
    };
    let certificate = fs::read_to_string(folder.join("token.crt")).expect("the certificate");
    let der: String = certificate
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let now = now();
    let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let claims = json!({
        "iss": "test", "sub": "somebody", "aud": "registry.test", "jti": "1",
        "iat": now - 10, "nbf": now - 10, "exp": now + 300, "access": access,
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut child = Command::new(from_rig("ASSAY_RIG_OPENSSL"))
        .args(["dgst", "-sha256", "-sign", "token.key"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(signed.as_bytes())
        .expect("it reads");
    let signature = child.wait_with_output().expect("openssl ends").stdout;
    json!({"token": format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature)), "expires_in": 300})
        .to_string()
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_secs()).expect("seconds")
}
