//! The manifest of a part: a [`journal`] of records, with one sync for each append.
//!
//! **Tail rule:** a damaged record is a tail if no good record follows it. The tail is cut before anything is appended.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Effect, StoreError};
use super::record::{PartState, Record};
use super::storage::{Storage, StorageFile};
use super::whole::write_whole;
use crate::codec;
use crate::journal::{self, DamagedAt, HEADER_BYTES, HeaderError, Magic};

const MAGIC: Magic = *b"DAYFOLDM";
/// Version 2 had no schemas of views, no proofs of the log, and names of Rust types instead of ids. Its manifests are
/// read, and rewritten when they are opened.
const FORMAT_VERSION: u32 = 3;
const OLDEST_VERSION: u32 = 2;
/// The greatest payload of a record, in bytes.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// An open manifest is written anew when it is this much longer than twice what it was: then it grows with what it says,
/// and not with the number of commits. In tests that happens all the time.
const GROWTH: usize = if cfg!(test) { 300 } else { 1 << 20 };

/// The content of a manifest, and the end of its good part.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    pub(super) state: PartState,
    /// The length of the header and the good records.
    pub(super) good: usize,
    /// The length of the file.
    pub(super) length: usize,
}

/// Reads a manifest and changes nothing; `None` if there is none.
pub(super) fn read(storage: &dyn Storage, path: &Path) -> Result<Option<Replayed>, StoreError> {
    match storage.read(path) {
        Ok(bytes) => replay(&bytes, path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::harmless("read", path)(error)),
    }
}

/// Adds up the records of a manifest.
pub(super) fn replay(bytes: &[u8], path: &Path) -> Result<Replayed, StoreError> {
    let corrupt = |offset: usize, what| StoreError::Corrupt {
        path: path.to_owned(),
        offset: offset as u64,
        what,
    };
    check_header(bytes, path)?;
    let mut state = PartState::default();
    let mut good = HEADER_BYTES;
    // Each append was synced before the next one.
    for found in journal::records(bytes, HEADER_BYTES, RECORD_BYTES_MAX, |_| true) {
        let (offset, payload) = found.map_err(|DamagedAt(offset)| {
            corrupt(offset, "a record is damaged and others follow it")
        })?;
        let record: Record = codec::decode(payload)
            .map_err(|_| corrupt(offset, "a record is of no kind that this program knows"))?;
        state.apply(record).map_err(|what| corrupt(offset, what))?;
        good = journal::end_of(offset, payload);
    }
    Ok(Replayed { state, good, length: bytes.len() })
}

fn check_header(bytes: &[u8], path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    journal::check_header(bytes, MAGIC, OLDEST_VERSION..=FORMAT_VERSION).map_err(
        |error| match error {
            HeaderError::Damaged(what) => StoreError::Corrupt { path, offset: 0, what },
            HeaderError::Version(found) => {
                StoreError::Version { path, found, known: FORMAT_VERSION }
            }
        },
    )
}

fn put_record(record: &Record, out: &mut Vec<u8>) -> Result<(), StoreError> {
    journal::put_record(record, RECORD_BYTES_MAX, out)
        .map_err(|bytes| StoreError::TooLarge { bytes, limit: RECORD_BYTES_MAX })
}

/// The bytes of a complete manifest.
pub(super) fn whole(records: &[Record]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    journal::put_header(MAGIC, FORMAT_VERSION, &mut bytes);
    records.iter().try_for_each(|record| put_record(record, &mut bytes))?;
    Ok(bytes)
}

/// The length at which a manifest of this length is written anew.
fn limit(length: usize) -> usize {
    2 * length + GROWTH
}

/// A manifest, open for appending.
#[derive(Debug)]
pub(super) struct Manifest {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    length: usize,
    /// Its length when it is written anew.
    long: usize,
    /// An append failed, so the end of the file is unknown.
    failed: bool,
}

impl Manifest {
    /// Creates a manifest of these records in one step.
    pub(super) fn create(
        storage: &dyn Storage,
        path: &Path,
        records: &[Record],
    ) -> Result<Manifest, StoreError> {
        let bytes = whole(records)?;
        write_whole(storage, path, |file| file.write_all(&bytes))?;
        Manifest::append_to(storage, path, bytes.len())
    }

    /// Writes its content to a new file, if many records have been added. All records are durable in both files. If it is
    /// unknown which of them has the name, every further append fails.
    pub(super) fn shorten(&mut self, storage: &dyn Storage) {
        if self.failed || self.length < self.long {
            return;
        }
        self.long = limit(self.length);
        let path = self.path.display();
        match self.rewritten(storage) {
            Ok(manifest) => {
                let (from, to) = (self.length, manifest.length);
                tracing::debug!(%path, from, to, "a manifest is written anew");
                *self = manifest;
            }
            Err((error, is_unknown)) => {
                tracing::warn!(%path, %error, "a manifest is not written anew");
                self.failed = is_unknown;
            }
        }
    }

