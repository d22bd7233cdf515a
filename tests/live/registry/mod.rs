//! `registry`, `registryReachability` and `registryImages` against real registries: every link that can break, and what is
//! said of it. What is judged live is judged the same from the archive.

mod servers;

use std::fs;

use serde_json::Value;

use crate::fixture::{Bundle, Cluster};
use crate::servers::Servers;
use servers::{AMD64, ARM64, delete, registries};

/// An image of a collector of its own: the name, the image, more lines of the collector, and the reason why it cannot be
/// pulled, if any.
struct Row {
    name: &'static str,
    image: String,
    lines: String,
    reason: Option<&'static str>,
}

fn row(name: &'static str, image: String, lines: &str, reason: Option<&'static str>) -> Row {
    Row {
        name,
        image,
        lines: lines.to_owned(),
        reason,
    }
}

fn spec(rows: &[Row]) -> String {
    use std::fmt::Write as _;
    let mut spec = "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {name: registry}\nspec:\n  collectors:\n".to_owned();
    for row in rows {
        writeln!(spec, "  - registry:\n      collectorName: {}\n      images: ['{}']\n      platforms: [linux/amd64, linux/arm64]", row.name, row.image).expect("a String takes all");
        for line in row.lines.lines() {
            writeln!(spec, "      {line}").expect("a String takes all");
        }
    }
    spec.push_str("  analyzers:\n");
    for row in rows {
        writeln!(
            spec,
            "  - registryReachability: {{checkName: {0}, collectorName: {0}}}",
            row.name
        )
        .expect("a String takes all");
    }
    spec
}

/// Runs the collectors and compares what they found. Every verdict must be had again from the archive, and no password is
/// anywhere.
fn check(cluster: &Cluster, rows: &[Row], flags: &[&str]) -> (Value, Bundle) {
    let file = cluster.write("spec.yaml", &spec(rows));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let live = cluster
        .assay(&[&arguments[..], flags].concat())
        .run()
        .json();
    let arguments = [
        "analyze",
        "--bundle",
        "bundle.tar.gz",
        "spec.yaml",
        "--format",
        "json",
    ];
    let offline = cluster.assay(&arguments).run().json();
    for verdict in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(
            live[verdict], offline[verdict],
            "{verdict}: live and offline"
        );
    }
    let bundle = cluster.bundle();
    for row in rows {
        let found = found(&bundle, row.name);
        let failure = &found["images"][0]["failure"];
        assert_eq!(
            failure["reason"].as_str(),
            row.reason,
            "{}: {found:#}",
            row.name
        );
        let fails = titled(&live, "fail", row.name);
        // No node here runs arm64, so what it lacks is warned of.
        let is_unneeded = row.reason == Some("platformMissing");
        assert_eq!(
            fails.is_empty(),
            row.reason.is_none() || is_unneeded,
            "{}: {live:#}",
            row.name
        );
        let warned = titled(&live, "warn", row.name);
        assert!(!is_unneeded || !warned.is_empty(), "{}: {live:#}", row.name);
    }
    fs::remove_file(file).expect("the spec");
    // Its files are looked into; three letters are in compressed bytes by chance.
    fs::remove_file(cluster.work().join("bundle.tar.gz")).expect("the archive");
    for secret in [
        "alice-pw",
        "puller-pw",
        "pusher-pw",
        "keeper-pw",
        "nobody-pw",
        "hunter2-pw",
        "eyJ",
    ] {
        assert_eq!(bundle.holding(secret), [""; 0], "{secret} in the bundle");
        assert_eq!(
            cluster.files_holding(secret),
            Vec::<std::path::PathBuf>::new(),
            "{secret}"
        );
    }
    (live, bundle)
}

fn found(bundle: &Bundle, name: &str) -> Value {
    bundle.json(&format!("registry/{name}/reachability.json"))
}

/// The entries of a verdict on a check.
fn titled(report: &Value, verdict: &str, title: &str) -> Vec<String> {
    let entries = report[verdict].as_array().into_iter().flatten();
    let own = entries.filter(|entry| entry["title"] == title);
    own.map(ToString::to_string).collect()
}

fn indented(pem: &str) -> String {
    let lines = pem.lines().map(|line| format!("\n    {line}"));
    lines.collect()
}

/// A pull secret in the test's namespace.
fn pull_secret(cluster: &Cluster, name: &str, server: &str, user: &str, password: &str) {
    cluster.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        name,
        &format!("--docker-server={server}"),
        &format!("--docker-username={user}"),
        &format!("--docker-password={password}"),
    ]);
}

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
    let htpasswd = format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
        servers.shown("htpasswd")
    );
    let locked = servers.registry(2, &htpasswd, "");
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

