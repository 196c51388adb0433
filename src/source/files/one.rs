//! One file: its position, its next block, and whether it is still the file that was read.

use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::source::block::RowBlock;
use crate::source::csv::CsvSource;
use crate::source::error::SourceError;
use crate::source::input::Input;
use crate::source::options::CsvOptions;
use crate::source::position::Consumed;
use crate::source::reading::{Read, ReadLimit};
use crate::source::share::Committed;
use crate::source::unpack::Packing;
use crate::source::utf16::Utf16;
use crate::time::EventTime;

/// The rows of a block. The next block of each open file is in memory.
const BLOCK_ROWS: usize = 1_024;

/// Whether a file is read on at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watching {
    No,
    /// As it grows.
    Growth,
    /// The same, until another file has its name.
    Rotation,
}

/// Tells whether a file was touched, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    length: u64,
    /// Nanoseconds since 1970, as far as the file system has them.
    modified: u64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> std::io::Result<Stamp> {
        let metadata: Metadata = path.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
        Ok(Stamp { length: metadata.len(), modified })
    }
}

/// What the log keeps of a file beside its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    consumed: Consumed,
    /// The stamp of the file when it was read to its end; `None` if there was more.
    finished: Option<Stamp>,
}

/// The first byte of marks of this form.
const MARK_VERSION: u8 = 1;

impl Mark {
    fn encode(&self) -> Vec<u8> {
        let bytes = bincode::serialize(&(MARK_VERSION, self));
        bytes.expect("a mark holds nothing that cannot be encoded")
    }

    fn decode(bytes: &[u8]) -> Option<Mark> {
        let (&MARK_VERSION, mark) = bytes.split_first()? else { return None };
        bincode::deserialize(mark).ok()
    }
}

/// What comes next in a file. The clock is the one after the rows handed out, or after the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coming {
    /// Rows.
    Rows(EventTime),
    /// None at present.
    Nothing,
    /// Nothing at present: the compressed data is cut off at this byte.
    CutOff(u64),
}

/// A file of a share.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The name of the partition.
    pub(super) name: String,
    /// The index under which it was added; `None` if it was finished before, and has not been touched.
    pub(super) index: Option<usize>,
    pub(super) epoch: u32,
    /// Its state when it was last opened.
    pub(super) stamp: Stamp,
    /// The position after the rows handed out; `None` if there were none.
    consumed: Option<Consumed>,
    /// Whether nothing is left after that.
    pub(super) is_finished: bool,
    is_plain: bool,
    /// A block ends at each of these bytes, since what is before them is read again.
    stops: Vec<u64>,
    source: Option<CsvSource>,
    /// The block that was read but not handed out, and the position after it.
    next: Option<(RowBlock, Consumed)>,
    pub(super) coming: Coming,
}

impl File {
    /// A file that the log may know.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if the log's position of it is not a position in a file.
    pub(super) fn new(
        path: PathBuf,
        name: &str,
        committed: Option<&Committed>,
        stops: &[u64],
    ) -> Result<File, SourceError> {
        let mark = committed.map(|committed| Mark::decode(&committed.mark));
        if let Some(None) = mark {
            let name = path.display().to_string();
            let expected = "a position of another kind or version".to_owned();
            return Err(SourceError::Changed {
                name,
                expected,
                found: "a file of rows".to_owned(),
            });
        }
        let mark = mark.flatten();
        let finished = mark.and_then(|mark| mark.finished);
        Ok(File {
            path,
            name: name.to_owned(),
            index: None,
            epoch: committed.map_or(0, |committed| committed.epoch),
            stamp: finished.unwrap_or_default(),
            consumed: mark.map(|mark| mark.consumed),
            is_finished: finished.is_some(),
            is_plain: false,
            stops: stops.to_vec(),
            source: None,
            next: None,
            coming: Coming::Nothing,
        })
    }

    /// The position behind what was handed out.
    pub(super) fn position(&self) -> u64 {
        self.consumed.map_or(0, |consumed| consumed.bytes)
    }

    /// Its present end, in bytes of content, if it is not compressed.
    pub(super) fn end(&self) -> Option<u64> {
        (self.is_plain || self.is_finished).then(|| {
            if self.is_finished { self.position() } else { self.stamp.length.max(self.position()) }
        })
    }

