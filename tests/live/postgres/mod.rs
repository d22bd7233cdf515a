//! `postgres` and `postgresLimits` against real servers: every way in which PostgreSQL and PgBouncer let nobody in, and
//! what they tell where they do. What is judged live is judged the same from the archive.

mod server;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use serde_json::Value;

use crate::fixture::{Bundle, Cluster, wait_until};
use crate::servers::free_port;
use server::{Held, PgBouncer, Postgres, RESERVED, SLOTS};

/// A collector of a run: its name, its connection string, and the reason why it gets no connection, if any.
type Row<'a> = (&'a str, String, Option<&'a str>);

/// A namespace, and an account without any right: what a connection string in the spec needs, and there is nothing else
/// to collect.
struct Probe {
    cluster: Cluster,
    account: PathBuf,
}

impl Probe {
    fn new(name: &str) -> Self {
        let cluster = Cluster::new(name);
        let account = cluster.kubeconfig_of("prober");
        Self { cluster, account }
    }

    /// Runs the collectors, each with both analyzers, and compares what they found. Every verdict must be had again from
    /// the archive.
    fn check(&self, rows: &[Row<'_>], extra: &str) -> (Value, Bundle) {
        let cluster = &self.cluster;
        let mut spec = "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {name: postgres}\nspec:\n  collectors:\n".to_owned();
        for (name, uri, _) in rows {
            writeln!(
                spec,
                "  - postgres: {{collectorName: {name}, uri: \"{uri}\"{extra}}}"
            )
            .expect("a String takes all");
        }
        spec.push_str("  analyzers:\n");
        for (name, _, _) in rows {
            writeln!(
            spec,
            "  - postgres: {{checkName: in-{name}, collectorName: {name}, outcomes: [{{fail: {{when: connected == false, message: 'not in:'}}}}, {{pass: {{message: in}}}}]}}
  - postgresLimits: {{checkName: limits-{name}, collectorName: {name}, demand: [{{connections: 2}}]}}"
        )
        .expect("a String takes all");
        }
        let spec_file = cluster.write("spec.yaml", &spec);
        let live = cluster
            .assay(&[
                "preflight",
                "spec.yaml",
                "--format",
                "json",
                "--output",
                "bundle.tar.gz",
            ])
            .kubeconfig(&self.account)
            .run()
            .json();
        let offline = cluster
            .assay(&[
                "analyze",
                "--bundle",
                "bundle.tar.gz",
                "spec.yaml",
                "--format",
                "json",
            ])
            .run()
            .json();
        for verdict in ["pass", "warn", "fail", "unknown", "notApplicable"] {
            assert_eq!(
                live[verdict], offline[verdict],
                "{verdict}: live and offline"
            );
        }
        let bundle = cluster.bundle();
        for (name, _, reason) in rows {
            let limits = bundle.json(&format!("postgres/{name}/limits.json"));
            assert_eq!(
                limits["failure"]["reason"].as_str(),
                *reason,
                "{name}: {limits:#}"
            );
            let connection = bundle.json(&format!("postgres/{name}.json"));
            assert_eq!(
                connection["isConnected"],
                reason.is_none(),
                "{name}: {connection}"
            );
            assert_eq!(
                connection["error"].is_string(),
                reason.is_some(),
                "{name}: {connection}"
            );
        }
        // The spec of the test holds the passwords, of course.
        std::fs::remove_file(spec_file).expect("the spec");
        for password in ["app-pw", "limited-pw", "tlsonly-pw", "hunter2-pw"] {
            assert_eq!(
                bundle.holding(password),
                [""; 0],
                "{password} in the bundle"
            );
            assert_eq!(
                cluster.files_holding(password),
                Vec::<std::path::PathBuf>::new(),
                "{password} in a file of the run"
            );
        }
        std::fs::remove_file(cluster.work().join("bundle.tar.gz")).expect("the archive");
        (live, bundle)
    }
}

/// The verdict on a check, its message and its remedy.
fn verdict(report: &Value, check: &str) -> (String, String) {
    for verdict in ["pass", "warn", "fail", "unknown"] {
        let entries = report[verdict].as_array().into_iter().flatten();
        for entry in entries {
            if entry["title"] == check {
                let text = format!(
                    "{} {}",
                    entry["message"].as_str().unwrap_or_default(),
                    entry["remedy"].as_str().unwrap_or_default()
                );
                return (verdict.to_owned(), text);
            }
        }
    }
    panic!("no verdict on {check}: {report:#}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a row for each reason")]
fn every_way_of_not_getting_in_has_its_reason() {
    let probe = Probe::new("postgres-reasons");
    let server = Postgres::start(15);
    let port = server.port();
    let at = |who: &str, rest: &str| format!("postgresql://{who}:{who}-pw@localhost:{port}/{rest}");
    let file = |name: &str| server.file(name).display().to_string();
    let silent = listener(|_| thread::sleep(std::time::Duration::from_mins(2)));
    let web = listener(|stream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    });
    let shell = listener(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        let _ = stream.read(&mut [0; 512]);
    });
    let closing = listener(|_| ());
    let rows = [
        ("in", at("app", "app"), None),
        ("plain", at("app", "app?sslmode=disable"), None),
        (
            "words",
            format!("host=localhost port={port} user=app password=app-pw dbname=app sslmode=allow"),
            None,
        ),
        (
            "verified",
            at(
                "app",
                &format!("app?sslmode=verify-full&sslrootcert={}", file("ca.crt")),
            ),
            None,
        ),
        (
            "second-host",
            format!(
                "postgresql://app:app-pw@localhost:{},localhost:{port}/app?target_session_attrs=read-write",
                free_port()
            ),
            None,
        ),
        (
            "certified",
            format!(
                "postgresql://certified@localhost:{port}/app?sslmode=require&sslcert={}&sslkey={}",
                file("client.crt"),
                file("client.key")
            ),
            None,
        ),
        (
            "uncertified",
            format!("postgresql://certified@localhost:{port}/app?sslmode=require"),
            Some("clientCertificateRequired"),
        ),
        (
            "password",
            "postgresql://app:hunter2-pw@localhost:PORT/app".replace("PORT", &port.to_string()),
            Some("wrongPassword"),
        ),
        (
            "no-password",
            format!("postgresql://app@localhost:{port}/app"),
            Some("passwordMissing"),
        ),
        ("no-entry", at("nohost", "app"), Some("noHostEntry")),
        (
            "tls-required",
            at("tlsonly", "app?sslmode=disable"),
            Some("tlsRequired"),
        ),
        ("tls", at("tlsonly", "app"), None),
        ("no-database", at("app", "absent"), Some("databaseMissing")),
        (
            "closed-database",
            at("app", "template0"),
            Some("databaseClosed"),
        ),
        ("role-limit", at("limited", "app"), Some("roleLimit")),
        ("database-limit", at("app", "tiny"), Some("databaseLimit")),
        (
            "foreign",
            at(
                "app",
                &format!("app?sslmode=verify-ca&sslrootcert={}", file("other-ca.crt")),
            ),
            Some("tlsUntrusted"),
        ),
        (
            "other-name",
            format!(
                "postgresql://app:app-pw@127.0.0.1:{port}/app?sslmode=verify-full&sslrootcert={}",
                file("ca.crt")
            ),
            Some("tlsNameMismatch"),
        ),
        (
            "no-such-name",
            "postgresql://app:app-pw@absent.invalid/app".to_owned(),
            Some("nameNotResolved"),
        ),
        (
            "refused",
            format!("postgresql://app:app-pw@localhost:{}/app", free_port()),
            Some("connectionRefused"),
        ),
        (
            "silent",
            format!("postgresql://app:app-pw@localhost:{silent}/app?connect_timeout=1"),
            Some("noAnswer"),
        ),
        (
            "silent-plain",
            format!(
                "postgresql://app:app-pw@localhost:{silent}/app?connect_timeout=1&sslmode=disable"
            ),
            Some("noAnswer"),
        ),
        (
            "web",
            format!("postgresql://app:app-pw@localhost:{web}/app"),
            Some("notPostgres"),
        ),
        (
            "web-plain",
            format!("postgresql://app:app-pw@localhost:{web}/app?sslmode=disable"),
            Some("notPostgres"),
        ),
        (
            "shell",
            format!("postgresql://app:app-pw@localhost:{shell}/app"),
            Some("notPostgres"),
        ),
        (
            "closing",
            format!("postgresql://app:app-pw@localhost:{closing}/app"),
            Some("closedByServer"),
        ),
        (
            "unescaped",
            format!("postgresql://app:a@pp-pw@localhost:{port}/app"),
            Some("badConnectionString"),
        ),
        (
            "nobody",
            format!("postgresql://localhost:{port}/app"),
            Some("badConnectionString"),
        ),
    ];
    let (report, bundle) = probe.check(&rows, "");
    for (name, _, reason) in &rows {
        let (is, text) = verdict(&report, &format!("in-{name}"));
        assert_eq!(
            is,
            if reason.is_some() { "fail" } else { "pass" },
            "{name}: {text}"
        );
        let (is, text) = verdict(&report, &format!("limits-{name}"));
        let expected = match *reason {
            None => "pass",
            Some("roleLimit" | "databaseLimit") => "fail",
            Some(_) => "unknown",
        };
        assert_eq!(is, expected, "{name}: {text}");
    }
    let limits = |name: &str| bundle.json(&format!("postgres/{name}/limits.json"));
    assert_eq!(
        limits("verified")["connection"]["authentication"],
        "SCRAM-SHA-256-PLUS"
    );
    assert_eq!(
        limits("verified")["connection"]["tls"]["verified"],
        "authority and name"
    );
    assert_eq!(
        limits("plain")["connection"]["authentication"],
        "SCRAM-SHA-256"
    );
    assert_eq!(limits("plain")["connection"]["tls"], Value::Null);
    assert_eq!(limits("certified")["connection"]["authentication"], "trust");
    assert_eq!(limits("in")["slots"]["maxConnections"], SLOTS);
    assert_eq!(limits("in")["pooler"]["present"], false);
    assert_eq!(limits("in")["database"]["mayCreateInPublic"], true);
}

