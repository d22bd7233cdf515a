use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::postgres::{
    Connection, Failure, Limits, Password, Reason, Stage, Target, Unread,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use syntax::config::{self, ConfigError, Parsed};
use tokio::time::timeout;

use crate::agent::{From, Place};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Meta, Output, Permission, Scope,
};
use crate::fingerprint::Salt;
use crate::secret_data;

mod classify;
mod connect;
mod facts;
mod pooler;
mod session;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod verifier;
mod wire;

use connect::Wanted;
use source::{Source, Sourced, TlsConfig};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "postgres",
    type_name: "postgres",
    scope: Scope::Cluster,
    summary: "Whether a PostgreSQL server lets a role in, why not, and how many connections it has to give",
    docs: DOCS,
    since: "0.1.0",
    parse,
    schema: || schemars::schema_for!(Postgres).to_value(),
};

const DOCS: &str = "\
# What it collects

Logs in to a PostgreSQL server as an application would and asks what limits its connections: settings, who is
connected, the limits of the role and the database, privileges, whether a pooler stands in between and what
PgBouncer's console says. Everything runs in transactions that write nothing. Where the login fails, the layer and
the cause: the name, the network, TLS, `pg_hba.conf`, the password, the database, a server that starts up, slots that
are taken, something that is not PostgreSQL, silence.

The connection string is `uri`, or a key of a Secret. It is read as libpq and pgx read it: a URI or keyword=value,
several hosts, every `sslmode`, client certificates, SCRAM with channel binding. Service and password files and the
environment are not read. Of a password it is told how long it is, in classes, and a fingerprint; no file, message or
log holds it.

Each step has `connect_timeout` of the connection string, else 10 seconds; all together `timeout`, else a minute.

With `from: pod` the connection comes from a pod of assay (`--agent-image`) in the namespace of `secret`, else in that
of the run: what it finds holds for applications in the cluster. Secrets and files are read by the caller.

# Files

- `postgres/<collectorName>.json`, `postgres/postgres.json` without a name: `isConnected`, `error`, `version`, as
  troubleshoot writes it
- `postgres/<collectorName>/limits.json`: everything else; `failure.reason` where there is no connection

# Permissions

- get secrets, the ones that `secret`, `tls.secret` and `console.secret` name; none where the spec holds everything

- with `from: pod` also create, get and delete pods and secrets, get pods/log; list events, which explain why a pod
  does not start

# Example

```yaml
postgres:
  collectorName: db
  secret:
    namespace: shop
    name: shop-db-app
    key: uri
  tls:
    secret:
      namespace: shop
      name: shop-db-ca
```
";

/// What each step has where the connection string does not say.
const STEP: Duration = Duration::from_secs(10);

/// What all of it has where the spec does not say.
const WHOLE: Duration = Duration::from_mins(1);

/// What reading Secrets and writing the files may take beside.
const BESIDE: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Postgres {
    /// The connection string: a URI or keyword=value, as libpq and pgx read it.
    uri: String,
    /// The Secret that holds it, in place of `uri`.
    secret: Option<source::SecretKey>,
    /// Certificates and keys.
    tls: TlsConfig,
    /// A connection string with which the pooler's console may be read, if that of the application may not.
    console: Option<Source>,
    /// Where the connection comes from: this machine, or a pod in the cluster.
    from: From,
    /// In a pod: where the caller had the connection string from.
    #[serde(rename = "resolvedFrom")]
    #[schemars(skip)]
    resolved_from: String,
    /// How long all of it may take, as `30s`. A minute if empty.
    timeout: String,
}

#[derive(Debug)]
struct Named {
    name: String,
    source: Source,
    config: Postgres,
    timeout: Duration,
}

