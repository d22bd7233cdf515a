//! "Did you mean": the nearest known name.

/// The candidate that `name` most probably means, if one is near enough: the same but for case and
/// separators, or within one edit for every three letters.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold(name);
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .take(100)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let names = [
            "clusterInfo",
            "clusterResources",
            "logs",
            "when",
            "outcomes",
            "analyzers",
        ];
        for (name, meant) in [
            ("clusterResource", Some("clusterResources")),
            ("cluster-resources", Some("clusterResources")),
            ("ClusterInfo", Some("clusterInfo")),
            ("wen", Some("when")),
            ("whne", Some("when")),
            ("outcome", Some("outcomes")),
            ("analyser", Some("analyzers")),
            ("log", Some("logs")),
            ("pods", None),
            ("", None),
            ("notACollector", None),
        ] {
            assert_eq!(nearest(name, names), meant, "{name}");
        }
    }
}
