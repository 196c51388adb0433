//! The sealed days of one worker and view: a few words for each file, and those in use open.

use std::cell::{Cell, RefCell};

use super::{Archive, ArchiveError, LivePart, Place};
use crate::aggregate::Aggregate;
use crate::batch::{BatchView, Coverage};
use crate::key::Key;
use crate::store::SealedFile;
use crate::time::{Day, DayRange};

/// Files that each view keeps open on each worker, unless there are many shelves: more than a year of
/// days. Queries over more days than that open files again, 10 to 20 µs for each.
const OPEN_FILES: usize = 400;

/// Files that all shelves of an archive may keep open: half the maps that Linux allows a process.
const OPEN_FILES_IN_ALL: usize = 32_768;

/// The live revisions of a worker's partitions of a view.
///
/// Memory holds unsealed days only: a sealed file costs 24 bytes here and none in the [store]; what
/// is open is bounded. Without a folder the files themselves are in memory, and all stay open.
///
/// [store]: crate::store::Store
pub(crate) struct Shelf<K, A> {
    archive: Archive,
    view: String,
    /// By day and closing. Days mostly come in order, so that this grows at its end.
    files: Vec<File>,
    days: usize,
    /// What files have in common, by place: as many as there were workers, times ways to share keys.
    sources: Vec<Source>,
    open: RefCell<Open<K, A>>,
}

/// A live file.
#[derive(Clone, Debug)]
struct File {
    day: Day,
    closing: Day,
    source: u32,
    /// Its place among the open ones, or [`CLOSED`].
    slot: Cell<u32>,
    /// What tells that a file that is opened again is the one that was sealed.
    check: u64,
}

const CLOSED: u32 = u32::MAX;

/// Who wrote a file, in which generation, for which partitions, and for which of them it counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    generation: u32,
    process: u32,
    worker: u32,
    written: Coverage,
    counts: Coverage,
}

/// A file by day, closing and source.
type Name = (Day, Day, u32);

/// The open files: when there are too many, the one that was opened first makes room.
struct Open<K, A> {
    slots: Vec<Option<(Name, BatchView<K, A>)>>,
    free: Vec<u32>,
    /// The slot to be taken next when all are in use.
    hand: usize,
}

impl<K: Key, A: Aggregate> Shelf<K, A> {
    /// An empty shelf.
    pub(crate) fn new(archive: &Archive, view: &str) -> Self {
        let open = Open { slots: Vec::new(), free: Vec::new(), hand: 0 };
        Shelf {
            archive: archive.clone(),
            view: view.to_owned(),
            files: Vec::new(),
            days: 0,
            sources: Vec::new(),
            open: RefCell::new(open),
        }
    }

    /// The number of days.
    pub(crate) fn days(&self) -> usize {
        self.days
    }

    /// Puts a revision in the place of the older ones that it covers, as far as no newer one does. A file
    /// is opened again when it is needed.
    pub(crate) fn put(&mut self, mut part: LivePart<K, A>) {
        let name = (part.closing, part.generation);
        let first = self.files.partition_point(|file| file.day < part.day);
        let of_day = |file: &&File| file.day == part.day;
        for file in self.files[first..].iter().take_while(of_day) {
            let source = &self.sources[file.source as usize];
            if (file.closing, source.generation) > name {
                part.coverage = part.coverage.difference(source.counts);
            }
        }
        if part.coverage.is_empty() {
            return;
        }
        let mut at = first;
        let is_new_day = self.files.get(at).is_none_or(|file| file.day != part.day);
        self.days += usize::from(is_new_day);
        while self.files.get(at).is_some_and(|file| file.day == part.day) {
            let counts = self.coverage(at).difference(part.coverage);
            if counts.is_empty() {
                let file = self.files.remove(at);
                self.open.get_mut().close(file.slot.get());
                continue;
            }
            let source = Source { counts, ..self.sources[self.files[at].source as usize] };
            let source = self.intern(source);
            let file = &mut self.files[at];
            file.source = source;
            self.open.get_mut().rename(file.slot.get(), source);
            at += 1;
        }
        let (day, closing) = (part.day, part.closing);
        let written = part.view.meta().coverage;
        let LivePart { generation, process, worker, coverage: counts, .. } = part;
        let source = self.intern(Source { generation, process, worker, written, counts });
        let check = part.view.summary().check();
        let file = File { day, closing, source, slot: Cell::new(CLOSED), check };
        let at = self.files.partition_point(|file| (file.day, file.closing) <= (day, closing));
        if self.files.len() == self.files.capacity() {
            // By about a year: twice as much would be taken for nothing.
            self.files.reserve_exact(OPEN_FILES);
        }
        self.files.insert(at, file);
        if let Place::Memory = self.archive.place() {
            self.keep_open(at, part.view);
        }
    }

