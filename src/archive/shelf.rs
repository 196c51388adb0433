//! The sealed days of one worker and view: a few words of memory for each file, and the open files.

mod rolled;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use super::rollup::{Rollups, coarsest};
use super::sealed::{Closed, Past, Pin, Sealed, Source};
use super::{Archive, ArchiveError, LivePart, Place};
use crate::aggregate::Aggregate;
use crate::batch::{BatchView, Coverage};
use crate::closing::Closing;
use crate::key::Key;
use crate::store::{Packed, Revision};
use crate::time::{Day, DayRange, Grain};

/// The number of files that each view keeps open on each worker, unless there are many shelves. This is more than a
/// year of days. Queries over more days open files again, which takes 10 to 20 µs each.
const OPEN_FILES: usize = 400;

/// The number of files in which a worker itself looks for a key, some microseconds each: a year of days.
const READ_AT_ONCE: usize = 400;

/// The number of files that all shelves of an archive may keep open: half the maps that Linux allows a process.
const OPEN_FILES_IN_ALL: usize = 32_768;

/// The live revisions of a worker's partitions of a view.
///
/// Memory holds unsealed days only: a sealed file costs 48 bytes here and none in the [`Store`], and the number of open
/// files is bounded. Without a folder the files themselves are in memory, and all stay open.
pub(crate) struct Shelf<K, A> {
    archive: Archive,
    view: Arc<str>,
    /// The worker's partitions.
    mine: Coverage,
    /// The first period that the view keeps.
    kept_from: Day,
    /// Held by readers that may still open the files on the shelf.
    pin: Pin,
    /// What was taken off the shelf, each with the pin of the readers that may still open it. In order.
    leaving: VecDeque<(TakenOff, Weak<()>)>,
    /// By day and closing. Days mostly come in order, so new files are added at the end.
    files: Vec<File>,
    days: usize,
    /// The common properties of files, by index. There are as many as there were workers, times the ways in which keys
    /// were divided.
    sources: Vec<Source>,
    open: RefCell<OpenFiles<K, A>>,
    /// Revisions that newer ones have replaced. Used only without a folder; in a folder, the manifests have them.
    superseded: Vec<LivePart<K, A>>,
    /// Coarser periods, made from these files.
    rollups: Rollups<K, A>,
}

/// What was taken off a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenOff {
    /// The periods before this one.
    Before(Day),
    /// The revisions that closings up to this one superseded.
    Superseded(Closing),
}

/// A live file.
#[derive(Clone, Debug)]
struct File {
    day: Day,
    closing: Closing,
    source: u32,
    /// Its slot among the open files, or [`CLOSED`].
    slot: Cell<u32>,
    /// Verifies that a file that is opened again is the one that was sealed.
    check: u64,
    /// Where it is, if it is in a pack.
    packed: Option<Packed>,
}

impl File {
    fn named(&self) -> (Day, Closing, Option<Packed>) {
        (self.day, self.closing, self.packed)
    }

    fn closed(&self) -> Closed {
        let File { day, closing, check, packed, .. } = *self;
        Closed { day, closing, check, packed }
    }
}

const CLOSED: u32 = u32::MAX;

/// A file, named by day, closing and source.
type Name = (Day, Closing, u32);

/// The open files. When there are too many, the one that was opened first is closed.
struct OpenFiles<K, A> {
    slots: Vec<Option<(Name, BatchView<K, A>)>>,
    free: Vec<u32>,
    /// The slot to take next when all are in use.
    hand: usize,
}

impl<K: Key, A: Aggregate> Shelf<K, A> {
    /// An empty shelf for these partitions.
    pub(crate) fn new(archive: &Archive, view: &str, mine: Coverage) -> Self {
        let kept_from = archive.store().map_or(Day::MIN, |store| store.kept_from(view));
        let open = OpenFiles { slots: Vec::new(), free: Vec::new(), hand: 0 };
        Shelf {
            archive: archive.clone(),
            view: view.into(),
            mine,
            kept_from,
            pin: Pin::default(),
            leaving: VecDeque::new(),
            superseded: Vec::new(),
            files: Vec::new(),
            days: 0,
            sources: Vec::new(),
            open: RefCell::new(open),
            rollups: Rollups::none(),
        }
    }

