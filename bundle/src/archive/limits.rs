//! How much of a stranger's archive is read.

/// Caps on what an archive may make its reader do. Each has its own error, which names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members, folders included.
    pub entries: usize,
    /// Bytes of the unpacked archive.
    pub total_bytes: u64,
    /// How many times larger than the archive the unpacked archive may be, once it is larger than
    /// [`Limits::ratio_from_bytes`]. Logs reach 30, deflate itself ends at 1,032.
    pub ratio: u64,
    /// Bytes that an archive may unpack to however small it is.
    pub ratio_from_bytes: u64,
    /// Archives inside archives: a bundle in the zip file that a CI system made is one.
    pub nesting: usize,
    /// Bytes of a file that [`Files::read`](crate::Files::read) returns whole.
    pub document_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            total_bytes: 64 << 30,
            ratio: 250,
            ratio_from_bytes: 256 << 20,
            nesting: 2,
            document_bytes: 256 << 20,
        }
    }
}