    /// The same in a new file; or the error, and whether that file may have the name.
    fn rewritten(&self, storage: &dyn Storage) -> Result<Manifest, (StoreError, bool)> {
        let known = |error| (error, false);
        let found = read(storage, &self.path).map_err(known)?;
        let found = found.filter(|found| found.good == self.length);
        let vanished = || StoreError::Vanished { path: self.path.clone() };
        let found = found.ok_or_else(|| (vanished(), true))?;
        let bytes = whole(&found.state.snapshot()).map_err(known)?;
        let written = write_whole(storage, &self.path, |file| file.write_all(&bytes));
        written.map_err(|error| {
            let is_unknown = !matches!(error, StoreError::Io { effect: Effect::None, .. });
            (error, is_unknown)
        })?;
        Manifest::append_to(storage, &self.path, bytes.len()).map_err(|error| (error, true))
    }

    /// Opens a manifest that was read, by writing its content to a new file.
    ///
    /// The bytes that were read may exist only in the system's cache: the program that wrote them may have ended before
    /// its sync, or after a failed one, and then a later sync of the file proves nothing. What this program relies on
    /// must be durable first. Rewriting also cuts the tail and keeps the manifest short.
    pub(super) fn resume(
        storage: &dyn Storage,
        path: &Path,
        replayed: &Replayed,
    ) -> Result<Manifest, StoreError> {
        if replayed.good < replayed.length {
            let (from, to) = (replayed.good, replayed.length);
            tracing::info!(path = %path.display(), from, to, "cutting a tail that was never written whole");
        }
        Manifest::create(storage, path, &replayed.state.snapshot())
    }

    fn append_to(
        storage: &dyn Storage,
        path: &Path,
        length: usize,
    ) -> Result<Manifest, StoreError> {
        let file = storage.append(path).map_err(StoreError::harmless("open", path))?;
        let (path, long) = (path.to_owned(), limit(length));
        Ok(Manifest { file, path, length, long, failed: false })
    }

