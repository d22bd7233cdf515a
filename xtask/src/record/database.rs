//! The platform's PostgreSQL, for the recording of what the collector `postgres` reads.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::rig::Rig;

/// Starts the platform's database, the tracking server's role and database in it, and eleven sessions of that role:
/// what the collector `postgres` records. PostgreSQL refuses to run as root, so nobody is root here.
const DATABASE: &str = r#"
set -e
nobody="unshare --user --map-user=65534 --map-group=65534"
$nobody "$ASSAY_RIG_POSTGRES_17/initdb" --username owner --auth trust --no-sync --encoding UTF8 --locale C --pgdata "$1/data" >&2
cat >> "$1/data/postgresql.conf" <<END
unix_socket_directories = '$1'
max_connections = 100
superuser_reserved_connections = 3
fsync = off
shared_buffers = 16MB
END
printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' > "$1/data/pg_hba.conf"
$nobody "$ASSAY_RIG_POSTGRES_17/postgres" -D "$1/data" >&2 &
server=$!
# A fast shutdown: it ends the sessions, too.
trap 'kill -INT $server; wait' EXIT
sql() { psql --no-psqlrc --quiet --host "$1" --username "$2" --dbname "$3"; }
until echo 'SELECT 1' | sql "$1" owner postgres > "$1/answers" 2>&1; do kill -0 $server; sleep 0.1; done
echo "CREATE ROLE mlflow LOGIN PASSWORD 'brass-lantern-77' CONNECTION LIMIT 60; CREATE DATABASE mlflow OWNER mlflow;" |
    sed 's/; /;\n/' | sql "$1" owner postgres
for session in 1 2 3 4 5 6 7 8 9 10 11; do
    psql --no-psqlrc --host "$1" --username mlflow --dbname mlflow --command 'SELECT pg_sleep(300)' > "$1/answers" 2>&1 &
done
until [ "$(echo "SELECT 'sessions', count(*) FROM pg_stat_activity WHERE usename = 'mlflow'" | sql "$1" owner postgres | grep -c 'sessions | *11')" = 1 ]; do sleep 0.1; done
echo ready
read -r _ || true
"#;

/// The platform's database; it ends when its input does.
pub(super) struct Database(Child);

impl Database {
    /// Starts PostgreSQL inside the rig, in a folder below `folder`, and waits until it has its sessions.
    pub(super) fn start(rig: &Rig, folder: &Path) -> Result<Self> {
        let folder = folder.join("postgres");
        fs::create_dir(&folder)?;
        let mut child = rig
            .inside()
            .command("sh")?
            .args(["-c", DATABASE, "database"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the database")?;
        let stdout = child.stdout.take().context("its stdout is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the database ended before it was ready: {}", child.wait()?);
        }
        Ok(Self(child))
    }

    pub(super) fn stop(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait()?;
        Ok(())
    }
}
