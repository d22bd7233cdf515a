use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::gpu::{FILE_NAME, SMI_FILE_NAME};
use bundle::collected::host::FOLDER;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "gpu",
    type_name: "GPU Info",
    scope: Scope::Host,
    summary: "The host's GPUs: cards, driver, health, and whether containers can have them",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<Gpu>(value)?;
        let deadline = super::timeout(&parsed.config.timeout)?.unwrap_or(DEADLINE);
        Ok(parsed.map(|_| Box::new(Named { name, deadline }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Gpu).to_value(),
};

const DOCS: &str = "\
# What it collects

From the PCI bus to the container runtime, so that a verdict can say at which step a GPU is lost:

- the accelerators on the PCI bus (NVIDIA, AMD, Intel, Habana) with link, NUMA node and the kernel driver that holds each;
- NVIDIA's driver and what it says of each card, modules, device nodes;
- `nvidia-smi -q -x`: memory, MIG, ECC and remapped rows, what the driver wants done, fabric, slowdown;
- XIDs (errors that NVIDIA's driver logs) of the kernel log by number and device, with their count and the last time,
  and the drivers' last other messages;
- the NVIDIA Container Toolkit, CDI specifications, and whether containerd, CRI-O or Docker are told of NVIDIA's runtime.

A host without a GPU is an answer, as are a card without a driver, an `nvidia-smi` that fails or does not end, and a
kernel log that may not be read: the document says so, with the reason. UUIDs are kept, they tell cards apart. Serial
numbers and the arguments of processes are not, and of a runtime's configuration only these facts.

# Files

- `host-collectors/system/gpu.json`: `cards`, `driver`, `deviceNodes`, `nvidiaSmi`, `kernelLog`, `containers`, `unread`
- `host-collectors/system/nvidia-smi.xml`: what `nvidia-smi` printed, where that was XML

# Permissions

On Linux it reads `/sys/bus/pci`, `/sys/module`, `/proc/driver/nvidia`, `/dev`, `/etc`, and runs `nvidia-smi` and
`nvidia-ctk` where they are. The kernel log (`/dev/kmsg`, else `dmesg`) mostly wants root.

# Example

```yaml
gpu:
  timeout: 30s
```
";

/// `nvidia-smi` takes seconds for each card where no persistence daemon keeps the driver initialised.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Gpu {
    /// How long `nvidia-smi` may take, `60s` where it is empty. A wedged driver never lets it end.
    timeout: String,
}

#[derive(Debug)]
struct Named {
    name: String,
    deadline: Duration,
}

fn path(file_name: &str) -> String {
    format!("{FOLDER}/{file_name}")
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::host_title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec![path(FILE_NAME), path(SMI_FILE_NAME)]
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let found = context.host.gpus(self.deadline).await?;
        if let Some(xml) = &found.smi {
            output.write(&BundlePath::new(path(SMI_FILE_NAME))?, xml.as_bytes())?;
        }
        output.json(&BundlePath::new(path(FILE_NAME))?, &found.document)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use bundle::collected::gpu::{Gpus, SmiOutcome};
    use bundle::manifest::Outcome;
    use serde_json::{Value, json};
    use syntax::yaml;

    use super::path;
    use crate::host::Host;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, collect, context};

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/host/gpu/testdata");

    /// A recorded machine's files.
    fn recorded(name: &str) -> Result<Value, Box<dyn std::error::Error>> {
        let text = fs::read_to_string(format!("{RECORDS}/{name}.yaml"))?;
        let document = yaml::document(&text, &yaml::Limits::default())?;
        Ok(document.root.to_json()?)
    }

    /// A root folder with these files.
    fn root(files: &Value) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        for (path, content) in files.as_object().into_iter().flatten() {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
            if let Some(target) = content["link"].as_str() {
                std::os::unix::fs::symlink(target, &path)?;
                continue;
            }
            let text = match content["file"].as_str() {
                Some(name) => fs::read_to_string(format!("{RECORDS}/{name}"))?,
                None => content.as_str().unwrap_or_default().to_owned(),
            };
            if text.starts_with("#!") {
                program(&path, &text)?;
            } else {
                fs::write(path, text)?;
            }
        }
        Ok(root)
    }

    /// Has another process write the program: one that is open for writing, by whoever we forked meanwhile,
    /// cannot be run.
    fn program(path: &Path, text: &str) -> Tested {
        let script = r#"printf %s "$1" > "$2" && chmod 755 "$2""#;
        let mut shell = Command::new("/bin/sh");
        let status = shell.args(["-c", script, "sh", text]).arg(path).status()?;
        assert!(status.success());
        Ok(())
    }

    async fn collected(root: &Path, config: &Value) -> Collected {
        let mut context = context(None);
        context.host = Host::recorded(root);
        let settings = Settings::default();
        collect(&context, "gpu", config, &settings, &Stop::default()).await
    }

    /// What is found on a machine with these files in place of some of the recorded ones; null takes one away.
    async fn found(changes: &Value) -> Result<Gpus, Box<dyn std::error::Error>> {
        let mut files = recorded("h200")?;
        let all = files.as_object_mut().expect("a mapping");
        for (path, content) in changes.as_object().into_iter().flatten() {
            all.retain(|name, _| name != path && !name.starts_with(&format!("{path}/")));
            if !content.is_null() {
                all.insert(path.clone(), content.clone());
            }
        }
        let root = root(&files)?;
        let collected = collected(root.path(), &json!({"timeout": "20s"})).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let text = collected.text(&path("gpu.json")).expect("the document");
        Ok(serde_json::from_str(&text)?)
    }

    /// `UPDATE=1` writes what is collected now; the analyzer's cases hold the same document.
    #[tokio::test]
    async fn a_recorded_machine() -> Tested {
        let root = root(&recorded("h200")?)?;
        let collected = collected(root.path(), &json!({})).await;
        assert_eq!(collected.record.title, "GPU Info");
        let text = collected.text(&path("gpu.json")).expect("the document");
        let expected = format!("{RECORDS}/h200.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &text)?;
        }
        assert_eq!(text, fs::read_to_string(expected)?);
        let xml = collected.text(&path("nvidia-smi.xml")).expect("the XML");
        let original = fs::read_to_string(format!("{RECORDS}/h200-smi.xml"))?;
        assert_eq!(
            xml,
            original.replace("<serial>1600000000001<", "<serial>withheld<")
        );
        Ok(())
    }

    #[tokio::test]
    async fn no_gpu_is_an_answer() -> Tested {
        let empty = tempfile::tempdir()?;
        let collected = collected(empty.path(), &json!({})).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(collected.paths().len(), 1);
        let text = collected.text(&path("gpu.json")).expect("the document");
        let gpus: Gpus = serde_json::from_str(&text)?;
        assert!(gpus.cards.is_empty() && gpus.unread.is_empty() && !gpus.driver.loaded);
        assert_eq!(gpus.nvidia_smi.outcome, SmiOutcome::Absent);
        assert!(gpus.kernel_log.reason.contains("/dev/kmsg"));
        Ok(())
    }

    #[tokio::test]
    async fn a_card_without_a_driver() -> Tested {
        let gpus = found(&json!({
            "proc/driver": null, "sys/module": null, "usr": null,
            "sys/bus/pci/devices/0000:00:06.0/driver": {"link": "../../../bus/pci/drivers/nouveau"},
        }))
        .await?;
        assert_eq!(gpus.cards[0].kernel_driver, "nouveau");
        assert!(!gpus.cards[0].has_driver() && !gpus.driver.loaded);
        Ok(())
    }

    /// How `nvidia-smi` can fail: what it prints, how it ends, and what is said of it.
    #[tokio::test]
    async fn failures_of_nvidia_smi_are_answers() -> Tested {
        for (script, outcome, code, reason) in [
            (
                "echo 'Failed to initialize NVML: Driver/library version mismatch'\necho 'NVML library version: 580.95'\nexit 18",
                SmiOutcome::Failed,
                Some(18),
                "Failed to initialize NVML: Driver/library version mismatch NVML library version: 580.95",
            ),
            (
                "echo 'No devices were found'\nexit 6",
                SmiOutcome::Failed,
                Some(6),
                "No devices were found",
            ),
            ("exit 9", SmiOutcome::Failed, Some(9), "it said nothing"),
            (
                "echo '<nvidia_smi_log><gpu id=\"1\">'",
                SmiOutcome::Failed,
                Some(0),
                "its output cannot be read",
            ),
            ("kill -9 $$", SmiOutcome::Failed, None, "it said nothing"),
        ] {
            let script = format!("#!/bin/sh\n{script}\n");
            let gpus = found(&json!({"usr/local/nvidia/bin/nvidia-smi": script})).await?;
            assert_eq!(gpus.nvidia_smi.outcome, outcome, "{script}");
            assert_eq!(gpus.nvidia_smi.exit_code, code, "{script}");
            let said = &gpus.nvidia_smi.reason;
            assert!(said.starts_with(reason), "{said}");
            assert_eq!(gpus.cards[0].model, "NVIDIA H200");
            assert_eq!(gpus.cards[0].smi, None);
        }
        Ok(())
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed() -> Tested {
        let files = json!({"usr/bin/nvidia-smi": "#!/bin/sh\nsleep 600 & wait\n"});
        let root = root(&files)?;
        let collected = collected(root.path(), &json!({"timeout": "300ms"})).await;
        let text = collected.text(&path("gpu.json")).expect("the document");
        let gpus: Gpus = serde_json::from_str(&text)?;
        assert_eq!(gpus.nvidia_smi.outcome, SmiOutcome::TimedOut);
        assert_eq!(gpus.nvidia_smi.reason, "it did not end within 0.3 s");
        Ok(())
    }

    #[tokio::test]
    async fn mig_old_releases_and_masked_words() -> Tested {
        let xml = r#"<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v11.dtd">
<nvidia_smi_log>
  <driver_version>470.82.01</driver_version>
  <gpu id="00000000:3B:00.0">
    <product_name>NVIDIA A100</product_name>
    <mig_mode><current_mig>Enabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
    <mig_devices>
      <mig_device><index>0</index><gpu_instance_id>2</gpu_instance_id><compute_instance_id>0</compute_instance_id>
        <fb_memory_usage><total>19968 MiB</total></fb_memory_usage></mig_device>
      <mig_device><index>1</index><gpu_instance_id>3</gpu_instance_id></mig_device>
    </mig_devices>
    <clocks_throttle_reasons><clocks_throttle_reason_hw_thermal_slowdown>Active</clocks_throttle_reason_hw_thermal_slowdown></clocks_throttle_reasons>
    <ecc_errors><volatile><double_bit><total>3</total></double_bit></volatile></ecc_errors>
    <retired_pages><pending_retirement>Yes</pending_retirement></retired_pages>
    <remapped_rows>N/A</remapped_rows>
    <fb_memory_usage><total>N/A</total><used>[N/A]</used></fb_memory_usage>
    <processes><process_info><pid>7</pid><process_name>/usr/bin/python3 --token=a&amp;b secret</process_name></process_info>
      <process_info><pid>8</pid><process_name>N/A</process_name></process_info></processes>
  </gpu>
</nvidia_smi_log>
"#;
        let root = root(&json!({
            "usr/bin/nvidia-smi": "#!/bin/sh\ncat \"${0%/*}/smi.xml\"\n",
            "usr/bin/smi.xml": xml,
        }))?;
        let collected = collected(root.path(), &json!({})).await;
        let text = collected.text(&path("gpu.json")).expect("the document");
        let gpus: Gpus = serde_json::from_str(&text)?;
        let card = &gpus.cards[0];
        assert_eq!(
            (card.address.as_str(), card.memory_bytes),
            ("0000:3b:00.0", None)
        );
        let said = card.smi.as_ref().expect("it is listed");
        assert_eq!(said.mig_devices.len(), 2);
        assert_eq!(said.mig_devices[0].memory_bytes, Some(19968 << 20));
        assert_eq!(
            (said.mig_mode.as_str(), said.mig_mode_pending.as_str()),
            ("Enabled", "Disabled")
        );
        assert_eq!(
            (
                said.ecc_uncorrectable,
                said.repair_pending,
                said.repair_failed
            ),
            (Some(3), Some(true), None)
        );
        assert_eq!((said.slowdown.len(), said.processes), (1, 2));
        let xml = collected.text(&path("nvidia-smi.xml")).expect("the XML");
        assert!(
            xml.contains("<process_name>/usr/bin/python3</process_name>"),
            "{xml}"
        );
        assert!(!xml.contains("secret") && !xml.contains("token"));
        Ok(())
    }

    #[tokio::test]
    async fn what_lets_containers_have_it() -> Tested {
        let gpus = found(&json!({
            "usr/bin/nvidia-ctk": "#!/bin/sh\necho 'NVIDIA Container Toolkit CLI version 1.17.4'\necho 'commit: 1'\n",
            "usr/bin/nvidia-container-runtime": "",
            "etc/nvidia-container-runtime/config.toml": "disable-require = false\n",
            "run/cdi/nvidia.yaml": "kind: nvidia.com/gpu\ndevices: [{name: '0'}, {name: all}]\n",
            "etc/containerd/config.toml": "version = 3\n",
            "etc/containerd/conf.d/99-nvidia.toml": "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]\n",
        }))
        .await?;
        let containers = gpus.containers;
        let tools: Vec<&str> = containers
            .toolkit
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        assert_eq!(tools, ["nvidia-ctk", "nvidia-container-runtime"]);
        assert_eq!(containers.toolkit_version, "1.17.4");
        assert_eq!(containers.toolkit_config.len(), 1);
        assert_eq!(
            (
                containers.cdi[0].kind.as_str(),
                containers.cdi[0].device_count
            ),
            ("nvidia.com/gpu", 2)
        );
        let nvidia: Vec<_> = containers
            .runtimes
            .iter()
            .map(|config| config.nvidia)
            .collect();
        assert_eq!(nvidia, [false, true]);
        Ok(())
    }
}