    /// Appends records with one sync. After an error that may have happened, every further append fails.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        if self.failed {
            return Err(StoreError::Failed { path: self.path.clone() });
        }
        // A write to a file without a name would be lost without an error.
        if !self.file.is_at(&self.path).map_err(StoreError::harmless("look at", &self.path))? {
            self.failed = true;
            return Err(StoreError::Vanished { path: self.path.clone() });
        }
        let mut bytes = Vec::new();
        records.iter().try_for_each(|record| put_record(record, &mut bytes))?;
        // After a failed sync it is unknown what is durable, and a later sync would not tell.
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync());
        self.failed = written.is_err();
        self.length += bytes.len();
        written.map_err(StoreError::perhaps("append to", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Coverage, Digest};
    use crate::store::Memory;
    use crate::store::names::batch_file_name;
    use crate::store::record::{BatchEntry, Definition, Run};
    use crate::store::view_record::ViewRecord;
    use crate::time::{Day, Grain};
    use proptest::prelude::*;

    fn view() -> Definition {
        let text = |text: &str| text.to_owned();
        let (name, zone, key) = (text("v"), text("UTC"), text("u64"));
        let (aggregate, definition) = (text("count"), String::new());
        Definition {
            view: ViewRecord { name, zone, grain: Grain::Day, key, aggregate, definition },
            edition: 1,
        }
    }

    fn live(through: i32) -> Record {
        let batches = (0..2).map(|worker| BatchEntry {
            day: Day(through),
            closing: Day(through),
            generation: 0,
            worker,
            coverage: Coverage::of_owner(worker as usize, 2),
            file: batch_file_name(Day(through).into(), 0, worker),
            rows: 5,
            bytes: 500,
            digest: Digest(7),
        });
        Record::Live { view: "v".to_owned(), through: Day(through), batches: batches.collect() }
    }

    fn records() -> Vec<Record> {
        let run = Run { number: 1, processes: 1, parts: 1, complete: false, logged: false };
        let fact = Record::Fact { name: "moment".to_owned(), bytes: vec![1, 2, 3] };
        vec![Record::define(view()), Record::State(run), fact, live(10), live(11)]
    }

    fn path() -> &'static Path {
        Path::new("manifest")
    }

    #[test]
    fn a_tail_is_cut_at_every_byte() {
        let all = records();
        let bytes = whole(&all).unwrap();
        let last = whole(&all[..4]).unwrap().len();
        let expect = replay(&bytes[..last], path()).unwrap();
        for end in last..bytes.len() {
            let found = replay(&bytes[..end], path()).unwrap();
            assert_eq!((found.good, found.length), (last, end));
            assert_eq!(found.state, expect.state);
            // Zeros or rubbish instead of the rest.
            for filler in [0, 0xAA] {
                let mut torn = bytes[..end].to_vec();
                torn.resize(bytes.len(), filler);
                if torn != bytes {
                    assert_eq!(replay(&torn, path()).unwrap().good, last, "at {end}");
                }
            }
        }
    }

    #[test]
    fn damage_before_the_end_is_an_error_with_its_place() {
        let all = records();
        let bytes = whole(&all).unwrap();
        let third = whole(&all[..3]).unwrap().len();
        let fourth = whole(&all[..4]).unwrap().len();
        for at in third..fourth {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            match replay(&bad, path()) {
                Err(StoreError::Corrupt { offset, .. }) => assert_eq!(offset as usize, third),
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_versions_are_refused() {
        for (version, said) in [(1, "format version 1"), (4, "format version 4")] {
            let mut bytes = whole(&[]).unwrap();
            bytes[8] = version;
            let crc = crc32fast::hash(&bytes[..12]);
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
            let error = replay(&bytes, path()).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("this program reads 3"), "{error}");
        }
    }

    #[test]
    fn a_manifest_that_grows_is_written_anew_while_it_is_open() {
        let memory = Memory::default();
        memory.create_dirs(Path::new("")).unwrap();
        let mut manifest = Manifest::create(&memory, path(), &records()).unwrap();
        let mut longest = 0;
        for n in 0..200u8 {
            let fact = Record::Fact { name: "n".to_owned(), bytes: vec![n; 50] };
            manifest.append(&[fact, live(12)]).unwrap();
            manifest.shorten(&memory);
            longest = longest.max(memory.read(path()).unwrap().len());
            let found = read(&memory, path()).unwrap().unwrap();
            assert_eq!((found.good, found.length), (manifest.length, manifest.length));
            assert_eq!(found.state.facts["n"], vec![n; 50]);
        }
        assert!(longest < 4 * whole(&records()).unwrap().len(), "{longest}");
    }

    #[test]
    fn a_manifest_is_rewritten_to_the_same_state() {
        let memory = Memory::default();
        memory.create_dirs(Path::new("")).unwrap();
        let mut manifest = Manifest::create(&memory, path(), &records()).unwrap();
        let Record::Live { view, mut batches, .. } = live(10) else { unreachable!() };
        batches[1].generation = 1;
        batches[1].file = batch_file_name(Day(10).into(), 1, 1);
        manifest.append(&[Record::Rebuilt { view, batches: batches.split_off(1) }]).unwrap();
        let fact = |n: u8| Record::Fact { name: "n".to_owned(), bytes: vec![n; 10_000] };
        for n in 0..60 {
            manifest.append(&[fact(n)]).unwrap();
        }
        drop(manifest);
        memory.append(path()).unwrap().write_all(&[9, 9]).unwrap();
        let before = read(&memory, path()).unwrap().unwrap();
        assert_eq!(before.good + 2, before.length);
        Manifest::resume(&memory, path(), &before).unwrap().append(&[live(12)]).unwrap();
        let after = read(&memory, path()).unwrap().unwrap();
        assert!(after.length < 12_000, "{}", after.length);
        let mut expect = before.state;
        expect.apply(live(12)).unwrap();
        assert_eq!(after.state, expect);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_state_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = replay(&bytes, path());
            let mut framed = whole(&records()).unwrap();
            framed.extend_from_slice(&bytes);
            let _ = replay(&framed, path());
            // If the checksum is good, the decoder gets arbitrary bytes.
            framed = whole(&[]).unwrap();
            framed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            framed.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            framed.extend_from_slice(&bytes);
            let _ = replay(&framed, path());
        }

        #[test]
        fn flipped_bytes_are_a_state_or_an_error(
            at: proptest::sample::Index, mask in 1u8.., kind in 0u8..8,
        ) {
            let all = records();
            let mut bytes = whole(&all).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(found) = replay(&bytes, path()) {
                // Only the last record can have been taken for a tail.
                prop_assert_eq!(found.good, whole(&all[..4]).unwrap().len());
            }
            // A payload with a chosen kind and flipped bytes, and a good checksum.
            let mut payload = Vec::new();
            codec::encode(&all[3], &mut payload).unwrap();
            let at = at % payload.len();
            payload[at] ^= mask;
            payload[0] = kind;
            let mut framed = whole(&all[..1]).unwrap();
            framed.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            framed.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
            framed.extend_from_slice(&payload);
            let _ = replay(&framed, path());
        }
    }
}