#[test]
fn certificates_are_judged_as_libpq_judges_them() {
    let probe = Probe::new("postgres-certificates");
    let server = Postgres::start(15);
    let uri = |mode: &str, host: &str| {
        let roots = server.file("ca.crt");
        format!(
            "postgresql://app:app-pw@{host}:{}/app?sslmode={mode}&sslrootcert={}",
            server.port(),
            roots.display()
        )
    };
    server.show_certificate("plain");
    let rows = [
        ("common-name", uri("verify-full", "localhost"), None),
        ("authority", uri("verify-ca", "127.0.0.1"), None),
        (
            "other",
            uri("verify-full", "127.0.0.1"),
            Some("tlsNameMismatch"),
        ),
    ];
    probe.check(&rows, "");
    server.show_certificate("expired");
    let rows = [
        (
            "expired",
            uri("verify-full", "localhost"),
            Some("tlsExpired"),
        ),
        ("not-verified", uri("prefer", "localhost"), None),
    ];
    probe.check(&rows, "");
    let skipped = [("skipped", uri("verify-full", "localhost"), None)];
    probe.check(&skipped, ", tls: {skipVerify: true}");
}

#[test]
fn the_last_slots_are_told_apart_in_every_version() {
    for version in [15, 16, 17, 18] {
        let probe = Probe::new(&format!("postgres-slots-{version}"));
        let server = Postgres::start(version);
        let uri = format!("postgresql://app:app-pw@localhost:{}/app", server.port());
        let row = |reason| [("db", uri.clone(), reason)];
        let reserved = if version >= 16 {
            RESERVED + 1
        } else {
            RESERVED
        };
        // All but three of those that a role without rights may have.
        let _held = server.hold("other", SLOTS - reserved - 3);
        let (report, bundle) = probe.check(&row(None), "");
        let limits = bundle.json("postgres/db/limits.json");
        assert_eq!(
            limits["server"]["versionNumber"]
                .as_i64()
                .unwrap_or_default()
                / 10_000,
            i64::from(version),
            "{limits:#}"
        );
        let reserved_for_roles = limits["slots"]["reserved"].as_u64();
        assert_eq!(
            reserved_for_roles,
            Some(u64::from(version >= 16)),
            "{limits:#}"
        );
        let (is, text) = verdict(&report, "limits-db");
        assert_eq!(is, "pass", "{text}");
        assert!(
            text.contains(&format!(
                "{} of them by other roles; available: 3",
                SLOTS - reserved - 3
            )),
            "{text}"
        );
        let _more = server.hold("other", 3);
        let (report, _) = probe.check(&row(Some("onlyReservedLeft")), "");
        assert_eq!(verdict(&report, "limits-db").0, "fail");
        let _last = server.hold("owner", reserved);
        let (report, _) = probe.check(&row(Some("tooManyConnections")), "");
        assert_eq!(verdict(&report, "limits-db").0, "fail");
    }
}

