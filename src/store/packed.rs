//! The form of a pack: a file that has the sealed files of many periods.
//!
//! ```text
//! header  ┌ magic "DAYFOLDP" ──── 8 ┐
//!         │ format version ──── u32 │
//!         └ crc32 of these ──── u32 ┘
//! file    ┌ length ──────────── u64 ┐
//!         │ a sealed file, as it is │
//!         └ zeros up to a multiple of 8
//! file    …
//! ```
//!
//! All integers are little-endian. The manifest says where each file begins and how long it is. A file in a pack has the
//! checks that it has as a file of its own, so a pack has none beyond its header.

use std::num::NonZeroU32;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::batch::Bytes;
use crate::journal::{self, HEADER_BYTES, HeaderError, Magic};

const MAGIC: Magic = *b"DAYFOLDP";
const FORMAT_VERSION: u32 = 1;
/// The bytes before each file.
const LENGTH_BYTES: usize = 8;
/// What is read in place begins at a multiple of this.
const ALIGNMENT: usize = 8;

/// Where a sealed file is that is in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The number of the pack among those of its view and part.
    pub(crate) pack: NonZeroU32,
    /// Where the length of the file is.
    pub(super) offset: u32,
}

/// The header of a pack.
pub(super) fn header() -> Vec<u8> {
    let mut bytes = Vec::new();
    journal::put_header(MAGIC, FORMAT_VERSION, &mut bytes);
    bytes
}

/// Appends a file to a pack. Nothing else may have changed the length of `out` to a number that is no multiple of 8.
pub(super) fn put(file: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(file.len() as u64).to_le_bytes());
    out.extend_from_slice(file);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// How much a file of a length adds to a pack.
pub(super) fn length_of(file: u64) -> u64 {
    (LENGTH_BYTES as u64 + file).next_multiple_of(ALIGNMENT as u64)
}

/// The bytes of a file in a pack.
pub(super) fn part_of(pack: &Bytes, at: Packed, path: &Path) -> Result<Bytes, StoreError> {
    let corrupt =
        |offset, what| StoreError::Corrupt { path: path.to_owned(), offset: offset as u64, what };
    let known = FORMAT_VERSION..=FORMAT_VERSION;
    journal::check_header(pack, MAGIC, known).map_err(|error| match error {
        HeaderError::Damaged(what) => corrupt(0, what),
        HeaderError::Version(found) => {
            StoreError::Version { path: path.to_owned(), found, known: FORMAT_VERSION }
        }
    })?;
    let offset = at.offset as usize;
    let from = offset + LENGTH_BYTES;
    let length = pack.get(offset..from).and_then(|bytes| bytes.try_into().ok());
    let length = length.map(u64::from_le_bytes).filter(|_| offset >= HEADER_BYTES);
    let to = length.and_then(|length| from.checked_add(usize::try_from(length).ok()?));
    let part = to.and_then(|to| pack.part(from..to));
    part.ok_or_else(|| corrupt(offset, "the pack ends before a file that it has"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn files_come_back_from_a_pack(
            files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..9),
            cut in any::<proptest::sample::Index>(),
            flip in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = header();
            let mut places = Vec::new();
            for file in &files {
                places.push(Packed { pack: NonZeroU32::MIN, offset: bytes.len() as u32 });
                put(file, &mut bytes);
            }
            let path = Path::new("1.pack");
            let pack = Bytes::from(bytes.clone());
            for (file, at) in files.iter().zip(&places) {
                prop_assert_eq!(&part_of(&pack, *at, path).unwrap()[..], &file[..]);
            }
            // Damage is found, or the bytes are those of the pack.
            let cut = Bytes::from(bytes[..cut.index(bytes.len())].to_vec());
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= 0x81;
            let anywhere = Packed { pack: NonZeroU32::MIN, offset: flip.index(bytes.len()) as u32 };
            for at in places.into_iter().chain([anywhere]) {
                let _ = part_of(&cut, at, path);
                let _ = part_of(&Bytes::from(flipped.clone()), at, path);
            }
        }
    }
}
