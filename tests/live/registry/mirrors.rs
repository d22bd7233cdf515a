//! Mirrors, pull secrets and uploads.

use std::fs;

use super::servers::{AMD64, ARM64, registries};
use super::{check, found, pull_secret, row, spec, titled};
use crate::fixture::Cluster;
use crate::servers::Servers;

#[test]
#[expect(clippy::too_many_lines, reason = "one registry, asked in turn")]
fn mirrors_pull_secrets_and_uploads() {
    let cluster = Cluster::new("registry-mirrors");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64, ARM64]);
    Servers::push(plain, "team/amd64", "1", &[AMD64]);
    let tokens = servers.token_service();
    let token = format!(
        "auth: {{token: {{realm: 'http://127.0.0.1:{tokens}/token', service: registry.test, issuer: test, rootcertbundle: {}}}}}\n",
        servers.shown("token.crt")
    );
    let scoped = servers.registry(3, &token, "");
    let registry = format!("127.0.0.1:{scoped}");
    pull_secret(&cluster, "puller", &registry, "puller", "puller-pw");
    pull_secret(&cluster, "pusher", &registry, "pusher", "pusher-pw");
    pull_secret(&cluster, "keeper", &registry, "keeper", "keeper-pw");
    let by_account = r#"{"imagePullSecrets": [{"name": "absent"}, {"name": "puller"}]}"#;
    cluster.kubectl(&["patch", "serviceaccount", "default", "-p", by_account]);
    let folder = servers.path("certs.d/absent.invalid");
    fs::create_dir_all(&folder).expect("a folder");
    let mirror =
        format!("[host.\"http://127.0.0.1:{plain}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    fs::write(folder.join("hosts.toml"), mirror).expect("hosts.toml");
    let mirrored = format!("mirrors: {{folders: ['{}']}}", servers.shown("certs.d"));
    let namespace = format!("namespace: {}", cluster.namespace());
    let clear = format!("plainHttp: ['{registry}']\n{namespace}");
    let rows = [
        row(
            "mirror",
            "absent.invalid/team/app:1".into(),
            &mirrored,
            None,
        ),
        row(
            "mirror-lacks",
            "absent.invalid/team/other:1".into(),
            &mirrored,
            Some("nameNotResolved"),
        ),
        row("account", format!("{registry}/team/app:1"), &clear, None),
        row(
            "amd64-alone",
            format!("{registry}/team/amd64:1"),
            &clear,
            None,
        ),
        row(
            "push",
            format!("{registry}/team/app:1"),
            &format!(
                "{clear}\nimagePullSecrets: [{{name: keeper}}]\npush: ['{registry}/team/new']"
            ),
            None,
        ),
        row(
            "push-alone",
            format!("{registry}/team/app:1"),
            &format!(
                "{clear}\nimagePullSecrets: [{{name: pusher}}]\npush: ['{registry}/team/left']"
            ),
            None,
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &["--allow-writes"]);
    let mirror = found(&bundle, "mirror");
    assert_eq!(mirror["servers"][0]["role"], "mirror", "{mirror:#}");
    let lacks = found(&bundle, "mirror-lacks");
    assert_eq!(
        lacks["images"][0]["before"][0]["reason"], "repositoryMissing",
        "{lacks:#}"
    );
    let warned = titled(&live, "warn", "account");
    assert!(
        warned
            .iter()
            .any(|it| it.contains("absent cannot be used: it does not exist")),
        "{warned:?}"
    );
    let pushed = found(&bundle, "push");
    assert_eq!(pushed["pushes"][0]["cancelled"], true, "{pushed:#}");
    let uploads = servers.path("storage/docker/registry/v2/repositories/team/new/_uploads");
    // The registry may keep its own notes of an upload that it has cancelled, but no bytes.
    let left = fs::read_dir(uploads).into_iter().flatten().flatten();
    let left = left
        .filter(|upload| upload.path().join("data").exists())
        .count();
    assert_eq!(left, 0, "an upload is left");
    let alone = found(&bundle, "push-alone");
    assert_eq!(
        alone["pushes"][0]["left"], "the account may push, and not delete",
        "{alone:#}"
    );
    assert!(
        titled(&live, "pass", "push-alone")
            .iter()
            .any(|it| it.contains("It is left without content")),
        "{live:#}"
    );

    // Without the operator's consent nothing is started, and with too few rights nothing can be.
    let rows = [row(
        "push",
        format!("{registry}/team/app:1"),
        &format!("{clear}\npush: ['{registry}/team/new']"),
        None,
    )];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let asked = found(&bundle, "push");
    assert_eq!(
        asked["pushes"][0]["failure"]["reason"], "writesNotAllowed",
        "{asked:#}"
    );
    assert!(
        titled(&live, "unknown", "push")[0].contains("writes not allowed"),
        "{live:#}"
    );
    cluster.write("spec.yaml", &spec(&rows));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
        "--allow-writes",
    ];
    let denied = cluster.assay(&arguments).run().json();
    let told = titled(&denied, "fail", "push");
    assert!(told[0].contains("Let the account push"), "{denied:#}");
}