    /// Visits the live revisions of `days`, and of each the partitions for which it counts; where
    /// `partition` is given, only what counts for it.
    pub(crate) fn visit<E: From<ArchiveError>>(
        &self,
        days: DayRange,
        partition: Option<usize>,
        mut visit: impl FnMut(LivePart<K, A>) -> Result<(), E>,
    ) -> Result<(), E> {
        let from = self.files.partition_point(|file| file.day < days.lower);
        let wanted = self.files[from..].iter().take_while(|file| file.day < days.upper);
        for (at, file) in (from..).zip(wanted) {
            let coverage = self.coverage(at);
            if partition.is_some_and(|partition| !coverage.contains(partition)) {
                continue;
            }
            let Source { generation, process, worker, .. } = self.sources[file.source as usize];
            let (day, closing, coverage, view) =
                (file.day, file.closing, *coverage, self.open(at)?);
            visit(LivePart { day, closing, generation, coverage, process, worker, view })?;
        }
        Ok(())
    }

    fn coverage(&self, at: usize) -> &Coverage {
        &self.sources[self.files[at].source as usize].counts
    }

    fn intern(&mut self, source: Source) -> u32 {
        // The last ones are the ones in use.
        let known = self.sources.iter().rposition(|known| *known == source);
        let at = known.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        u32::try_from(at).expect("fewer sources than files")
    }

    /// The batch view of a file, opened again if need be.
    fn open(&self, at: usize) -> Result<BatchView<K, A>, ArchiveError> {
        let file = &self.files[at];
        if let Some(view) = self.open.borrow().get(file.slot.get()) {
            return Ok(view.clone());
        }
        let Place::Folder(store) = self.archive.place() else {
            unreachable!("without a folder all files stay open");
        };
        let source = &self.sources[file.source as usize];
        let view: BatchView<K, A> = store.reopen(&SealedFile {
            view: &self.view,
            day: file.day,
            closing: file.closing,
            generation: source.generation,
            process: source.process,
            worker: source.worker,
            coverage: source.written,
            check: file.check,
        })?;
        self.keep_open(at, view.clone());
        Ok(view)
    }

    fn keep_open(&self, at: usize, view: BatchView<K, A>) {
        let file = &self.files[at];
        let name = (file.day, file.closing, file.source);
        let (slot, closed) = self.open.borrow_mut().keep(name, view, self.open_max());
        file.slot.set(slot);
        let Some((day, closing, source)) = closed else { return };
        let from = self.files.partition_point(|file| (file.day, file.closing) < (day, closing));
        let closed = self.files[from..].iter().find(|file| file.source == source);
        closed.expect("what was open is on the shelf").slot.set(CLOSED);
    }

    fn open_max(&self) -> usize {
        match self.archive.place() {
            Place::Memory => usize::MAX,
            Place::Folder(_) => {
                (OPEN_FILES_IN_ALL / self.archive.shelves().max(1)).clamp(1, OPEN_FILES)
            }
        }
    }
}

impl<K, A> Open<K, A> {
    fn get(&self, slot: u32) -> Option<&BatchView<K, A>> {
        self.slots.get(slot as usize)?.as_ref().map(|(_, view)| view)
    }

    /// Keeps a view open; returns its slot, and the name of the one that was closed for it.
    fn keep(&mut self, name: Name, view: BatchView<K, A>, max: usize) -> (u32, Option<Name>) {
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None if self.slots.len() < max => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => {
                self.hand = (self.hand + 1) % self.slots.len();
                self.hand
            }
        };
        let closed = self.slots[slot].replace((name, view)).map(|(name, _)| name);
        (u32::try_from(slot).expect("fewer open files than u32 can count"), closed)
    }

    fn close(&mut self, slot: u32) {
        if slot != CLOSED {
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }

    fn rename(&mut self, slot: u32, source: u32) {
        if let Some(Some((name, _))) = self.slots.get_mut(slot as usize) {
            name.2 = source;
        }
    }
}
