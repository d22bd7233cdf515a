//! `app.tar.gz` of KOTS: the release, of which the manifests are kept.

use std::io::{self, BufReader, Read};

use bundle::archive::{Limits, MemberKind, Members, Skip};
use bundle::collected::image_bundle::Release;
use flate2::bufread::MultiGzDecoder;

use super::examine::reason;
use super::place::segments;
use super::readers::Remembering;
use super::shelf::ReleaseFile;

/// The largest file of a release that is read for images, and all of them together.
const MAX_FILE: u64 = 1 << 20;
const MAX_ALL: usize = 16 << 20;

/// Reads a release to its end: what charts are in it, and its YAML files.
pub(super) fn read(
    path: &str,
    content: &mut dyn Skip,
    limits: Limits,
) -> (Release, Vec<ReleaseFile>) {
    let mut release = Release::default();
    let mut files = Vec::new();
    if let Err(unread) = members(content, limits, &mut release, &mut files) {
        release.unread = format!("{path}: {unread}");
    }
    (release, files)
}

fn members(
    content: &mut dyn Skip,
    limits: Limits,
    release: &mut Release,
    files: &mut Vec<ReleaseFile>,
) -> Result<(), String> {
    let buffered = BufReader::with_capacity(64 << 10, content);
    let tar = Remembering::new(MultiGzDecoder::new(buffered));
    let mut members = Members::new(tar, limits);
    let mut total = 0;
    while let Some(member) = members.next().map_err(|error| error.to_string())? {
        let (Some(parts), MemberKind::File(size)) = (segments(&member.name), member.kind) else {
            continue;
        };
        if parts.last().is_some_and(|name| name.starts_with("._")) {
            continue;
        }
        let name = parts.join("/");
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".tgz", ".tar.gz"]) {
            release.charts.push(name);
        } else if ends(&[".yaml", ".yml"]) && size <= MAX_FILE && total < MAX_ALL {
            let mut bytes = Vec::new();
            members
                .content()
                .read_to_end(&mut bytes)
                .map_err(|error| reason(&error))?;
            total += bytes.len();
            files.push(ReleaseFile {
                path: name,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    io::copy(&mut members.into_inner(), &mut io::sink())
        .map(drop)
        .map_err(|error| reason(&error))
}
