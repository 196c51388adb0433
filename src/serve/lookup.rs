//! A look-up: one worker's part of an answer, step by step.
//!
//! A step reads one source (a file, a table) into one value, or one *window* of keys of all sources. Between steps, at
//! most one window and the position of the next one are held, never the whole answer. Files are read from that position
//! on. If there is only one window, a table is scanned; for several windows, its rows are sorted first, part by part.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::window::{Chosen, Window};
use super::{Item, Keys, Parts, Query, QueryError, Question, Rank, RankFn, Shape, this_process};
use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, Keeper, LivePart, Sealed, with_rollups};
use crate::batch::Bookmark;
use crate::key::{Key, KeyRange, encoded};
use crate::speed::{Captured, speed_layer};
use crate::table::Frozen;
use crate::time::{Calendar, Day};

/// About how many keys a window has.
const WINDOW: usize = 1_024;

/// The number of samples from which the end of a window is chosen.
const SAMPLES: usize = 8;

/// About how long a step takes.
const STEP: Duration = Duration::from_millis(1);

/// Files that a look-up keeps open.
const OPEN_MAX: usize = 400;

/// The sources that are read together: those of a day, of a coarser period, or all.
struct Group<K: Key, A: Aggregate> {
    day: Option<Day>,
    sealed: Vec<Sealed<K, A>>,
    tables: Vec<Frozen<K, A>>,
    /// For shapes without keys: the source to be read next, and the values read so far.
    at: usize,
    found: Option<(Option<Day>, Parts<A>)>,
    /// For shapes by key: where the next window begins.
    from: Vec<u8>,
    /// Where windows end, if they were chosen.
    ends: Option<VecDeque<Vec<u8>>>,
    /// If there are several windows: the table, and its part, to be sorted next.
    order: Option<(usize, usize)>,
    /// Where the last window ended in each file and table.
    reached: Reached,
}

/// How far files and tables have been read; empty if that is not known.
#[derive(Default)]
struct Reached {
    files: Vec<Bookmark>,
    tables: Vec<Vec<usize>>,
}

impl<K: Key, A: Aggregate> Group<K, A> {
    /// Sorts rows of tables for a while, if needed. Returns whether they are sorted.
    fn put_in_order(&mut self) -> bool {
        let began = Instant::now();
        let Some((at, part)) = &mut self.order else { return true };
        while let Some((_, table)) = self.tables.get(*at) {
            if began.elapsed() > STEP {
                return false;
            }
            match table.put_in_order(*part) {
                true => *part += 1,
                false => (*at, *part) = (*at + 1, 0),
            }
        }
        true
    }
}

/// Reads a worker's part of an answer.
pub(super) struct Lookup<K: Key, A: Aggregate> {
    chosen: Chosen<K>,
    shape: Shape,
    leaves_out_sealed: bool,
    groups: VecDeque<Group<K, A>>,
    /// How many items are still wanted.
    left: u64,
    rank: Option<Arc<RankFn<A>>>,
    ranked: Vec<(Option<Rank>, Item<K, A>)>,
    /// Files that were opened here.
    opened: Vec<LivePart<K, A>>,
}

