//! Torn ends are cut; damage before them is an error with its position.

use super::*;
use crate::log::committer::Committer;
use crate::log::layout::{Layout, StreamName};
use crate::log::record::StreamState;

const STREAM: StreamName = StreamName { run: 1, worker: 0, seq: 0 };

fn memory() -> Arc<Memory> {
    let memory = Arc::new(Memory::default());
    memory.create_dirs(Path::new(PART)).unwrap();
    memory
}

/// Commits one entry of `counts` events of day 3 after the other, and notes the lengths of the stream and of the day's
/// file after each.
fn written(memory: &Arc<Memory>, commits: &[(u64, bool)]) -> Vec<(usize, usize)> {
    let state = StreamState::new(1, 0, Vec::new());
    let storage: Arc<dyn Storage> = Arc::clone(memory) as Arc<dyn Storage>;
    let mut committer = Committer::new(storage, Layout::new(Path::new(PART)), codec(), state);
    let mut lengths = Vec::new();
    for (tick, &(count, sync)) in commits.iter().enumerate() {
        committer.take(entry(tick as u64, 3, count)).unwrap();
        committer.commit(sync).unwrap();
        lengths.push((read(memory, &stream()).len(), read(memory, &day()).len()));
    }
    lengths
}

fn stream() -> PathBuf {
    Layout::new(Path::new(PART)).stream(STREAM)
}

fn day() -> PathBuf {
    Layout::new(Path::new(PART)).day(crate::time::Day(3), 1, 0)
}

fn read(memory: &Memory, path: &Path) -> Vec<u8> {
    memory.read(path).unwrap()
}

fn put(memory: &Memory, path: &Path, bytes: &[u8]) {
    memory.create(path).unwrap().write_all(bytes).unwrap();
}

/// The number of events, which must be the same before and after a repair.
#[track_caller]
fn held(memory: &Memory) -> usize {
    let before = events(memory).unwrap();
    repair(memory, Path::new(PART), u64::MAX).unwrap();
    assert_eq!(events(memory).unwrap(), before);
    let again = repair(memory, Path::new(PART), u64::MAX).unwrap();
    assert_eq!(again, Repaired::default());
    let state = scanned(memory).unwrap();
    assert_eq!(verify(memory, &state).unwrap().events, before.len() as u64);
    state.files.iter().for_each(|file| {
        assert_eq!(read(memory, &file.path).len() as u64, file.length, "not cut");
    });
    before.len()
}

#[track_caller]
fn corrupt<T: std::fmt::Debug>(result: Result<T, LogError>, at: &Path, expect: usize) {
    match result {
        Err(LogError::Corrupt { path, offset, .. }) => {
            assert_eq!((&*path, offset as usize), (at, expect));
        }
        other => panic!("{other:?}"),
    }
}

/// What may be found instead of the rest of a file.
fn tears(bytes: &[u8], at: usize) -> Vec<Vec<u8>> {
    let filled = |filler| {
        let mut torn = bytes[..at].to_vec();
        torn.resize(bytes.len(), filler);
        torn
    };
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 0x10;
    let all = [bytes[..at].to_vec(), filled(0), filled(0xAA), flipped];
    all.into_iter().filter(|torn| torn != bytes).collect()
}

#[test]
fn a_stream_that_is_torn_at_any_byte_ends_before() {
    for sync in [false, true] {
        let lengths = written(&memory(), &[(2, true), (3, sync)]);
        for at in lengths[0].0..lengths[1].0 {
            let memory = memory();
            written(&memory, &[(2, true), (3, sync)]);
            for torn in tears(&read(&memory, &stream()), at) {
                let memory = self::memory();
                written(&memory, &[(2, true), (3, sync)]);
                put(&memory, &stream(), &torn);
                assert_eq!(held(&memory), 2, "at {at}");
            }
        }
    }
}

#[test]
fn a_stream_that_is_damaged_before_a_synced_record_is_an_error() {
    let memory = memory();
    let lengths = written(&memory, &[(2, true), (3, false), (1, true), (1, false)]);
    let whole = read(&memory, &stream());
    let second = lengths[0].0..lengths[1].0;
    let third = lengths[1].0..lengths[2].0;
    for at in second.clone() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        put(&memory, &stream(), &bytes);
        corrupt(scanned(&*memory), &stream(), second.start);
        corrupt(repair(&*memory, Path::new(PART), u64::MAX), &stream(), second.start);
        assert_eq!(read(&memory, &stream()), bytes, "an error changes nothing");
    }
    // Nothing synced follows the third record: it may never have been written.
    for at in third {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        put(&memory, &stream(), &bytes);
        assert_eq!(events(&*memory).unwrap().len(), 5);
    }
    // Streams are created as a whole, so a damaged beginning does not come from a crash.
    let opening = crate::log::stream::whole(&StreamState::new(1, 0, Vec::new()), &stream());
    let opening = opening.unwrap();
    for at in 0..opening.len() {
        for torn in tears(&whole, at).iter().filter(|torn| !torn.starts_with(&opening)) {
            put(&memory, &stream(), torn);
            corrupt(scanned(&*memory), &stream(), if at < 16 { 0 } else { 16 });
        }
    }
}

