//! The bytes of headers and frames.

use std::ops::RangeInclusive;
use std::path::Path;

use super::compress;
use super::error::{Damage, LogError};
use super::record::FileState;
use crate::journal::{self, HEADER_BYTES, HeaderError, Magic, word_at};
use crate::moment::Moment;

pub(super) const EVENTS: Magic = *b"DAYFOLDL";
pub(super) const REFUSED: Magic = *b"DAYFOLDR";
pub(super) const COMMITS: Magic = *b"DAYFOLDC";
pub(super) const MERGED: Magic = *b"DAYFOLDM";

/// Version 1 had no keys of pushes in its commit streams.
const COMMITS_VERSION: u32 = 2;
/// The payloads of version 2 are the values alone; version 3 may compress them.
const PLAIN_VERSION: u32 = 2;
const FRAMES_VERSION: u32 = 3;
pub(super) const FRAME_HEAD_BYTES: usize = 32;
/// The greatest payload of a frame, in bytes.
pub(super) const FRAME_BYTES_MAX: usize = (64 << 20) - FRAME_HEAD_BYTES;
/// A frame with this many bytes gets no more events, so that readers need not hold large frames.
const FRAME_BYTES_FULL: usize = 4 << 20;

/// The versions of files of a kind that are read. The last one is written.
fn versions(magic: Magic) -> RangeInclusive<u32> {
    match magic {
        COMMITS | MERGED => COMMITS_VERSION..=COMMITS_VERSION,
        _ => PLAIN_VERSION..=FRAMES_VERSION,
    }
}

/// Frames of shorter values are not compressed. They are a few numbers, of which programs take in tens of millions a second;
/// compression would halve that.
const COMPRESSED_VALUE_BYTES: usize = 32;

pub(super) fn put_header(magic: Magic, out: &mut Vec<u8>) {
    journal::put_header(magic, *versions(magic).end(), out);
}

/// Whether a file with this good header has frames whose payloads are the values alone.
pub(super) fn is_plain(header: &[u8]) -> bool {
    word_at(header, 8) == Some(PLAIN_VERSION)
}

pub(super) fn check_header(bytes: &[u8], magic: Magic, path: &Path) -> Result<(), LogError> {
    let versions = versions(magic);
    let known = *versions.end();
    journal::check_header(bytes, magic, versions).map_err(|error| match error {
        HeaderError::Damaged(what) => LogError::corrupt(path, Damage::new(0, what)),
        HeaderError::Version(found) => LogError::Version { path: path.to_owned(), found, known },
    })
}

fn long_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|long| u64::from_le_bytes(*long))
}

/// The head of a frame, and its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) moment: Moment,
    pub(super) count: u32,
    pub(super) offset: u64,
    length: u32,
    crc: u32,
}

impl Head {
    /// The checked head at offset `at`; its whole frame lies in `bytes`.
    pub(super) fn at(bytes: &[u8], at: usize) -> Result<Head, Damage> {
        let damage = |what| Damage::new(at as u64, what);
        let short = || damage("a frame is cut short");
        let word = |skip| word_at(bytes, at + skip).ok_or_else(short);
        let long = |skip| long_at(bytes, at + skip).ok_or_else(short);
        let (length, count, floor, tick) = (word(0)?, word(4)?, long(8)? as i64, long(16)?);
        let (crc, head_crc) = (word(24)?, word(28)?);
        if head_crc != crc32fast::hash(&bytes[at..at + FRAME_HEAD_BYTES - 4]) {
            return Err(damage("the checksum of a frame's head does not match"));
        }
        if length as usize > bytes.len() - at - FRAME_HEAD_BYTES {
            return Err(short());
        }
        Ok(Head { moment: Moment { floor, tick }, count, offset: at as u64, length, crc })
    }

    /// The bytes of the payload, unchecked.
    fn unchecked<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.offset as usize + FRAME_HEAD_BYTES;
        &bytes[start..start + self.length as usize]
    }

    /// The payload, checked: as it is in the file.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
        let payload = self.unchecked(bytes);
        if crc32fast::hash(payload) != self.crc {
            return Err(Damage::new(self.offset, "the checksum of a frame does not match"));
        }
        Ok(payload)
    }

    /// The offset of the frame's end.
    pub(super) fn end(&self) -> usize {
        self.offset as usize + FRAME_HEAD_BYTES + self.length as usize
    }
}