impl<K: Key, A: Aggregate> Lookup<K, A> {
    pub(super) fn new(
        question: &Question<K>,
        captured: &Captured<K, A>,
        ranks: &[Arc<RankFn<A>>],
    ) -> Result<Self, ArchiveError> {
        let (query, calendar) = (&question.query, &captured.calendar);
        let (chosen, partition) = match &query.keys {
            Keys::One(key) => {
                let hash = key.hash64();
                let chosen = Chosen::One { hash, key: key.clone(), bytes: encoded(key) };
                (chosen, Some(crate::key::partition(hash)))
            }
            Keys::Range(range) => (Chosen::Range(range.clone()), None),
        };
        let sealed = match &captured.past {
            Some(past) => past.clone().open()?,
            None => with_rollups(captured.sealed.clone(), &captured.rollups, query.days, |grain| {
                query.takes_rollups(grain)
            }),
        };
        let gives_files = question.files_to == Some(this_process());
        let is_wanted = |sealed: &Sealed<K, A>| {
            query.days.contains(sealed.day())
                && partition.is_none_or(|partition| sealed.coverage().contains(partition))
                && !(gives_files && is_whole(sealed, captured))
        };
        let sealed: Vec<_> = sealed.into_iter().filter(is_wanted).collect();
        let tables = captured.tables.iter().filter(|((day, _), _)| query.days.contains(*day));
        let tables: Vec<_> = tables.cloned().collect();
        let lower = match &chosen {
            Chosen::Range(range) => range.lower().to_vec(),
            Chosen::One { .. } => Vec::new(),
        };
        let mut groups = groups(query, calendar, sealed, tables, &lower);
        if query.leaves_out_sealed() {
            groups.retain(|group| !group.tables.is_empty());
        }
        if let Some(after) = &question.after {
            let is_behind = |group: &Group<K, A>| match (query.shape, group.day, after.day) {
                (Shape::ByDay, Some(day), Some(after)) => day > after,
                (Shape::ByDayAndKey, Some(day), Some(after)) => day >= after,
                _ => true,
            };
            groups.retain(is_behind);
            // The keys after a key are those not below it with a zero appended, because no encoding is a prefix of
            // another one.
            if let (Some(group), Some(key)) = (groups.front_mut(), &after.key)
                && group.day == after.day
            {
                let behind = [&key[..], &[0]].concat();
                group.from = behind.max(std::mem::take(&mut group.from));
            }
        }
        if QueryError::of(query, calendar.grain(), ranks.len()).is_some() {
            // The answer carries the error.
            groups.clear();
        }
        let rank = match query.shape {
            Shape::Top { measure, .. } => ranks.get(measure.place()).cloned(),
            _ => None,
        };
        let (shape, left) = (query.shape, question.limit.unwrap_or(u64::MAX));
        let (ranked, opened) = (Vec::new(), Vec::new());
        let leaves_out_sealed = query.leaves_out_sealed();
        Ok(Lookup { chosen, shape, leaves_out_sealed, groups, left, rank, ranked, opened })
    }