    /// The worker's partitions.
    pub(crate) fn mine(&self) -> Coverage {
        self.mine
    }

    /// The first period on the shelf; [`Day::MIN`] if nothing was removed.
    pub(crate) fn kept_from(&self) -> Day {
        self.kept_from
    }

    /// Takes the periods before this one off the shelf. Their files stay: readers that have listed them may still open
    /// them ([`Shelf::gone`]).
    pub(crate) fn remove_before(&mut self, from: Day) {
        if from <= self.kept_from {
            return;
        }
        self.kept_from = from;
        let count = self.files.partition_point(|file| file.day < from);
        let mut last = None;
        for file in self.files.drain(..count) {
            self.open.get_mut().close(file.slot.get());
            if last.replace(file.day) != Some(file.day) {
                self.days -= 1;
            }
        }
        self.rollups.removed_before(from);
        self.superseded.retain(|part| part.day >= from);
        self.turn(TakenOff::Before(from));
    }

    /// Notes that the revisions of closings up to this one are on the shelf, and those that they supersede are not.
    pub(crate) fn supersede_through(&mut self, closing: Closing) {
        self.turn(TakenOff::Superseded(closing));
    }

    fn turn(&mut self, taken: TakenOff) {
        let pin = std::mem::take(&mut self.pin);
        self.leaving.push_back((taken, Arc::downgrade(&pin)));
    }

    /// The next thing that was taken off, if no reader may open its files any more.
    pub(crate) fn gone(&mut self) -> Option<TakenOff> {
        let (taken, _) = self.leaving.pop_front_if(|(_, pin)| pin.strong_count() == 0)?;
        Some(taken)
    }

    /// The number of days.
    pub(crate) fn days(&self) -> usize {
        self.days
    }

    /// The first and the last day.
    pub(crate) fn span(&self) -> Option<(Day, Day)> {
        Some((self.files.first()?.day, self.files.last()?.day))
    }

