//! What containerd's `hosts.toml` says of a mirror, and what becomes of a layer that a mirror does not have.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use super::servers::{AMD64, ARM64, registries};
use super::{check, found, listener, row, titled};
use crate::fixture::Cluster;
use crate::servers::Servers;

/// Whether the listener saw the header.
static SEEN: AtomicBool = AtomicBool::new(false);

/// A mirror that has nothing, and looks for a header.
fn looking(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).unwrap_or_default();
    let head = String::from_utf8_lossy(&bytes[..read]).to_lowercase();
    if head.contains("x-team: red-hunter2-pw") {
        SEEN.store(true, Ordering::Relaxed);
    }
    let status = if head.starts_with("get /v2/ ") {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
}

fn hosts(servers: &Servers, registry: &str, text: &str) {
    let folder = servers.path(&format!("certs.d/{registry}"));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("hosts.toml"), text).expect("hosts.toml");
}

#[test]
fn a_mirror_with_client_certificates_and_headers() {
    let cluster = Cluster::new("registry-hosts");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let mutual = format!(
        ", tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
        servers.shown("good.crt"),
        servers.shown("server.key"),
        servers.shown("ca.crt")
    );
    let mutual = servers.registry(2, "", &mutual);
    let looking = listener(looking);
    let both =
        ["good.crt", "server.key"].map(|name| fs::read_to_string(servers.path(name)).expect("PEM"));
    fs::write(servers.path("both.pem"), both.concat()).expect("PEM");
    let (authority, pair, one) = (
        servers.shown("ca.crt"),
        format!(
            "[[\"{}\", \"{}\"]]",
            servers.shown("good.crt"),
            servers.shown("server.key")
        ),
        format!("\"{}\"", servers.shown("both.pem")),
    );
    let mirror = |client: &str| {
        format!("[host.\"https://127.0.0.1:{mutual}\"]\n  ca = \"{authority}\"\n{client}")
    };
    hosts(
        &servers,
        "pair.invalid",
        &mirror(&format!("  client = {pair}\n")),
    );
    hosts(
        &servers,
        "one.invalid",
        &mirror(&format!("  client = {one}\n")),
    );
    hosts(&servers, "none.invalid", &mirror(""));
    hosts(
        &servers,
        "_default",
        &format!(
            "[host.\"http://127.0.0.1:{looking}\"]\n  [host.\"http://127.0.0.1:{looking}\".header]\n    X-Team = \"red-hunter2-pw\"\n[host.\"http://127.0.0.1:{plain}\"]\n"
        ),
    );
    let mirrored = format!("mirrors: {{folders: ['{}']}}", servers.shown("certs.d"));
    let rows = [
        row("pair", "pair.invalid/team/app:1".into(), &mirrored, None),
        row("one", "one.invalid/team/app:1".into(), &mirrored, None),
        row(
            "none",
            "none.invalid/team/app:1".into(),
            &mirrored,
            Some("nameNotResolved"),
        ),
        row(
            "default",
            "other.invalid/team/app:1".into(),
            &mirrored,
            None,
        ),
    ];
    let (_, bundle) = check(&cluster, &rows, &[]);
    let none = found(&bundle, "none");
    assert_eq!(
        none["images"][0]["before"][0]["server"],
        format!("https://127.0.0.1:{mutual}"),
        "{none:#}"
    );
    let default = found(&bundle, "default");
    assert_eq!(
        default["images"][0]["server"],
        format!("http://127.0.0.1:{plain}"),
        "{default:#}"
    );
    assert!(SEEN.load(Ordering::Relaxed), "the header was not sent");
}

#[test]
fn a_layer_that_a_mirror_lacks_is_had_from_the_next_host() {
    let cluster = Cluster::new("registry-contents");
    let (mut servers, mut upstream) = (registries(), registries());
    let mirror = servers.registry(2, "", "");
    let source = upstream.registry(2, "", "");
    let here = Servers::push(mirror, "team/app", "1", &[AMD64, ARM64]);
    let there = Servers::push(source, "team/app", "1", &[AMD64, ARM64]);
    assert_eq!(here.layers, there.layers);
    servers.remove_blob(&here.layers[0]);
    let registry = format!("127.0.0.1:{source}");
    let (mirror, upstream) = (
        format!("http://127.0.0.1:{mirror}"),
        format!("http://{registry}"),
    );
    hosts(
        &servers,
        &format!("127.0.0.1_{source}_"),
        &format!("server = \"{upstream}\"\n[host.\"{mirror}\"]\n"),
    );
    let image = format!("{registry}/team/app:1");
    let rows = [
        row(
            "containerd",
            image.clone(),
            &format!("mirrors: {{folders: ['{}']}}", servers.shown("certs.d")),
            None,
        ),
        // Others take all of an image from the mirror that has its manifest.
        row(
            "others",
            image,
            &format!(
                "plainHttp: ['{registry}']\nmirrors: {{given: [{{registry: '{registry}', mirrors: ['{mirror}']}}]}}"
            ),
            Some("blobMissing"),
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let found = found(&bundle, "containerd");
    let image = &found["images"][0];
    assert_eq!(image["server"], mirror, "{found:#}");
    assert_eq!(image["elsewhere"], 1, "{found:#}");
    assert_eq!(image["fromOthers"][0]["server"], upstream, "{found:#}");
    assert_eq!(
        image["fromOthers"][0]["digest"], here.layers[0],
        "{found:#}"
    );
    let warned = titled(&live, "warn", "containerd");
    let text =
        format!("is not whole at {mirror}: containerd has from {upstream} what is not there");
    assert!(
        warned
            .iter()
            .any(|it| it.contains(&text) && it.contains(&here.layers[0])),
        "{live:#}"
    );
}