    /// Continues reading for a while; `goes_on` tells whether the answer is still wanted. `None` when nothing is left.
    pub(super) fn step(
        &mut self,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Item<K, A>>>, ArchiveError> {
        if self.left == 0 {
            self.groups.clear();
        }
        let Some(mut group) = self.groups.pop_front() else {
            let ranked = self.best();
            return Ok((!ranked.is_empty()).then_some(ranked));
        };
        let by_key = matches!(self.shape, Shape::ByKey | Shape::ByDayAndKey | Shape::Top { .. });
        let (items, is_done) = match by_key {
            true => self.read_window(&mut group, goes_on)?,
            false => self.read_source(&mut group, goes_on)?,
        };
        if !is_done {
            self.groups.push_front(group);
        }
        let Some(rank) = &self.rank else {
            self.left = self.left.saturating_sub(items.len() as u64);
            return Ok(Some(items));
        };
        let of = |item: Item<K, A>| (item.parts.merged().and_then(|merged| rank(&merged)), item);
        self.ranked.extend(items.into_iter().map(of));
        if let Shape::Top { n, .. } = self.shape
            && self.ranked.len() > 2 * (n as usize).max(WINDOW)
        {
            self.keep_best(n as usize);
        }
        Ok(Some(Vec::new()))
    }

    /// The files that were opened.
    pub(super) fn take_opened(&mut self) -> Vec<LivePart<K, A>> {
        std::mem::take(&mut self.opened)
    }

    fn keep_best(&mut self, n: usize) {
        // A stable sort: keys with equal values stay in order of key.
        self.ranked.sort_by_key(|(value, _)| Reverse(*value));
        self.ranked.truncate(n);
    }

    fn best(&mut self) -> Vec<Item<K, A>> {
        if let Shape::Top { n, .. } = self.shape {
            self.keep_best(n as usize);
        }
        std::mem::take(&mut self.ranked).into_iter().map(|(_, item)| item).collect()
    }

    /// Reads files and tables into a single value.
    fn read_source(
        &mut self,
        group: &mut Group<K, A>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(Vec<Item<K, A>>, bool), ArchiveError> {
        let began = Instant::now();
        let mut sum = super::window::Total { found: group.found.take(), goes_on, seen: 0 };
        while began.elapsed() < STEP {
            let at = group.at;
            group.at += 1;
            if at < group.sealed.len() {
                let part = open(&mut self.opened, &mut group.sealed[at])?;
                sum.add_file(&part, &self.chosen)?;
            } else if let Some((place, table)) = group.tables.get(at - group.sealed.len()) {
                sum.add_table(speed_layer(place.0, place.1.day), table, &self.chosen);
            } else {
                break;
            }
        }
        group.found = sum.found;
        if group.at < group.sealed.len() + group.tables.len() {
            return Ok((Vec::new(), false));
        }
        let item = |(revision, parts)| Item { day: group.day, key: None, revision, parts };
        Ok((group.found.take().map(item).into_iter().collect(), true))
    }

    /// Reads the next keys.
    fn read_window(
        &mut self,
        group: &mut Group<K, A>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(Vec<Item<K, A>>, bool), ArchiveError> {
        let is_page = self.left <= WINDOW as u64;
        if group.ends.is_none() && !is_page && matches!(self.chosen, Chosen::Range(_)) {
            let ends = self.choose_ends(group)?;
            group.order = (!ends.is_empty()).then_some((0, 0));
            group.ends = Some(ends);
        }
        if !group.put_in_order() {
            return Ok((Vec::new(), false));
        }
        // Chosen windows have about the right size; a much larger one is cut.
        let most = if is_page { self.left as usize } else { 4 * WINDOW };
        let end = group.ends.as_mut().and_then(VecDeque::pop_front);
        let to = end.as_deref().or(match &self.chosen {
            Chosen::Range(range) => range.upper(),
            Chosen::One { .. } => None,
        });
        let mut window = Window::new(&group.from, to, most, goes_on);
        let Reached { files, tables } = &mut group.reached;
        files.resize_with(group.sealed.len(), Bookmark::default);
        for (sealed, bookmark) in group.sealed.iter_mut().zip(files) {
            let part = open(&mut self.opened, sealed)?;
            window.add_file(&part, &self.chosen, bookmark)?;
        }
        tables.resize_with(group.tables.len(), Vec::new);
        for ((place, table), reached) in group.tables.iter().zip(tables) {
            let layer = speed_layer(place.0, place.1.day);
            let reached = group.order.is_some().then_some(reached);
            window.add_table(layer, table, &self.chosen, reached);
        }
        let (rows, is_cut) = window.finish();
        let mut is_done = end.is_none() && !is_cut;
        if is_cut && let Some((last, _)) = rows.last_key_value() {
            // The rest of this window comes with the next one. The rows left out were read, too.
            group.reached = Reached::default();
            group.from = [&encoded(last)[..], &[0]].concat();
            if let (Some(end), Some(ends)) = (end, &mut group.ends) {
                ends.push_front(end);
            }
        } else if let Some(end) = end {
            group.from = end;
        }
        is_done |= matches!(self.chosen, Chosen::One { .. });
        // All parts of a key are on this worker, so a key whose sum is zero has no item.
        let item = |(key, (revision, parts)): (K, (Option<Day>, Parts<A>))| {
            let is_wanted = !self.leaves_out_sealed || parts.has_unsealed();
            (is_wanted && !parts.is_zero()).then_some(Item {
                day: group.day,
                key: Some(key),
                revision,
                parts,
            })
        };
        Ok((rows.into_iter().filter_map(item).collect(), is_done))
    }

    /// Where windows end: by samples of the keys.
    fn choose_ends(&mut self, group: &mut Group<K, A>) -> Result<VecDeque<Vec<u8>>, ArchiveError> {
        let Chosen::Range(range) = &self.chosen else { return Ok(VecDeque::new()) };
        let range: KeyRange = range.clone();
        let mut rows: u64 = group.tables.iter().map(|(_, table)| table.len() as u64).sum();
        for at in 0..group.sealed.len() {
            rows += open(&mut self.opened, &mut group.sealed[at])?.view.rows();
        }
        if rows <= 2 * WINDOW as u64 {
            return Ok(VecDeque::new());
        }
        let (every, mut samples) = (WINDOW / SAMPLES, Vec::new());
        for at in 0..group.sealed.len() {
            let part = open(&mut self.opened, &mut group.sealed[at])?;
            part.view.sample(&group.from, every, &part.coverage, &mut samples)?;
        }
        for (_, table) in &group.tables {
            // Rows are in the order of hashes, so any sample is as good as another.
            samples.extend(table.iter().step_by(every).map(|(key, _)| encoded(key)));
        }
        samples
            .retain(|key| *key > group.from && range.upper().is_none_or(|upper| &key[..] < upper));
        samples.sort_unstable();
        let mut ends: Vec<Vec<u8>> = samples.into_iter().step_by(SAMPLES).skip(1).collect();
        ends.dedup();
        Ok(ends.into())
    }
}

/// Whether a file has all rows of its period and partitions.
fn is_whole<K: Key, A: Aggregate>(sealed: &Sealed<K, A>, captured: &Captured<K, A>) -> bool {
    captured.tables.iter().all(|((day, _), _)| *day != sealed.day())
}

/// The files of a question that have all rows of their periods and partitions, and how many other sources there are.
/// Files that are opened stay open, unless there are too many.
pub(super) fn whole_files<K: Key, A: Aggregate>(
    question: &Question<K>,
    captured: &Captured<K, A>,
    keeper: &Keeper<K, A>,
) -> (Vec<Sealed<K, A>>, usize) {
    let days = question.query.days;
    let sealed = captured.sealed.iter().filter(|sealed| days.contains(sealed.day()));
    let (whole, others): (Vec<_>, Vec<_>) = sealed.partition(|sealed| is_whole(sealed, captured));
    let tables = captured.tables.iter().filter(|((day, _), _)| days.contains(*day));
    let are_few = whole.len() <= OPEN_MAX;
    let whole = whole.into_iter().cloned();
    let whole = whole.map(|sealed| if are_few { sealed.kept_by(keeper) } else { sealed });
    (whole.collect(), others.len() + tables.count())
}

/// An open file; it stays open unless too many are open.
fn open<K: Key, A: Aggregate>(
    opened: &mut Vec<LivePart<K, A>>,
    sealed: &mut Sealed<K, A>,
) -> Result<LivePart<K, A>, ArchiveError> {
    let part = sealed.open()?;
    if matches!(sealed, Sealed::Closed { .. }) && opened.len() < OPEN_MAX {
        opened.push(part.clone());
        *sealed = Sealed::Open(part.clone());
    }
    Ok(part)
}

/// The groups to be read, in the order of the shape.
fn groups<K: Key, A: Aggregate>(
    query: &Query<K>,
    calendar: &Calendar,
    sealed: Vec<Sealed<K, A>>,
    tables: Vec<Frozen<K, A>>,
    lower: &[u8],
) -> VecDeque<Group<K, A>> {
    let group = |day| Group {
        day,
        sealed: Vec::new(),
        tables: Vec::new(),
        at: 0,
        found: None,
        from: lower.to_vec(),
        ends: None,
        order: None,
        reached: Reached::default(),
    };
    if !matches!(query.shape, Shape::ByDay | Shape::ByDayAndKey) {
        return VecDeque::from([Group { sealed, tables, ..group(None) }]);
    }
    let mut groups = BTreeMap::new();
    for part in sealed {
        let period = query.period_of(part.day(), calendar);
        groups.entry(period).or_insert_with(|| group(Some(period))).sealed.push(part);
    }
    for (place, table) in tables {
        let period = query.period_of(place.0, calendar);
        groups.entry(period).or_insert_with(|| group(Some(period))).tables.push((place, table));
    }
    groups.into_values().collect()
}