    /// Puts a revision on the shelf. It replaces older ones in the partitions that it covers, unless a newer one covers
    /// them. The file is opened again when it is needed.
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
            self.supersede(part);
            return;
        }
        self.rollups.changed(part.day);
        let mut at = first;
        let is_new_day = self.files.get(at).is_none_or(|file| file.day != part.day);
        self.days += usize::from(is_new_day);
        while self.files.get(at).is_some_and(|file| file.day == part.day) {
            let counts = self.coverage(at).difference(part.coverage);
            if counts.is_empty() {
                let file = self.files.remove(at);
                let view = self.open.get_mut().close(file.slot.get());
                if let Some(view) = view {
                    let source = self.sources[file.source as usize];
                    self.supersede(source.part(file.named(), view));
                }
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
        let LivePart { generation, process, worker, packed, coverage: counts, .. } = part;
        let source = self.intern(Source { generation, process, worker, written, counts });
        let check = part.view.summary().check();
        let file = File { day, closing, source, slot: Cell::new(CLOSED), check, packed };
        let at = self.files.partition_point(|file| (file.day, file.closing) <= (day, closing));
        if self.files.len() == self.files.capacity() {
            // Grow by about a year: doubling would waste memory.
            self.files.reserve_exact(OPEN_FILES);
        }
        self.files.insert(at, file);
        if let Place::Memory = self.archive.place() {
            self.keep_open(at, part.view);
        }
    }

    /// The days of a range, limited in number, each with the closing of its newest revision; and the first day after
    /// these.
    pub(crate) fn closings(
        &self,
        days: DayRange,
        most: usize,
    ) -> (Vec<(Day, Closing)>, Option<Day>) {
        let from = self.files.partition_point(|file| file.day < days.lower);
        let mut found: Vec<(Day, Closing)> = Vec::new();
        for file in self.files[from..].iter().take_while(|file| file.day < days.upper) {
            let is_full = found.len() == most;
            match found.last_mut() {
                // Files are in order of closing, so the last one is the newest.
                Some((day, closing)) if *day == file.day => *closing = file.closing,
                _ if is_full => return (found, Some(file.day)),
                _ => found.push((file.day, file.closing)),
            }
        }
        (found, None)
    }

    /// Visits the live revisions of `days`, each with the partitions for which it counts. If `partition` is given,
    /// visits only the files that count for it.
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
            visit(self.sources[file.source as usize].part(file.named(), self.open(at)?))?;
        }
        Ok(())
    }

    fn supersede(&mut self, part: LivePart<K, A>) {
        if let Place::Memory = self.archive.place() {
            let coverage = part.view.meta().coverage;
            self.superseded.push(LivePart { coverage, ..part });
        }
    }

    /// The live revisions of `days`, to be read later and outside the worker. If `partition` is given, only the files
    /// that count for it.
    pub(crate) fn list(&self, days: DayRange, partition: Option<usize>) -> Vec<Sealed<K, A>> {
        let from = self.files.partition_point(|file| file.day < days.lower);
        let wanted = self.files[from..].iter().take_while(|file| file.day < days.upper);
        let counts =
            |at: &usize| partition.is_none_or(|partition| self.coverage(*at).contains(partition));
        let sealed = |at: usize| {
            let file = &self.files[at];
            let source = self.sources[file.source as usize];
            if let Some(view) = self.open.borrow().get(file.slot.get()) {
                return Sealed::Open(source.part(file.named(), view.clone()));
            }
            let Place::Folder(store) = self.archive.place() else {
                unreachable!("without a folder all files stay open");
            };
            let file = file.closed();
            let (store, view) = (Arc::clone(store), Arc::clone(&self.view));
            let (_pin, keeper) = (Arc::clone(&self.pin), None);
            Sealed::Closed { store, view, file, source, _pin, keeper }
        };
        (from..from + wanted.count()).filter(counts).map(sealed).collect()
    }

    /// The live revisions of `days` that count for a partition, with the coarsest suitable rollups in their place; only
    /// if there are few enough of them and all are open.
    pub(crate) fn open_ones(
        &self,
        days: DayRange,
        partition: usize,
        fits: &dyn Fn(Grain) -> bool,
    ) -> Option<Vec<LivePart<K, A>>> {
        let (mut parts, mut lower) = (Vec::new(), days.lower);
        for rollups in coarsest(self.rollups.kept(), days, fits).into_values() {
            let period = rollups[0].days();
            let between = DayRange::new(lower, period.lower);
            self.add_open_ones(between, partition, &mut parts)?;
            let found = rollups.iter().map(|rollup| rollup.part());
            let found = found.filter(|part| part.coverage.contains(partition));
            parts.extend(found.cloned());
            lower = period.upper;
        }
        self.add_open_ones(DayRange::new(lower, days.upper), partition, &mut parts)?;
        Some(parts)
    }

    fn add_open_ones(
        &self,
        days: DayRange,
        partition: usize,
        parts: &mut Vec<LivePart<K, A>>,
    ) -> Option<()> {
        let from = self.files.partition_point(|file| file.day < days.lower);
        let wanted = self.files[from..].iter().take_while(|file| file.day < days.upper);
        let open = self.open.borrow();
        for (at, file) in (from..).zip(wanted) {
            if self.coverage(at).contains(partition) {
                let source = self.sources[file.source as usize];
                parts.push(source.part(file.named(), open.get(file.slot.get())?.clone()));
            }
            if parts.len() > READ_AT_ONCE {
                return None;
            }
        }
        Some(())
    }

    /// Keeps files open that were opened elsewhere, if they are still live.
    pub(crate) fn keep_opened(&self, opened: Vec<LivePart<K, A>>) {
        for part in opened {
            let from = self.files.partition_point(|file| file.day < part.day);
            let of_day = self.files[from..].iter().take_while(|file| file.day == part.day);
            let is_it = |file: &File| {
                let source = &self.sources[file.source as usize];
                file.slot.get() == CLOSED
                    && file.closing == part.closing
                    && (source.generation, source.process, source.worker)
                        == (part.generation, part.process, part.worker)
            };
            if let Some((at, _)) = (from..).zip(of_day).find(|(_, file)| is_it(file)) {
                self.keep_open(at, part.view);
            }
        }
    }

    /// Another revision than the live one. In a folder, it is looked up in the manifests, later and outside the worker.
    pub(crate) fn past(
        &self,
        revision: Revision,
        days: DayRange,
        partition: Option<usize>,
    ) -> Result<Past<K, A>, ArchiveError> {
        Ok(match self.archive.place() {
            Place::Memory => Past::Kept(self.kept(revision, days)?.into_values().collect()),
            Place::Folder(store) => Past::Folder {
                store: Arc::clone(store),
                view: Arc::clone(&self.view),
                revision,
                days,
                wanted: partition.map_or(self.mine, |partition| Coverage::from_iter([partition])),
                _pin: Arc::clone(&self.pin),
            },
        })
    }

    /// The archive.
    pub(crate) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// For each day, the newest part of a revision. Without a folder, this worker has made all parts, for all its
    /// partitions.
    fn kept(
        &self,
        revision: Revision,
        days: DayRange,
    ) -> Result<BTreeMap<Day, LivePart<K, A>>, ArchiveError> {
        let mut newest: BTreeMap<Day, LivePart<K, A>> = BTreeMap::new();
        let mut keep = |part: LivePart<K, A>| {
            let name = |part: &LivePart<K, A>| (part.closing, part.generation);
            let is_wanted = days.contains(part.day) && revision.holds(part.day, part.closing);
            if is_wanted && newest.get(&part.day).is_none_or(|known| name(known) < name(&part)) {
                newest.insert(part.day, part);
            }
            Ok::<_, ArchiveError>(())
        };
        self.superseded.iter().cloned().try_for_each(&mut keep)?;
        self.visit(days, None, keep)?;
        Ok(newest)
    }

    fn coverage(&self, at: usize) -> &Coverage {
        &self.sources[self.files[at].source as usize].counts
    }

    fn intern(&mut self, source: Source) -> u32 {
        // Recent sources are at the end and are the ones in use.
        let known = self.sources.iter().rposition(|known| *known == source);
        let at = known.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        u32::try_from(at).expect("fewer sources than files")
    }

    /// The batch view of a file, opened again if necessary.
    fn open(&self, at: usize) -> Result<BatchView<K, A>, ArchiveError> {
        let file = &self.files[at];
        if let Some(view) = self.open.borrow().get(file.slot.get()) {
            return Ok(view.clone());
        }
        let Place::Folder(store) = self.archive.place() else {
            unreachable!("without a folder all files stay open");
        };
        let source = self.sources[file.source as usize];
        let view: BatchView<K, A> = file.closed().open(store, &self.view, source)?;
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

impl<K, A> OpenFiles<K, A> {
    fn get(&self, slot: u32) -> Option<&BatchView<K, A>> {
        self.slots.get(slot as usize)?.as_ref().map(|(_, view)| view)
    }

    /// Keeps a view open; returns its slot, and the name of the file that was closed for it.
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

    fn close(&mut self, slot: u32) -> Option<BatchView<K, A>> {
        if slot == CLOSED {
            return None;
        }
        self.free.push(slot);
        self.slots[slot as usize].take().map(|(_, view)| view)
    }

    fn rename(&mut self, slot: u32, source: u32) {
        if let Some(Some((name, _))) = self.slots.get_mut(slot as usize) {
            name.2 = source;
        }
    }
}

#[cfg(test)]
mod tests;