#[test]
fn a_day_file_that_is_torn_at_any_byte_ends_before() {
    let commits = [(2, true), (3, false), (1, false)];
    let lengths = written(&memory(), &commits);
    for at in lengths[0].1..lengths[2].1 {
        let memory = memory();
        written(&memory, &commits);
        let whole = read(&memory, &day());
        let second = &whole[..lengths[1].1];
        let mut expect = 0;
        for torn in tears(&whole, at) {
            put(&memory, &day(), &torn);
            // The bytes that fill the file may equal those that were there.
            expect = if torn.starts_with(second) { 5 } else { 2 };
            assert_eq!(events(&*memory).unwrap().len(), expect, "at {at}");
        }
        assert_eq!(held(&memory), expect, "at {at}");
    }
    // The first commit was not synced, either.
    for at in 0..lengths[0].1 {
        let memory = memory();
        written(&memory, &[(2, false), (3, false)]);
        let whole = read(&memory, &day());
        let first = &whole[..lengths[0].1];
        for torn in tears(&whole, at).iter().filter(|torn| !torn.starts_with(first)) {
            put(&memory, &day(), torn);
            assert_eq!(events(&*memory).unwrap().len(), 0, "at {at}");
        }
        put(&memory, &day(), &whole[..at]);
        assert_eq!(held(&memory), 0, "at {at}");
        assert_eq!(memory.list(day().parent().unwrap()).unwrap(), [""; 0], "not removed");
    }
}

#[test]
fn what_was_synced_of_a_day_file_may_not_be_missing() {
    let memory = memory();
    let lengths = written(&memory, &[(2, true), (3, true)]);
    let whole = read(&memory, &day());
    for at in 0..whole.len() {
        put(&memory, &day(), &whole[..at]);
        corrupt(scanned(&*memory), &day(), at);
        corrupt(repair(&*memory, Path::new(PART), u64::MAX), &day(), at);
        // Bytes in the middle are read only on request.
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        put(&memory, &day(), &bytes);
        let state = scanned(&*memory).unwrap();
        let frame = if at < 16 {
            0
        } else if at < lengths[0].1 {
            16
        } else {
            lengths[0].1
        };
        corrupt(verify(&*memory, &state), &day(), frame);
        corrupt(events(&*memory), &day(), frame);
    }
    memory.remove(&day()).unwrap();
    corrupt(scanned(&*memory), &day(), 0);
}

#[test]
fn what_a_repair_has_believed_may_not_be_missing_later() {
    let memory = memory();
    let lengths = written(&memory, &[(2, true), (3, false)]);
    let repaired = repair(&*memory, Path::new(PART), 2).unwrap();
    let changed =
        Repaired { streams: 1, files_removed: 2, streams_merged: 1, ..Repaired::default() };
    assert_eq!(repaired, changed);
    assert_eq!(memory.list(stream().parent().unwrap()).unwrap(), ["merged-0.log"]);
    assert_eq!(events(&*memory).unwrap().len(), 5);
    let bytes = read(&memory, &day());
    put(&memory, &day(), &bytes[..lengths[0].1]);
    corrupt(scanned(&*memory), &day(), lengths[0].1);
}

#[test]
fn frames_that_nobody_wants_are_passed_over() {
    let memory = memory();
    let lengths = written(&memory, &[(2, true), (3, true), (1, true)]);
    let mut bytes = read(&memory, &day());
    // The last byte of the second frame's payload.
    bytes[lengths[1].1 - 1] ^= 1;
    put(&memory, &day(), &bytes);
    let file = scanned(&*memory).unwrap().files.remove(0);
    let mut frames = Frames::open(&*memory, &file).unwrap();
    let mut asked = Vec::new();
    let mut found = Vec::new();
    while let Some(frame) = frames
        .next(|moment| {
            asked.push(moment.tick);
            moment.tick != 1
        })
        .unwrap()
    {
        found.push((frame.moment.tick, frame.count, frame.offset as usize));
    }
    assert_eq!(asked, [0, 1, 2]);
    assert_eq!(found, [(0, 2, 16), (2, 1, lengths[1].1)]);
}

#[test]
fn other_files_are_left_alone() {
    let memory = memory();
    written(&memory, &[(2, true)]);
    let log = Path::new(PART).join("log");
    let foreign = [
        "copy/r1-w0.log",
        "1970-01-04/notes",
        "commits/notes.tmp",
        "1970-01-04/r9-w0.log",
        "commits/r9-w0-0.log.tmp",
    ];
    let ours = [
        "1970-01-05/r1-w0.log",
        "1970-01-04/r1-w0.log.tmp",
        "1970-01-04/r2-w7.log",
        "refused/r1-w0.log",
        "commits/r1-w1-0.log.tmp",
        "commits/merged-7.log.tmp",
    ];
    for name in foreign.iter().chain(&ours) {
        memory.create_dirs(log.join(name).parent().unwrap()).unwrap();
        put(&memory, &log.join(name), b"x");
    }
    let repaired = repair(&*memory, Path::new(PART), 9).unwrap();
    let changed =
        Repaired { streams: 1, files_removed: 8, streams_merged: 1, ..Repaired::default() };
    assert_eq!(repaired, changed);
    foreign.iter().for_each(|name| assert_eq!(read(&memory, &log.join(name)), b"x"));
    assert!(ours.iter().all(|name| memory.read(&log.join(name)).is_err()));
    assert_eq!(events(&*memory).unwrap().len(), 2);
}

#[test]
fn other_versions_are_refused() {
    for (path, latest) in [(stream(), 2), (day(), 3)] {
        let memory = memory();
        written(&memory, &[(2, true)]);
        let mut bytes = read(&memory, &path);
        bytes[8] = 1;
        let crc = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        put(&memory, &path, &bytes);
        let error = events(&*memory).unwrap_err();
        let is_told = matches!(error, LogError::Version { found: 1, known, .. } if known == latest);
        assert!(is_told, "{error}");
    }
}
