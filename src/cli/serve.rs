//! `assay serve`: a bundle as a read-only Kubernetes API on loopback.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bundle::Files;
use server::{BundleApi, Context, Token};
use tokio::net::TcpListener;

use super::own::Global;
use super::{Done, block_on, open, say};
use crate::exit::Exit;

/// Flags of `assay serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle: an archive or a folder
    bundle: PathBuf,
    /// Where the kubeconfig goes; it holds the address and a fresh token, and is removed at the end
    #[arg(
        long = "write-kubeconfig",
        value_name = "FILE",
        default_value = "assay-kubeconfig"
    )]
    write_kubeconfig: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Runs `assay serve` until a signal.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Done {
    let files = open::open(&arguments.bundle)?;
    block_on(async {
        let served = Served::start(files, arguments.port, "bundle").await?;
        let path = &arguments.write_kubeconfig;
        write_kubeconfig(path, &served.kubeconfig)?;
        if !global.quiet {
            let path = path.display();
            say(&format!(
                "Serving {} on http://{}\n\n  kubectl --kubeconfig {path} get pods --all-namespaces --output json\n  kubectl --kubeconfig {path} logs POD\n\nCtrl-C ends it.",
                arguments.bundle.display(),
                served.address
            ));
        }
        let ended = served.until(signalled()).await;
        // The token in it leads nowhere any more.
        let _ = std::fs::remove_file(path);
        ended
    })??;
    Ok(Exit::Pass)
}

/// A bundle's API, bound and ready to serve.
pub(super) struct Served {
    api: BundleApi,
    listener: TcpListener,
    token: Token,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// A kubeconfig for it.
    pub(super) kubeconfig: String,
}

impl Served {
    /// Indexes the bundle and binds a port on loopback; 0 takes a free one.
    pub(super) async fn start(files: Files, port: u16, name: &str) -> anyhow::Result<Self> {
        let api = BundleApi::index(Arc::new(files)).context("failed to index the bundle")?;
        for note in api.notes() {
            say(&format!("warning: {note}"));
        }
        let attempt = || format!("failed to listen on 127.0.0.1:{port}");
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(attempt)?;
        let address = listener.local_addr().with_context(attempt)?;
        let token = token()?;
        let kubeconfig = server::kubeconfig(&[Context {
            name,
            address,
            token: &token,
        }]);
        Ok(Self {
            api,
            listener,
            token,
            address,
            kubeconfig,
        })
    }

    /// Serves until `end`.
    pub(super) async fn until(
        self,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        server::serve(self.api, self.listener, self.token, end)
            .await
            .context("failed to serve the bundle")
    }
}

fn token() -> anyhow::Result<Token> {
    use base64::Engine as _;
    let mut random = [0; 24];
    getrandom::fill(&mut random).context("the operating system gives no randomness for a token")?;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    Token::new(text).context("failed to make a token")
}

/// Writes it readable by its owner alone: it holds the token.
fn write_kubeconfig(path: &Path, text: &str) -> anyhow::Result<()> {
    let attempt = || format!("failed to write the kubeconfig {}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).with_context(attempt)?;
    file.write_all(text.as_bytes()).with_context(attempt)
}

async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the signal's own effect, ending the program, is the right one.
    let _ = tokio::signal::ctrl_c().await;
}
