//! The records of a commit stream, and the state that results from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::days::Days;
use super::once::{OnceKey, OnceKeys};
use super::partitions::{Extent, Extents, extend};
use crate::moment::Moment;
use crate::time::{Day, EventTime};

/// A range of a source whose rows are committed: `[from, to)`, in bytes of content for files, in numbers of records for
/// a source of the program's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SourceRange {
    /// The source, by the engine's numbering.
    pub source: u32,
    /// The beginning.
    pub from: u64,
    /// The end, which is not in the range.
    pub to: u64,
    /// What the source needs to continue at `to`; the log does not interpret it.
    pub mark: Vec<u8>,
}

/// The counted length of a file, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileState {
    pub(super) length: u64,
    /// The greatest floor of its frames.
    pub(super) floor_max: EventTime,
    pub(super) frames: u64,
    /// The number of events or refused rows.
    pub(super) events: u64,
}

impl Default for FileState {
    /// A file that does not exist.
    fn default() -> FileState {
        FileState { length: 0, floor_max: EventTime::MIN, frames: 0, events: 0 }
    }
}

impl FileState {
    pub(super) fn add(&mut self, floor: EventTime, frames: u64, events: u64, bytes: u64) {
        // Bytes that are read may claim any number.
        self.length = self.length.saturating_add(bytes);
        self.floor_max = self.floor_max.max(floor);
        self.frames = self.frames.saturating_add(frames);
        self.events = self.events.saturating_add(events);
    }

    fn precedes(&self, later: &FileState) -> bool {
        self.length <= later.length
            && self.floor_max <= later.floor_max
            && self.frames <= later.frames
            && self.events <= later.events
    }
}

/// A file of several days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WideState {
    /// The first and the last day that have events in it.
    pub(super) first: Day,
    pub(super) last: Day,
    pub(super) file: FileState,
}

impl Default for WideState {
    fn default() -> WideState {
        WideState { first: Day::MAX, last: Day::MIN, file: FileState::default() }
    }
}

impl WideState {
    fn precedes(&self, later: &WideState) -> bool {
        later.first <= self.first && self.last <= later.last && self.file.precedes(&later.file)
    }
}

/// Committed ranges, by source and beginning. Ranges that touch are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ranges {
    by_start: BTreeMap<(u32, u64), (u64, Vec<u8>)>,
}

impl Ranges {
    pub(super) fn add(&mut self, range: SourceRange) {
        let SourceRange { source, mut from, mut to, mut mark } = range;
        let before = self.by_start.range(..=(source, from)).next_back();
        if let Some((&key, &(end, _))) = before
            && key.0 == source
            && (end == from || key.1 == from)
        {
            let (end, old) = self.by_start.remove(&key).unwrap_or_default();
            from = key.1;
            if end > to {
                (to, mark) = (end, old);
            }
        }
        if to > from
            && let Some((end, later)) = self.by_start.remove(&(source, to))
        {
            (to, mark) = (end, later);
        }
        self.by_start.insert((source, from), (to, mark));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SourceRange> {
        self.by_start.iter().map(|(&(source, from), (to, mark))| SourceRange {
            source,
            from,
            to: *to,
            mark: mark.clone(),
        })
    }
}

/// The ranges of several logs. Ranges that touch are merged.
pub(crate) fn merged(ranges: &[SourceRange]) -> Vec<SourceRange> {
    let mut all = Ranges::default();
    ranges.iter().cloned().for_each(|range| all.add(range));
    all.iter().collect()
}

/// The state that results from the records of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamState {
    pub(super) run: u64,
    pub(super) worker: u32,
    /// The views of the run, each with its grace in milliseconds.
    pub(super) definition: Vec<(String, i64)>,
    pub(super) latest: Option<Moment>,
    pub(super) files: BTreeMap<Day, FileState>,
    pub(super) refused: FileState,
    pub(super) refused_elsewhere: u64,
    pub(super) ranges: Ranges,
    pub(super) once: OnceKeys,
    /// Written in another kind of record, if there are any.
    #[serde(skip)]
    pub(super) wide: BTreeMap<Days, WideState>,
    /// Written in another kind of record, if there are any.
    #[serde(skip)]
    pub(super) extents: Extents,
}

