use std::collections::BTreeMap;

use proptest::prelude::*;

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
        "registries.yaml" => k3s_registries("file", text),
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
            let (places, _) = places(&rules, &image, &[]);
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
[plugins.\"io.containerd.cri.v1.images\".registry.mirrors.\"docker.io\"]
endpoint = []
";
    let folders = ["/etc/containerd/certs.d", "/etc/docker/certs.d"].map(str::to_owned);
    assert_eq!(containerd_config(text), Ok((folders.to_vec(), true)));
    assert_eq!(containerd_config(""), Ok((Vec::new(), false)));
    assert_eq!(
        containerd_config("a = ["),
        Err("it is no TOML: line 1".to_owned())
    );
}

proptest! {
    /// Whatever a file holds there is an answer, and no address in it leads out of a registry's own paths.
    #[test]
    fn any_text_has_an_answer(
        form in prop::sample::select(&["hosts.toml", "registries.conf", "registries.yaml", "imagedigestmirrorsets", "spec"][..]),
        text in "(\\[\\[?(host\\.\"[a-z:/.@?#%]{0,20}\"|registry|registry\\.mirror)\\]\\]?\n|[a-z_-]{1,12} ?= ?(\"[a-z:/.@?#%]{0,20}\"|true|\\[\"pull\"\\])\n|mirrors: \\{a.b: \\{endpoint: \\[\"[a-z:/.@?#]{0,16}\"\\]\\}\\}\n|\\PC{0,20}\n){0,12}",
    ) {
        let image = syntax::image_reference::ImageReference::parse_written("registry.example.com/team/app").expect("a reference");
        for rule in rules(form, "registry.example.com", &text) {
            let _ = rule.told();
            let (places, _) = places(&[rule], &image, &[]);
            for place in places {
                let uri = place.address.parse::<http::Uri>();
                prop_assert!(uri.is_ok_and(|uri| uri.path() == "/" && uri.query().is_none() && !uri.to_string().contains('@')));
                prop_assert!(!place.root.contains(['?', '#', '%', '@']) && !place.root.contains(".."));
            }
        }
    }
}