/// Checks the part of a file between two states: every checksum, and the counts of both states.
pub(super) fn check_growth(
    bytes: &[u8],
    magic: Magic,
    path: &Path,
    from: &FileState,
    to: &FileState,
) -> Result<(), LogError> {
    let corrupt = |damage| LogError::corrupt(path, damage);
    let cut = Damage::new(bytes.len() as u64, "it is cut short");
    let length = usize::try_from(to.length).map_err(|_| corrupt(cut))?;
    let bytes = bytes.get(..length).ok_or_else(|| corrupt(cut))?;
    check_header(bytes, magic, path)?;
    let mut found = FileState { length: from.length.max(HEADER_BYTES as u64), ..*from };
    while found.length < to.length {
        let head = Head::at(bytes, found.length as usize).map_err(corrupt)?;
        head.payload(bytes).map_err(corrupt)?;
        found.add(head.moment.floor, 1, u64::from(head.count), (head.end() as u64) - head.offset);
    }
    if found != *to {
        let what = "it holds other frames than its commit records say";
        return Err(corrupt(Damage::new(found.length, what)));
    }
    Ok(())
}

/// Frames that are not written yet.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    /// The offset of the last frame, if more may be added to it.
    open: Option<OpenFrame>,
    /// What the closed frames add to the state of their file.
    added: FileState,
    /// Frames are not compressed when they are closed.
    pub(super) is_plain: bool,
}

#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    start: usize,
    moment: Moment,
    count: u32,
}

/// Why values could not be put into frames.
#[derive(Debug)]
pub(super) enum FrameError {
    TooLarge(usize),
    Encode(bincode::Error),
}

impl FrameBuffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds values of one moment. `encode` appends some of them, up to a number of bytes. Returns the number of bytes of
    /// the values.
    pub(super) fn put<T>(
        &mut self,
        moment: Moment,
        mut values: &[T],
        encode: impl Fn(&[T], usize, &mut Vec<u8>) -> bincode::Result<usize>,
    ) -> Result<usize, FrameError> {
        let mut encoded = 0;
        while !values.is_empty() {
            let full =
                |open: &OpenFrame, bytes: &[u8]| bytes.len() - open.start >= FRAME_BYTES_FULL;
            let same = |open: &OpenFrame| open.moment == moment && open.count < u32::MAX;
            if self.open.is_some_and(|open| !same(&open) || full(&open, &self.bytes)) {
                self.close();
            }
            let bytes = &mut self.bytes;
            let open = self.open.get_or_insert_with(|| {
                let start = bytes.len();
                bytes.resize(start + FRAME_HEAD_BYTES + compress::LENGTH_BYTES, 0);
                OpenFrame { start, moment, count: 0 }
            });
            // A count has 32 bits, and values may take no bytes.
            let some = &values[..values.len().min((u32::MAX - open.count) as usize)];
            let before = bytes.len();
            let put = encode(some, open.start + FRAME_BYTES_FULL, bytes);
            let put = put.map_err(FrameError::Encode)?;
            encoded += bytes.len() - before;
            let length = bytes.len() - open.start - FRAME_HEAD_BYTES;
            if length > FRAME_BYTES_MAX {
                return Err(FrameError::TooLarge(length));
            }
            open.count += put as u32;
            values = &values[put..];
        }
        Ok(encoded)
    }

    fn close(&mut self) {
        let Some(OpenFrame { start, moment, count }) = self.open.take() else { return };
        let length = self.bytes.len() - start - FRAME_HEAD_BYTES;
        if !self.is_plain && length >= COMPRESSED_VALUE_BYTES * count as usize {
            compress::shorten(&mut self.bytes, start + FRAME_HEAD_BYTES);
        }
        let (head, payload) = self.bytes[start..].split_at_mut(FRAME_HEAD_BYTES);
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&count.to_le_bytes());
        head[8..16].copy_from_slice(&moment.floor.to_le_bytes());
        head[16..24].copy_from_slice(&moment.tick.to_le_bytes());
        head[24..28].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let crc = crc32fast::hash(&head[..28]);
        head[28..].copy_from_slice(&crc.to_le_bytes());
        let bytes = (self.bytes.len() - start) as u64;
        self.added.add(moment.floor, 1, u64::from(count), bytes);
    }

    /// The bytes of complete frames, and what they add to the state of their file.
    pub(super) fn closed(&mut self) -> (&[u8], FileState) {
        self.close();
        (&self.bytes, self.added)
    }

    pub(super) fn clear(&mut self) {
        let FrameBuffer { bytes, open, added, .. } = self;
        bytes.clear();
        (*open, *added) = (None, FileState::default());
    }
}
