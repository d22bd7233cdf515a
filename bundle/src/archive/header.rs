//! The tar headers that we write: POSIX ustar, and a PAX extended header before it where a name, a link's
//! target or a size does not fit. The same member always gives the same bytes; the reader relies on that to
//! check an index against the archive.

use tar::{EntryType, Header};

/// The unit of a tar stream.
pub(crate) const RECORD: usize = 512;

/// The largest size that ustar's eleven octal digits hold.
const MAX_SIZE: u64 = 0o777_7777_7777;

/// A member as its header describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// The whole path in the tar, the top folder included.
    pub(crate) name: &'a str,
    /// What it is.
    pub(crate) kind: Kind<'a>,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

/// What a member is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link with its target.
    Link(&'a str),
}

/// Appends a member's header to `out`.
pub(crate) fn encode(member: &Member<'_>, out: &mut Vec<u8>) {
    let mut header = Header::new_ustar();
    header.set_mode(member.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(member.modified.min(MAX_SIZE));
    let mut records = Vec::new();
    if !set_name(&mut header, member.name) {
        pax_record(&mut records, "path", member.name);
        set_name(&mut header, &stand_in("", member.name));
    }
    match member.kind {
        Kind::File(size) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(size.min(MAX_SIZE));
            if size > MAX_SIZE {
                pax_record(&mut records, "size", &size.to_string());
            }
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            let field = &mut header.as_old_mut().linkname;
            if target.is_ascii() && target.len() <= field.len() {
                field[..target.len()].copy_from_slice(target.as_bytes());
            } else {
                pax_record(&mut records, "linkpath", target);
            }
        }
    }
    header.set_cksum();
    if !records.is_empty() {
        let mut extended = Header::new_ustar();
        set_name(&mut extended, &stand_in("PaxHeaders.0/", member.name));
        extended.set_mode(0o644);
        extended.set_uid(0);
        extended.set_gid(0);
        extended.set_mtime(member.modified.min(MAX_SIZE));
        extended.set_entry_type(EntryType::XHeader);
        extended.set_size(records.len() as u64);
        extended.set_cksum();
        out.extend_from_slice(extended.as_bytes());
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    out.extend_from_slice(header.as_bytes());
}

/// How many zero bytes follow `size` bytes of content.
pub(crate) fn padding(size: u64) -> usize {
    let beyond = usize::try_from(size % RECORD as u64).unwrap_or(0);
    (RECORD - beyond) % RECORD
}

/// Writes the name into the header, split at a slash where it must be; false where it does not fit.
fn set_name(header: &mut Header, name: &str) -> bool {
    let Some(ustar) = header.as_ustar_mut() else {
        return false;
    };
    if !name.is_ascii() {
        return false;
    }
    let (longest_name, longest_prefix) = (ustar.name.len(), ustar.prefix.len());
    let (prefix, rest) = if name.len() <= longest_name {
        ("", name)
    } else {
        let split = name
            .match_indices('/')
            .map(|(at, _)| at)
            .find(|at| name.len() - at - 1 <= longest_name);
        match split {
            Some(at) if (1..=longest_prefix).contains(&at) && at + 1 < name.len() => {
                (&name[..at], &name[at + 1..])
            }
            _ => return false,
        }
    };
    ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
    ustar.name[..rest.len()].copy_from_slice(rest.as_bytes());
    true
}

/// A short ASCII name for programs that do not know PAX.
fn stand_in(folder: &str, name: &str) -> String {
    let ascii = name
        .chars()
        .map(|letter| if letter.is_ascii() { letter } else { '_' });
    let mut short: String = folder.chars().chain(ascii).take(100).collect();
    while short.ends_with('/') {
        short.pop();
    }
    short
}

/// One `length key=value` line, whose length counts itself.
fn pax_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(member: &Member<'_>) -> (String, Option<String>, u64) {
        let mut bytes = Vec::new();
        encode(member, &mut bytes);
        assert_eq!(bytes.len() % RECORD, 0);
        bytes.resize(bytes.len() + 2 * RECORD, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().expect("entries").next();
        let entry = entry.expect("one entry").expect("readable");
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        let target = entry.link_name_bytes();
        let target = target.map(|bytes| String::from_utf8(bytes.into_owned()).expect("UTF-8"));
        (name, target, entry.size())
    }

    #[test]
    fn another_reader_reads_every_name() {
        let deep = format!("root/{}/{}", "d".repeat(150), "f".repeat(90));
        let long = format!("root/{}", "n".repeat(253));
        let longest = "x/".repeat(2000) + "x";
        let records: Vec<String> = (80..130).map(|n| format!("r/{}", "é".repeat(n))).collect();
        let names = ["root/a", &deep, &long, &longest, "root/ünï", "root/a b\\c"];
        for name in names.into_iter().chain(records.iter().map(String::as_str)) {
            let file = Member {
                name,
                kind: Kind::File(0),
                mode: 0o644,
                modified: 1,
            };
            assert_eq!(read_back(&file), (name.to_owned(), None, 0));
            let link = Member {
                name,
                kind: Kind::Link(name),
                mode: 0o777,
                modified: 1,
            };
            assert_eq!(
                read_back(&link),
                (name.to_owned(), Some(name.to_owned()), 0)
            );
        }
    }

    #[test]
    fn sizes_beyond_ustar_are_kept() {
        for size in [0, 1, MAX_SIZE, MAX_SIZE + 1, 1 << 40] {
            let member = Member {
                name: "a",
                kind: Kind::File(size),
                mode: 0o644,
                modified: 1,
            };
            assert_eq!(read_back(&member).2, size);
        }
    }
}
