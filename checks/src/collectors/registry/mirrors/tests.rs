use std::collections::BTreeMap;

use proptest::prelude::*;

use serde::Deserialize;

use super::super::parse::{Given, openshift, registries_conf};
use super::super::{Place, places};
use super::*;

/// A case of `cases.yaml`.
#[derive(Deserialize)]
struct Case {
    name: String,
    form: String,
    #[serde(default)]
    registry: String,
    text: String,
    #[serde(default)]
    problem: String,
    asked: BTreeMap<String, Vec<String>>,
}

fn rules(form: &str, registry: &str, text: &str) -> Vec<Rule> {
    match form {
        "hosts.toml" => vec![hosts_toml("file", registry, "/etc/certs", text)],
        "registries.conf" => registries_conf("file", text),
        "registries.yaml" => registries_yaml("file", text),
        "config.toml" => config_toml("file", text).unwrap_or_default().rules,
        "spec" => {
            let given = Given {
                registry: registry.to_owned(),
                mirrors: vec![text.to_owned()],
            };
            vec![given.rule()]
        }
        plural => openshift(plural, text.as_bytes()).unwrap_or_default(),
    }
}

fn shown(place: &Place, registry: &str) -> String {
    let mut text = format!("{}{} {}", place.address, place.root, place.repository);
    if place.names_registry {
        text.push_str(" ns=");
        text.push_str(registry);
    }
    if place.trust.skip_verify {
        text.push_str(" unverified");
    }
    for file in &place.trust.files {
        text.push_str(" file=");
        text.push_str(file);
    }
    for file in &place.trust.client_files {
        text.push_str(" client=");
        text.push_str(file);
    }
    for (name, _) in &place.trust.headers {
        text.push_str(" header=");
        text.push_str(name);
    }
    if let Some(login) = &place.login {
        text.push_str(" as=");
        text.push_str(&login.user);
    }
    text
}

#[test]
fn every_form_leads_where_its_program_goes() {
    let document = yaml::document(include_str!("cases.yaml"), &yaml::Limits::default());
    let root = document.expect("YAML").root.to_json().expect("JSON");
    let cases: Vec<Case> = serde_json::from_value(root).expect("cases");
    for case in cases {
        let rules = rules(&case.form, &case.registry, &case.text);
        let problem = rules
            .iter()
            .map(|rule| rule.problem.as_str())
            .find(|it| !it.is_empty());
        assert_eq!(problem.unwrap_or_default(), case.problem, "{}", case.name);
        assert!(!format!("{rules:?}").contains("hunter2"), "{}", case.name);
        for (image, expected) in &case.asked {
            let image =
                syntax::image_reference::ImageReference::parse_written(image).expect("a reference");
            let places = places(&rules, &image, &[]).all;
            let places: Vec<String> = places.iter().map(|it| shown(it, &image.registry)).collect();
            assert_eq!(&places, expected, "{}: {image}", case.name);
        }
    }
}

#[test]
fn where_containerd_keeps_its_hosts() {
    let text = "
version = 2
[plugins.\"io.containerd.grpc.v1.cri\".registry]
config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"
";
    let folders = ["/etc/containerd/certs.d", "/etc/docker/certs.d"].map(str::to_owned);
    let found = config_toml("file", text).expect("TOML");
    assert_eq!((found.folders, found.rules), (folders.to_vec(), Vec::new()));
    assert_eq!(config_toml("file", ""), Ok(Config::default()));
    let broken = config_toml("file", "a = [");
    assert_eq!(broken, Err("it is no TOML: line 1".to_owned()));
}

#[test]
fn what_proves_something_is_not_shown() {
    let text = "[host.\"https://mirror.example.com\".header]\nAuthorization = \"Basic hunter2\"\n";
    let rule = hosts_toml("file", "docker.io", "/etc", text);
    assert_eq!(
        rule.mirrors[0].trust.headers[0].1,
        Hidden("Basic hunter2".to_owned())
    );
    let mut shown = format!("{rule:?}");
    shown.push_str(&serde_json::to_string(&rule.told()).expect("JSON"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    /// Whatever a file holds there is an answer, and no address in it leads out of a registry's own paths.
    #[test]
    fn any_text_has_an_answer(
        form in prop::sample::select(&["hosts.toml", "registries.conf", "registries.yaml", "config.toml", "imagedigestmirrorsets", "spec"][..]),
        text in "(\\[\\[?(host\\.\"[a-z:/.@?#%]{0,20}\"|registry|registry\\.mirror)\\]\\]?\n|[a-z_-]{1,12} ?= ?(\"[a-z:/.@?#%]{0,20}\"|true|\\[\"pull\"\\])\n|mirrors: \\{a.b: \\{endpoint: \\[\"[a-z:/.@?#]{0,16}\"\\]\\}\\}\n|\\PC{0,20}\n){0,12}",
    ) {
        let image = syntax::image_reference::ImageReference::parse_written("registry.example.com/team/app").expect("a reference");
        for rule in rules(form, "registry.example.com", &text) {
            let _ = rule.told();
            let places = places(&[rule], &image, &[]).all;
            for place in places {
                let uri = place.address.parse::<http::Uri>();
                prop_assert!(uri.is_ok_and(|uri| uri.path() == "/" && uri.query().is_none() && !uri.to_string().contains('@')));
                prop_assert!(!place.root.contains(['?', '#', '%', '@']) && !place.root.contains(".."));
            }
        }
    }
}
