//! A look-up shared by all who ask the same query as of the same moment: many dashboards show the same.
//!
//! The first reader that needs a window reads it. The window is kept for a while, and the others take it. A reader that
//! falls behind, because its asker is slow, continues after its last item with a look-up of its own.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::lookup::Lookup;
use super::{Item, Question, RankFn, RowPosition};
use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, Held, LivePart, Pool};
use crate::key::{Key, encoded};
use crate::moment::Moment;
use crate::speed::Captured;

/// The number of windows kept for the sharers of a reading.
const KEPT_MAX: usize = 8;

/// A question, the sources that it reads, and the rank of keys.
pub(super) struct Begin<K: Key, A: Aggregate> {
    pub(super) question: Question<K>,
    pub(super) captured: Arc<Captured<K, A>>,
    pub(super) ranks: Arc<Vec<Arc<RankFn<A>>>>,
}

impl<K: Key, A: Aggregate> Clone for Begin<K, A> {
    fn clone(&self) -> Self {
        let Begin { question, captured, ranks } = self;
        let (captured, ranks) = (Arc::clone(captured), Arc::clone(ranks));
        Begin { question: question.clone(), captured, ranks }
    }
}

/// The shared part of a reading.
struct Reading<K: Key, A: Aggregate> {
    begin: Begin<K, A>,
    state: Mutex<State<K, A>>,
}

/// Items that were read together, shared by all readers.
type Window<K, A> = Arc<Vec<Item<K, A>>>;

struct State<K: Key, A: Aggregate> {
    progress: Progress<K, A>,
    /// The last windows that were read.
    kept: VecDeque<(Window<K, A>, Held)>,
    /// The number of the first of them.
    first: u64,
}

enum Progress<K: Key, A: Aggregate> {
    /// The reader opens files, not the worker.
    NotBegun,
    Reading(Box<Lookup<K, A>>),
    Done,
    /// Its reader is gone in the middle of a window.
    Broken,
}

/// An asker's position in a reading.
pub(super) struct Reader<K: Key, A: Aggregate> {
    reading: Arc<Reading<K, A>>,
    /// The number of the next window.
    next: u64,
    /// The last item that was taken, and the number of items taken.
    last: Option<RowPosition>,
    taken: u64,
}

/// The next step of a reading.
pub(super) enum Read<K: Key, A: Aggregate> {
    Items(Vec<Item<K, A>>),
    /// Nothing is left. These files were opened.
    End(Vec<LivePart<K, A>>),
}

impl<K: Key, A: Aggregate> Reader<K, A> {
    pub(super) fn new(begin: Begin<K, A>) -> Self {
        let state = State { progress: Progress::NotBegun, kept: VecDeque::new(), first: 0 };
        let reading = Arc::new(Reading { begin, state: Mutex::new(state) });
        Reader { reading, next: 0, last: None, taken: 0 }
    }

    pub(super) fn captured(&self) -> &Arc<Captured<K, A>> {
        &self.reading.begin.captured
    }

    fn lock(&self) -> MutexGuard<'_, State<K, A>> {
        self.reading.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.reading) == 1
    }

    /// Continues with its own look-up.
    fn part(&mut self) {
        let mut begin = self.reading.begin.clone();
        begin.question.after = self.last.take().or(begin.question.after);
        begin.question.limit = begin.question.limit.map(|limit| limit.saturating_sub(self.taken));
        *self = Reader::new(begin);
    }

    /// The next window; `goes_on` tells whether this asker still wants it.
    pub(super) fn read(
        &mut self,
        pool: &Pool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Read<K, A>, ArchiveError> {
        let state = self.lock();
        let is_lost = matches!(state.progress, Progress::Broken) || self.next < state.first;
        drop(state);
        if is_lost {
            self.part();
        }
        let mut state = self.lock();
        let at = usize::try_from(self.next - state.first).unwrap_or(usize::MAX);
        let items = match state.kept.get(at) {
            Some((window, _)) => Vec::clone(window),
            None => match self.read_window(&mut state, pool, goes_on)? {
                Read::Items(items) => items,
                end @ Read::End(_) => return Ok(end),
            },
        };
        drop(state);
        if let Some(Item { day, key, .. }) = items.last() {
            self.last = Some(RowPosition { day: *day, key: key.as_ref().map(encoded) });
        }
        self.taken += items.len() as u64;
        self.next += 1;
        Ok(Read::Items(items))
    }

    fn read_window(
        &self,
        state: &mut State<K, A>,
        pool: &Pool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Read<K, A>, ArchiveError> {
        // The window is shared only once it is known to be whole.
        let mut lookup = match std::mem::replace(&mut state.progress, Progress::Broken) {
            Progress::NotBegun => {
                let Begin { question, captured, ranks } = &self.reading.begin;
                Box::new(Lookup::new(question, captured, ranks)?)
            }
            Progress::Reading(lookup) => lookup,
            Progress::Done | Progress::Broken => {
                state.progress = Progress::Done;
                return Ok(Read::End(Vec::new()));
            }
        };
        let is_cut = Cell::new(false);
        let is_wanted = || {
            let is_wanted = goes_on() || !self.is_alone();
            is_cut.set(is_cut.get() || !is_wanted);
            is_wanted
        };
        let Some(items) = lookup.step(&is_wanted)? else {
            state.progress = Progress::Done;
            return Ok(Read::End(lookup.take_opened()));
        };
        if is_cut.get() {
            // The asker wants no more, and checks that before it sends anything.
            return Ok(Read::Items(items));
        }
        state.progress = Progress::Reading(lookup);
        if self.is_alone() {
            state.kept.clear();
            state.first = self.next + 1;
        } else {
            let held = pool.hold(items.iter().map(Item::bytes).sum());
            state.kept.push_back((Arc::new(items.clone()), held));
            if state.kept.len() > KEPT_MAX {
                state.kept.pop_front();
                state.first += 1;
            }
        }
        Ok(Read::Items(items))
    }
}

/// The readings of a worker that can still be joined.
pub(super) struct Readings<K: Key, A: Aggregate> {
    begun: Vec<Weak<Reading<K, A>>>,
}

impl<K: Key, A: Aggregate> Readings<K, A> {
    pub(super) fn new() -> Self {
        Readings { begun: Vec::new() }
    }

    /// Joins, at its beginning, a reading of this question as of this moment, if there is one.
    pub(super) fn join(
        &self,
        question: &Question<K>,
        captured: &Wanted<'_, K, A>,
    ) -> Option<Reader<K, A>> {
        let same = |reading: &Arc<Reading<K, A>>| {
            let Begin { question: other, captured: theirs, .. } = &reading.begin;
            let is_same = match captured {
                Wanted::Moment(moment) => theirs.moment == *moment,
                Wanted::Kept(kept) => Arc::ptr_eq(kept, theirs),
            };
            is_same && other.asks_the_same(question)
        };
        let reading = self.begun.iter().filter_map(Weak::upgrade).find(same)?;
        let state = reading.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_whole = state.first == 0 && !matches!(state.progress, Progress::Broken);
        drop(state);
        is_whole.then(|| Reader { reading, next: 0, last: None, taken: 0 })
    }

    /// Lets others join.
    pub(super) fn add(&mut self, reader: &Reader<K, A>) {
        self.begun.retain(|reading| reading.strong_count() > 0);
        self.begun.push(Arc::downgrade(&reader.reading));
    }
}

/// The sources of a question.
pub(super) enum Wanted<'a, K: Key, A: Aggregate> {
    /// The state at a moment.
    Moment(Moment),
    /// A kept state.
    Kept(&'a Arc<Captured<K, A>>),
}
