//! Reads and writes a commit stream.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{Damage, LogError};
use super::format::{COMMITS, check_header, put_header};
use super::layout::{Layout, StreamName, temporary};
use super::record::{Commit, Record, StreamState};
use crate::codec;
use crate::journal::{self, DamagedAt, HEADER_BYTES};
use crate::store::{Effect, LogPosition, Storage, StorageFile};

/// The greatest payload of a record. An opening has a few dozen bytes for each day and range.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// A stream is replaced when it is longer than this, and longer than four times its opening. In tests this is small, so
/// that it happens often.
const LONG_BYTES: u64 = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// The content of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    /// The state at the last record that says `synced`, or at the opening.
    pub(super) synced: StreamState,
    /// The good records after that one, in order.
    pub(super) unsynced: Vec<Commit>,
    /// The length of the header and the opening.
    pub(super) opening: u64,
    /// The length up to the end of the record of `synced`.
    pub(super) synced_length: u64,
    /// The length of the header and the good records.
    pub(super) good: u64,
    /// The length of the file.
    pub(super) length: u64,
}

/// Applies the records of a stream.
pub(super) fn replay(bytes: &[u8], path: &Path) -> Result<Replayed, LogError> {
    let corrupt = |offset: usize, what| LogError::corrupt(path, Damage::new(offset as u64, what));
    check_header(bytes, COMMITS, path)?;
    let torn = || corrupt(HEADER_BYTES, "the opening record is damaged");
    let opening = journal::record_at(bytes, HEADER_BYTES, RECORD_BYTES_MAX).ok_or_else(torn)?;
    let opened = codec::decode(opening).ok().and_then(Record::into_opening);
    let mut synced = opened.ok_or_else(torn)?;
    // The state including what is not synced.
    let mut state = synced.clone();
    let mut unsynced = Vec::new();
    let opening = journal::end_of(HEADER_BYTES, opening);
    let (mut good, mut synced_length) = (opening, opening);
    for found in journal::records(bytes, opening, RECORD_BYTES_MAX, is_synced_commit) {
        let (offset, payload) = found.map_err(|DamagedAt(offset)| {
            corrupt(offset, "a record is damaged and others follow it")
        })?;
        let commit = codec::decode::<Record>(payload).ok().and_then(Record::into_commit);
        let Some(commit) = commit else {
            return Err(corrupt(offset, "a record is of no kind that this program knows"));
        };
        state.check(&commit).map_err(|what| corrupt(offset, what))?;
        state.apply(commit.clone());
        good = journal::end_of(offset, payload);
        if commit.synced {
            synced_length = good;
            unsynced.drain(..).for_each(|commit| synced.apply(commit));
            synced.apply(commit);
        } else {
            unsynced.push(commit);
        }
    }
    let (opening, synced_length) = (opening as u64, synced_length as u64);
    let (good, length) = (good as u64, bytes.len() as u64);
    Ok(Replayed { synced, unsynced, opening, synced_length, good, length })
}

fn is_synced_commit(payload: &[u8]) -> bool {
    let record = codec::decode::<Record>(payload).ok();
    record.and_then(Record::into_commit).is_some_and(|commit| commit.synced)
}

fn put_record(record: &Record, path: &Path, out: &mut Vec<u8>) -> Result<(), LogError> {
    let (path, limit) = (path.to_owned(), RECORD_BYTES_MAX);
    journal::put_record(record, limit, out).map_err(|bytes| LogError::TooLarge {
        path,
        bytes,
        limit,
    })
}

/// The bytes of a stream that has an opening only.
pub(super) fn whole(state: &StreamState, path: &Path) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    put_header(COMMITS, &mut bytes);
    put_record(&Record::opening(state.clone()), path, &mut bytes)?;
    Ok(bytes)
}

/// A position in a stream, with the state there.
pub(super) fn position(name: StreamName, bytes: u64, crc: u32, state: &StreamState) -> LogPosition {
    let StreamName { run, worker, seq } = name;
    LogPosition { run, worker, seq, bytes, crc, latest: state.latest }
}

/// A commit stream that is being written.
#[derive(Debug)]
pub(super) struct StreamWriter {
    file: Box<dyn StorageFile>,
    name: StreamName,
    path: PathBuf,
    opening: u64,
    length: u64,
    /// The checksum of all bytes so far.
    crc: crc32fast::Hasher,
    /// Bytes were written since the last sync.
    dirty: bool,
}

impl StreamWriter {
    /// Creates a stream with this opening, which is durable when it returns.
    pub(super) fn create(
        storage: &dyn Storage,
        layout: &Layout,
        name: StreamName,
        state: &StreamState,
    ) -> Result<StreamWriter, LogError> {
        let path = layout.stream(name);
        let bytes = whole(state, &path)?;
        let unfinished = temporary(&path);
        let written = storage.create(&unfinished).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync()
        });
        written.map_err(LogError::write("write", &unfinished, Effect::None))?;
        let renamed = storage.rename(&unfinished, &path);
        let durable = renamed.and_then(|()| storage.sync_dir(&layout.commits()));
        durable.map_err(LogError::write("rename to", &path, Effect::Perhaps))?;
        let file =
            storage.append(&path).map_err(LogError::write("open", &path, Effect::Perhaps))?;
        let opening = bytes.len() as u64;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes);
        Ok(StreamWriter { file, name, path, opening, length: opening, crc, dirty: false })
    }

    /// Appends a commit. If it says `synced`, it is durable when this returns.
    pub(super) fn append(&mut self, commit: &Commit) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        put_record(&Record::commit(commit.clone()), &self.path, &mut bytes)?;
        let result = self.append_bytes(&bytes, commit.synced);
        result.map_err(LogError::write("append to", &self.path, Effect::Perhaps))
    }

    fn append_bytes(&mut self, record: &[u8], synced: bool) -> io::Result<()> {
        // Everything before a record that says `synced` is durable before that record is written. So damage before such
        // a record does not come from a crash.
        if synced && self.dirty {
            self.file.sync()?;
        }
        self.file.write_all(record)?;
        self.length += record.len() as u64;
        self.crc.update(record);
        self.dirty = !synced;
        if synced { self.file.sync() } else { Ok(()) }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn is_long(&self) -> bool {
        self.length > LONG_BYTES.max(4 * self.opening)
    }

    /// The end of what was written, with this state; it is durable unless the stream is dirty.
    pub(super) fn position(&self, state: &StreamState) -> LogPosition {
        position(self.name, self.length, self.crc.clone().finalize(), state)
    }

    pub(super) fn name(&self) -> StreamName {
        self.name
    }
}