    /// For the log.
    pub(super) fn mark(&self) -> Vec<u8> {
        let finished = self.is_finished.then_some(self.stamp);
        self.consumed.map_or_else(Vec::new, |consumed| Mark { consumed, finished }.encode())
    }

    pub(super) fn is_open(&self) -> bool {
        self.source.is_some()
    }

    /// Reads the file from its beginning, in another epoch.
    pub(super) fn begin_anew(&mut self) {
        self.close();
        self.epoch += 1;
        (self.consumed, self.is_finished) = (None, false);
    }

    /// Closes the file; reading will continue after the rows handed out.
    pub(super) fn close(&mut self) {
        (self.source, self.next) = (None, None);
    }

    /// Opens the file if it is closed, and reads what comes next, at most this many rows.
    pub(super) fn look(
        &mut self,
        options: &CsvOptions,
        watching: Watching,
        now: EventTime,
        rows: usize,
    ) -> Result<(), SourceError> {
        if self.next.is_some() {
            return Ok(());
        }
        let coming = self.read_next(options, watching, now, rows);
        (self.coming, self.is_finished) = match coming {
            Ok(coming) => (coming, coming == Coming::Nothing),
            // A program is still writing it.
            Err(SourceError::Compressed { cut_off: true, offset, .. })
                if watching != Watching::No =>
            {
                self.close();
                (Coming::CutOff(offset), false)
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn read_next(
        &mut self,
        options: &CsvOptions,
        watching: Watching,
        now: EventTime,
        rows: usize,
    ) -> Result<Coming, SourceError> {
        if self.source.is_none() && !self.open(options, watching)? {
            return Ok(Coming::Nothing);
        }
        let Some(source) = &mut self.source else { return Ok(Coming::Nothing) };
        let consumed = source.consumed().bytes;
        let bytes = self.stops.iter().copied().find(|stop| consumed < *stop).unwrap_or(u64::MAX);
        let limit = ReadLimit { rows, clock: EventTime::MAX, bytes, now };
        let mut clock = source.clock();
        let mut found = if clock == EventTime::MIN {
            // The clock after the first row.
            source.read(ReadLimit { clock: EventTime::MIN + 1, ..limit })?
        } else {
            source.read(limit)?
        };
        if let Read::AtClock { clock: first } = found {
            clock = first;
            found = source.read(limit)?;
        }
        if found == Read::AtBytes {
            // Only what is no row was left before that byte.
            self.stops.retain(|stop| *stop > bytes);
            return self.read_next(options, watching, now, rows);
        }
        let Read::Rows(block) = found else { return Ok(Coming::Nothing) };
        self.next = Some((block, source.consumed()));
        Ok(Coming::Rows(clock))
    }

    /// Opens the file at its position. Returns whether there is anything to read.
    pub(super) fn open(
        &mut self,
        options: &CsvOptions,
        watching: Watching,
    ) -> Result<bool, SourceError> {
        let broken = |source| SourceError::Io { name: self.path.display().to_string(), source };
        self.stamp = Stamp::of(&self.path).map_err(broken)?;
        if self.stamp.length == 0 && self.consumed.is_none() {
            return Ok(false);
        }
        self.is_plain = is_plain(&self.path).map_err(broken)?;
        let path = self.path.clone();
        let input = match watching {
            Watching::Growth if self.is_plain => Input::follow(path),
            Watching::Rotation if self.is_plain => Input::follow_rotated(path),
            _ => Input::file(path),
        };
        let source = match self.consumed {
            Some(consumed) => CsvSource::resume_after(input, options.clone(), consumed)?,
            None => CsvSource::open(input, options.clone())?,
        };
        self.source = Some(source);
        Ok(true)
    }

    /// The next block, and the clock after it. The caller must look at what follows then.
    pub(super) fn take(&mut self) -> Option<(RowBlock, EventTime)> {
        let (block, consumed) = self.next.take()?;
        self.consumed = Some(consumed);
        self.coming = Coming::Nothing;
        Some((block, consumed.clock))
    }

    /// How many rows a block has.
    pub(super) fn block_rows() -> usize {
        BLOCK_ROWS
    }
}

/// Whether a file can grow line by line: it is neither compressed nor UTF-16.
fn is_plain(path: &Path) -> std::io::Result<bool> {
    let mut begins = Vec::new();
    std::fs::File::open(path)?.take(8).read_to_end(&mut begins)?;
    Ok(Packing::of(&begins).is_none() && Utf16::of(&begins).is_none())
}
