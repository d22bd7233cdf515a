//! Proxies on the way: one that wants a login, and one that opens TLS.

use std::fs;

use super::servers::{AMD64, registries};
use super::{check, found, indented, row, titled};
use crate::fixture::Cluster;
use crate::servers::{Servers, openssl};

#[test]
fn proxies_that_want_a_login_and_that_intercept_are_told_apart() {
    let cluster = Cluster::new("registry-proxies");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let good = servers.registry(2, "", &servers.tls("good"));
    let login = servers.proxy(true);
    let bump = servers.proxy(false);
    let through = |proxy: &str| {
        format!(
            "proxy: {{https: 'http://{proxy}'}}\ntls:\n  cacert: |{}",
            indented(&servers.authority())
        )
    };
    let image = format!("registry.test:{good}/team/app:1");
    let rows = [
        row(
            "login",
            image.clone(),
            &through(&format!("127.0.0.1:{login}")),
            Some("proxyAuthentication"),
        ),
        row(
            "logged-in",
            image.clone(),
            &through(&format!("somebody:hunter2-pw@127.0.0.1:{login}")),
            None,
        ),
        row(
            "bumped",
            image.clone(),
            &through(&format!("127.0.0.1:{bump}")),
            Some("intercepted"),
        ),
        row(
            "no-proxy",
            image,
            &through("127.0.0.1:1"),
            Some("connectionRefused"),
        ),
    ];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let bumped = found(&bundle, "bumped");
    assert_eq!(
        bumped["servers"][0]["tls"]["issuer"], "CN=Squid at the border",
        "{bumped:#}"
    );
    assert!(titled(&live, "fail", "bumped")[0].contains("exempt the registry"));
    assert_eq!(
        found(&bundle, "logged-in")["servers"][0]["proxy"],
        format!("http://127.0.0.1:{login}")
    );
}

/// The proxy's authority has a name that says nothing: the chain through it is compared with the one without.
#[test]
fn a_chain_that_differs_without_the_proxy_is_interception() {
    let cluster = Cluster::new("registry-interception");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let good = servers.registry(2, "", &servers.tls("good"));
    openssl(
        servers.folder(),
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "100",
            "-keyout",
            "squid.key",
            "-out",
            "squid.crt",
            "-subj",
            "/CN=Corporate root",
        ],
    );
    let both =
        ["squid.crt", "squid.key"].map(|name| fs::read_to_string(servers.path(name)).expect("PEM"));
    fs::write(servers.path("squid.pem"), both.concat()).expect("PEM");
    let bump = servers.proxy(false);
    let proxy = format!("http://127.0.0.1:{bump}");
    let through = |authority: &str| {
        format!(
            "proxy: {{https: '{proxy}'}}\ntls:\n  cacert: |{}",
            indented(authority)
        )
    };
    // This machine by an address that is not its own alone: proxies are asked for it.
    let image = format!("0.0.0.0:{good}/team/app:1");
    let border = fs::read_to_string(servers.path("squid.crt")).expect("the authority");
    let rows = [
        row(
            "compared",
            image.clone(),
            &through(&servers.authority()),
            Some("intercepted"),
        ),
        // Who trusts the proxy's authority gets its images.
        row("trusted", image, &through(&border), None),
    ];
    let (live, bundle) = check(&cluster, &rows, &[]);
    let told = &titled(&live, "fail", "compared")[0];
    let compared = format!(
        "through the proxy {proxy} the certificate's issuer is CN=Corporate root, without it CN=Test authority"
    );
    assert!(
        told.contains(&compared) && told.contains("exempt the registry"),
        "{told}"
    );
    let seen = found(&bundle, "compared");
    assert_eq!(
        seen["servers"][0]["tls"]["interception"], compared,
        "{seen:#}"
    );
}
