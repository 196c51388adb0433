//! Reads the files of a log.

use std::path::{Path, PathBuf};

use super::codec::{EventCodec, decode_all};
use super::compress;
use super::error::{Damage, LogError};
use super::format::{Head, check_growth, check_header, is_plain};
use super::record::FileState;
use super::scan::{LogFile, LogState};
use crate::batch::Bytes;
use crate::journal::HEADER_BYTES;
use crate::moment::Moment;
use crate::source::Refused;
use crate::store::Storage;

/// The frames of a file of the log, in order, up to its counted length.
#[derive(Debug)]
pub struct Frames {
    bytes: Bytes,
    path: PathBuf,
    offset: usize,
    length: usize,
    is_plain: bool,
    /// The values of the last frame, if they were compressed.
    room: Vec<u8>,
}

/// A frame whose checksums are correct.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The moment at which its events entered.
    pub moment: Moment,
    /// The number of events.
    pub count: u32,
    /// The offset of the frame in its file.
    pub offset: u64,
    payload: &'a [u8],
    path: &'a Path,
}

impl Frames {
    /// Maps a file of the log.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if it is missing, shorter than its counted length, or has a damaged header,
    /// [`LogError::Version`] if it has another format version, [`LogError::Io`] if it cannot be read.
    pub fn open(storage: &dyn Storage, file: &LogFile) -> Result<Frames, LogError> {
        let bytes = map(storage, file)?;
        check_header(&bytes, file.magic(), &file.path)?;
        let (length, is_plain) = (file.length as usize, is_plain(&bytes));
        let (path, offset, room) = (file.path.clone(), HEADER_BYTES, Vec::new());
        Ok(Frames { bytes, path, offset, length, is_plain, room })
    }

    /// Goes on at this offset, at which a frame begins.
    pub(crate) fn go_to(&mut self, offset: u64) {
        self.offset = self.offset.max(usize::try_from(offset).unwrap_or(usize::MAX));
    }

    /// The offset behind the frames so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// The next frame whose moment is `wanted`; `None` at the end. Other frames are skipped; their payloads are neither
    /// read nor verified.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] at a damaged frame. It is not skipped: the next call finds it again.
    pub fn next(
        &mut self,
        mut wanted: impl FnMut(Moment) -> bool,
    ) -> Result<Option<Frame<'_>>, LogError> {
        let bytes = &self.bytes[..self.length];
        let corrupt = |damage| LogError::corrupt(&self.path, damage);
        while self.offset < self.length {
            let head = Head::at(bytes, self.offset).map_err(corrupt)?;
            if wanted(head.moment) {
                let payload = head.payload(bytes).map_err(corrupt)?;
                self.offset = head.end();
                let Head { moment, count, offset, .. } = head;
                let payload = match self.is_plain {
                    true => payload,
                    false => compress::values(payload, &mut self.room).ok_or_else(|| {
                        let what = "the compressed values of a frame cannot be read";
                        corrupt(Damage::new(offset, what))
                    })?,
                };
                return Ok(Some(Frame { moment, count, offset, payload, path: &self.path }));
            }
            self.offset = head.end();
        }
        Ok(None)
    }
}

/// The bytes of a file, at least all that count.
fn map(storage: &dyn Storage, file: &LogFile) -> Result<Bytes, LogError> {
    let bytes = storage.map(&file.path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            LogError::corrupt(&file.path, Damage::new(0, "it is missing"))
        }
        _ => LogError::harmless("open", &file.path)(error),
    })?;
    if (bytes.len() as u64) < file.length {
        let damage = Damage::new(bytes.len() as u64, "it is cut short");
        return Err(LogError::corrupt(&file.path, damage));
    }
    Ok(bytes)
}

impl Frame<'_> {
    /// The events of the frame.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the bytes are not events of this type.
    pub(crate) fn decode<E>(&self, codec: &EventCodec<E>) -> Result<Vec<E>, LogError> {
        codec.decode(self.count, self.payload).ok_or_else(|| self.other_type())
    }

    fn other_type(&self) -> LogError {
        let what = "a frame holds no values of the type that is read";
        LogError::corrupt(self.path, Damage::new(self.offset, what))
    }
}

/// All committed refused rows, sorted by line.
///
/// # Errors
/// As [`Frames::open`] and [`Frames::next`].
pub fn refused_rows(storage: &dyn Storage, state: &LogState) -> Result<Vec<Refused>, LogError> {
    let mut rows = Vec::new();
    for file in &state.refused_files {
        let mut frames = Frames::open(storage, file)?;
        while let Some(frame) = frames.next(|_| true)? {
            let found = decode_all::<Refused>(frame.count, frame.payload);
            rows.append(&mut found.ok_or_else(|| frame.other_type())?);
        }
    }
    rows.sort_by_key(|row| row.line);
    Ok(rows)
}

/// The counts of what [`verify`] has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of frames of events and of refused rows.
    pub frames: u64,
    /// The number of events.
    pub events: u64,
    /// The number of refused rows.
    pub refused: u64,
    /// The bytes of all files, up to their counted lengths.
    pub bytes: u64,
}

/// Reads everything that counts, and verifies each checksum and the counts of the commit records.
///
/// # Errors
/// [`LogError::Corrupt`] for the first damage, in order of days; otherwise as [`Frames::open`].
pub fn verify(storage: &dyn Storage, state: &LogState) -> Result<Verified, LogError> {
    let mut verified = Verified::default();
    for file in state.files.iter().chain(&state.refused_files) {
        let bytes = map(storage, file)?;
        check_growth(&bytes, file.magic(), &file.path, &FileState::default(), &file.state())?;
        // Both are sums over existing files, so they do not overflow.
        verified.frames += file.frames;
        verified.bytes += file.length;
    }
    verified.events = state.events;
    let refused = state.refused_files.iter();
    verified.refused = refused.fold(0, |sum, file| sum.saturating_add(file.events));
    Ok(verified)
}
