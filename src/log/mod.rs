//! The master dataset: every accepted event, append-only.
//!
//! ```text
//! part-<process>/log/<UTC day>/r<run>-w<worker>.log       frames of events of that UTC day
//!                   /<first>--<last>/r<run>-w<worker>.log frames of events of several UTC days, where a commit has many
//!                   /refused/r<run>-w<worker>.log         frames of refused rows
//!                   /commits/r<run>-w<worker>-<seq>.log   what of these counts: the commit stream
//!                   /commits/merged-<number>.log          the commit streams of earlier runs
//! ```
//!
//! Each worker has its own files in each run of the program. Files of an earlier run are never appended to.
//!
//! # The bytes
//!
//! All integers are little-endian.
//!
//! ```text
//! header     magic 8, format version u32, crc32 of these u32
//!            "DAYFOLDL" events, "DAYFOLDR" refused rows, "DAYFOLDC" commit streams, "DAYFOLDM" merged ones
//! frame      length of the payload u32, number of values u32, floor i64, tick u64,
//!            crc32 of the payload u32, crc32 of the 28 bytes before u32, payload
//! record     length of the payload u32, crc32 of the payload u32, payload
//! ```
//!
//! The payload of a frame is its values one after the other, compressed where that makes them shorter
//! (`log/compress.rs`). Files of format version 2 have the values alone.
//!
//! The values are in bincode 1.3 with fixed-size integers. Events of three
//! 64-bit integers (a time, a key below 100,000, a value below 1,000) take 24 bytes; one core encodes 350 million and
//! decodes 460 million of them a second. With variable-size integers it would be 15.4 bytes, 150 million and 77
//! million. Frames are closed at 4 MiB, and have at most 64 MiB.
//!
//! The head of a frame has its own checksum, so a reader may skip the payload and still trust the moment and the
//! length.
//!
//! # What counts
//!
//! The first record of a stream is its *opening*: the whole state so far. The others are *commits*, one for each group
//! of appends. A commit has the counted length of each file, the ranges taken from the sources, and the keys of pushes
//! that count once. **Bytes in files beyond the last commit do not exist.** A commit that says `synced` was written
//! after the files that it names, and the stream before it, were synced.
//!
//! A stream is written under another name, synced and renamed, so its header and opening are never torn. When it has
//! grown long, the next one replaces it: `seq` rises, and the greatest counts. The streams of earlier runs, which do not
//! change any more, move into one file (`log/merged.rs`).
//!
//! **Tail rules.** If a record is cut short or has a wrong checksum, and no good record that says `synced` follows, a
//! crash has left this tail, and it does not count. (Records that were never synced may be lost in any order.) If such
//! a record follows, the stream is damaged, which is an error. Of the records after the last `synced` one, those count
//! that come before the first one whose files do not hold what it names. Nothing that a `synced` record names may be
//! missing. One damage goes unnoticed: damage to the last record only, which looks like a tail.
//!
//! [`scan`] reads what counts. A repair, when an engine starts, removes the rest. It also rewrites, once, what counts
//! and may not be durable: the streams of runs that it has not seen before, and the files that were not synced.
//! (Syncing them is not enough: after a failed sync, the next one may succeed and make nothing durable.)
//!
//! **Proofs.** A stream whose end is lost looks like one whose end was never written. So with each commit of sealed
//! days, manifests record the durable end of each stream, and [`prove`] compares (see `store/proof.rs`). No sealed day
//! depends on what comes after that: a source is read again from there.
//!
//! This module knows no dataflow and no views, and accesses files only through [`Storage`](crate::store::Storage).
//!
//! ```
//! use std::path::Path;
//!
//! use dayfold::log::{self, Frame, Frames, LogError, LogFile, LogState, StreamInfo, Verified};
//! use dayfold::store::{self, Disk};
//!
//! /// Looks into the log of a folder, whether or not an engine is writing it.
//! fn show(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
//!     let report = store::inspect(&Disk, folder)?;
//!     let parts = report.parts.iter().map(|part| (part.process as u32, part.path.clone()));
//!     let parts: Vec<_> = parts.collect();
//!     let state: LogState = log::scan(&Disk, &parts, u64::MAX)?;
//!     for StreamInfo { run, worker, events, .. } in &state.streams {
//!         println!("run {run}, worker {worker}: {events} events");
//!     }
//!     for (partition, log::Extent { from, to, .. }) in &state.extents {
//!         println!("{partition}: records {from} to {to}");
//!     }
//!     for log::SourceRange { source, from, to, .. } in &state.ranges {
//!         println!("source {source}: {from} to {to}");
//!     }
//!     for file in &state.files {
//!         println!("{}: {} events", file.day, events(file)?);
//!     }
//!     let Verified { bytes, .. } = log::verify(&Disk, &state)?;
//!     println!("{bytes} bytes are whole");
//!     Ok(())
//! }
//!
//! /// How many events the frames of a file have.
//! fn events(file: &LogFile) -> Result<u64, LogError> {
//!     let mut frames = Frames::open(&Disk, file)?;
//!     let mut events = 0;
//!     while let Some(Frame { count, .. }) = frames.next(|_| true)? {
//!         events += u64::from(count);
//!     }
//!     Ok(events)
//! }
//! ```

mod accept;
mod codec;
mod committer;
mod compress;
mod days;
mod entry;
mod error;
mod files;
mod format;
mod frames;
mod layout;
mod merged;
mod once;
mod partitions;
mod proof;
mod record;
mod repair;
mod scan;
mod shorten;
mod stream;
mod writer;

use std::time::Duration;

pub(crate) use codec::EventCodec;
pub(crate) use committer::IsNeeded;
pub(crate) use entry::Entry;
pub use error::LogError;
pub use frames::{Frame, Frames, Verified, refused_rows, verify};
pub(crate) use once::{ONCE_KEPT_MS, OnceKey};
pub use partitions::Extent;
pub(crate) use partitions::{Extents, joined};
pub use proof::prove;
pub(crate) use proof::{check, synced};
pub use record::SourceRange;
pub(crate) use record::merged;
pub(crate) use repair::{Repaired, repair};
pub use scan::{LogFile, LogState, StreamInfo, scan};
pub(crate) use shorten::shorten;
pub(crate) use writer::{LogHandle, LogWriter};

/// When appended events are durable, and what a crash can lose.
///
/// What was acknowledged as durable is never lost. In any case, an entry is either wholly there or not at all, and a
/// source is read again from exactly behind the last entry that is there.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::Engine;
/// use dayfold::log::Durability;
/// use dayfold::time::EventTime;
///
/// let every = Durability::Every(Duration::from_millis(10));
/// let engine = Engine::<(EventTime, String)>::new().data("visits").log(every, |visit| visit.0);
/// # let _ = engine;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// As soon as possible: each group of appends is synced before the next is written. A group is everything that
    /// waits for the sync before it. A crash can lose only what was not acknowledged.
    EveryCommit,
    /// At most this long after they were appended, plus the time of the sync. A crash of the process or the machine can
    /// lose what came in that time and was not acknowledged.
    Every(Duration),
    /// The operating system decides. A killed process loses nothing that was written; a machine that stops may lose
    /// what came since the last forced sync (sealing a day forces one). Nothing promises durability.
    System,
}

impl Durability {
    /// Whether acknowledged events become durable at some time.
    pub(crate) fn is_promise(self) -> bool {
        matches!(self, Durability::EveryCommit | Durability::Every(_))
    }
}

#[cfg(test)]
mod tests;
