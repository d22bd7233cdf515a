//! PostgreSQL and PgBouncer as children of a test, in its folder and the rig's network namespace.
//!
//! PostgreSQL refuses to run as root: it gets a user namespace in which nobody is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixture::{from_rig, wait_until};
use crate::servers::{Server, as_nobody, free_port, openssl, wait_for_port};

/// The roles, each with the password `<name>-pw`, and what lets them in.
const ACCESS: &str = "
local   all  all                    trust
host    all  nohost     127.0.0.1/32 reject
hostssl all  tlsonly    127.0.0.1/32 scram-sha-256
hostssl all  certified  127.0.0.1/32 cert
host    all  app,limited,other,bouncer 127.0.0.1/32 scram-sha-256
host    all  app        10.88.0.0/24 scram-sha-256
";

const ROLES: &str = "
CREATE ROLE app LOGIN PASSWORD 'app-pw';
CREATE ROLE other LOGIN PASSWORD 'other-pw';
CREATE ROLE bouncer LOGIN PASSWORD 'bouncer-pw';
CREATE ROLE nohost LOGIN PASSWORD 'nohost-pw';
CREATE ROLE tlsonly LOGIN PASSWORD 'tlsonly-pw';
CREATE ROLE certified LOGIN;
CREATE ROLE limited LOGIN PASSWORD 'limited-pw' CONNECTION LIMIT 0;
CREATE DATABASE app OWNER app;
CREATE DATABASE tiny CONNECTION LIMIT 0;
";

/// `max_connections` of every server here, and what is reserved of it for superusers.
pub(crate) const SLOTS: usize = 10;
pub(crate) const RESERVED: usize = 2;

/// A server that runs; it ends with the value.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Server>,
}

impl Postgres {
    /// A server of this major version, with roles, databases and a certificate that the test's authority signed.
    pub(crate) fn start(version: u32) -> Self {
        let folder = TempDir::with_prefix("assay-postgres-").expect("a temporary folder");
        let mut server = Self {
            programs: from_rig(&format!("ASSAY_RIG_POSTGRES_{version}")),
            folder,
            port: free_port(),
            child: None,
        };
        let data = server.data();
        let made = as_nobody(&server.programs.join("initdb"), server.folder.path())
            .args([
                "--username",
                "owner",
                "--auth",
                "trust",
                "--no-sync",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--pgdata",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb starts").success());
        server.make_certificates();
        let settings = format!(
            "listen_addresses = '*'
port = {}
unix_socket_directories = '{}'
max_connections = {SLOTS}
superuser_reserved_connections = {RESERVED}
{}
ssl = on
ssl_ca_file = '{folder}/ca.crt'
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
fsync = off
shared_buffers = 16MB
log_connections = on
max_wal_senders = 0
wal_level = replica
",
            server.port,
            server.folder.path().display(),
            if version >= 16 {
                "reserved_connections = 1"
            } else {
                ""
            },
            folder = server.folder.path().display(),
        );
        append(&data.join("postgresql.conf"), &settings);
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("pg_hba.conf");
        server.run();
        server.wait_until_it_answers();
        server.sql("postgres", ROLES);
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A file of the server's folder: `ca.crt`, `other-ca.crt`, `client.crt`, `client.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&mut self) {
        let mut command = as_nobody(&self.programs.join("postgres"), self.folder.path());
        command.arg("-D").arg(self.data());
        let log = self.file("server.log");
        // Logins are counted from the last start on.
        File::create(&log).expect("a log");
        self.child = Some(Server::start(&mut command, &log));
    }

