//! Every link that can break, and its reason.

use std::fs;

use super::servers::{AMD64, ARM64, delete, registries};
use super::{check, found, indented, listener, row, titled};
use crate::fixture::Cluster;
use crate::servers::Servers;

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a row for each reason")]
fn every_link_that_breaks_has_its_reason() {
    let cluster = Cluster::new("registry-reasons");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    let both = Servers::push(plain, "team/app", "1", &[AMD64, ARM64]);
    let half = Servers::push(plain, "team/half", "1", &[AMD64, ARM64]);
    delete(
        plain,
        &format!("/v2/team/half/manifests/{}", half.manifests[1]),
    );
    let cut = Servers::push(plain, "team/cut", "1", &[AMD64]);
    servers.remove_blob(&cut.layers[0]);
    let good = servers.registry(2, "", &servers.tls("good"));
    let expired = servers.registry(2, "", &servers.tls("expired"));
    let other = servers.registry(2, "", &servers.tls("other"));
    let own = servers.registry(2, "", &servers.tls("self"));
    let locked = servers.registry_with_logins();
    // Nothing listens there, nor will.
    let dead = 1;
    let elsewhere = format!(
        "middleware: {{storage: [{{name: redirect, options: {{baseurl: 'http://127.0.0.1:{dead}/'}}}}]}}\n"
    );
    let elsewhere = servers.registry(2, &elsewhere, "");
    let tokens = servers.token_service();
    let token = format!(
        "auth: {{token: {{realm: 'http://127.0.0.1:{tokens}/token', service: registry.test, issuer: test, rootcertbundle: {}}}}}\n",
        servers.shown("token.crt")
    );
    let scoped = servers.registry(3, &token, "");
    let silent = silent();
    let web = web();

    let clear = |port: u16| format!("plainHttp: ['127.0.0.1:{port}']");
    let login = |port: u16, user: &str, password: &str| {
        format!(
            "plainHttp: ['127.0.0.1:{port}']\ncredentials: [{{registry: '127.0.0.1:{port}', username: {user}, password: {password}}}]"
        )
    };
    let at = |port: u16, rest: &str| format!("127.0.0.1:{port}/{rest}");
    let trusting = format!("tls:\n  cacert: |{}", indented(&servers.authority()));
    let itself = fs::read_to_string(servers.path("self.crt")).expect("the certificate");
    let itself = format!("tls:\n  cacert: |{}", indented(&itself));
    let rows = [
        row("whole", at(plain, "team/app:1"), &clear(plain), None),
        row(
            "by-digest",
            at(plain, &format!("team/app@{}", both.manifests[0])),
            &clear(plain),
            None,
        ),
        row(
            "no-tag",
            at(plain, "team/app:2"),
            &clear(plain),
            Some("tagMissing"),
        ),
        row(
            "no-repository",
            at(plain, "team/none:1"),
            &clear(plain),
            Some("repositoryMissing"),
        ),
        row(
            "no-reference",
            "127.0.0.1:5000/Team/app".into(),
            "",
            Some("badReference"),
        ),
        row(
            "half",
            at(plain, "team/half:1"),
            &clear(plain),
            Some("platformMissing"),
        ),
        row(
            "cut",
            at(plain, "team/cut:1"),
            &clear(plain),
            Some("blobMissing"),
        ),
        row(
            "in-clear",
            at(plain, "team/app:1"),
            "",
            Some("httpOnHttpsPort"),
        ),
        row(
            "not-in-clear",
            at(good, "team/app:1"),
            &clear(good),
            Some("httpsOnHttpPort"),
        ),
        row("trusted", at(good, "team/app:1"), &trusting, None),
        row(
            "untrusted",
            at(good, "team/app:1"),
            "",
            Some("tlsUntrusted"),
        ),
        row(
            "unverified",
            at(expired, "team/app:1"),
            "tls: {skipVerify: true}",
            None,
        ),
        row(
            "expired",
            at(expired, "team/app:1"),
            &trusting,
            Some("tlsExpired"),
        ),
        row(
            "other-name",
            at(other, "team/app:1"),
            &trusting,
            Some("tlsNameMismatch"),
        ),
        row("itself", at(own, "team/app:1"), &itself, None),
        row(
            "not-itself",
            at(own, "team/app:1"),
            "",
            Some("tlsUntrusted"),
        ),
        row(
            "basic",
            at(locked, "team/app:1"),
            &login(locked, "alice", "alice-pw"),
            None,
        ),
        row(
            "basic-wrong",
            at(locked, "team/app:1"),
            &login(locked, "alice", "hunter2-pw"),
            Some("unauthorized"),
        ),
        row(
            "basic-none",
            at(locked, "team/app:1"),
            &clear(locked),
            Some("credentialsMissing"),
        ),
        row(
            "token",
            at(scoped, "team/app:1"),
            &login(scoped, "puller", "puller-pw"),
            None,
        ),
        row(
            "token-none",
            at(scoped, "team/app:1"),
            &clear(scoped),
            Some("credentialsMissing"),
        ),
        row(
            "token-wrong",
            at(scoped, "team/app:1"),
            &login(scoped, "puller", "hunter2-pw"),
            Some("unauthorized"),
        ),
        row(
            "token-empty",
            at(scoped, "team/app:1"),
            &login(scoped, "nobody", "nobody-pw"),
            Some("denied"),
        ),
        row(
            "elsewhere",
            at(elsewhere, "team/app:1"),
            &clear(elsewhere),
            Some("redirectUnreachable"),
        ),
        row(
            "refused",
            at(dead, "team/app:1"),
            "",
            Some("connectionRefused"),
        ),
        row(
            "unresolved",
            "absent.invalid/team/app:1".into(),
            "",
            Some("nameNotResolved"),
        ),
        row(
            "silent",
            at(silent, "team/app:1"),
            "timeout: 9s",
            Some("noAnswer"),
        ),
        row(
            "web",
            at(web, "team/app:1"),
            &clear(web),
            Some("notARegistry"),
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &[]);

    let whole = found(&bundle, "whole");
    let platforms = whole["images"][0]["platforms"]
        .as_array()
        .expect("platforms");
    assert_eq!(platforms.len(), 2, "{whole:#}");
    assert_eq!(whole["images"][0]["blobs"], 4, "{whole:#}");
    // The API, the index, two manifests, two configurations, two layers.
    assert_eq!(whole["requests"]["all"], 8, "{whole:#}");
    let trusted = found(&bundle, "trusted");
    assert_eq!(
        trusted["servers"][0]["tls"]["issuer"], "CN=Test authority",
        "{trusted:#}"
    );
    let steps = found(&bundle, "refused");
    let states: Vec<&str> = steps["servers"][0]["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["state"].as_str())
        .collect();
    assert_eq!(
        states,
        ["holds", "broken", "notReached", "notReached", "notReached"]
    );
    let empty = found(&bundle, "token-empty");
    let message = empty["images"][0]["failure"]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.contains("with a token that allows nothing"),
        "{message}"
    );
    let accepted = found(&bundle, "token");
    assert_eq!(
        accepted["credentials"][0]["outcome"], "accepted",
        "{accepted:#}"
    );
    assert!(titled(&live, "fail", "elsewhere")[0].contains("redirect: disable: true"));
}

/// Takes connections and says nothing.
fn silent() -> u16 {
    listener(|_| std::thread::sleep(std::time::Duration::from_mins(1)))
}

/// A web server that is no registry.
fn web() -> u16 {
    use std::io::{Read as _, Write as _};
    listener(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    })
}
