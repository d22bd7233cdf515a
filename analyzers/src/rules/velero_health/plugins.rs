//! Plugins: a provider that a location names needs one, which an init container brings.

use std::collections::BTreeSet;

use bundle::collected::velero::{BackupStorageLocation, VolumeSnapshotLocation};

use super::{Answers, Scene, claim, listed};
use crate::finding::{Finding, Verdict};
use crate::velero::objects;

/// Providers of which it is known which image brings their plugin. Others' plugins may be called anything.
const PLUGINS: [(&str, &str); 3] = [
    ("aws", "velero-plugin-for-aws"),
    ("azure", "velero-plugin-for-microsoft-azure"),
    ("gcp", "velero-plugin-for-gcp"),
];

pub(super) fn judge(scene: &Scene<'_>, answers: &mut Answers) {
    let title = "Every provider has its plugin";
    let namespace = Some(scene.namespace.as_str());
    let locations =
        objects::<BackupStorageLocation>(scene.files, "backupstoragelocations", namespace);
    let snapshots =
        objects::<VolumeSnapshotLocation>(scene.files, "volumesnapshotlocations", namespace);
    let of_backups = locations.iter().map(|location| &location.spec.provider);
    let of_snapshots = snapshots.iter().map(|location| &location.spec.provider);
    let named: BTreeSet<&str> = of_backups
        .chain(of_snapshots)
        .map(|provider| provider.strip_prefix("velero.io/").unwrap_or(provider))
        .collect();
    let known = PLUGINS
        .iter()
        .filter(|(provider, _)| named.contains(provider));
    let used: Vec<&(&str, &str)> = known.collect();
    if used.is_empty() || scene.server.version_text.is_empty() {
        return;
    }
    let images = &scene.server.plugins;
    let has = |provider: &str, plugin: &str| {
        let other = format!("plugin-{provider}");
        let mut images = images.iter();
        images.any(|image| image.contains(plugin) || image.contains(&other))
    };
    let missing: Vec<&str> = used
        .iter()
        .filter(|(provider, plugin)| !has(provider, plugin))
        .map(|(provider, _)| *provider)
        .collect();
    let observed = match images.as_slice() {
        [] => "no init containers".to_owned(),
        images => listed(images),
    };
    let observed = format!(
        "{observed} (cluster-resources/deployments/{}.json)",
        scene.namespace
    );
    let providers: Vec<&str> = used.iter().map(|(provider, _)| *provider).collect();
    // An image of one's own may hold a known plugin under another name: the location's own state decides then.
    let (verdict, message) = match missing.as_slice() {
        [] => (
            Verdict::Pass,
            format!(
                "The server has a plugin for {} among its init containers.",
                listed(&providers)
            ),
        ),
        missing if images.is_empty() => (
            Verdict::Fail,
            format!(
                "Locations name the provider {}, and the server has no plugins.",
                listed(missing)
            ),
        ),
        missing => (
            Verdict::Warn,
            format!(
                "Locations name the provider {}, and no init container of the server has an image that is known to bring its plugin.",
                listed(missing)
            ),
        ),
    };
    let known = PLUGINS
        .iter()
        .find(|(provider, _)| missing.contains(provider));
    let remedy = known.map_or_else(String::new, |(_, plugin)| {
        format!("Add the plugin in the version that belongs to Velero {}: velero plugin add velero/{plugin}:VERSION", scene.server.version_text)
    });
    answers.say(
        Finding {
            observed,
            ..claim("plugins", title, verdict, message)
        }
        .with_remedy(remedy),
    );
}