#[test]
fn a_server_that_is_not_ready_says_so() {
    let probe = Probe::new("postgres-recovery");
    let mut server = Postgres::start(15);
    let uri = format!("postgresql://app:app-pw@localhost:{}/app", server.port());
    let row = |reason| [("db", uri.clone(), reason)];
    server.restart("hot_standby = on", "standby.signal");
    server.wait_for_logins("app");
    let (report, bundle) = probe.check(&row(None), "");
    assert_eq!(
        bundle.json("postgres/db/limits.json")["server"]["inRecovery"],
        true
    );
    let (is, text) = verdict(&report, "limits-db");
    assert_eq!(is, "warn", "{text}");
    assert!(text.contains("standby"), "{text}");
    let primary = [(
        "db",
        format!("{uri}?target_session_attrs=primary"),
        Some("wrongServerKind"),
    )];
    probe.check(&primary, "");
    server.restart("hot_standby = off", "standby.signal");
    probe.check(&row(Some("inRecovery")), "");
    // It waits for a file of its archive for ever.
    server.restart("restore_command = 'sleep 600; false'", "recovery.signal");
    probe.check(&row(Some("startingUp")), "");
}

#[test]
fn a_pooler_is_seen_and_its_console_is_read() {
    let probe = Probe::new("postgres-pooler");
    let server = Postgres::start(15);
    for mode in ["session", "transaction", "statement"] {
        let pooler = PgBouncer::start(&server, mode, 50);
        let uri = format!("postgresql://app:app-pw@localhost:{}/app", pooler.port());
        let rows = [("db", uri.clone(), None)];
        // The application's role may not read the console.
        let (report, bundle) = probe.check(&rows, "");
        let found = bundle.json("postgres/db/limits.json")["pooler"].clone();
        assert_eq!(found["present"], true, "{mode}: {found:#}");
        assert!(found["consoleUnread"].is_string(), "{mode}: {found:#}");
        assert_eq!(verdict(&report, "limits-db").0, "unknown", "{mode}");
        let console = format!(
            ", console: {{uri: \"postgresql://stats:stats-pw@localhost:{}/app\"}}",
            pooler.port()
        );
        let (report, bundle) = probe.check(&rows, &console);
        let found = bundle.json("postgres/db/limits.json")["pooler"].clone();
        assert_eq!(found["product"], "PgBouncer", "{mode}: {found:#}");
        assert_eq!(found["console"]["poolMode"], mode);
        assert_eq!(found["console"]["maxClientConnections"], 50);
        assert_eq!(found["console"]["databases"][0]["poolSize"], 3, "{found:#}");
        assert!(
            found["console"]["pools"]
                .as_array()
                .is_some_and(|pools| !pools.is_empty()),
            "{found:#}"
        );
        let (is, text) = verdict(&report, "limits-db");
        assert_eq!(is, "pass", "{mode}: {text}");
        let available = if mode == "session" {
            "available: 4"
        } else {
            "available: 50"
        };
        assert!(text.contains(available), "{mode}: {text}");
    }
    let full = PgBouncer::start(&server, "session", 1);
    let before = server.logins("app");
    let _held = Held::new("app", "localhost", full.port(), 1);
    wait_until("a client of the pooler", || server.logins("app") > before);
    let rows = [(
        "db",
        format!("postgresql://app:app-pw@localhost:{}/app", full.port()),
        Some("poolerFull"),
    )];
    let (report, _) = probe.check(&rows, "");
    assert_eq!(verdict(&report, "limits-db").0, "fail");
}

