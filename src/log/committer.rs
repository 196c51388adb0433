//! The work of a log's thread: encode, write, sync, commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::codec::{EventCodec, encode_some};
use super::days::{DAYS_AT_ONCE, Days};
use super::entry::Entry;
use super::error::LogError;
use super::files::Files;
use super::format::{self, FRAME_BYTES_MAX, FrameBuffer, FrameError};
use super::layout::{Layout, StreamName};
use super::record::{Commit, FileState, StreamState};
use super::stream::StreamWriter;
use crate::journal::{HEADER_BYTES, Magic};
use crate::store::{Effect, LogPosition, Storage};
use crate::time::{Day, EventTime};

/// At most this many encoded bytes are held before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// The buffers of this many days are kept for reuse.
const DAYS_MAX: usize = 64;

/// Whether events may still be needed, given their last UTC day and the greatest floor under which they entered.
pub(crate) type IsNeeded = dyn Fn(Day, EventTime) -> bool + Send + Sync;

pub(super) struct Committer<E> {
    storage: Arc<dyn Storage>,
    layout: Layout,
    codec: EventCodec<E>,
    /// What is committed.
    state: StreamState,
    /// What is taken but not committed, with the files written for it.
    next: Commit,
    events: BTreeMap<Day, FrameBuffer>,
    refused: FrameBuffer,
    /// The number of bytes in these buffers.
    buffered: usize,
    /// The number of bytes of events that were encoded so far.
    pub(super) encoded: u64,
    /// Much is waiting, so what is taken is not compressed.
    pub(super) is_behind: bool,
    files: Files,
    /// Created with the first entry.
    stream: Option<StreamWriter>,
}