/// The changes of a group of appends. File states are the new ones; everything else is what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    /// The files that it names, and the stream before it, were synced before it was written.
    pub(super) synced: bool,
    pub(super) latest: Option<Moment>,
    pub(super) files: BTreeMap<Day, FileState>,
    pub(super) refused: Option<FileState>,
    pub(super) refused_elsewhere: u64,
    pub(super) ranges: Vec<SourceRange>,
    pub(super) once: Vec<OnceKey>,
    /// Written in another kind of record, if there are any.
    #[serde(skip)]
    pub(super) wide: BTreeMap<Days, WideState>,
    /// Written in another kind of record, if there are any.
    #[serde(skip)]
    pub(super) extents: Extents,
}

impl Commit {
    pub(super) fn is_empty(&self) -> bool {
        *self == Commit { latest: self.latest, synced: self.synced, ..Commit::default() }
    }

    /// Adds what was read from a partition.
    pub(super) fn extend(&mut self, name: &str, extent: &Extent) {
        extend(&mut self.extents, name, extent).expect("a worker reads a partition in its order");
    }
}

/// A record. The position of a kind is the kind on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Opening(StreamState),
    Commit(Commit),
    /// An opening with files of several days.
    WideOpening(StreamState, BTreeMap<Days, WideState>),
    WideCommit(Commit, BTreeMap<Days, WideState>),
    /// An opening with partitions of sources, and perhaps files of several days.
    ReadOpening(StreamState, BTreeMap<Days, WideState>, Extents),
    ReadCommit(Commit, BTreeMap<Days, WideState>, Extents),
}

impl Record {
    pub(super) fn opening(mut state: StreamState) -> Record {
        let (wide, extents) = (std::mem::take(&mut state.wide), std::mem::take(&mut state.extents));
        match (wide.is_empty(), extents.is_empty()) {
            (_, false) => Record::ReadOpening(state, wide, extents),
            (false, true) => Record::WideOpening(state, wide),
            (true, true) => Record::Opening(state),
        }
    }

    pub(super) fn commit(mut commit: Commit) -> Record {
        let (wide, extents) =
            (std::mem::take(&mut commit.wide), std::mem::take(&mut commit.extents));
        match (wide.is_empty(), extents.is_empty()) {
            (_, false) => Record::ReadCommit(commit, wide, extents),
            (false, true) => Record::WideCommit(commit, wide),
            (true, true) => Record::Commit(commit),
        }
    }

    /// The state with which a stream opens; `None` if this is not an opening.
    pub(super) fn into_opening(self) -> Option<StreamState> {
        match self {
            Record::Opening(state) => Some(state),
            // An opening is not compared with anything; the commits that follow are compared with it.
            Record::WideOpening(state, wide) if wide.keys().all(|days| days.is_known()) => {
                Some(StreamState { wide, ..state })
            }
            Record::ReadOpening(state, wide, extents)
                if wide.keys().all(|days| days.is_known()) =>
            {
                Some(StreamState { wide, extents, ..state })
            }
            Record::WideOpening(..) | Record::ReadOpening(..) => None,
            Record::Commit(_) | Record::WideCommit(..) | Record::ReadCommit(..) => None,
        }
    }

    /// The commit; `None` if this is not a commit.
    pub(super) fn into_commit(self) -> Option<Commit> {
        match self {
            Record::Commit(commit) => Some(commit),
            Record::WideCommit(commit, wide) => Some(Commit { wide, ..commit }),
            Record::ReadCommit(commit, wide, extents) => Some(Commit { wide, extents, ..commit }),
            Record::Opening(_) | Record::WideOpening(..) | Record::ReadOpening(..) => None,
        }
    }
}

