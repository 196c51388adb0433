//! Any bytes give a value or an error, never a panic, and never a large allocation.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec as varint;
use crate::journal;
use crate::log::compress;
use crate::log::days::Days;
use crate::log::format::{
    COMMITS, EVENTS, FrameBuffer, Head, check_growth, check_header, put_header,
};
use crate::log::layout::{Layout, StreamName};
use crate::log::partitions::{Extent, Extents};
use crate::log::record::{Commit, FileState, Record, StreamState, WideState};
use crate::log::stream::{replay, whole};
use crate::time::Day;

fn path() -> &'static Path {
    Path::new("file")
}

/// A record with any payload and a good checksum.
fn framed(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(record, &mut bytes).unwrap();
    bytes
}

fn file_state() -> impl Strategy<Value = FileState> {
    let length = prop_oneof![0u64..200, any::<u64>()];
    (length, any::<i64>(), any::<u64>(), any::<u64>()).prop_map(
        |(length, floor_max, frames, events)| FileState { length, floor_max, frames, events },
    )
}

fn wide() -> impl Strategy<Value = BTreeMap<Days, WideState>> {
    let days = (any::<i32>(), 0u8..40).prop_map(|(index, level)| Days { index, level });
    let state = (any::<i32>(), any::<i32>(), file_state());
    let state = state.prop_map(|(first, last, file)| WideState {
        first: Day(first),
        last: Day(last),
        file,
    });
    proptest::collection::btree_map(days, state, 0..2)
}

/// Extents of one partition, which may or may not follow each other, and of another partition.
fn extents() -> impl Strategy<Value = Extents> {
    let extent = (0u32..2, 0u64..4, 0u64..4, vec(any::<u8>(), 0..3));
    let extent = extent.prop_map(|(epoch, from, to, mark)| Extent { epoch, from, to, mark });
    proptest::collection::btree_map("[ab]", extent, 0..2)
}

fn commit() -> impl Strategy<Value = Commit> {
    let ranges = vec((0u32..2, any::<u64>(), any::<u64>()), 0..3);
    let files = vec((2i32..4, file_state()), 0..3);
    let once = vec(("[ab]?", any::<u128>(), any::<i64>(), any::<u64>()), 0..3);
    let refused = (proptest::option::of(file_state()), any::<u64>());
    (any::<bool>(), files, refused, ranges, once, wide(), extents()).prop_map(
        |(synced, files, (refused, refused_elsewhere), ranges, once, wide, extents)| Commit {
            synced,
            wide,
            extents,
            latest: Some(Moment::new(1, 1)),
            files: files.into_iter().map(|(day, file)| (Day(day), file)).collect(),
            refused,
            refused_elsewhere,
            ranges: ranges
                .into_iter()
                .map(|(source, from, to)| SourceRange { source, from, to, mark: vec![] })
                .collect(),
            once: once
                .into_iter()
                .map(|(key, digest, at, events)| OnceKey { key, digest, at, events })
                .collect(),
        },
    )
}

/// The frames of some events, as the bytes of a file.
fn frames() -> Vec<u8> {
    let mut buffer = FrameBuffer::default();
    for tick in 0..3 {
        let events: Vec<Event> = (0..4).map(|n| (n, tick, 5)).collect();
        let encode = |some: &[Event], full, out: &mut Vec<u8>| codec().encode_some(some, full, out);
        buffer.put(Moment::new(0, tick), &events, encode).unwrap();
    }
    let mut bytes = Vec::new();
    put_header(EVENTS, &mut bytes);
    bytes.extend_from_slice(buffer.closed().0);
    bytes
}

/// A folder with these bytes as its stream and as its file of a day.
fn folder(stream: &[u8], day: &[u8]) -> Memory {
    let memory = Memory::default();
    let layout = Layout::new(Path::new(PART));
    let name = StreamName { run: 1, worker: 0, seq: 0 };
    let days = [layout.day(Day(2), 1, 0), layout.day(Day(3), 1, 0), layout.refused(1, 0)];
    for (path, bytes) in
        [(layout.stream(name), stream)].into_iter().chain(days.map(|path| (path, day)))
    {
        memory.create_dirs(path.parent().unwrap()).unwrap();
        memory.create(&path).unwrap().write_all(bytes).unwrap();
    }
    memory
}

fn read_all(memory: &Memory) {
    if let Ok(state) = scanned(memory) {
        let _ = verify(memory, &state);
        let _ = events(memory);
        let _ = refused_rows(memory, &state);
    }
    if repair(memory, Path::new(PART), u64::MAX).is_ok() {
        scanned(memory).unwrap();
    }
}

#[test]
fn a_damaged_count_or_length_does_not_allocate() {
    // The events would take 96 GiB, the text would take more.
    assert!(codec().decode(u32::MAX, &[1; 100]).is_none());
    let texts = EventCodec::new(|_: &(i64, String)| 0);
    let mut bytes = [0; 20];
    bytes[8..16].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    assert!(texts.decode(1, &bytes).is_none());
}

#[test]
fn large_appends_are_cut_into_frames() {
    let texts = EventCodec::new(|_: &(i64, String)| 0);
    let events: Vec<_> = (0..12).map(|n| (n, "x".repeat(1 << 20))).collect();
    let mut buffer = FrameBuffer::default();
    buffer.put(Moment::MIN, &events, |some, full, out| texts.encode_some(some, full, out)).unwrap();
    let (bytes, added) = buffer.closed();
    assert_eq!((added.frames, added.events), (3, 12));
    let first = Head::at(bytes, 0).unwrap();
    let mut room = Vec::new();
    let values = compress::values(first.payload(bytes).unwrap(), &mut room).unwrap();
    assert_eq!(texts.decode(first.count, values).unwrap(), events[..4]);
    assert!(bytes.len() < 1 << 20, "the same byte, again and again: {}", bytes.len());
    let large = [(0, "x".repeat(65 << 20))];
    let put = buffer.put(Moment::MIN, &large, |some, full, out| texts.encode_some(some, full, out));
    assert!(put.is_err());
}

