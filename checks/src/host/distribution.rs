//! Which distribution of Linux it is, told from the files in `/etc`, in the order and the words of the Go
//! library behind troubleshoot: specs compare with these.

use std::path::Path;

use super::machine::text;

/// A distribution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    /// `ubuntu`
    pub(super) platform: String,
    /// `24.04`
    pub(super) version: String,
}

/// How a file in `/etc` tells of a distribution.
enum Tells {
    /// This platform; the version follows the word `release`.
    Release(&'static str),
    /// The platform is the first word, or `redhat`; the version follows the word `release`.
    RedHat,
    /// This platform; the version is the first line.
    Line(&'static str),
    /// Debian and what is made of it.
    Debian,
    /// `Slackware` and the version.
    Slackware,
    /// `VERSION` and `PATCHLEVEL`.
    Suse,
    /// This platform; the version is the one of `lsb-release`.
    Lsb(&'static str),
    /// `ID` and `VERSION_ID`.
    OsRelease,
}

/// The first of these that is there and not empty decides.
const FILES: &[(&str, Tells)] = &[
    ("oracle-release", Tells::Release("oracle")),
    ("enterprise-release", Tells::Release("oracle")),
    ("slackware-version", Tells::Slackware),
    ("debian_version", Tells::Debian),
    ("neokylin-release", Tells::RedHat),
    ("redhat-release", Tells::RedHat),
    ("system-release", Tells::RedHat),
    ("gentoo-release", Tells::Release("gentoo")),
    ("SuSE-release", Tells::Suse),
    ("arch-release", Tells::Lsb("arch")),
    ("alpine-release", Tells::Line("alpine")),
    ("os-release", Tells::OsRelease),
];

/// The distributions made of Debian that `lsb-release` names, and their platforms.
const OF_DEBIAN: &[(&str, &str)] = &[
    ("Ubuntu", "ubuntu"),
    ("LinuxMint", "linuxmint"),
    ("Kylin", "Kylin"),
    ("Cumulus Linux", "cumuluslinux"),
    ("uos", "uos"),
    ("Deepin", "Deepin"),
];

/// Where only `lsb-release` tells: its names and the platforms. Others are themselves in lower case.
const OF_LSB: &[(&str, &str)] = &[
    ("RedHat", "redhat"),
    ("Amazon", "amazon"),
    ("ScientificSL", "scientific"),
    ("XenServer", "xenserver"),
];

const FAMILIES: &[(&str, &[&str])] = &[
    (
        "debian",
        &[
            "debian",
            "ubuntu",
            "linuxmint",
            "raspbian",
            "Kylin",
            "cumuluslinux",
            "uos",
            "Deepin",
        ],
    ),
    (
        "rhel",
        &[
            "oracle",
            "centos",
            "redhat",
            "scientific",
            "enterpriseenterprise",
            "amazon",
            "xenserver",
            "cloudlinux",
            "ibm_powerkvm",
            "rocky",
            "almalinux",
        ],
    ),
    (
        "suse",
        &[
            "suse",
            "opensuse",
            "opensuse-leap",
            "opensuse-tumbleweed",
            "opensuse-tumbleweed-kubic",
            "sles",
            "sled",
            "caasp",
        ],
    ),
];

/// Families of one, named as their only member.
const FAMILIES_OF_ONE: &[&str] = &[
    "fedora",
    "gentoo",
    "slackware",
    "arch",
    "exherbo",
    "alpine",
    "coreos",
    "solus",
    "neokylin",
    "anolis",
];

/// The family of a platform, empty where none is known.
pub(super) fn family(platform: &str) -> &str {
    let family = FAMILIES
        .iter()
        .find(|(_, members)| members.contains(&platform));
    match family {
        Some((family, _)) => family,
        None if FAMILIES_OF_ONE.contains(&platform) => platform,
        None => "",
    }
}

/// The distribution whose root folder this is; empty where nothing tells.
pub(super) fn of(root: &Path) -> Distribution {
    let etc = root.join("etc");
    // Files shorter than this say nothing; some images have empty ones.
    let told = |name: &str| text(&etc.join(name)).ok().filter(|text| text.len() > 4);
    let lsb = text(&etc.join("lsb-release")).unwrap_or_default();
    let (lsb_id, lsb_release) = (
        variable(&lsb, "DISTRIB_ID").replace('"', ""),
        variable(&lsb, "DISTRIB_RELEASE").replace('"', ""),
    );
    let found = FILES
        .iter()
        .find_map(|(name, tells)| Some((tells, told(name)?)));
    let Some((tells, text)) = found else {
        let named = OF_LSB.iter().find(|(id, _)| *id == lsb_id);
        return Distribution {
            platform: named.map_or_else(
                || lsb_id.to_lowercase(),
                |(_, platform)| (*platform).to_owned(),
            ),
            version: lsb_release,
        };
    };
    let first_line = text.lines().next().unwrap_or_default().trim().to_owned();
    let (platform, version) = match tells {
        Tells::Release(platform) => ((*platform).to_owned(), release(&text)),
        Tells::RedHat => (red_hat(&text), release(&text)),
        Tells::Slackware => {
            let version = first_line.to_lowercase().replacen("slackware ", "", 1);
            ("slackware".to_owned(), version)
        }
        Tells::Line(platform) => ((*platform).to_owned(), first_line),
        Tells::Debian => match OF_DEBIAN.iter().find(|(id, _)| *id == lsb_id) {
            Some((_, platform)) => ((*platform).to_owned(), lsb_release),
            None if root.join("usr/bin/raspi-config").is_file() => {
                ("raspbian".to_owned(), first_line)
            }
            None => ("debian".to_owned(), first_line),
        },
        Tells::Suse => suse(&text),
        Tells::Lsb(platform) => ((*platform).to_owned(), lsb_release),
        Tells::OsRelease => {
            let platform = match unquoted(variable(&text, "ID")) {
                "amzn" => "amazon",
                platform => platform,
            };
            let version = unquoted(variable(&text, "VERSION_ID"));
            (platform.to_owned(), version.to_owned())
        }
    };
    Distribution {
        platform: platform.trim_matches('"').to_owned(),
        version,
    }
}

/// The value of `KEY=value`, as it is written; the last such line counts.
fn variable<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.split('=').next().unwrap_or(value).trim_end())
        .next_back()
        .unwrap_or_default()
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// What follows the word `release`: `8.9`, or `rawhide`.
fn release(text: &str) -> String {
    let text = text.to_lowercase();
    if text.contains("rawhide") {
        return "rawhide".to_owned();
    }
    let version = text.split("release ").skip(1).find_map(|rest| {
        let rest = rest.split(char::is_whitespace).next()?;
        let end = rest
            .chars()
            .enumerate()
            .position(|(at, c)| at > 0 && c != '.' && !c.is_ascii_digit());
        let version: String = rest.chars().take(end.unwrap_or(usize::MAX)).collect();
        (!version.is_empty()).then_some(version)
    });
    version.unwrap_or_default()
}

fn red_hat(text: &str) -> String {
    let text = text.to_lowercase();
    if text.contains("red hat") {
        return "redhat".to_owned();
    }
    text.split([' ', '\n'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn suse(text: &str) -> (String, String) {
    let mut version = String::new();
    for line in text.lines() {
        if let Some((_, number)) = line.split_once("VERSION = ") {
            number.trim_end().clone_into(&mut version);
        } else if let Some((_, level)) = line.split_once("PATCHLEVEL = ") {
            version.push('.');
            version.push_str(level.trim_end());
        }
    }
    let platform = if text.to_lowercase().contains("opensuse") {
        "opensuse"
    } else {
        "suse"
    };
    (platform.to_owned(), version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Files in `/etc`, and the platform, its family and its version.
    type Case = (&'static [(&'static str, &'static str)], [&'static str; 3]);

    const UBUNTU: &str = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\nDISTRIB_CODENAME=noble\n";

    const CASES: &[Case] = &[
        (
            &[
                ("debian_version", "trixie/sid\n"),
                ("lsb-release", UBUNTU),
                ("os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
            ],
            ["ubuntu", "debian", "24.04"],
        ),
        (
            &[
                ("debian_version", "13.1\n"),
                ("os-release", "ID=debian\nVERSION_ID=\"13\"\n"),
            ],
            ["debian", "debian", "13.1"],
        ),
        (
            &[
                (
                    "redhat-release",
                    "Red Hat Enterprise Linux release 9.4 (Plow)\n",
                ),
                ("os-release", "ID=\"rhel\"\n"),
            ],
            ["redhat", "rhel", "9.4"],
        ),
        (
            &[(
                "redhat-release",
                "Rocky Linux release 8.10 (Green Obsidian)\n",
            )],
            ["rocky", "rhel", "8.10"],
        ),
        (
            &[("redhat-release", "CentOS Stream release 9\n")],
            ["centos", "rhel", "9"],
        ),
        (
            &[("redhat-release", "Fedora release 41 (Forty One)\n")],
            ["fedora", "fedora", "41"],
        ),
        (
            &[("redhat-release", "Fedora release Rawhide\n")],
            ["fedora", "fedora", "rawhide"],
        ),
        (
            &[
                ("oracle-release", "Oracle Linux Server release 8.9\n"),
                (
                    "redhat-release",
                    "Red Hat Enterprise Linux release 8.9 (Ootpa)\n",
                ),
            ],
            ["oracle", "rhel", "8.9"],
        ),
        (
            &[("system-release", "Amazon Linux release 2 (Karoo)\n")],
            ["amazon", "rhel", "2"],
        ),
        (
            &[(
                "os-release",
                "NAME=\"Amazon Linux\"\nVERSION_ID=\"2023\"\nID=\"amzn\"\n",
            )],
            ["amazon", "rhel", "2023"],
        ),
        (
            &[("os-release", "ID=\"sles\"\nVERSION_ID=\"15.6\"\n")],
            ["sles", "suse", "15.6"],
        ),
        (
            &[(
                "SuSE-release",
                "openSUSE 13.2 (x86_64)\nVERSION = 13.2\nCODENAME = Harlequin\n",
            )],
            ["opensuse", "suse", "13.2"],
        ),
        (
            &[(
                "SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
            )],
            ["suse", "suse", "11.4"],
        ),
        (
            &[("alpine-release", "3.22.1\n")],
            ["alpine", "alpine", "3.22.1"],
        ),
        (
            &[("slackware-version", "Slackware 15.0\n")],
            ["slackware", "slackware", "15.0"],
        ),
        (
            &[("os-release", "ID=flatcar\nVERSION_ID=3975.2.2\n")],
            ["flatcar", "", "3975.2.2"],
        ),
        (
            &[
                ("debian_version", ""),
                (
                    "lsb-release",
                    "DISTRIB_ID=\"RedHat\"\nDISTRIB_RELEASE=\"7\"\n",
                ),
            ],
            ["redhat", "rhel", "7"],
        ),
        (
            &[("lsb-release", "DISTRIB_ID=Nobara\n")],
            ["nobara", "", ""],
        ),
        (&[], ["", "", ""]),
    ];

    #[test]
    fn platforms_families_and_versions() -> std::io::Result<()> {
        for (files, [platform, family_name, version]) in CASES {
            let root = tempfile::tempdir()?;
            fs::create_dir(root.path().join("etc"))?;
            for (name, text) in *files {
                fs::write(root.path().join("etc").join(name), text)?;
            }
            let found = of(root.path());
            assert_eq!(
                [
                    found.platform.as_str(),
                    family(&found.platform),
                    &found.version
                ],
                [*platform, *family_name, *version],
                "{files:?}"
            );
        }
        Ok(())
    }
}
