//! Packs: specs that the program brings, `pack:NAME` wherever a spec is named.

/// A spec that the program brings.
#[derive(Debug, Clone, Copy)]
pub struct Pack {
    /// What follows `pack:`.
    pub name: &'static str,
    /// What it answers, one line.
    pub summary: &'static str,
    /// The spec, commented for somebody who makes it their own.
    pub spec: &'static str,
}

/// Every pack, by name.
pub const PACKS: &[Pack] = &[
    Pack {
        name: "airgap",
        summary: "Is an archive of images whole and right, and does it hold every image that is wanted",
        spec: include_str!("../specs/airgap.yaml"),
    },
    Pack {
        name: "gpu",
        summary: "Does a pod with a GPU fit, and what in the cluster says why not",
        spec: include_str!("../specs/gpu.yaml"),
    },
    Pack {
        name: "gpu-host",
        summary: "Does this machine's GPU work, is it healthy, can containers have it; no cluster is asked",
        spec: include_str!("../specs/gpu-host.yaml"),
    },
    Pack {
        name: "postgres",
        summary: "Is the application let in to PostgreSQL, are there connections enough, and what do logs say",
        spec: include_str!("../specs/postgres.yaml"),
    },
    Pack {
        name: "registry",
        summary: "Can images be pulled, whole and for the nodes' platforms, and if not, which link broke first",
        spec: include_str!("../specs/registry.yaml"),
    },
    Pack {
        name: "s3",
        summary: "Can the bucket be used as SDKs use it, and if not, which link broke first and why",
        spec: include_str!("../specs/s3.yaml"),
    },
    Pack {
        name: "velero",
        summary: "Does Velero make backups that can be restored, and if not, why",
        spec: include_str!("../specs/velero.yaml"),
    },
];

/// The pack of this name, or why there is none.
pub fn find(name: &str) -> Result<&'static Pack, String> {
    PACKS.iter().find(|pack| pack.name == name).ok_or_else(|| {
        let near = syntax::suggest::nearest(name, PACKS.iter().map(|pack| pack.name));
        let hint = near.map_or_else(
            || "`assay packs` lists them".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        format!("there is no pack {name:?}; {hint}")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::spec;

    /// A pack that warns is one that somebody copies with its fault.
    #[test]
    fn every_pack_loads_without_a_warning_and_can_be_run() {
        for pack in PACKS {
            let specs = spec::parse(pack.name, pack.spec).expect(pack.name);
            let said: Vec<String> = specs.diagnostics.iter().map(ToString::to_string).collect();
            assert_eq!(said, [""; 0], "{}", pack.name);
            assert_eq!(specs.lost, 0, "{}", pack.name);
            let plan = specs.preflight().expect(pack.name);
            assert_eq!(plan.name, pack.name);
            assert!(plan.left_out.is_empty(), "{}", pack.name);
            let checks = plan.checks();
            assert!(!checks.is_empty(), "{}", pack.name);
            for check in checks {
                assert!(check.analyzer.is_ok(), "{}: {check:?}", pack.name);
                assert!(
                    !check.meta.check_name.is_empty(),
                    "{}: {check:?}",
                    pack.name
                );
            }
        }
    }

    #[test]
    fn every_file_is_a_pack_and_listed_in_order() {
        assert!(PACKS.is_sorted_by(|one, next| one.name < next.name));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/specs");
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(folder).expect("the folder of specs") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".yaml") {
                files.insert(name.to_owned());
            }
        }
        let packs: BTreeSet<String> = PACKS.iter().map(|pack| pack.name.to_owned()).collect();
        assert_eq!(files, packs);
    }

    #[test]
    fn a_name_that_is_none() {
        for (name, words) in [
            ("gpuu", "did you mean \"gpu\"?"),
            ("", "`assay packs` lists them"),
        ] {
            let reason = find(name).expect_err("there is no such pack");
            assert!(reason.contains(words), "{reason}");
        }
    }
}