impl<E> Committer<E> {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        layout: Layout,
        codec: EventCodec<E>,
        state: StreamState,
    ) -> Committer<E> {
        Committer {
            files: Files::new(Arc::clone(&storage)),
            storage,
            layout,
            codec,
            state,
            next: Commit::default(),
            events: BTreeMap::new(),
            refused: FrameBuffer::default(),
            buffered: 0,
            encoded: 0,
            is_behind: false,
            stream: None,
        }
    }

    /// Encodes an entry, which becomes part of the next commit.
    pub(super) fn take(&mut self, entry: Entry<E>) -> Result<(), LogError> {
        let (run, worker) = (self.state.run, self.state.worker);
        let mut events = &entry.events[..];
        while !events.is_empty() {
            let (day, length) = self.codec.run(events);
            let (now, later) = events.split_at(length);
            let buffer = self.events.entry(day).or_default();
            buffer.is_plain = self.is_behind;
            let encoded = buffer
                .put(entry.moment, now, |some, full, out| self.codec.encode_some(some, full, out))
                .map_err(|error| frame_error(error, self.layout.day(day, run, worker)))?;
            self.buffered += encoded;
            self.encoded += encoded as u64;
            events = later;
        }
        let refused = self.refused.put(entry.moment, &entry.refused, encode_some);
        self.buffered +=
            refused.map_err(|error| frame_error(error, self.layout.refused(run, worker)))?;
        self.next.latest = self.next.latest.max(Some(entry.moment));
        self.next.refused_elsewhere += entry.refused_elsewhere;
        self.next.ranges.extend(entry.ranges);
        self.next.once.extend(entry.once);
        entry.extents.iter().for_each(|(name, extent)| self.next.extend(name, extent));
        if self.buffered >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    /// Writes the encoded bytes.
    fn write(&mut self) -> Result<(), LogError> {
        let (run, worker) = (self.state.run, self.state.worker);
        let dirty = self.events.values().filter(|buffer| buffer.len() > 0).count();
        if dirty > DAYS_AT_ONCE {
            self.write_wide()?;
        }
        for (&day, buffer) in self.events.iter_mut().filter(|(_, buffer)| buffer.len() > 0) {
            let file = self.next.files.get(&day).copied().unwrap_or(self.state.file(day));
            let path = self.layout.day(day, run, worker);
            let grown = grow(&mut self.files, path, format::EVENTS, file, [buffer])?;
            self.next.files.insert(day, grown);
        }
        if self.refused.len() > 0 {
            let file = self.next.refused.unwrap_or(self.state.refused);
            let path = self.layout.refused(run, worker);
            let grown = grow(&mut self.files, path, format::REFUSED, file, [&mut self.refused])?;
            self.next.refused = Some(grown);
        }
        self.buffered = 0;
        if self.events.len() > DAYS_MAX {
            self.events.clear();
        }
        Ok(())
    }

    /// Writes the encoded events into files of several days.
    fn write_wide(&mut self) -> Result<(), LogError> {
        let (run, worker) = (self.state.run, self.state.worker);
        let dirty = self.events.iter_mut().filter(|(_, buffer)| buffer.len() > 0);
        let mut dirty: Vec<(Day, &mut FrameBuffer)> =
            dirty.map(|(day, buffer)| (*day, buffer)).collect();
        let level = Days::level(dirty.iter().map(|(day, _)| *day));
        for group in dirty.chunk_by_mut(|(a, _), (b, _)| Days::of(*b, level).contains(*a)) {
            let days = Days::of(group[0].0, level);
            let path = self.layout.days(days, run, worker);
            let mut wide = self.next.wide.get(&days).copied().unwrap_or(self.state.wide(days));
            wide.first = wide.first.min(group[0].0);
            wide.last = wide.last.max(group[group.len() - 1].0);
            let buffers = group.iter_mut().map(|(_, buffer)| &mut **buffer);
            wide.file = grow(&mut self.files, path, format::EVENTS, wide.file, buffers)?;
            self.next.wide.insert(days, wide);
        }
        Ok(())
    }

    /// Commits what was taken. With `sync`, this and everything before is durable when it returns.
    pub(super) fn commit(&mut self, sync: bool) -> Result<(), LogError> {
        self.write()?;
        if self.next.is_empty() && !(sync && self.is_dirty()) {
            return Ok(());
        }
        let long = self.stream.as_ref().is_some_and(StreamWriter::is_long);
        // An opening counts as synced.
        let sync = sync || long;
        if sync {
            self.files.sync()?;
        }
        let commit = Commit { synced: sync, ..std::mem::take(&mut self.next) };
        if long {
            self.state.apply(commit);
            return self.rotate();
        }
        let stream = self.stream()?;
        stream.append(&commit)?;
        self.state.apply(commit);
        Ok(())
    }

    /// Adds views to the definition of the run, or gives them another grace. What was taken is committed, and it is all
    /// durable when this returns.
    pub(super) fn define(&mut self, views: Vec<(String, i64)>) -> Result<(), LogError> {
        self.commit(true)?;
        for (view, grace) in views {
            self.state.definition.retain(|(known, _)| *known != view);
            self.state.definition.push((view, grace));
        }
        self.rotate()
    }

    /// Removes files of days before this one whose events are no longer needed; `is_needed` is asked about the last day
    /// of each file and the greatest floor of its frames. First, all that was taken is committed. Then a stream that
    /// does not name the files replaces the present one; it is durable before any file is removed.
    pub(super) fn shorten(&mut self, from: Day, is_needed: &IsNeeded) -> Result<(), LogError> {
        self.commit(true)?;
        let (run, worker) = (self.state.run, self.state.worker);
        let goes = |last: Day, file: &FileState| last < from && !is_needed(last, file.floor_max);
        let mut gone = Vec::new();
        for (day, _) in self.state.files.extract_if(.., |day, file| goes(*day, file)) {
            gone.push(self.layout.day(day, run, worker));
        }
        for (days, _) in self.state.wide.extract_if(.., |_, wide| goes(wide.last, &wide.file)) {
            gone.push(self.layout.days(days, run, worker));
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.rotate()?;
        for path in gone {
            self.files.forget(&path);
            // The folder stays, because another worker may be about to create a file in it.
            if let Err(error) = self.storage.remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a file of the log is removed with the next start");
            }
        }
        Ok(())
    }

    /// The end of the written stream; after a commit with a sync, all of it is durable. `None` if there was no entry
    /// yet.
    pub(super) fn position(&self) -> Option<LogPosition> {
        self.stream.as_ref().map(|stream| stream.position(&self.state))
    }

    /// Whether a written record is not synced.
    fn is_dirty(&self) -> bool {
        self.stream.as_ref().is_some_and(StreamWriter::is_dirty)
    }

    /// The stream; the first commit of a run creates it.
    fn stream(&mut self) -> Result<&mut StreamWriter, LogError> {
        if self.stream.is_none() {
            let commits = self.layout.commits();
            let failed = |operation, path| LogError::write(operation, path, Effect::None);
            self.storage.create_dirs(&commits).map_err(failed("create", &commits))?;
            // Existing folders may have been created by another worker, or by a run that crashed, and may not be
            // durable yet.
            for folder in [self.layout.log(), self.layout.part()] {
                self.storage.sync_dir(folder).map_err(failed("sync", folder))?;
            }
            let name = StreamName { run: self.state.run, worker: self.state.worker, seq: 0 };
            self.create_stream(name)?;
        }
        Ok(self.stream.as_mut().expect("it was made"))
    }

    /// Replaces the stream with the next one, whose opening has the whole state.
    fn rotate(&mut self) -> Result<(), LogError> {
        let Some(old) = self.stream.take() else { return Ok(()) };
        let old = old.name();
        self.state.once.prune();
        self.create_stream(old.next())?;
        let path = self.layout.stream(old);
        self.storage.remove(&path).map_err(LogError::write("remove", &path, Effect::Perhaps))
    }

    fn create_stream(&mut self, name: StreamName) -> Result<(), LogError> {
        let made = StreamWriter::create(&*self.storage, &self.layout, name, &self.state)?;
        self.stream = Some(made);
        Ok(())
    }
}

/// Appends buffers to a file, and returns the file's new state.
fn grow<'a>(
    files: &mut Files,
    path: PathBuf,
    magic: Magic,
    file: FileState,
    buffers: impl IntoIterator<Item = &'a mut FrameBuffer>,
) -> Result<FileState, LogError> {
    let mut grown = file;
    if file.length == 0 {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        format::put_header(magic, &mut header);
        files.write(&path, true, &header)?;
        grown.length = HEADER_BYTES as u64;
    }
    for buffer in buffers {
        let (bytes, added) = buffer.closed();
        files.write(&path, false, bytes)?;
        grown.add(added.floor_max, added.frames, added.events, added.length);
        buffer.clear();
    }
    Ok(grown)
}

fn frame_error(error: FrameError, path: PathBuf) -> LogError {
    match error {
        FrameError::TooLarge(bytes) => LogError::TooLarge { path, bytes, limit: FRAME_BYTES_MAX },
        FrameError::Encode(error) => LogError::Encode { path, what: error.to_string().into() },
    }
}
