//! Credential plugins (`client.authentication.k8s.io`): a program of the kubeconfig that prints a token or a
//! certificate.
//!
//! The client library can run them too, but waits for them without an end and blocks a thread of the runtime
//! meanwhile; and it runs them twice to begin with.

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// How long a plugin may take that nobody talks to, and one that somebody does: a login in a browser.
const DEADLINE: Duration = Duration::from_mins(1);
const DEADLINE_INTERACTIVE: Duration = Duration::from_mins(5);

/// A token is some kilobytes.
const OUTPUT_CAP: u64 = 1 << 20;

/// What a plugin printed.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Credential {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Printed {
    #[serde(default)]
    status: Option<Credential>,
}

impl Credential {
    /// Puts the credential where the plugin was.
    pub(super) fn into_auth(self, auth: &AuthInfo) -> AuthInfo {
        use base64::Engine;
        let packed = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
        let mut auth = auth.clone();
        auth.exec = None;
        if let Some(token) = self.token {
            auth.token = Some(token.into());
        }
        if let (Some(certificate), Some(key)) = (self.client_certificate_data, self.client_key_data)
        {
            auth.client_certificate_data = Some(packed(certificate));
            auth.client_key_data = Some(packed(key).into());
        }
        auth
    }

    /// When it is time for another one.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.expiration_timestamp
    }
}

/// Runs the plugin. The error says how it failed, and never what it printed on stdout: credentials are
/// printed there.
pub(super) async fn run(exec: &ExecConfig) -> Result<Credential, String> {
    let terminal = std::io::stdin().is_terminal();
    let interactive = match exec.interactive_mode {
        Some(ExecInteractiveMode::Never) => false,
        Some(ExecInteractiveMode::Always) if !terminal => {
            return Err("wants a terminal to ask on, and there is none".to_owned());
        }
        _ => terminal,
    };
    let deadline = if interactive {
        DEADLINE_INTERACTIVE
    } else {
        DEADLINE
    };
    within(exec, interactive, deadline).await
}

async fn within(
    exec: &ExecConfig,
    interactive: bool,
    deadline: Duration,
) -> Result<Credential, String> {
    let mut child = command(exec, interactive)?.spawn().map_err(|error| {
        let hint = exec.install_hint.as_deref().unwrap_or_default();
        let hint = hint.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = if hint.is_empty() {
            hint
        } else {
            format!(" ({hint})")
        };
        format!("could not be started: {error}{hint}")
    })?;
    let ended = tokio::time::timeout(deadline, output(&mut child)).await;
    let Ok(ended) = ended else {
        kill(&mut child, interactive).await;
        return Err(format!("did not end within {} s", deadline.as_secs_f32()));
    };
    let (status, stdout, stderr) = ended.map_err(|error| format!("could not be read: {error}"))?;
    if !status.success() {
        let last = stderr.trim().lines().last().unwrap_or_default().trim();
        let separator = if last.is_empty() { "" } else { ": " };
        return Err(format!("failed ({status}){separator}{last}"));
    }
    let printed: Option<Printed> = serde_json::from_slice(&stdout).ok();
    let credential = printed.and_then(|printed| printed.status);
    credential.ok_or_else(|| "printed no ExecCredential with a status".to_owned())
}