fn listener(answer: fn(std::net::TcpStream)) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

#[test]
fn proxies_that_want_a_login_and_that_intercept_are_told_apart() {
    let cluster = Cluster::new("registry-proxies");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let good = servers.registry(2, "", &servers.tls("good"));
    let login = servers.proxy(true);
    let bump = servers.proxy(false);
    let through = |proxy: &str| {
        format!(
            "proxy: {{https: 'http://{proxy}'}}\ntls:\n  cacert: |{}",
            indented(&servers.authority())
        )
    };
    let image = format!("registry.test:{good}/team/app:1");
    let rows = [
        row(
            "login",
            image.clone(),
            &through(&format!("127.0.0.1:{login}")),
            Some("proxyAuthentication"),
        ),
        row(
            "logged-in",
            image.clone(),
            &through(&format!("somebody:hunter2-pw@127.0.0.1:{login}")),
            None,
        ),
        row(
            "bumped",
            image.clone(),
            &through(&format!("127.0.0.1:{bump}")),
            Some("intercepted"),
        ),
        row(
            "no-proxy",
            image,
            &through("127.0.0.1:1"),
            Some("connectionRefused"),
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let bumped = found(&bundle, "bumped");
    assert_eq!(
        bumped["servers"][0]["tls"]["issuer"], "CN=Squid at the border",
        "{bumped:#}"
    );
    assert!(titled(&live, "fail", "bumped")[0].contains("exempt the registry"));
    assert_eq!(
        found(&bundle, "logged-in")["servers"][0]["proxy"],
        format!("http://127.0.0.1:{login}")
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one registry, asked in turn")]
fn mirrors_pull_secrets_and_uploads() {
    let cluster = Cluster::new("registry-mirrors");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64, ARM64]);
    Servers::push(plain, "team/amd64", "1", &[AMD64]);
    let tokens = servers.token_service();
    let token = format!(
        "auth: {{token: {{realm: 'http://127.0.0.1:{tokens}/token', service: registry.test, issuer: test, rootcertbundle: {}}}}}\n",
        servers.shown("token.crt")
    );
    let scoped = servers.registry(3, &token, "");
    let registry = format!("127.0.0.1:{scoped}");
    pull_secret(&cluster, "puller", &registry, "puller", "puller-pw");
    pull_secret(&cluster, "pusher", &registry, "pusher", "pusher-pw");
    pull_secret(&cluster, "keeper", &registry, "keeper", "keeper-pw");
    let by_account = r#"{"imagePullSecrets": [{"name": "absent"}, {"name": "puller"}]}"#;
    cluster.kubectl(&["patch", "serviceaccount", "default", "-p", by_account]);
    let folder = servers.path("certs.d/absent.invalid");
    fs::create_dir_all(&folder).expect("a folder");
    let mirror =
        format!("[host.\"http://127.0.0.1:{plain}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    fs::write(folder.join("hosts.toml"), mirror).expect("hosts.toml");
    let mirrored = format!("mirrors: {{folders: ['{}']}}", servers.shown("certs.d"));
    let namespace = format!("namespace: {}", cluster.namespace());
    let clear = format!("plainHttp: ['{registry}']\n{namespace}");
    let rows = [
        row(
            "mirror",
            "absent.invalid/team/app:1".into(),
            &mirrored,
            None,
        ),
        row(
            "mirror-lacks",
            "absent.invalid/team/other:1".into(),
            &mirrored,
            Some("nameNotResolved"),
        ),
        row("account", format!("{registry}/team/app:1"), &clear, None),
        row(
            "amd64-alone",
            format!("{registry}/team/amd64:1"),
            &clear,
            None,
        ),
        row(
            "push",
            format!("{registry}/team/app:1"),
            &format!(
                "{clear}\nimagePullSecrets: [{{name: keeper}}]\npush: ['{registry}/team/new']"
            ),
            None,
        ),
        row(
            "push-alone",
            format!("{registry}/team/app:1"),
            &format!(
                "{clear}\nimagePullSecrets: [{{name: pusher}}]\npush: ['{registry}/team/left']"
            ),
            None,
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &["--allow-writes"]);
    let mirror = found(&bundle, "mirror");
    assert_eq!(mirror["servers"][0]["role"], "mirror", "{mirror:#}");
    let lacks = found(&bundle, "mirror-lacks");
    assert_eq!(
        lacks["images"][0]["before"][0]["reason"], "repositoryMissing",
        "{lacks:#}"
    );
    let warned = titled(&live, "warn", "account");
    assert!(
        warned
            .iter()
            .any(|it| it.contains("absent cannot be used: it does not exist")),
        "{warned:?}"
    );
    let pushed = found(&bundle, "push");
    assert_eq!(pushed["pushes"][0]["cancelled"], true, "{pushed:#}");
    let uploads = servers.path("storage/docker/registry/v2/repositories/team/new/_uploads");
    // The registry may keep its own notes of an upload that it has cancelled, but no bytes.
    let left = fs::read_dir(uploads).into_iter().flatten().flatten();
    let left = left
        .filter(|upload| upload.path().join("data").exists())
        .count();
    assert_eq!(left, 0, "an upload is left");
    let alone = found(&bundle, "push-alone");
    assert_eq!(
        alone["pushes"][0]["left"], "the account may push, and not delete",
        "{alone:#}"
    );
    assert!(
        titled(&live, "pass", "push-alone")
            .iter()
            .any(|it| it.contains("It is left without content")),
        "{live:#}"
    );

    // Without the operator's consent nothing is started, and with too few rights nothing can be.
    let rows = [row(
        "push",
        format!("{registry}/team/app:1"),
        &format!("{clear}\npush: ['{registry}/team/new']"),
        None,
    )];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let asked = found(&bundle, "push");
    assert_eq!(
        asked["pushes"][0]["failure"]["reason"], "writesNotAllowed",
        "{asked:#}"
    );
    assert!(
        titled(&live, "unknown", "push")[0].contains("writes not allowed"),
        "{live:#}"
    );
    cluster.write("spec.yaml", &spec(&rows));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
        "--allow-writes",
    ];
    let denied = cluster.assay(&arguments).run().json();
    let told = titled(&denied, "fail", "push");
    assert!(told[0].contains("Let the account push"), "{denied:#}");
}

#[test]
fn the_images_of_pods_are_asked_for_with_their_own_secrets() {
    let cluster = Cluster::new("registry-pods");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let htpasswd = format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
        servers.shown("htpasswd")
    );
    let locked = servers.registry(2, &htpasswd, "");
    let registry = format!("127.0.0.1:{locked}");
    pull_secret(&cluster, "alice", &registry, "alice", "alice-pw");
    for (name, secrets) in [("with", "[{name: alice}]"), ("without", "[]")] {
        cluster.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: kwok-0
  imagePullSecrets: {secrets}
  containers: [{{name: main, image: '{registry}/team/{}:1'}}]
",
            if name == "with" { "app" } else { "other" }
        ));
    }
    cluster.write("spec.yaml", &format!("
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: registry}}
spec:
  collectors:
  - registry: {{workloads: {{}}, plainHttp: ['{registry}']}}
  - registryImages: {{collectorName: peer, namespace: {0}, imagePullSecret: {{name: alice}}, images: ['{registry}/team/app:1', '{registry}/team/app:2', '127.0.0.1:1/a:1']}}
  hostCollectors:
  - registryImages: {{images: ['{registry}/team/app:1'], username: alice, password: alice-pw}}
  analyzers:
  - registryReachability: {{}}
  - registryImages: {{collectorName: peer, outcomes: [{{fail: {{when: missing != 1, message: missing}}}}, {{fail: {{when: errors != 1, message: errors}}}}, {{pass: {{message: as it is}}}}]}}
  hostAnalyzers:
  - registryImages: {{outcomes: [{{pass: {{when: verified == 1, message: '{{{{ .Verified }}}}'}}}}, {{fail: {{message: x}}}}]}}
", cluster.namespace()));
    let arguments = [
        "collect",
        "spec.yaml",
        "-n",
        cluster.namespace(),
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let report = cluster.assay(&arguments).run().json();
    let bundle = cluster.bundle();
    let found = found(&bundle, "registry");
    let reasons: Vec<(&str, Option<&str>)> = found["images"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|image| {
            (
                image["wantedBy"][0].as_str().unwrap_or_default(),
                image["failure"]["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("registry-pods/Pod with", None),
            ("registry-pods/Pod without", Some("credentialsMissing"))
        ],
        "{found:#}"
    );
    assert_eq!(titled(&report, "pass", "peer").len(), 1, "{report:#}");
    assert_eq!(
        titled(&report, "pass", "Registry Images").len(),
        1,
        "{report:#}"
    );
    assert_eq!(bundle.holding("alice-pw"), [""; 0]);
}
