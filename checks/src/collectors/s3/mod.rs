//! `s3`: whether an object storage that speaks S3 can be used, what broke first, and what it accepts.

use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::s3::{Link, Outcome, Reason, Report, Step, Writes as Written};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::config::{self, ConfigError, Parsed};
use tokio::time::timeout;

use crate::agent::{From, Place};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Meta, Output, Permission, Scope, Writes,
};
use crate::secret_data;

mod answer;
mod besides;
mod canonical;
mod cleanup;
mod explain;
pub(super) mod location;
mod probe;
mod reach;
mod reading;
mod settings;
mod signing;
pub(super) mod status;
#[cfg(test)]
mod tests;
mod tls;
mod wire;
mod writing;

use probe::Probe;
use settings::{Failed, Wanted};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "s3",
    type_name: "s3",
    scope: Scope::Cluster,
    summary: "Whether an object storage that speaks S3 can be used, what broke first, and what it accepts",
    docs: DOCS,
    since: "0.1.0",
    parse,
    schema: || schemars::schema_for!(Config).to_value(),
};

const DOCS: &str = "\
# What it collects

Asks an object storage as an application would, one link after the other, each with a deadline: the name, TCP, the proxy,
TLS, whether S3 answers (and not its console or a web page), whether a signed request is let in, whether the bucket is
there, whether its list has pages, whether keys with blanks, `+`, `=`, `//` and `%` arrive as they were signed, whether a
byte of an object can be read. The first link that breaks is what is wrong; those after it are not reached. Besides: which
signatures are accepted (version 4 and 2, in the header and in the address, none at all), both ways to address the bucket,
how far the clocks differ, versioning and object lock, what MinIO says of its health, and whether the keys reach other
tenants' prefixes.

A signature that is refused is explained: the server's canonical request is compared with what was signed, or, where the
answer has none, experiments find what makes the difference.

It reads only. With `writes: true` and the operator's `--allow-writes` it also does what applications do: objects with a
signed payload, an unsigned one, signed chunks and a checksum trailer, read back, in two parts, given up, copied, by a
presigned address, deleted. All of it is below `<prefix>/.preflight-<run id>/`, is removed in any case, and what could not
be removed is told. Where object lock would keep it, nothing is written. `--cleanup` removes what a killed run left.

The keys come from a Secret or the spec; of them it is told how long they are, in classes, and a fingerprint. No file,
message or log holds a key, a token, a signature or a presigned address.

With `from: pod` all this is asked from a pod of assay (`--agent-image`) in the namespace of `secret`, else in that of the
run.

# Files

- `s3/<collectorName>.json`, `s3/s3.json` without a name

# Permissions

- get secrets, those that `secret` and `tls.secret` name; none where the spec holds everything
- with `from: pod` also create, get and delete pods and secrets, get pods/log; list events, which explain why a pod
  does not start

# Example

```yaml
s3:
  collectorName: artifacts
  endpoint: https://minio.minio.svc:9000
  bucketName: mlflow-artifacts
  usePathStyle: true
  prefix: team-a
  foreignPrefixes: [team-b]
  secret:
    namespace: mlops
    name: mlflow-s3
```
";

/// What each exchange has.
const STEP: Duration = Duration::from_secs(10);
/// What all of it has where the spec does not say.
const WHOLE: Duration = Duration::from_mins(2);
/// What removing what was written may take.
const CLEANING: Duration = Duration::from_secs(20);
/// What reading Secrets and writing the file may take beside.
const BESIDE: Duration = Duration::from_secs(40);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    #[serde(flatten)]
    wanted: Wanted,
    /// Where it is asked from: this machine, or a pod in the cluster.
    from: From,
    /// In a pod: where the caller had the keys from.
    #[schemars(skip)]
    resolved_from: String,
    /// How long all of it may take, as `30s`. Two minutes if empty.
    timeout: String,
}

#[derive(Debug)]
struct S3 {
    name: String,
    config: Config,
    timeout: Duration,
}

fn parse(value: &Value, meta: &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError> {
    let Parsed { config, ignored } = config::parse::<Config>(value)?;
    let timeout = super::timeout(&config.timeout)?.unwrap_or(WHOLE);
    if let Some((path, message)) = config.wanted.problem() {
        return Err(ConfigError {
            path: path.to_owned(),
            message,
        });
    }
    Ok(Parsed {
        config: Box::new(S3 {
            name: meta.name.clone(),
            config,
            timeout,
        }),
        ignored,
    })
}

#[async_trait]
impl Collector for S3 {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        let wanted = &self.config.wanted;
        let keys = wanted.secret.iter().map(|it| (&it.name, &it.namespace));
        let tls = wanted.tls.secret.iter().map(|it| (&it.name, &it.namespace));
        secret_data::permissions(keys.chain(tls), namespace)
    }

    /// What may not be read is an answer in its own file.
    fn degrades(&self) -> bool {
        true
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().into_iter().map(String::from).collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.timeout.saturating_add(CLEANING).saturating_add(BESIDE))
    }

    fn cleans_up(&self) -> bool {
        self.config.wanted.writes
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let mut report = Report::default();
        if let Err(problem) = self.fill(context, output, &mut report).await {
            report
                .steps
                .push(reach::failed(Link::Configuration, problem));
        }
        self.finish(&mut report);
        output.json(&self.path()?, &report)
    }

    fn place(&self, namespace: Option<&str>) -> Place {
        let secret = self.config.wanted.secret.as_ref();
        let own = secret.map_or("", |secret| secret.namespace.as_str());
        self.config.from.place(own, namespace)
    }

    async fn portable(
        &self,
        context: &Context,
        output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        match self.config.wanted.resolved(context).await {
            Ok(wanted) => {
                let mut config = serde_json::to_value(wanted)
                    .map_err(|_| CollectError::Failed("the settings cannot be sent".to_owned()))?;
                config["timeout"] = self.config.timeout.clone().into();
                config["resolvedFrom"] =
                    format!("{}, used from a pod", self.config.wanted.source()).into();
                Ok(Some(config))
            }
            Err(problem) => {
                let mut report = Report::default();
                report.target.source = self.source();
                report
                    .steps
                    .push(reach::failed(Link::Configuration, problem));
                self.finish(&mut report);
                output.json(&self.path()?, &report)?;
                Ok(None)
            }
        }
    }
}