impl StreamState {
    pub(super) fn new(run: u64, worker: u32, definition: Vec<(String, i64)>) -> StreamState {
        StreamState {
            run,
            worker,
            definition,
            latest: None,
            files: BTreeMap::new(),
            refused: FileState::default(),
            refused_elsewhere: 0,
            ranges: Ranges::default(),
            once: OnceKeys::default(),
            wide: BTreeMap::new(),
            extents: Extents::new(),
        }
    }

    pub(super) fn file(&self, day: Day) -> FileState {
        self.files.get(&day).copied().unwrap_or_default()
    }

    /// The number of events in its files.
    pub(super) fn events(&self) -> u64 {
        let wide = self.wide.values().map(|wide| &wide.file);
        let files = self.files.values().chain(wide);
        files.fold(0, |sum: u64, file| sum.saturating_add(file.events))
    }

    pub(super) fn wide(&self, days: Days) -> WideState {
        self.wide.get(&days).copied().unwrap_or_default()
    }

    /// Checks whether a commit can follow; the error says why not.
    pub(super) fn check(&self, commit: &Commit) -> Result<(), &'static str> {
        let files = commit.files.iter().map(|(&day, file)| (self.file(day), file));
        let refused = commit.refused.iter().map(|file| (self.refused, file));
        if files.chain(refused).any(|(old, new)| !old.precedes(new)) {
            return Err("a record takes back what an earlier one said");
        }
        let holds = |days: Days, wide: &WideState| {
            days.is_known() && days.contains(wide.first) && days.contains(wide.last)
        };
        let mut wide = commit.wide.iter();
        if !wide.all(|(&days, new)| self.wide(days).precedes(new) && holds(days, new)) {
            return Err("a record has an impossible file of several days");
        }
        if self.refused_elsewhere.checked_add(commit.refused_elsewhere).is_none() {
            return Err("a record has an impossible count");
        }
        let read = |(name, later): (&String, &Extent)| {
            let mut one = self.extents.get_key_value(name).into_iter();
            let mut one = one.by_ref().map(|(name, old)| (name.clone(), old.clone())).collect();
            extend(&mut one, name, later)
        };
        commit.extents.iter().try_for_each(read)
    }

    /// Applies a commit that was checked, or that this program made.
    pub(super) fn apply(&mut self, commit: Commit) {
        self.latest = self.latest.max(commit.latest);
        self.files.extend(commit.files);
        self.wide.extend(commit.wide);
        self.refused = commit.refused.unwrap_or(self.refused);
        self.refused_elsewhere += commit.refused_elsewhere;
        commit.ranges.into_iter().for_each(|range| self.ranges.add(range));
        commit.once.into_iter().for_each(|key| self.once.add(key));
        for (name, later) in &commit.extents {
            extend(&mut self.extents, name, later)
                .expect("a commit is checked before it is applied");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(source: u32, from: u64, to: u64) -> SourceRange {
        SourceRange { source, from, to, mark: to.to_le_bytes().to_vec() }
    }

    #[track_caller]
    fn check(added: &[(u32, u64, u64)], expect: &[(u32, u64, u64)]) {
        let mut ranges = Ranges::default();
        added.iter().for_each(|&(source, from, to)| ranges.add(range(source, from, to)));
        let expect: Vec<_> = expect.iter().map(|&(s, from, to)| range(s, from, to)).collect();
        assert_eq!(ranges.iter().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        check(&[(0, 0, 5), (0, 5, 9)], &[(0, 0, 9)]);
        check(&[(0, 5, 9), (0, 0, 5)], &[(0, 0, 9)]);
        check(&[(0, 0, 5), (0, 9, 12), (0, 5, 9)], &[(0, 0, 12)]);
        check(&[(0, 0, 5), (1, 5, 9)], &[(0, 0, 5), (1, 5, 9)]);
        check(&[(0, 0, 5), (0, 6, 9)], &[(0, 0, 5), (0, 6, 9)]);
        check(&[(0, 0, 0), (0, 0, 5), (0, 5, 5)], &[(0, 0, 5)]);
        check(&[(0, 0, 5), (0, 0, 0), (0, 0, 3)], &[(0, 0, 5)]);
    }
}
