//! The file of merged commit streams.
//!
//! Each run leaves a commit stream for each worker. Once it is settled, it has an opening only and does not change any
//! more. A repair moves such streams, as they are, into one file, so that a program that has been started a thousand
//! times does not open thousands of files:
//!
//! ```text
//! header  as of all files of the log, "DAYFOLDM"
//! record  number of the run, of the worker and of the stream, and the bytes of the stream; and so on
//! ```
//!
//! It has one record. The file is written under another name, synced and renamed before the streams are removed, so
//! each is in a file of its own, or here, or in both, and then the bytes are the same. When more streams have come, a
//! file with a greater number replaces this one. If a stream is written anew ([`shorten`](super::shorten())), the one
//! in a file of its own has a greater `seq` and counts, as ever.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{Damage, LogError};
use super::format::{MERGED, check_header, put_header};
use super::layout::{Layout, StreamName, temporary};
use crate::codec;
use crate::journal::{self, HEADER_BYTES};
use crate::store::{Effect, Storage};

/// The streams of so many runs in files of their own are merged. Each merge writes all streams, so it does not come with
/// each run. In tests it does.
pub(super) const MERGED_AT: usize = if cfg!(test) { 1 } else { 9 };

/// Longer streams stay in files of their own. Most streams have some hundred bytes when their run is over, but pushes
/// with keys leave up to a day of keys.
pub(super) const STREAM_BYTES_MAX: u64 = if cfg!(test) { 4 << 10 } else { 64 << 10 };

/// The greatest payload.
pub(super) const BYTES_MAX: usize = 1 << 30;

/// A stream in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MergedStream {
    run: u64,
    worker: u32,
    seq: u64,
    pub(super) bytes: Vec<u8>,
}

impl MergedStream {
    pub(super) fn new(name: StreamName, bytes: Vec<u8>) -> MergedStream {
        let StreamName { run, worker, seq } = name;
        MergedStream { run, worker, seq, bytes }
    }

    pub(super) fn name(&self) -> StreamName {
        let MergedStream { run, worker, seq, .. } = *self;
        StreamName { run, worker, seq }
    }
}

/// The streams of the file with this number; `None` if another one has replaced it.
pub(super) fn read(
    storage: &dyn Storage,
    layout: &Layout,
    number: u64,
) -> Result<Option<Vec<MergedStream>>, LogError> {
    let path = layout.merged(number);
    let bytes = match storage.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::harmless("read", &path)(error)),
    };
    check_header(&bytes, MERGED, &path)?;
    let damaged =
        || LogError::corrupt(&path, Damage::new(HEADER_BYTES as u64, "its record is damaged"));
    let payload = journal::record_at(&bytes, HEADER_BYTES, BYTES_MAX).ok_or_else(damaged)?;
    if journal::end_of(HEADER_BYTES, payload) != bytes.len() {
        return Err(damaged());
    }
    codec::decode(payload).map(Some).map_err(|_| damaged())
}

/// Writes a file, which is durable when this returns.
pub(super) fn write(
    storage: &dyn Storage,
    layout: &Layout,
    number: u64,
    streams: &Vec<MergedStream>,
) -> Result<PathBuf, LogError> {
    let path = layout.merged(number);
    let mut bytes = Vec::new();
    put_header(MERGED, &mut bytes);
    journal::put_record(streams, BYTES_MAX, &mut bytes).map_err(|bytes| LogError::TooLarge {
        path: path.clone(),
        bytes,
        limit: BYTES_MAX,
    })?;
    let unfinished = temporary(&path);
    let written = storage.create(&unfinished).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync()
    });
    written.map_err(LogError::write("write", &unfinished, Effect::None))?;
    let renamed = storage.rename(&unfinished, &path);
    let durable = renamed.and_then(|()| storage.sync_dir(&layout.commits()));
    durable.map_err(LogError::write("rename to", &path, Effect::Perhaps))?;
    Ok(path)
}
