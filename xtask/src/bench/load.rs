//! Fills a rig's API server: objects are created over the real API, many requests in flight.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::objects::{self, APPS, Size};
use super::random::Random;
use crate::command::output;
use crate::rig::Inside;

const SEED: u64 = 11;
const DEADLINE: Duration = Duration::from_mins(20);

/// Creates the cluster and waits until every pod runs.
pub(super) fn load(rig: &Inside, folder: &Path, size: Size) -> Result<()> {
    let started = Instant::now();
    let mut random = Random::new(SEED);
    let namespaces: Vec<String> = size.namespaces().collect();
    let mut creation = Creation::new(rig, folder)?;
    for name in &namespaces {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        creation.add("/api/v1/namespaces", &namespace)?;
    }
    for i in 0..size.nodes {
        let mut node = objects::node(&mut random, i);
        if let Some(status) = node["status"].as_object_mut() {
            // kwok brings a node up that has neither, and gives it the address at which it answers for logs.
            status.remove("addresses");
            status.remove("conditions");
        }
        creation.add("/api/v1/nodes", &node)?;
    }
    creation.send()?;
    // A pod is refused until its namespace has the account that it runs under.
    wait_for("the service accounts", || {
        let accounts = list(
            rig,
            "/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault",
        )?;
        Ok(accounts.len() >= namespaces.len())
    })?;
    let mut first = 0;
    for (i, namespace) in namespaces.iter().enumerate() {
        let path = format!("/api/v1/namespaces/{namespace}");
        for app in APPS {
            let map = objects::config_map(&mut random, namespace, &format!("{app}-config"));
            creation.add(&format!("{path}/configmaps"), &map)?;
        }
        let count = size.pods_of(i);
        for k in first..first + count {
            let pod = objects::pod(&mut random, namespace, k, size.nodes);
            creation.add(&format!("{path}/pods"), &pod)?;
        }
        first += count;
    }
    creation.send()?;
    println!(
        "bench: {} pods created after {:.0?}",
        size.pods,
        started.elapsed()
    );
    wait_for("the pods", || {
        let waiting = list(
            rig,
            "/api/v1/pods?limit=1&fieldSelector=status.phase%21%3DRunning",
        )?;
        Ok(waiting.is_empty())
    })?;
    println!(
        "bench: {} pods run after {:.0?}",
        size.pods,
        started.elapsed()
    );
    Ok(())
}

fn wait_for(what: &str, ready: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !ready()? {
        if Instant::now() > deadline {
            bail!("{what} were not there within {DEADLINE:?}");
        }
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn list(rig: &Inside, path: &str) -> Result<Vec<Value>> {
    let text = output(rig.command("kubectl")?.args(["get", "--raw", path]))?;
    let mut list: Value = serde_json::from_str(&text).context("failed to read a list")?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// Objects to create, as a script for curl, which keeps its connections and needs little processor time.
struct Creation<'a> {
    rig: &'a Inside,
    folder: tempfile::TempDir,
    script: String,
    count: usize,
}

impl<'a> Creation<'a> {
    fn new(rig: &'a Inside, folder: &Path) -> Result<Self> {
        Ok(Self {
            rig,
            folder: tempfile::tempdir_in(folder)?,
            script: String::new(),
            count: 0,
        })
    }

    fn add(&mut self, path: &str, object: &Value) -> Result<()> {
        let file = self.folder.path().join(format!("{}.json", self.count));
        fs::write(&file, serde_json::to_vec(object)?)?;
        if self.count > 0 {
            self.script.push_str("next\n");
        }
        let _ = write!(
            self.script,
            "url = \"https://127.0.0.1{path}\"\n\
             data-binary = \"@{}\"\n\
             header = \"Content-Type: application/json\"\n\
             output = \"/dev/null\"\n\
             write-out = \"%{{http_code}}\\n\"\n{}",
            file.display(),
            credentials(self.rig)
        );
        self.count += 1;
        Ok(())
    }

    /// Sends everything that was added since the last time.
    fn send(&mut self) -> Result<()> {
        let script = self.folder.path().join("script");
        fs::write(&script, std::mem::take(&mut self.script))?;
        let answers = output(
            self.rig
                .command("curl")?
                .args(["--silent", "--parallel", "--parallel-max", "48", "--config"])
                .arg(&script),
        )?;
        let created = answers.lines().filter(|code| *code == "201").count();
        if created != self.count {
            bail!("{created} of {} objects were created", self.count);
        }
        self.count = 0;
        Ok(())
    }
}

/// Lines of a curl script that make it the rig's administrator.
pub(super) fn credentials(rig: &Inside) -> String {
    let pki = rig.folder().join("pki");
    let pki = pki.display();
    format!("cacert = \"{pki}/ca.crt\"\ncert = \"{pki}/admin.crt\"\nkey = \"{pki}/admin.key\"\n")
}
