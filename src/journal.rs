//! Files that only grow: a header, then records, each with its length and a checksum.
//!
//! ```text
//! header  magic 8, format version u32, crc32 of these u32
//! record  length of the payload u32, crc32 of the payload u32, payload: bincode(record)
//! record  …
//! ```
//!
//! All integers are little-endian. The manifest of a part and the commit streams of the log are such files. The other
//! files of the log begin with such a header.
//!
//! A journal is created under another name and then renamed, so its header is never torn. Records are appended. **The
//! tail rule:** a record that is cut short or fails its checksum may be the remainder of the last append before a
//! crash. It was never reported as written, and does not count. But if a later record proves that this one was written
//! whole, the file is damaged. The user of this module defines which records prove that: see [`records`].
//!
//! Not detected: damage to the last record, which looks like a tail.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::codec;

/// What a file begins with.
pub(crate) type Magic = [u8; 8];

pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const RECORD_HEAD_BYTES: usize = 8;

/// Appends the header of a file.
pub(crate) fn put_header(magic: Magic, version: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&magic);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_le_bytes());
}

/// Why a header is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Damaged(&'static str),
    /// It is of this version.
    Version(u32),
}

/// Checks that a file begins as a file of its kind, in a known version.
pub(crate) fn check_header(
    bytes: &[u8],
    magic: Magic,
    known: RangeInclusive<u32>,
) -> Result<(), HeaderError> {
    if !bytes.starts_with(&magic) {
        return Err(HeaderError::Damaged("it does not begin as a file of its kind"));
    }
    let short = HeaderError::Damaged("the header is cut short");
    let version = word_at(bytes, 8).ok_or(short)?;
    let crc = word_at(bytes, 12).ok_or(short)?;
    if crc != crc32fast::hash(&bytes[..12]) {
        return Err(HeaderError::Damaged("the checksum of the header does not match"));
    }
    if !known.contains(&version) {
        return Err(HeaderError::Version(version));
    }
    Ok(())
}

/// The four bytes at `at`.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

/// Appends a record. The error gives the length of a payload that is too long.
pub(crate) fn put_record<R: Serialize>(
    record: &R,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), usize> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
    codec::encode(record, out).expect("records hold nothing that cannot be encoded");
    let bytes = out.len() - start - RECORD_HEAD_BYTES;
    if bytes > bytes_max {
        return Err(bytes);
    }
    let crc = crc32fast::hash(&out[start + RECORD_HEAD_BYTES..]);
    out[start..start + 4].copy_from_slice(&(bytes as u32).to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The payload of a valid record, if one begins here.
pub(crate) fn record_at(bytes: &[u8], at: usize, bytes_max: usize) -> Option<&[u8]> {
    let length = word_at(bytes, at)? as usize;
    let crc = word_at(bytes, at + 4)?;
    // No record is empty, so zeros, which some file systems leave after a crash, are not records.
    if length == 0 || length > bytes_max {
        return None;
    }
    let payload = bytes.get(at + RECORD_HEAD_BYTES..)?.get(..length)?;
    (crc32fast::hash(payload) == crc).then_some(payload)
}

/// The offset of a damaged record that is not the tail after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DamagedAt(pub(crate) usize);

/// The valid records from `from` on, each with its offset and payload, up to the tail if there is one.
///
/// A record after a damaged one proves that this is not a tail if `proves` is true for its payload.
pub(crate) fn records(
    bytes: &[u8],
    from: usize,
    bytes_max: usize,
    proves: impl Fn(&[u8]) -> bool,
) -> impl Iterator<Item = Result<(usize, &[u8]), DamagedAt>> {
    let mut offset = from;
    std::iter::from_fn(move || {
        if offset >= bytes.len() {
            return None;
        }
        let at = offset;
        let Some(payload) = record_at(bytes, at, bytes_max) else {
            // Nothing comes after the end, in either case.
            offset = bytes.len();
            let later = |later| record_at(bytes, later, bytes_max).is_some_and(&proves);
            return (at + 1..bytes.len()).any(later).then_some(Err(DamagedAt(at)));
        };
        offset = end_of(at, payload);
        Some(Ok((at, payload)))
    })
}

/// The end of the record with this payload.
pub(crate) fn end_of(offset: usize, payload: &[u8]) -> usize {
    offset + RECORD_HEAD_BYTES + payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_header(*b"DAYFOLD?", 7, &mut bytes);
        records.iter().for_each(|record| put_record(record, 100, &mut bytes).unwrap());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>, DamagedAt> {
        // A record that ends with '!' proves those before it.
        let all = records(bytes, HEADER_BYTES, 100, |payload| payload.ends_with(b"!"));
        all.map(|record| record.map(|(_, payload)| codec::decode(payload).unwrap())).collect()
    }

    #[test]
    fn a_damaged_record_is_a_tail_unless_a_later_one_proves_it() {
        let third = journal(&["a", "b"]).len();
        for (later, expect) in
            [("d", Ok(vec!["a".to_owned(), "b".to_owned()])), ("d!", Err(DamagedAt(third)))]
        {
            let mut bytes = journal(&["a", "b", "c", later]);
            assert_eq!(read(&bytes).unwrap().len(), 4);
            bytes[third + RECORD_HEAD_BYTES] ^= 1;
            assert_eq!(read(&bytes), expect);
        }
        for end in third..journal(&["a", "b", "c"]).len() {
            assert_eq!(read(&journal(&["a", "b", "c"])[..end]).unwrap().len(), 2, "cut at {end}");
        }
    }

    #[test]
    fn headers_say_what_a_file_is() {
        let bytes = journal(&[]);
        let check = |bytes: &[u8], known| check_header(bytes, *b"DAYFOLD?", known);
        assert_eq!(check(&bytes, 6..=7), Ok(()));
        assert_eq!(check(&bytes, 8..=9), Err(HeaderError::Version(7)));
        for at in 0..HEADER_BYTES {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(matches!(check(&bad, 0..=u32::MAX), Err(HeaderError::Damaged(_))), "byte {at}");
            assert!(
                matches!(check(&bytes[..at], 0..=9), Err(HeaderError::Damaged(_))),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_refused() {
        assert_eq!(put_record(&"x".repeat(100), 100, &mut Vec::new()), Err(101));
    }
}