fn parse(value: &Value, meta: &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError> {
    let Parsed { config, ignored } = config::parse::<Postgres>(value)?;
    let timeout = super::timeout(&config.timeout)?.unwrap_or(WHOLE);
    let source = Source {
        uri: config.uri.clone(),
        secret: config.secret.clone(),
    };
    let sources = [
        ("secret", Some(&source)),
        ("console", config.console.as_ref()),
    ];
    for (path, source) in sources {
        let Some(source) = source else { continue };
        let problem = match &source.secret {
            Some(_) if !source.uri.is_empty() => {
                "give a connection string or a Secret that holds it, not both"
            }
            Some(secret) if secret.name.is_empty() => "the Secret has no name",
            _ => continue,
        };
        return Err(ConfigError {
            path: path.to_owned(),
            message: problem.to_owned(),
        });
    }
    Ok(Parsed {
        config: Box::new(Named {
            name: meta.name.clone(),
            source,
            config,
            timeout,
        }),
        ignored,
    })
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        let keys = [
            self.config.secret.as_ref(),
            self.config
                .console
                .as_ref()
                .and_then(|it| it.secret.as_ref()),
        ];
        let keys = keys
            .into_iter()
            .flatten()
            .map(|secret| (&secret.name, &secret.namespace));
        let tls = self
            .config
            .tls
            .secret
            .iter()
            .map(|secret| (&secret.name, &secret.namespace));
        secret_data::permissions(keys.chain(tls), namespace)
    }

    /// What may not be read is an answer in its own files.
    fn degrades(&self) -> bool {
        true
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        let paths = [self.connection_path(), self.limits_path()];
        paths.into_iter().flatten().map(String::from).collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.timeout.saturating_add(BESIDE))
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let mut connection = Connection::default();
        let mut limits = Limits::default();
        let work = self.fill(context, &mut connection, &mut limits);
        if timeout(self.timeout, work).await.is_err() {
            let text = format!(
                "not everything was answered within {} s",
                self.timeout.as_secs_f32()
            );
            if limits.is_connected {
                limits.unread.push(Unread {
                    what: "the rest".to_owned(),
                    reason: text,
                });
            } else {
                limits.failure = Some(Failure {
                    reason: Reason::Deadline,
                    stage: Stage::Login,
                    message: text,
                    ..Failure::default()
                });
            }
        }
        self.write(output, connection, &limits)
    }

    fn place(&self, namespace: Option<&str>) -> Place {
        let secret = self.config.secret.as_ref();
        let own = secret.map_or("", |secret| secret.namespace.as_str());
        self.config.from.place(own, namespace)
    }

    async fn portable(
        &self,
        context: &Context,
        output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        match self.resolved(context).await {
            Ok(config) => Ok(Some(config)),
            Err(failure) => {
                let mut limits = Limits::default();
                limits.target.source = self.shown();
                limits.failure = Some(failure);
                self.write(output, Connection::default(), &limits)?;
                Ok(None)
            }
        }
    }
}

impl Named {
    /// The configuration with everything in it that it names.
    async fn resolved(&self, context: &Context) -> Result<Value, Failure> {
        let settings = self.source.read(context).await?;
        let texts = self.config.tls.texts(&settings, context).await?;
        let [roots, certificate, key] = texts.map(|it| String::from_utf8_lossy(&it).into_owned());
        let mut config = json!({
            "uri": self.source.text(context).await?,
            "tls": {
                "skipVerify": self.config.tls.skip_verify,
                "cacert": roots,
                "clientCert": certificate,
                "clientKey": key,
            },
            "timeout": self.config.timeout,
            "resolvedFrom": format!("{}, used from a pod", self.source.shown()),
        });
        if let Some(console) = &self.config.console {
            config["console"] = json!({"uri": console.text(context).await?});
        }
        Ok(config)
    }

    /// Where the connection string is, for people.
    fn shown(&self) -> String {
        match self.config.resolved_from.as_str() {
            "" => self.source.shown(),
            resolved => resolved.to_owned(),
        }
    }

    fn write(
        &self,
        output: &Output,
        mut connection: Connection,
        limits: &Limits,
    ) -> Result<(), CollectError> {
        connection.is_connected = limits.is_connected;
        if let Some(failure) = &limits.failure {
            connection.error.clone_from(&failure.message);
        }
        output.json_with(&self.connection_path()?, &connection, "")?;
        output.json(&self.limits_path()?, limits)
    }

