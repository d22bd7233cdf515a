//! A block of the tar stream as its own gzip member.
//!
//! A member's header carries the extra field `SZ` with the member's whole length, so that a reader without
//! an index hops from member to member, and inflates each in one call: its inflated length stands in its
//! last four bytes (RFC 1952).

use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// The bytes before the deflate stream: ten fixed, two for the extra field's length, eight of extra field.
pub(crate) const HEADER: usize = 20;
/// The bytes after it: CRC-32 and inflated length.
pub(crate) const TRAILER: usize = 8;
/// The length of an eStargz footer.
pub(crate) const FOOTER: usize = 51;

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a compressed block is damaged")]
pub(crate) struct Damaged;

/// Compresses `raw` into one member. `level` is libdeflate's, 0 to 12; others are brought into that range.
pub(crate) fn compress(raw: &[u8], level: i32) -> Vec<u8> {
    let level = CompressionLvl::new(level.clamp(0, 12)).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    let bound = compressor.deflate_compress_bound(raw.len());
    let mut member = vec![0; HEADER + bound + TRAILER];
    let deflated = compressor
        .deflate_compress(raw, &mut member[HEADER..HEADER + bound])
        .expect("the buffer has the size that libdeflate asks for");
    let length = HEADER + deflated + TRAILER;
    member.truncate(length);
    let length = u32::try_from(length).expect("blocks are a few MiB at most");
    let inflated = u32::try_from(raw.len()).expect("blocks are a few MiB at most");
    // Magic, deflate, FEXTRA, no time, no hint, system unknown, extra field of eight bytes.
    member[..12].copy_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0]);
    member[12..16].copy_from_slice(&[b'S', b'Z', 4, 0]);
    member[16..20].copy_from_slice(&length.to_le_bytes());
    let trailer = HEADER + deflated;
    member[trailer..trailer + 4].copy_from_slice(&crc32fast::hash(raw).to_le_bytes());
    member[trailer + 4..].copy_from_slice(&inflated.to_le_bytes());
    member
}

/// The whole length of the member that begins with `header`, where it is one of ours.
pub(crate) fn length(header: &[u8; HEADER]) -> Option<u32> {
    let (fixed, length) = header.split_at(16);
    let ours = fixed[..4] == [0x1f, 0x8b, 8, 4] && fixed[10..] == [8, 0, b'S', b'Z', 4, 0];
    let length = u32::from_le_bytes(length.try_into().ok()?);
    (ours && length as usize >= HEADER + TRAILER).then_some(length)
}

/// The inflated length that a member's last bytes claim.
pub(crate) fn inflated(member: &[u8]) -> Option<u32> {
    let length = member.last_chunk::<4>()?;
    Some(u32::from_le_bytes(*length))
}

/// Inflates one member, whose checksum and inflated length must hold.
pub(crate) fn inflate(member: &[u8], inflated: usize) -> Result<Vec<u8>, Damaged> {
    let mut raw = vec![0; inflated];
    match Decompressor::new().gzip_decompress(member, &mut raw) {
        Ok(length) if length == inflated => Ok(raw),
        _ => Err(Damaged),
    }
}

/// The eStargz footer: an empty member whose extra field says where the index begins.
pub(crate) fn footer(index: u64) -> [u8; FOOTER] {
    let mut footer = [0; FOOTER];
    footer[..10].copy_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255]);
    footer[10..16].copy_from_slice(&[26, 0, b'S', b'G', 22, 0]);
    footer[16..38].copy_from_slice(format!("{index:016x}STARGZ").as_bytes());
    // An empty stored block; checksum and length are zero.
    footer[38..43].copy_from_slice(&[1, 0, 0, 0xff, 0xff]);
    footer
}

/// Where the index begins, where `bytes` is an eStargz footer.
pub(crate) fn index_offset(bytes: &[u8; FOOTER]) -> Option<u64> {
    let digits = std::str::from_utf8(&bytes[16..32]).ok()?;
    let offset = u64::from_str_radix(digits, 16).ok()?;
    (*bytes == footer(offset)).then_some(offset)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_member_is_a_gzip_file_that_knows_its_length() {
        let long = vec![7; 100_000];
        for raw in [&b""[..], b"a", &long] {
            let member = compress(raw, 2);
            let head = member.first_chunk().expect("longer than a header");
            assert_eq!(
                length(head).map(|length| length as usize),
                Some(member.len())
            );
            assert_eq!(
                inflated(&member).map(|length| length as usize),
                Some(raw.len())
            );
            assert_eq!(inflate(&member, raw.len()).as_deref(), Ok(raw));
            let mut other = Vec::new();
            let read = flate2::read::GzDecoder::new(member.as_slice()).read_to_end(&mut other);
            assert!(read.is_ok_and(|_| other == raw));
        }
    }

    #[test]
    fn damage_is_seen() {
        let member = compress(&b"hello ".repeat(100), 2);
        for at in HEADER..member.len() {
            let mut broken = member.clone();
            broken[at] ^= 1;
            assert_eq!(inflate(&broken, 600), Err(Damaged), "byte {at}");
        }
        assert_eq!(inflate(&member, 599), Err(Damaged));
        assert_eq!(inflate(&member, 601), Err(Damaged));
    }

    #[test]
    fn the_footer_leads_to_the_index() {
        assert_eq!(index_offset(&footer(0x12_3456)), Some(0x12_3456));
        let mut other = footer(1);
        other[40] = 1;
        assert_eq!(index_offset(&other), None);
    }
}