/// Reads the events of a file of one day that has these bytes.
fn events_of(bytes: &[u8]) -> Result<Vec<Event>, LogError> {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    storage.create_dirs(Path::new(PART)).unwrap();
    let mut log = writer(&storage, 1, 0, Durability::EveryCommit);
    log.append(entry(1, 3, 1)).unwrap();
    drop(log);
    let mut file = scanned(&*storage).unwrap().files.remove(0);
    storage.create(&file.path).unwrap().write_all(bytes).unwrap();
    file.length = bytes.len() as u64;
    let mut frames = Frames::open(&*storage, &file)?;
    let mut found = Vec::new();
    while let Some(frame) = frames.next(|_| true)? {
        found.extend(frame.decode(&codec())?);
    }
    Ok(found)
}

#[test]
fn files_without_compression_are_read_and_damage_is_found_before_anything_is_decompressed() {
    let events: Vec<Event> = (0..100).map(|n| (n, 7, 5)).collect();
    let frame = |payload: &[u8], version: u32| {
        let mut bytes = Vec::new();
        journal::put_header(EVENTS, version, &mut bytes);
        let start = bytes.len();
        let numbers = [(payload.len() as u32).to_le_bytes(), 100u32.to_le_bytes()];
        bytes.extend(numbers.concat());
        bytes.extend([3u64.to_le_bytes(), 4u64.to_le_bytes()].concat());
        bytes.extend(crc32fast::hash(payload).to_le_bytes());
        let head = crc32fast::hash(&bytes[start..]);
        bytes.extend(head.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    };
    let values = codec().encode(&events).unwrap();
    assert_eq!(events_of(&frame(&values, 2)).unwrap(), events);
    let mut payload = [&[0; 4][..], &values].concat();
    assert_eq!(events_of(&frame(&payload, 3)).unwrap(), events);
    compress::shorten(&mut payload, 0);
    assert!(payload.len() < values.len() / 2, "{}", payload.len());
    let good = frame(&payload, 3);
    assert_eq!(events_of(&good).unwrap(), events);
    let told = |bytes: &[u8]| events_of(bytes).unwrap_err().to_string();
    assert!(told(&frame(&payload, 4)).contains("version 4"), "{}", told(&frame(&payload, 4)));
    for at in good.len() - payload.len()..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(told(&bad).contains("the checksum of a frame does not match"), "{}", told(&bad));
    }
    // With a good checksum.
    payload.truncate(payload.len() - 1);
    let what = "the compressed values of a frame cannot be read";
    assert!(told(&frame(&payload, 3)).contains(what));
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in vec(any::<u8>(), 0..40), end in 0usize..17) {
        let _ = check_header(&bytes, EVENTS, path());
        let mut header = Vec::new();
        put_header(EVENTS, &mut header);
        prop_assert_eq!(check_header(&header[..end.min(16)], EVENTS, path()).is_ok(), end >= 16);
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        bytes in vec(any::<u8>(), 0..100),
        at in 0usize..120,
        count in any::<u32>(),
        to in file_state(),
    ) {
        let _ = Head::at(&bytes, at).map(|head| head.payload(&bytes).is_ok());
        let _ = codec().decode(count, &bytes);
        let _ = check_growth(&bytes, EVENTS, path(), &FileState::default(), &to);
        // Good heads, damaged payloads, and any commit records about them.
        let mut good = frames();
        let at = at % good.len();
        good[at] ^= 1;
        let _ = check_growth(&good, EVENTS, path(), &FileState::default(), &to);
        let to = FileState { length: good.len() as u64, ..to };
        prop_assert!(check_growth(&good, EVENTS, path(), &FileState::default(), &to).is_err());
    }

    #[test]
    fn any_bytes_are_a_stream_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let _ = replay(&bytes, path());
        let mut header = Vec::new();
        put_header(COMMITS, &mut header);
        let opening = whole(&StreamState::new(1, 0, Vec::new()), path()).unwrap();
        for begin in [header, opening] {
            let mut plain = begin.clone();
            plain.extend_from_slice(&bytes);
            let _ = replay(&plain, path());
            // If the checksum is good, the decoder gets arbitrary bytes.
            let mut good = begin;
            framed(&bytes, &mut good);
            let _ = replay(&good, path());
        }
    }

    #[test]
    fn any_claims_are_a_state_or_an_error(
        commits in vec(commit(), 0..5), refused in any::<u64>(), wide in wide(),
    ) {
        let mut opening = StreamState::new(1, 0, Vec::new());
        (opening.refused_elsewhere, opening.wide) = (refused, wide);
        let mut stream = whole(&opening, path()).unwrap();
        for commit in commits {
            framed(&encoded(&Record::commit(commit)), &mut stream);
        }
        read_all(&folder(&stream, &frames()));
    }

    #[test]
    fn flipped_bytes_are_a_state_or_an_error(
        commit in commit(), at: proptest::sample::Index, mask in 1u8..,
    ) {
        let mut payload = encoded(&Record::commit(commit));
        let index = at.index(payload.len());
        payload[index] ^= mask;
        let mut stream = whole(&StreamState::new(1, 0, vec![("v".into(), 1)]), path()).unwrap();
        framed(&payload, &mut stream);
        read_all(&folder(&stream, &frames()));
        let index = at.index(stream.len());
        stream[index] ^= mask;
        read_all(&folder(&stream, &frames()));
    }
}