    fn file_name(&self) -> &str {
        if self.name.is_empty() {
            KIND.name
        } else {
            &self.name
        }
    }

    fn connection_path(&self) -> Result<BundlePath, CollectError> {
        Ok(BundlePath::join([
            "postgres",
            &format!("{}.json", self.file_name()),
        ])?)
    }

    fn limits_path(&self) -> Result<BundlePath, CollectError> {
        Ok(BundlePath::join([
            "postgres",
            self.file_name(),
            "limits.json",
        ])?)
    }

    async fn fill(&self, context: &Context, connection: &mut Connection, limits: &mut Limits) {
        limits.target.source = self.shown();
        if let Err(failure) = self.find_out(context, connection, limits).await {
            limits.failure = Some(failure);
        }
    }

    async fn find_out(
        &self,
        context: &Context,
        connection: &mut Connection,
        limits: &mut Limits,
    ) -> Result<(), Failure> {
        let settings = self.source.read(context).await?;
        let sourced = self.config.tls.add_to(settings, context).await?;
        limits.target = target(&sourced, self.shown(), &context.salt);
        let wanted = wanted(&sourced)?;
        let session = connect::connect(wanted).await?;
        limits.connection = Some(session.link.clone());
        let told = facts::read(&session, limits).await;
        if let (None, Some(unread)) = (&told.version, limits.unread.first()) {
            // Troubleshoot asks for the version, and calls a server that does not tell it not connected.
            return Err(Failure {
                reason: Reason::Other,
                stage: Stage::Query,
                message: format!("{}: {}", session.link.server, unread.reason),
                server: session.link.server.clone(),
                ..Failure::default()
            });
        }
        limits.is_connected = true;
        connection.version = told.version.clone().unwrap_or_default();
        limits.pooler = pooler::detect(&session, &told, limits).await;
        if let Some(pooler) = limits.pooler.as_mut().filter(|pooler| pooler.present) {
            match &self.config.console {
                None => pooler::read_console(wanted, &session, pooler).await,
                Some(console) => match self.console(console, context).await {
                    Ok(sourced) => match self::wanted(&sourced) {
                        Ok(wanted) => pooler::read_console(wanted, &session, pooler).await,
                        Err(failure) => pooler.console_unread = failure.message,
                    },
                    Err(failure) => pooler.console_unread = failure.message,
                },
            }
        }
        Ok(())
    }

    async fn console(&self, console: &Source, context: &Context) -> Result<Sourced, Failure> {
        let settings = console.read(context).await?;
        self.config.tls.add_to(settings, context).await
    }
}

/// What is asked for, which must name a role: there is no user of an operating system that could stand in.
fn wanted(sourced: &Sourced) -> Result<Wanted<'_>, Failure> {
    let settings = &sourced.settings;
    let role = settings.user.as_deref().ok_or_else(|| Failure {
        reason: Reason::BadConnectionString,
        stage: Stage::Configuration,
        message: "the connection string names no user".to_owned(),
        ..Failure::default()
    })?;
    Ok(Wanted {
        settings,
        materials: &sourced.materials,
        role,
        database: settings.database.as_deref().unwrap_or(role),
        ssl_mode: sourced.ssl_mode,
        step: settings.connect_timeout.unwrap_or(STEP),
    })
}

fn target(sourced: &Sourced, source: String, salt: &Salt) -> Target {
    let settings = &sourced.settings;
    let role = settings.user.clone().unwrap_or_default();
    Target {
        source,
        hosts: settings.hosts.iter().map(connect::shown).collect(),
        database: settings.database.clone().unwrap_or_else(|| role.clone()),
        role,
        ssl_mode: sourced.ssl_mode.to_string(),
        password: settings.password.as_ref().map(|password| {
            let facts = salt.facts(password.as_bytes());
            Password {
                length_class: facts.length_class.to_owned(),
                fingerprint: facts.fingerprint,
            }
        }),
        unused: settings.unused.clone(),
    }
}