    fn wait_until_it_answers(&self) {
        wait_until("PostgreSQL", || {
            self.psql("postgres")
                .args(["-c", "SELECT 1"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
    }

    /// Stops it at once and starts it again with another configuration; `signal` is a file such as
    /// `standby.signal`. Whether it then answers is the test's matter.
    pub(crate) fn restart(&mut self, settings: &str, signal: &str) {
        self.stop(rustix::process::Signal::INT);
        append(&self.data().join("postgresql.conf"), settings);
        File::create(self.data().join(signal)).expect("a signal file");
        self.run();
        wait_for_port(self.port);
    }

    /// Waits until the server lets a role in.
    pub(crate) fn wait_for_logins(&self, role: &str) {
        let asks = || {
            Command::new("psql")
                .args([
                    "--no-psqlrc",
                    "--username",
                    role,
                    "--dbname",
                    "app",
                    "--host",
                    "localhost",
                    "--port",
                    &self.port.to_string(),
                    "-c",
                    "SELECT 1",
                ])
                .env("PGPASSWORD", format!("{role}-pw"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        wait_until("a login", || asks().is_ok_and(|status| status.success()));
    }

    fn stop(&mut self, signal: rustix::process::Signal) {
        if let Some(mut child) = self.child.take() {
            let _ =
                rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), signal);
            let _ = child.0.wait();
        }
    }

    /// Runs statements as the superuser, each in a transaction of its own.
    pub(crate) fn sql(&self, database: &str, statements: &str) {
        let mut child = self
            .psql(database)
            .args(["--set", "ON_ERROR_STOP=1", "--file", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin
            .write_all(statements.as_bytes())
            .expect("psql reads its input");
        drop(stdin);
        assert!(child.wait().expect("psql ends").success());
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--quiet",
            "--username",
            "owner",
            "--host",
        ])
        .arg(self.folder.path())
        .args(["--port", &self.port.to_string(), "--dbname", database])
        .stdout(Stdio::null());
        psql
    }

    /// Holds this many sessions of a role until they are dropped.
    pub(crate) fn hold(&self, role: &str, count: usize) -> Held {
        let socket = self.folder.path().to_string_lossy().into_owned();
        let before = self.logins(role);
        let held = Held::new(role, &socket, self.port, count);
        wait_until("sessions", || self.logins(role) >= before + count);
        held
    }

    /// How often the role was let in, by the server's log: a question would take a slot.
    pub(crate) fn logins(&self, role: &str) -> usize {
        let log = fs::read(self.file("server.log")).expect("the server's log");
        let line = format!("connection authorized: user={role} ");
        String::from_utf8_lossy(&log).matches(&line).count()
    }

    /// Takes the certificate that ended in 2021, or one without other names that only PostgreSQL would take.
    pub(crate) fn show_certificate(&self, name: &str) {
        fs::copy(self.file(&format!("{name}.crt")), self.file("server.crt"))
            .expect("another certificate");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let file = self.file("server.crt");
        // The postmaster reads it when the signal comes.
        let wanted = fingerprint(&file);
        wait_until("the new certificate", || self.shown_certificate() == wanted);
    }

    fn shown_certificate(&self) -> String {
        let shown = openssl(
            self.folder.path(),
            &[
                "s_client",
                "-starttls",
                "postgres",
                "-connect",
                &format!("127.0.0.1:{}", self.port),
            ],
        );
        let path = self.file("shown.pem");
        fs::write(&path, shown).expect("what the server shows");
        fingerprint(&path)
    }

    /// An authority and what it signed, another authority, a client's certificate. The certificates that are made by
    /// `openssl ca` have version 1 and no other name than their common one, as those of PostgreSQL's documentation.
    fn make_certificates(&self) {
        let folder = self.folder.path();
        let settings = "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index.txt\nserial=serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n";
        fs::write(folder.join("ca.cnf"), settings).expect("openssl's configuration");
        fs::write(folder.join("index.txt"), "").expect("openssl's index");
        fs::write(folder.join("serial"), "01\n").expect("openssl's serial");
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        for name in ["ca", "other-ca"] {
            let (cert, secret) = (format!("{name}.crt"), format!("{name}.key"));
            let own = [
                "req",
                "-x509",
                "-days",
                "36500",
                "-subj",
                "/CN=an authority",
                "-keyout",
                &secret,
                "-out",
                &cert,
            ];
            openssl(folder, &[&own[..], &key].concat());
        }
        for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=certified")] {
            let (secret, request) = (format!("{name}.key"), format!("{name}.csr"));
            let own = [
                "req", "-new", "-subj", subject, "-keyout", &secret, "-out", &request,
            ];
            openssl(folder, &[&own[..], &key].concat());
        }
        fs::write(folder.join("names.ext"), "subjectAltName=DNS:localhost\n")
            .expect("openssl's extensions");
        openssl(
            folder,
            &[
                "x509",
                "-req",
                "-days",
                "3650",
                "-in",
                "server.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                "names.ext",
                "-out",
                "named.crt",
            ],
        );
        for (name, request, end) in [
            ("expired", "server.csr", "20210101000000Z"),
            ("plain", "server.csr", "20900101000000Z"),
            ("client", "client.csr", "20900101000000Z"),
        ] {
            let out = format!("{name}.crt");
            openssl(
                folder,
                &[
                    "ca",
                    "-batch",
                    "-notext",
                    "-config",
                    "ca.cnf",
                    "-keyfile",
                    "ca.key",
                    "-cert",
                    "ca.crt",
                    "-startdate",
                    "20200101000000Z",
                    "-enddate",
                    end,
                    "-in",
                    request,
                    "-out",
                    &out,
                ],
            );
        }
        fs::copy(folder.join("named.crt"), folder.join("server.crt"))
            .expect("the server's certificate");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(rustix::process::Signal::QUIT);
    }
}

/// Sessions that are held.
#[expect(dead_code, reason = "they end with the value")]
pub(crate) struct Held(Vec<Server>);

impl Held {
    /// Sessions at `host`, a name or the folder of a socket; they sleep.
    pub(crate) fn new(role: &str, host: &str, port: u16, count: usize) -> Self {
        let start = |_| {
            let child = Command::new("psql")
                .args([
                    "--no-psqlrc",
                    "--username",
                    role,
                    "--host",
                    host,
                    "--port",
                    &port.to_string(),
                    "--dbname",
                ])
                .arg(if role == "owner" { "postgres" } else { "app" })
                .args(["-c", "SELECT pg_sleep(600)"])
                .env("PGPASSWORD", format!("{role}-pw"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            Server(child.expect("psql starts"))
        };
        Self((0..count).map(start).collect())
    }
}

/// A pooler that runs; it ends with the value.
pub(crate) struct PgBouncer {
    _child: Server,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// In front of a server, in one of its modes, taking so many clients.
    pub(crate) fn start(server: &Postgres, mode: &str, clients: u32) -> Self {
        let folder = TempDir::with_prefix("assay-pgbouncer-").expect("a temporary folder");
        let (port, path) = (free_port(), folder.path().display());
        let settings = format!(
            "[databases]
app = host=127.0.0.1 port={} dbname=app
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {path}/users
admin_users = nobody
stats_users = stats
pool_mode = {mode}
max_client_conn = {clients}
default_pool_size = 3
reserve_pool_size = 1
server_tls_sslmode = prefer
client_tls_sslmode = disable
",
            server.port()
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).expect("pgbouncer.ini");
        let users = "\"app\" \"app-pw\"\n\"stats\" \"stats-pw\"\n";
        fs::write(folder.path().join("users"), users).expect("PgBouncer's users");
        let mut command = as_nobody(&from_rig("ASSAY_RIG_PGBOUNCER"), folder.path());
        command.arg(folder.path().join("pgbouncer.ini"));
        let child = Server::start(&mut command, &folder.path().join("log"));
        wait_for_port(port);
        Self {
            _child: child,
            port,
            _folder: folder,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).expect("a configuration");
    fs::write(path, format!("{before}\n{text}")).expect("a configuration");
}

fn fingerprint(path: &Path) -> String {
    let folder = path.parent().expect("a folder");
    let file = path.to_string_lossy();
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &file])
        .current_dir(folder)
        .output();
    String::from_utf8_lossy(&output.expect("openssl starts").stdout).into_owned()
}