#[test]
fn a_connection_string_comes_from_a_secret_that_is_asked_for_by_its_name() {
    let cluster = Cluster::new("postgres-secret");
    let server = Postgres::start(15);
    let uri = format!(
        "postgresql://app:app-pw@localhost:{}/app?sslmode=verify-full",
        server.port()
    );
    let authority = std::fs::read_to_string(server.file("ca.crt"))
        .expect("the authority")
        .replace('\n', "\n    ");
    cluster.apply(&format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: shop-db-app}}
stringData:
  uri: {uri}
  other: x
---
apiVersion: v1
kind: Secret
metadata: {{name: shop-db-ca}}
stringData:
  cacert: |
    {authority}
"
    ));
    let spec = |key: &str| {
        format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: secret}}
spec:
  collectors:
  - postgres:
      collectorName: db
      secret: {{namespace: postgres-secret, name: shop-db-app, key: {key}}}
      tls: {{secret: {{namespace: postgres-secret, name: shop-db-ca}}}}
"
        )
    };
    let account = cluster.account(
        "prober",
        "- {apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [shop-db-app, shop-db-ca]}",
    );
    for (key, reason) in [
        ("uri", None),
        ("absent", Some("secretMissing")),
        ("other", Some("badConnectionString")),
    ] {
        cluster.write("spec.yaml", &spec(key));
        cluster
            .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
            .kubeconfig(&account)
            .run();
        let bundle = cluster.bundle();
        let limits = bundle.json("postgres/db/limits.json");
        assert_eq!(limits["failure"]["reason"].as_str(), reason, "{limits:#}");
        assert_eq!(bundle.holding("app-pw"), [""; 0]);
        std::fs::remove_file(cluster.work().join("bundle.tar.gz")).expect("the archive");
    }
    let stranger = cluster.account(
        "stranger",
        "- {apiGroups: [''], resources: [pods], verbs: [get]}",
    );
    cluster.write("spec.yaml", &spec("uri"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&stranger)
        .run();
    let limits = cluster.bundle().json("postgres/db/limits.json");
    assert_eq!(limits["failure"]["reason"], "secretUnread", "{limits:#}");
    let asked = cluster.requests("prober");
    let secrets = asked.iter().filter(|(_, uri, _)| uri.contains("/secrets/"));
    for (verb, uri, _) in secrets {
        assert!(
            verb == "get" && uri.contains("/postgres-secret/secrets/shop-db-"),
            "{verb} {uri}"
        );
    }
}