impl S3 {
    fn path(&self) -> Result<BundlePath, CollectError> {
        let name = if self.name.is_empty() {
            KIND.name
        } else {
            &self.name
        };
        Ok(BundlePath::join(["s3", &format!("{name}.json")])?)
    }

    /// Where the keys are, for people.
    fn source(&self) -> String {
        match self.config.resolved_from.as_str() {
            "" => self.config.wanted.source(),
            resolved => resolved.to_owned(),
        }
    }

    async fn fill(
        &self,
        context: &Context,
        output: &Output,
        report: &mut Report,
    ) -> Result<(), Failed> {
        report.target.source = self.source();
        let settings = self.config.wanted.resolved(context).await?.settings()?;
        report.target = settings.target(self.source(), &context.salt);
        report.steps.push(reach::passed(
            Link::Configuration,
            format!("keys from {}", self.source()),
        ));
        let probe = Probe::new(settings, &self.name, STEP, context)?;
        if context.writes == Writes::CleanUp {
            report.cleanup = Some(
                cleanup::of_earlier_runs(
                    &probe,
                    &self.config.wanted.foreign_prefixes,
                    self.timeout,
                )
                .await,
            );
            return Ok(());
        }
        let path = self.path().map_err(|error| {
            settings::failure(
                Reason::BadSetting,
                format!("no file has this name: {error}"),
            )
        })?;
        let work = self.ask(&probe, context, output, &path, report);
        if timeout(self.timeout, work).await.is_err() {
            let text = format!(
                "not everything was answered within {} s",
                self.timeout.as_secs_f32()
            );
            let next = self.links(report).into_iter().next().unwrap_or(Link::Other);
            let problem = settings::failure(Reason::Deadline, text);
            report.steps.push(reach::failed(next, problem));
        }
        if let Some(written) = &mut report.writes
            && written.allowed
            && !written.folder.is_empty()
        {
            let foreign = &self.config.wanted.foreign_prefixes;
            *written = cleanup::of_this_run(&probe, foreign, CLEANING).await;
        }
        Ok(())
    }

    async fn ask(
        &self,
        probe: &Probe,
        context: &Context,
        output: &Output,
        file: &BundlePath,
        report: &mut Report,
    ) {
        let wanted = &self.config.wanted;
        if !probe.read(report).await {
            return;
        }
        if probe.settings.keys.is_some() {
            probe.foreign(&wanted.foreign_prefixes, report).await;
        }
        if !wanted.writes {
            return;
        }
        if context.writes != Writes::Allowed {
            report.writes = Some(Written::default());
            return;
        }
        probe
            .write(&wanted.foreign_prefixes, context, output, file, report)
            .await;
    }

    /// The links that are still to come.
    fn links(&self, report: &Report) -> Vec<Link> {
        let has_tls = report.target.endpoint.starts_with("https:");
        let has_proxy = !report.target.proxy.is_empty() && has_tls;
        let reading = [
            (Link::Configuration, true),
            (Link::Dns, true),
            (Link::Tcp, true),
            (Link::Proxy, has_proxy),
            (Link::Tls, has_tls),
            (Link::Http, true),
            (Link::Auth, report.target.access_key.is_some()),
            (Link::Bucket, true),
            (Link::List, true),
            (Link::OddKeys, true),
            (Link::Range, true),
        ];
        let writes = self.config.wanted.writes;
        let writing = writing::LINKS.iter().map(|link| (*link, writes));
        reading
            .into_iter()
            .chain(writing)
            .filter(|(link, is_there)| {
                *is_there && !report.steps.iter().any(|step| step.link == *link)
            })
            .map(|(link, _)| link)
            .collect()
    }

    /// Says of every link what became of it.
    fn finish(&self, report: &mut Report) {
        if report.cleanup.is_some() {
            return;
        }
        let may_not = report.writes.as_ref().is_some_and(|it| !it.allowed);
        for link in self.links(report) {
            let is_writing = writing::LINKS.contains(&link);
            let step = if is_writing && may_not {
                Step {
                    link,
                    outcome: Outcome::Skipped,
                    message: "writes not allowed".to_owned(),
                    failure: Some(*settings::failure(Reason::WritesNotAllowed, "").0),
                }
            } else {
                Step {
                    link,
                    outcome: Outcome::NotReached,
                    ..Step::default()
                }
            };
            report.steps.push(step);
        }
    }
}