fn command(exec: &ExecConfig, interactive: bool) -> Result<Command, String> {
    let program = exec.command.as_deref().unwrap_or_default();
    if program.is_empty() {
        return Err("has no command".to_owned());
    }
    let mut spec = json!({"interactive": interactive});
    if exec.provide_cluster_info {
        spec["cluster"] = json!(exec.cluster);
    }
    let info = json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
    let mut command = Command::new(program);
    command
        .args(exec.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    for variable in exec.drop_env.iter().flatten() {
        command.env_remove(variable);
    }
    if interactive {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        // A group of its own, so that what the plugin started can be ended with it.
        #[cfg(unix)]
        command.process_group(0);
    }
    Ok(command)
}

async fn output(child: &mut Child) -> std::io::Result<(std::process::ExitStatus, Vec<u8>, String)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read_out = async {
        match out {
            Some(pipe) => pipe.take(OUTPUT_CAP).read_to_end(&mut stdout).await,
            None => Ok(0),
        }
    };
    let read_err = async {
        match err {
            Some(pipe) => pipe.take(OUTPUT_CAP).read_to_end(&mut stderr).await,
            None => Ok(0),
        }
    };
    let (read, said, status) = tokio::join!(read_out, read_err, child.wait());
    read?;
    said?;
    Ok((
        status?,
        stdout,
        String::from_utf8_lossy(&stderr).into_owned(),
    ))
}

async fn kill(child: &mut Child, interactive: bool) {
    #[cfg(unix)]
    if !interactive
        && let Some(id) = child.id().and_then(|id| i32::try_from(id).ok())
        && let Some(group) = rustix::process::Pid::from_raw(id)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // It is gone already, or dies now: both are well.
    let _ = child.kill().await;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> ExecConfig {
        ExecConfig {
            api_version: Some("client.authentication.k8s.io/v1".into()),
            command: Some("/bin/sh".into()),
            args: Some(vec!["-c".into(), script.into()]),
            ..ExecConfig::default()
        }
    }

    #[tokio::test]
    async fn gives_what_the_plugin_prints() {
        let script = r#"case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 3;; esac
            echo "{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t-$NAME\",\"expirationTimestamp\":\"2030-01-02T03:04:05Z\"}}""#;
        let mut exec = shell(script);
        let pair = [("name", "NAME"), ("value", "x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        exec.env = Some(vec![pair.into()]);
        let credential = run(&exec).await.unwrap_or_default();
        assert_eq!(credential.token.as_deref(), Some("t-x"));
        assert!(credential.expires().is_some());
        let auth = credential.into_auth(&AuthInfo {
            exec: Some(exec),
            ..AuthInfo::default()
        });
        assert!(auth.exec.is_none() && auth.token.is_some());
    }

    #[tokio::test]
    async fn says_how_a_plugin_failed_and_not_what_it_printed() {
        for (script, words) in [
            (
                "echo secret; echo 'first' >&2; echo 'please log in' >&2; exit 7",
                "exit status: 7): please log in",
            ),
            ("echo secret", "printed no ExecCredential"),
            (
                "echo '{\"kind\":\"ExecCredential\"}'",
                "printed no ExecCredential",
            ),
        ] {
            let failure = run(&shell(script)).await.err().unwrap_or_default();
            assert!(
                failure.contains(words) && !failure.contains("secret"),
                "{failure}"
            );
        }
        let missing = ExecConfig {
            command: Some("/no/such/plugin".into()),
            install_hint: Some("get it\n from the vendor".into()),
            ..ExecConfig::default()
        };
        let failure = run(&missing).await.err().unwrap_or_default();
        assert!(
            failure.contains("could not be started")
                && failure.contains("(get it from the vendor)")
        );
        let always = ExecConfig {
            interactive_mode: Some(ExecInteractiveMode::Always),
            ..shell("true")
        };
        if !std::io::stdin().is_terminal() {
            assert!(
                run(&always)
                    .await
                    .is_err_and(|failure| failure.contains("terminal"))
            );
        }
    }

    #[tokio::test]
    async fn ends_a_plugin_that_does_not_and_all_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let alive = folder.path().join("alive");
        let script = format!(
            "(while :; do : > {}; sleep 0.05; done) & sleep 1000",
            alive.display()
        );
        let failure = within(&shell(&script), false, Duration::from_millis(300)).await;
        assert!(
            failure
                .err()
                .is_some_and(|failure| failure.contains("did not end within 0.3 s"))
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        let _ = std::fs::remove_file(&alive);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!alive.exists(), "what the plugin started lives on");
    }
}
