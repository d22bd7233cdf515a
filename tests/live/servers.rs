//! Servers as children of a test: how they start, certificates for them, and a proxy in front of them. What each
//! scenario starts is beside it, as further functions of [`Servers`].

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::fixture::{from_rig, wait_until};

/// A program that runs; it is killed with the value.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a program; what it says goes into `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }
}

/// A port that nobody has in the rig's network namespace.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until somebody takes connections.
pub(crate) fn wait_for_port(port: u16) {
    wait_until(&format!("port {port} listens"), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// A program in `folder` that sees nothing of this process' environment but where programs are.
pub(crate) fn program(path: &Path, folder: &Path) -> Command {
    alone(Command::new(path), folder)
}

/// The same for one that refuses to run as root: it gets a user namespace in which nobody is.
pub(crate) fn as_nobody(path: &Path, folder: &Path) -> Command {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-user=65534", "--map-group=65534"])
        .arg(path);
    alone(unshare, folder)
}

fn alone(mut command: Command, folder: &Path) -> Command {
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    command
}

/// Runs openssl in a folder to its end, and returns what it says.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new(from_rig("ASSAY_RIG_OPENSSL"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl starts");
    assert!(
        // Its client ends as the server lets it.
        arguments[0] == "s_client" || done.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Servers and their folder; they end with the value.
pub(crate) struct Servers {
    // Dropped before the folder is.
    running: Vec<Server>,
    folder: TempDir,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self {
            running: Vec::new(),
            folder: TempDir::with_prefix("assay-servers-").expect("a temporary folder"),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Starts a program of the rig's, `MINIO` for `ASSAY_RIG_MINIO`, and waits until it listens.
    pub(crate) fn start(
        &mut self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        port: u16,
    ) {
        let path = from_rig(&format!("ASSAY_RIG_{name}"));
        let mut command = match name {
            "SQUID" => as_nobody(&path, self.folder()),
            _ => program(&path, self.folder()),
        };
        command.args(arguments).envs(environment.iter().copied());
        let log = self.path(&format!("{}-{port}.log", name.to_lowercase()));
        self.running.push(Server::start(&mut command, &log));
        wait_for_port(port);
    }

    /// An authority, and certificates of the same key: a good one, one that has expired, one for another name, one that
    /// signs itself, one of another authority; and one that signs tokens.
    pub(crate) fn certificates(&self) {
        let openssl = |arguments: &[&str]| openssl(self.folder(), arguments);
        let own = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "100",
        ];
        for (name, subject) in [
            ("ca", "/CN=Test authority"),
            ("squid", "/CN=Squid at the border"),
            ("token", "/CN=Tokens"),
        ] {
            let key = format!("{name}.key");
            let certificate = format!("{name}.crt");
            let rest = ["-keyout", &key, "-out", &certificate, "-subj", subject];
            openssl(&[&own[..], &rest].concat());
        }
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=registry",
        ]);
        let names = "subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1,IP:0.0.0.0";
        fs::write(self.path("good.ext"), names).expect("names");
        fs::write(
            self.path("other.ext"),
            "subjectAltName=DNS:other.example.com",
        )
        .expect("names");
        for (name, extensions, days) in [
            ("good", "good.ext", "100"),
            ("expired", "good.ext", "0"),
            ("other", "other.ext", "100"),
        ] {
            openssl(&[
                "x509",
                "-req",
                "-in",
                "server.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                days,
                "-extfile",
                extensions,
                "-out",
                &format!("{name}.crt"),
            ]);
        }
        openssl(&[
            "req",
            "-x509",
            "-key",
            "server.key",
            "-days",
            "100",
            "-subj",
            "/CN=self",
            "-addext",
            names,
            "-out",
            "self.crt",
        ]);
        // The bumping proxy wants both in one file.
        let both = [self.path("squid.crt"), self.path("squid.key")]
            .map(|file| fs::read_to_string(file).expect("PEM"));
        fs::write(self.path("squid.pem"), both.concat()).expect("PEM");
    }

    pub(crate) fn authority(&self) -> String {
        fs::read_to_string(self.path("ca.crt")).expect("the authority")
    }

    /// A proxy. With a login it asks for one, without it opens TLS and signs with its own authority.
    pub(crate) fn proxy(&mut self, login: bool) -> u16 {
        let port = free_port();
        let folder = self.path(&format!("squid-{port}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("hosts"), "127.0.0.1 registry.test\n").expect("hosts");
        let shown = folder.display();
        let programs = "/usr/lib/squid";
        let how = if login {
            format!(
                "http_port 127.0.0.1:{port}
auth_param basic program {programs}/basic_fake_auth
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"
            )
        } else {
            let database = folder.join("certificates");
            let made = Command::new(format!("{programs}/security_file_certgen"))
                .args(["-c", "-s", &database.to_string_lossy(), "-M", "4MB"])
                .output()
                .expect("security_file_certgen starts");
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            format!(
                "http_port 127.0.0.1:{port} ssl-bump cert={pem} generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program {programs}/security_file_certgen -s {} -M 4MB
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
tls_outgoing_options flags=DONT_VERIFY_PEER
sslproxy_cert_error allow all
http_access allow all
",
                database.display(),
                pem = self.shown("squid.pem"),
            )
        };
        let text = format!(
            "{how}hosts_file {shown}/hosts
pid_filename {shown}/pid
access_log none
cache_log {shown}/cache.log
cache deny all
coredump_dir {shown}
shutdown_lifetime 0
max_filedescriptors 1024
"
        );
        let file = folder.join("squid.conf");
        fs::write(&file, text).expect("squid's configuration");
        self.start("SQUID", &["-N", "-f", &file.to_string_lossy()], &[], port);
        port
    }
}
