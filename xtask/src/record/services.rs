//! What the platform stands on besides the cluster, for the recording of what probes read: its PostgreSQL, its object
//! storage, the registry of its images, and the archive that brought them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::rig::Rig;

/// Starts what is recorded, in the folder `$1`, and says `ready`:
///
/// * the database, the tracking server's role and database in it, and eleven sessions of that role. PostgreSQL refuses to
///   run as root, so nobody is root there;
/// * `MinIO` in a region that the recording's spec does not name;
/// * a registry with two images for two platforms, of which one has lost a layer on amd64;
/// * `application.airgap`, made of that registry's storage before it lost the layer: one image is cut, one is not in it.
const SERVICES: &str = r#"
set -e
nobody="unshare --user --map-user=65534 --map-group=65534"
children=""
# A fast shutdown of the database: it ends the sessions, too.
trap 'kill -INT $server; kill $children; wait' EXIT

mkdir "$1/database"
$nobody "$ASSAY_RIG_POSTGRES_17/initdb" --username owner --auth trust --no-sync --encoding UTF8 --locale C --pgdata "$1/database/data" >&2
cat >> "$1/database/data/postgresql.conf" <<END
unix_socket_directories = '$1/database'
max_connections = 100
superuser_reserved_connections = 3
fsync = off
shared_buffers = 16MB
END
printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' > "$1/database/data/pg_hba.conf"
$nobody "$ASSAY_RIG_POSTGRES_17/postgres" -D "$1/database/data" >&2 &
server=$!
sql() { psql --no-psqlrc --quiet --host "$1/database" --username "$2" --dbname "$3"; }
until echo 'SELECT 1' | sql "$1" owner postgres > "$1/answers" 2>&1; do kill -0 $server; sleep 0.1; done
echo "CREATE ROLE mlflow LOGIN PASSWORD 'brass-lantern-77' CONNECTION LIMIT 60; CREATE DATABASE mlflow OWNER mlflow;" |
    sed 's/; /;\n/' | sql "$1" owner postgres
for session in 1 2 3 4 5 6 7 8 9 10 11; do
    psql --no-psqlrc --host "$1/database" --username mlflow --dbname mlflow --command 'SELECT pg_sleep(300)' > "$1/answers" 2>&1 &
done
until [ "$(echo "SELECT 'sessions', count(*) FROM pg_stat_activity WHERE usename = 'mlflow'" | sql "$1" owner postgres | grep -c 'sessions | *11')" = 1 ]; do sleep 0.1; done

mkdir -p "$1/storage/artifacts"
MINIO_ROOT_USER=mlops-artifacts MINIO_ROOT_PASSWORD=copper-harbour-42 MINIO_SITE_REGION=eu-central-1 \
    "$ASSAY_RIG_MINIO" server --address 127.0.0.1:9000 --console-address 127.0.0.1:9001 "$1/storage" >&2 &
children="$children $!"

cat > "$1/registry.yml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $1/registry}}
http: {addr: '127.0.0.1:5000'}
END
"$ASSAY_RIG_REGISTRY_2" serve "$1/registry.yml" >&2 &
children="$children $!"
crane() { "$ASSAY_RIG_CRANE" "$@" >&2; }
until curl --silent --fail http://127.0.0.1:5000/v2/ > "$1/answers"; do sleep 0.1; done
until curl --silent http://127.0.0.1:9000/artifacts > "$1/answers"; do sleep 0.1; done
for image in tracking:3.4.1 features:0.9.2; do
    for platform in amd64 arm64; do
        name="${image%:*}-$platform"
        mkdir "$1/$name"
        # Some bytes that do not compress, the same in every recording.
        openssl enc -aes-128-ctr -pass "pass:$name" -nosalt -pbkdf2 -in /dev/zero 2> "$1/answers" | head -c 40000 > "$1/$name/application"
        tar czf "$1/$name.tar.gz" -C "$1/$name" application
        crane append --insecure --new_layer "$1/$name.tar.gz" --new_tag "127.0.0.1:5000/mlops/$name:1"
        crane mutate --insecure --set-platform "linux/$platform" --tag "127.0.0.1:5000/mlops/$name:1" "127.0.0.1:5000/mlops/$name:1"
    done
    crane index append --insecure --tag "127.0.0.1:5000/mlops/$image" \
        --manifest "127.0.0.1:5000/mlops/${image%:*}-amd64:1" --manifest "127.0.0.1:5000/mlops/${image%:*}-arm64:1"
done
blob() { digest=$(sha256sum "$1/$2.tar.gz"); digest="${digest%% *}"; echo "docker/registry/v2/blobs/sha256/$(echo "$digest" | cut -c1-2)/$digest/data"; }

mkdir -p "$1/airgap/images"
cp -r "$1/registry/docker" "$1/airgap/images/docker"
rm -r "$1/airgap/images/docker/registry/v2/repositories/mlops/"*-a??64
mv "$1/airgap/images/docker/registry/v2/repositories/mlops/"* "$1/airgap/images/docker/registry/v2/repositories/"
rmdir "$1/airgap/images/docker/registry/v2/repositories/mlops"
truncate --size 20000 "$1/airgap/images/$(blob "$1" tracking-amd64)"
cat > "$1/airgap/airgap.yaml" <<END
apiVersion: kots.io/v1beta1
kind: Airgap
metadata: {name: mlops-platform}
spec:
  format: docker
  appSlug: mlops-platform
  channelID: stable
  channelName: Stable
  updateCursor: "41"
  versionLabel: 1.4.0
  savedImages:
    - 127.0.0.1:5000/mlops/tracking:3.4.1
    - 127.0.0.1:5000/mlops/features:0.9.2
    - 127.0.0.1:5000/mlops/summarizer:2.0.0
END
tar czf "$1/airgap/app.tar.gz" -C "$1/airgap" airgap.yaml
tar czf "$1/application.airgap" -C "$1/airgap" airgap.yaml app.tar.gz images

rm "$1/registry/$(blob "$1" features-amd64)"
echo ready
read -r _ || true
"#;

/// The platform's services; they end when their input does.
pub(super) struct Services(Child);

impl Services {
    /// Starts them inside the rig, in `folder`, and waits until all is there to be read.
    pub(super) fn start(rig: &Rig, folder: &Path) -> Result<Self> {
        let mut child = rig
            .inside()
            .command("sh")?
            .args(["-c", SERVICES, "services"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the platform's services")?;
        let stdout = child.stdout.take().context("its stdout is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!(
                "the platform's services ended before they were ready: {}",
                child.wait()?
            );
        }
        Ok(Self(child))
    }

    pub(super) fn stop(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait()?;
        Ok(())
    }
}
