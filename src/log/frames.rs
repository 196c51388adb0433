//! Reading what the files of a log hold.

use std::path::{Path, PathBuf};

use super::codec::{EventCodec, decode_all};
use super::error::{Damage, LogError};
use super::format::{Head, check_growth, check_header};
use super::record::FileState;
use super::scan::{LogFile, LogState};
use crate::batch::Bytes;
use crate::journal::HEADER_BYTES;
use crate::moment::Moment;
use crate::source::Refused;
use crate::store::Storage;

/// The frames of a file of the log, in order, up to where it counts.
#[derive(Debug)]
pub struct Frames {
    bytes: Bytes,
    path: PathBuf,
    offset: usize,
    length: usize,
}

/// A frame whose checksums hold.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The moment at which its events entered.
    pub moment: Moment,
    /// How many events it holds.
    pub count: u32,
    /// Where it begins in its file.
    pub offset: u64,
    payload: &'a [u8],
    path: &'a Path,
}

impl Frames {
    /// Maps a file of the log.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if it is missing, shorter than what counts, or has a damaged header,
    /// [`LogError::Version`] if it is of another format, [`LogError::Io`] if it cannot be read.
    pub fn open(storage: &dyn Storage, file: &LogFile) -> Result<Frames, LogError> {
        let bytes = map(storage, file)?;
        check_header(&bytes, file.magic(), &file.path)?;
        let length = file.length as usize;
        Ok(Frames { bytes, path: file.path.clone(), offset: HEADER_BYTES, length })
    }

    /// The next frame whose moment is `wanted`; `None` at the end. Others are passed over, their
    /// payloads unread and not verified.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] at a damaged frame. It is not passed over: the next call finds it
    /// again.
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
                return Ok(Some(Frame { moment, count, offset, payload, path: &self.path }));
            }
            self.offset = head.end();
        }
        Ok(None)
    }
}

/// The bytes of a file, all that count at least.
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
    /// [`LogError::Corrupt`] if these are no events of this type.
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

/// What [`verify`] has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Frames of events and of refused rows.
    pub frames: u64,
    /// Events.
    pub events: u64,
    /// Refused rows.
    pub refused: u64,
    /// Bytes of all files, up to where they count.
    pub bytes: u64,
}

/// Reads everything that counts, and verifies each checksum and the counts of the commit records.
///
/// # Errors
/// [`LogError::Corrupt`] for the first damage, in order of days; else as [`Frames::open`].
pub fn verify(storage: &dyn Storage, state: &LogState) -> Result<Verified, LogError> {
    let mut verified = Verified::default();
    for file in state.files.iter().chain(&state.refused_files) {
        let bytes = map(storage, file)?;
        check_growth(&bytes, file.magic(), &file.path, &FileState::default(), &file.state())?;
        // Both are those of files that are there.
        verified.frames += file.frames;
        verified.bytes += file.length;
    }
    verified.events = state.events;
    let refused = state.refused_files.iter();
    verified.refused = refused.fold(0, |sum, file| sum.saturating_add(file.events));
    Ok(verified)
}