const WORKLOAD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {POOL_SIZE: '3'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tracking}
spec:
  replicas: 2
  selector: {matchLabels: {app: tracking}}
  template:
    metadata: {labels: {app: tracking}}
    spec:
      containers:
      - name: main
        image: example.org/tracking:1
        env: [{name: WORKERS, value: '2'}]
        envFrom: [{configMapRef: {name: settings}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: tracking}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: tracking}, maxReplicas: 4}
";

#[test]
fn a_demand_is_read_from_the_workload_its_autoscaler_and_its_environment() {
    let cluster = Cluster::new("postgres-demand");
    cluster.apply(WORKLOAD);
    let server = Postgres::start(15);
    cluster.write(
        "spec.yaml",
        &format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {{name: demand}}
spec:
  collectors:
  - clusterResources: {{namespaces: [postgres-demand]}}
  - postgres: {{uri: 'postgresql://app:app-pw@localhost:{}/app'}}
  analyzers:
  - postgresLimits:
      checkName: budget
      demand:
      - {{deployment: tracking, namespace: postgres-demand, workersEnv: WORKERS, poolSizeEnv: POOL_SIZE, maxOverflow: 1}}
",
            server.port()
        ),
    );
    let run = cluster.assay(&[
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ]);
    let report = run.run().expect_code(3).json();
    let (is, text) = verdict(&report, "budget");
    assert_eq!(is, "fail", "{text}");
    let sum = "tracking: (4 replicas + 1 while rolled out) × 2 workers × (3 + 1) = 40";
    assert!(text.contains(sum), "{text}");
}

/// A server that does `answer` with each connection; the port.
fn listener(answer: impl Fn(&mut std::net::TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer(&mut stream));
        }
    });
    port
}
