//! The archive: a plain `.tar.gz` to every other program, and seekable to us.
//!
//! The tar stream is cut into blocks of about 1 MiB, each its own gzip member. An eStargz table of contents
//! after the tar's end says where each file lies; tar programs stop before it.
//!
//! * `header`, `member`, `index`: the formats.
//! * `writer`, `sink`, `compression`, `output`, `ledger`: writing.
//! * `blocks`, `contents`: reading any part.
//! * `reader`, `assemble`: opening; `scan`, `tar`, `zip`, `spooled`: archives without an index of ours.
//! * `members`: a stranger's tar stream, member by member, with nothing kept.
//! * `limits`, `problem`: what is refused, and what is said of it.

mod assemble;
mod blocks;
mod compression;
pub(crate) mod contents;
mod header;
mod index;
mod ledger;
mod limits;
mod member;
mod members;
mod output;
mod problem;
mod reader;
mod scan;
mod shared;
mod sink;
mod spooled;
mod tar;
mod writer;
mod zip;

pub use contents::FileReader;
pub use ledger::{Loss, LossKind, WriteError};
pub use limits::Limits;
pub use members::{Member, MemberKind, Members, MembersError, Skip};
pub use output::Finished;
pub(crate) use problem::UNKNOWN;
pub use problem::{OpenError, Problem};
pub use sink::FileSink;
pub use writer::{ArchiveWriter, WriterOptions};

/// How many bytes of the tar stream a block holds, about: a file that ends within a block is packed with
/// others, a longer one has blocks of its own.
pub(crate) const BLOCK: usize = 1 << 20;
