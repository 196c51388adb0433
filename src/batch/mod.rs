//! Batch views: one immutable file is one revision of one day of one view, by one worker.
//!
//! A file holds rows `(hash, key, aggregate)`, one for each key, sorted by
//! [`sort_position`](crate::key::sort_position) of the hash and then by encoded key. It is written
//! once, front to back ([`BatchWriter`]), and read in place ([`BatchView`]).
//!
//! # The bytes
//!
//! All integers are little-endian, except in encoded keys.
//!
//! ```text
//! header     ┌ magic "DAYFOLDB" ─────────── 8 ┐
//!            │ format version ──────────── u32 │
//!            │ length of the meta ──────── u32 │
//!            │ meta, bincode: view, day,       │
//!            │   closing, coverage             │
//!            └ zeros up to a multiple of 8 ────┘
//! section 0  ┌ index        n × { u32 position, u32 offset of the row }
//!            │ order        n × u32            rows in order of encoded keys
//!            │ rows         n × { varint key length, encoded key, bincode aggregate }
//!            └ zeros up to a multiple of 8
//! …
//! section 2^s − 1
//! totals     the form of a section; in the place of keys, their first columns
//! directory  (2^s + 1) × { u64 offset, u64 length, u32 rows, u32 crc32 }
//! footer     ┌ offset of the directory ──── u64 ┐
//!            │ s ────────────────────────── u16 │
//!            │ levels of totals ─────────── u16 │
//!            │ length of the header ─────── u32 │
//!            │ rows ─────────────────────── u64 │
//!            │ digest ───────────────────── u128│
//!            │ crc32 of header, directory and   │
//!            │   the footer up to here ──── u32 │
//!            └ magic "DYFE" ──────────────── 4  ┘
//! ```
//!
//! * **Sections.** The top `s` bits of the sort position choose the section, `s ≤ 8` chosen so that a small day is one
//!   section and a large one has one for each partition. The writer holds one section in memory; the reader verifies
//!   the checksum of a section on first use.
//! * **Index.** `position` is the 32 bits of the sort position after the section's. Hashes are uniform, so an entry is
//!   found by interpolation and a few steps. If entries are equal, the key decides.
//! * **Order.** Key ranges and prefixes are found by binary search in each section.
//! * **Rows.** A row ends where the next one begins; the last row ends with the section. The hash itself is not stored:
//!   it is XXH3-64 of the encoded key.
//! * **Totals.** Level 0 has one total, over all rows; level 1 has one for each value of the first column of the key;
//!   and so on, up to the last level before whole keys for which the [id](crate::Key::id) of the key tells where
//!   columns end. The number of totals is at most an eighth of the rows: longer prefixes are left out first. A total
//!   covers rows of the whole file, so it is used only if the whole file counts. Files of version 1 have no totals, and
//!   no entry for them in the directory.
//! * **Aggregates** are written by bincode 1.3 with variable-length integers.
//!
//! # What is checked, and when
//!
//! Opening takes constant time and verifies header, directory and footer; a section is verified on first use;
//! [`BatchView::verify`] reads everything. Damaged bytes give [`BatchError::Corrupt`], never a panic, never a large
//! allocation. *Not guaranteed:* that a mapped file which another program truncates can still be read. Sealed files do
//! not change.

mod bytes;
mod coverage;
mod digest;
mod encoded;
mod error;
mod format;
mod merge;
mod order;
mod raw;
mod section;
mod totals;
mod view;
mod walk;
mod window;
mod writer;

pub use bytes::Bytes;
pub use coverage::Coverage;
pub use digest::Digest;
pub(crate) use encoded::FilePosition;
pub use error::BatchError;
pub use format::{BatchMeta, BatchSummary};
pub(crate) use merge::in_key_order;
pub(crate) use order::sort_by_number;
pub(crate) use raw::RawBatch;
pub(crate) use totals::{Prefix, Total};
pub use view::{BatchView, Scan};
pub(crate) use walk::Spot;
pub(crate) use window::{Bookmark, Takes};
pub use writer::BatchWriter;
pub(crate) use writer::write_rows;

#[cfg(test)]
mod tests;
