//! What one worker holds of a view: tables, deltas, frozen tables, and its share of the batch views.

mod bounds;
mod leaving;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use timely::scheduling::Activator;

use super::captured::Captured;
use super::combine::Counts;
use super::delta::Delta;
use super::numbers::ViewNumbers;
use super::report::{EVERYTHING, Leaving, SealReport};
use super::room::{Fill, LateTables};
use super::table::{Frozen, Size, Table, TableRow};
use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, FaultyRollup, Finding, LivePart, Pool, RollupCheck, Shelf};
use crate::closing::Closing;
use crate::key::Key;
use crate::moment::Moment;
use crate::store::{LogPosition, Revision};
use crate::time::{Day, DayRange, Grain};
use crate::view::{KeptFrom, View};

/// The state of a view on one worker, shared by that worker's operators that write and read it.
pub(crate) type SharedSpeed<K, A> = Rc<RefCell<Speed<K, A>>>;

/// The layer from which a part of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// A batch view, sealed by this closing.
    Batch(Day),
    /// A speed view: the day is not sealed.
    Speed,
    /// A speed view: late events of a day that was closed when they came.
    Amendment,
}

/// What a worker has reported about its share of closings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// The worker has prepared every closing through this one.
    pub(crate) through: Option<Closing>,
    /// The highest closing of which it had events.
    pub(crate) highest: Option<Closing>,
    /// The durable end of its log at that time.
    pub(crate) log: Option<LogPosition>,
    /// The number of files it has written in this run, without those of closings in `later`.
    files: u64,
    /// The number of files it has written for closings that may not be sealed yet.
    later: BTreeMap<Closing, u64>,
    /// What it no longer needs.
    pub(super) leaving: Leaving,
}

impl Prepared {
    /// Adds a report; the reports of a worker come in order.
    pub(super) fn add(&mut self, report: SealReport) {
        self.through = self.through.max(Some(report.through));
        self.highest = self.highest.max(report.highest);
        (self.log, self.leaving) = (report.log, report.leaving);
        for (closing, files) in report.files {
            *self.later.entry(closing).or_default() += files;
        }
    }

    /// The number of files it has written in this run for closings up to this one. Later calls never ask for an earlier
    /// closing.
    pub(super) fn files_through(&mut self, closing: Closing) -> u64 {
        while let Some(first) = self.later.first_entry().filter(|first| *first.key() <= closing) {
            self.files += first.remove();
        }
        self.files
    }
}

/// What one worker holds of a view.
pub(crate) struct Speed<K: Key, A: Aggregate> {
    pub(crate) view: View,
    peers: usize,
    /// By day and closing; complete up to `since`.
    tables: BTreeMap<(Day, Closing), Table<K, A>>,
    /// Later ticks, in order of moment.
    deltas: VecDeque<Delta<K, A>>,
    /// Closed tables that are being sealed.
    frozen: BTreeMap<(Day, Closing), Arc<Table<K, A>>>,
    /// The size of all tables together, including frozen ones.
    unsealed: Size,
    late: LateTables,
    /// The floor up to which nothing was outstanding at the last check; `None` at the end.
    settled: Option<i64>,
    /// The first open day under that floor.
    open: Day,
    /// The live revisions of this worker's partitions, by day.
    pub(super) sealed: Shelf<K, A>,
    pub(super) sealed_through: Option<Closing>,
    /// Closings that were the last closed one at some time, and were not live then.
    closed: VecDeque<Closing>,
    counts: Counts,
    later_counts: VecDeque<(Moment, Counts)>,
    /// The least moment for which each server can still be asked.
    servers: Vec<Moment>,
    /// What each worker has prepared.
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) error: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// Whether ingest raises the floor near a limit, so that late events are sealed.
    pub(crate) is_raised: bool,
    /// Whether ingest also pauses if that does not help. Then the view does not stop by itself.
    pub(crate) has_door: bool,
    /// The view is being abandoned: nothing more is sealed.
    pub(crate) abandoned: bool,
    /// This worker is between a frozen table and its file.
    pub(crate) seal_busy: bool,
    /// Sealed days of this worker are being rebuilt. No day is frozen meanwhile, so that amendments are merged with the
    /// rebuilt revision.
    pub(crate) rebuilding: bool,
    /// Sealed days are being audited: the files that count must stay.
    pub(crate) auditing: bool,
    leaving: Leaving,
    /// What was kept when the program started.
    kept_first: KeptFrom,
    /// The least moment and the last sealed period when something was last taken off the shelf.
    taken_of: Option<(Moment, Day)>,
    /// The last closing whose revisions are all on the shelf, as last noted.
    superseded_through: Option<Closing>,
    /// Wakes the operator that seals: progress tracking does not see state that operators share.
    pub(crate) sealing: Option<Activator>,
    /// The events have ended and every day is sealed.
    pub(crate) finished: bool,
    /// The latest moment of any row.
    pub(crate) newest: Option<Moment>,
    /// The number of queries that this worker has looked up.
    pub(crate) answered: u64,
}

impl<K: Key, A: Aggregate> Speed<K, A> {
    pub(crate) fn new(
        view: View,
        peers: usize,
        sealed: Shelf<K, A>,
        through: Option<Closing>,
    ) -> Self {
        let kept_first = sealed.keeps();
        let latest = sealed.latest(&view);
        let not_dropped_from = sealed.not_dropped_from(&view);
        Speed {
            view,
            peers,
            tables: BTreeMap::new(),
            deltas: VecDeque::new(),
            frozen: BTreeMap::new(),
            unsealed: Size::default(),
            late: LateTables::default(),
            settled: Some(i64::MIN),
            open: Day::MIN,
            sealed,
            sealed_through: through,
            is_raised: false,
            has_door: false,
            closed: VecDeque::new(),
            counts: Counts { latest, not_dropped_from, ..Counts::default() },
            later_counts: VecDeque::new(),
            servers: Vec::new(),
            prepared: vec![Prepared::default(); peers],
            error: None,
            abandoned: false,
            seal_busy: false,
            rebuilding: false,
            auditing: false,
            leaving: Leaving::default(),
            kept_first,
            taken_of: None,
            superseded_through: None,
            sealing: None,
            finished: false,
            newest: None,
            answered: 0,
        }
    }

    /// Takes in rows of a tick.
    pub(crate) fn push(&mut self, moment: Moment, rows: Vec<TableRow<K, A>>) {
        self.newest = self.newest.max(Some(moment));
        // Ticks of several workers interleave, nearly in order, so the search starts at the end.
        let place = self.deltas.iter().rposition(|delta| delta.moment <= moment);
        match place {
            Some(at) if self.deltas[at].moment == moment => self.deltas[at].push(rows),
            _ => {
                let at = place.map_or(0, |at| at + 1);
                let mut delta = Delta::new(moment);
                delta.push(rows);
                self.deltas.insert(at, delta);
            }
        }
    }

    pub(crate) fn push_counts(&mut self, moment: Moment, counts: Counts) {
        let at = self.later_counts.iter().rposition(|(at, _)| *at <= moment).map_or(0, |at| at + 1);
        self.later_counts.insert(at, (moment, counts));
    }

    /// Registers a server, which can be asked for any moment so far.
    pub(crate) fn add_server(&mut self) -> usize {
        self.servers.push(Moment::MIN);
        self.servers.len() - 1
    }

    /// Records the least moment for which `server` can still be asked; `None` if it never will be again.
    pub(crate) fn set_since(&mut self, server: usize, since: Option<Moment>) {
        self.servers[server] = since.unwrap_or(Moment { floor: i64::MAX, tick: u64::MAX });
    }

    /// Folds the deltas that every future query sees whole. Returns whether there were any: closings may have waited
    /// for them.
    pub(crate) fn fold(&mut self, frontier: Option<Moment>) -> bool {
        let waiting = self.deltas.len();
        let since = match self.servers.iter().min() {
            Some(since) => *since,
            // There are no servers: fold what is complete.
            None => match frontier.map(Moment::before) {
                Some(None) => return false,
                Some(Some(complete)) => complete,
                None => Moment { floor: i64::MAX, tick: u64::MAX },
            },
        };
        while self.deltas.front().is_some_and(|delta| delta.moment <= since) {
            if let Some(delta) = self.deltas.pop_front() {
                self.fold_one(delta);
            }
        }
        while self.later_counts.front().is_some_and(|(moment, _)| *moment <= since) {
            if let Some((_, counts)) = self.later_counts.pop_front() {
                self.counts += counts;
            }
        }
        self.deltas.len() < waiting
    }

    fn fold_one(&mut self, delta: Delta<K, A>) {
        // Deltas are folded in order, so nothing is left of lower floors.
        self.settle(self.settled.map(|settled| settled.max(delta.moment.floor)));
        for chunk in delta.into_chunks() {
            let mut rows = chunk.into_iter();
            while let Some(first) = rows.as_slice().first() {
                let place = (first.day, first.closing());
                // Rows of one table mostly follow each other, so the table is looked up once for each run of them.
                let same = |row: &&TableRow<K, A>| (row.day, row.closing()) == place;
                let run = rows.as_slice().iter().take_while(same).count();
                let tables = self.tables.len();
                let outlived = self.sealed.archive().pool().outlived();
                let table = self.tables.entry(place).or_insert_with(|| Table::counting(outlived));
                let before = table.size();
                for row in rows.by_ref().take(run) {
                    table.add(row.hash, row.key, row.aggregate);
                }
                let after = table.size();
                self.unsealed = self.unsealed + after - before;
                let is_new = self.tables.len() > tables;
                self.late.grow(place.1, (before, after), is_new);
            }
        }
        self.check_limits();
    }

    /// Notes the floor up to which nothing is outstanding.
    pub(super) fn settle(&mut self, floor: Option<i64>) {
        if self.settled != floor {
            self.settled = floor;
            self.open = floor.map_or(Day::MAX, |floor| self.view.first_open(floor));
        }
    }

    /// The last day that has closed under the last settled floor.
    pub(super) fn last_closed(&self) -> Day {
        self.open.previous()
    }

    /// The last closing to seal at the present floor: that of the last closed day. If this worker or another one is
    /// near a limit, it is a closing of late events of the first open day.
    pub(super) fn closed_so_far(&self) -> Closing {
        let Some(floor) = self.settled else { return EVERYTHING };
        let day = Closing::of(self.last_closed());
        let complete = Closing::late(self.open, floor.saturating_sub(1));
        let reported = self.prepared.iter().filter_map(|worker| worker.through).max();
        let asked = reported.filter(|asked| *asked <= complete);
        let is_near = self.fills().iter().any(Fill::is_worth_sealing);
        let late = if is_near { Some(complete) } else { asked };
        late.map_or(day, |late| late.max(day))
    }

    pub(crate) fn fail(&mut self, error: impl std::error::Error + Send + Sync + 'static) {
        tracing::error!(view = self.view.name(), %error, "the view stops");
        self.error.get_or_insert(Arc::new(error));
        self.abandoned = true;
    }

    /// The floor up to which nothing is outstanding, given that of the frontier. Deltas that are not folded yet hold
    /// closings back.
    pub(crate) fn settled_floor(&self, frontier: Option<Moment>) -> Option<i64> {
        let waiting = self.deltas.front().map(|delta| delta.moment.floor);
        frontier.map(|moment| moment.floor).into_iter().chain(waiting).min()
    }

    /// Freezes the tables of closings through `through`, which stay readable. In order of closing.
    pub(crate) fn freeze(&mut self, through: Closing) -> Vec<Frozen<K, A>> {
        let mut ready: Vec<(Day, Closing)> =
            self.tables.keys().filter(|(_, closing)| *closing <= through).copied().collect();
        ready.sort_by_key(|&(day, closing)| (closing, day));
        let freeze = |place: (Day, Closing)| {
            // The table is shared, so that readers sort its rows only once.
            let table = Arc::new(self.tables.remove(&place)?.share());
            self.late.remove(place.1, table.size());
            self.frozen.insert(place, Arc::clone(&table));
            Some((place, table))
        };
        ready.into_iter().filter_map(freeze).collect()
    }

    /// Replaces frozen tables with their files, in one step. Returns the tables, to be freed.
    #[must_use]
    pub(crate) fn swap(
        &mut self,
        sealed: Vec<LivePart<K, A>>,
        through: Closing,
    ) -> Vec<Arc<Table<K, A>>> {
        let mut tables = Vec::with_capacity(sealed.len());
        for part in sealed {
            if let Some(table) = self.frozen.remove(&(part.day, part.closing)) {
                self.unsealed = self.unsealed - table.size();
                table.leave_to_readers();
                tables.push(table);
            }
            self.sealed.put(part);
        }
        self.sealed_through = self.sealed_through.max(Some(through));
        self.sealed.rollups().look_again();
        tables
    }

    /// Takes in rebuilt files.
    pub(crate) fn replace(&mut self, rebuilt: Vec<LivePart<K, A>>) {
        rebuilt.into_iter().for_each(|part| self.sealed.put(part));
        self.rebuilding = false;
        if let Some(sealing) = &self.sealing {
            sealing.activate();
        }
    }

    /// Takes damaged rollups out of the way, to be made again if that is possible. Returns what was found of those that
    /// are still in use.
    pub(crate) fn lose_rollups(&mut self, lost: Vec<FaultyRollup>) -> Vec<Finding> {
        let rollups = self.sealed.rollups();
        let lost = lost.into_iter().filter(|faulty| match faulty.can_be_made {
            true => rollups.lost(&faulty.path),
            false => rollups.has(&faulty.path),
        });
        let lost: Vec<Finding> = lost.map(|faulty| faulty.finding).collect();
        if let Some(sealing) = self.sealing.as_ref().filter(|_| !lost.is_empty()) {
            sealing.activate();
        }
        lost
    }

    /// The rollups that begin in a range, to be audited.
    pub(crate) fn rollup_checks(&self, days: DayRange) -> Vec<RollupCheck<K, A>> {
        self.sealed.rollup_checks(days)
    }

    /// The sealed days of a range, limited in number, each with the closing of its newest live revision; and where the
    /// rest of the range begins.
    pub(crate) fn sealed_days(
        &self,
        days: DayRange,
        most: usize,
    ) -> (Vec<(Day, Closing)>, Option<Day>) {
        self.sealed.closings(days, most)
    }

    /// The live revisions of a day, to merge amendments into.
    pub(crate) fn live(&self, day: Day) -> Result<Vec<LivePart<K, A>>, ArchiveError> {
        let mut parts = Vec::new();
        self.sealed.visit(DayRange::new(day, day.next()), None, |part| {
            parts.push(part);
            Ok::<_, ArchiveError>(())
        })?;
        Ok(parts)
    }

    /// Notes how far all workers have sealed, when this one waits for nothing.
    pub(crate) fn note_sealed(&mut self) {
        let all = self.prepared.iter().map(|worker| worker.through).min().flatten();
        let highest = self.prepared.iter().filter_map(|worker| worker.highest).max();
        let through = if all == Some(EVERYTHING) { highest } else { all };
        self.sealed_through = self.sealed_through.max(through);
    }

    /// The last day that is closed and whose closings, up to its own, are all sealed.
    pub(crate) fn sealed_through(&self) -> Option<Day> {
        self.sealed_through.map(Closing::last_closed)
    }

    /// The last sealed closing.
    pub(crate) fn last_sealed(&self) -> Option<Closing> {
        self.sealed_through
    }

    pub(crate) fn numbers(&self) -> ViewNumbers {
        let everything = Moment { floor: i64::MAX, tick: u64::MAX };
        let (first_day, last_day) = self.span().unzip();
        ViewNumbers {
            sealed_through: self.sealed_through(),
            first_day,
            last_day,
            sealed_days: self.sealed.days(),
            rollups: self.sealed.rollup_count(),
            unsealed_days: self.unsealed_days(),
            groups: self.unsealed.groups,
            deltas: self.deltas.len(),
            closed: self.closed(),
            late: self.counts(everything).late,
            refused: self.counts(everything).refused,
        }
    }

    /// The first and the last day that have rows.
    fn span(&self) -> Option<(Day, Day)> {
        let of_table = |place: Option<&(Day, Closing)>| place.map(|&(day, _)| (day, day));
        let tables = [self.tables.keys().next(), self.tables.keys().next_back()];
        let frozen = [self.frozen.keys().next(), self.frozen.keys().next_back()];
        let spans = tables.into_iter().chain(frozen).map(of_table);
        let spans = spans.chain(self.deltas.iter().map(Delta::span)).chain([self.sealed.span()]);
        spans.flatten().reduce(|(first, last), (day, other)| (first.min(day), last.max(other)))
    }

    /// Notes that all closings through this one have closed.
    pub(crate) fn note_closed(&mut self, through: Closing) {
        if self.closed.back().is_none_or(|last| *last < through) {
            self.closed.push_back(through);
        }
        while self.closed.front().is_some_and(|closed| Some(*closed) <= self.sealed_through) {
            self.closed.pop_front();
        }
    }

    /// The number of closings that are not live on all workers. A worker counts them even if it has no rows of them:
    /// what it enters may go to workers that are behind.
    pub(crate) fn closed(&self) -> usize {
        self.closed.iter().filter(|closed| Some(**closed) > self.sealed_through).count()
    }

    pub(crate) fn sealing_tables(&self) -> usize {
        self.frozen.len()
    }

    fn unsealed_days(&self) -> usize {
        let mut last = None;
        let mut is_next = |day: Day| last.replace(day) != Some(day);
        let days = self.tables.keys().filter(|(day, _)| is_next(*day)).count();
        let is_new = |day: Day| self.tables.range(of_days(day, day.next())).next().is_none();
        let frozen = self.frozen.keys().map(|(day, _)| *day).filter(|day| is_new(*day));
        let mut last = None;
        days + frozen.filter(|day| last.replace(*day) != Some(*day)).count()
    }

    /// The counts as of `moment`.
    pub(crate) fn counts(&self, moment: Moment) -> Counts {
        let mut counts = self.counts;
        for (_, later) in self.later_counts.iter().take_while(|(at, _)| *at <= moment) {
            counts += *later;
        }
        counts
    }

    /// What this worker holds of these days as of `moment`, with each event in exactly one part. If `partition` is
    /// given, at least what belongs to it. For another revision than the newest, only sealed rows.
    pub(crate) fn capture(
        &mut self,
        (days, kept): (DayRange, KeptFrom),
        partition: Option<usize>,
        revision: Revision,
        moment: Moment,
    ) -> Result<Captured<K, A>, ArchiveError> {
        let calendar = self.view.calendar().clone();
        let mut captured = Captured::nothing(moment, calendar, kept);
        (captured.sealed_through, captured.counts) = (self.sealed_through(), self.counts(moment));
        if days.is_empty() {
            return Ok(captured);
        }
        if revision != Revision::Now {
            captured.past = Some(self.sealed.past(revision, days, partition)?);
            return Ok(captured);
        }
        captured.sealed = self.sealed.list(days, partition);
        captured.rollups = self.sealed.rollups_of(days);
        let place = of_days(days.lower, days.upper);
        let frozen = self.frozen.range(place.clone());
        captured.tables = frozen.map(|(place, table)| (*place, Arc::clone(table))).collect();
        let tables = self.tables.range_mut(place);
        captured.tables.extend(tables.map(|(place, table)| (*place, Arc::new(table.share()))));
        captured.tables.extend(self.waiting(days, moment));
        Ok(captured)
    }

    /// The deltas of these days up to `moment`, as tables. Mostly there are none: a delta waits only for other streams
    /// of queries.
    fn waiting(&self, days: DayRange, moment: Moment) -> Vec<Frozen<K, A>> {
        let mut tables: BTreeMap<(Day, Closing), Table<K, A>> = BTreeMap::new();
        for delta in self.deltas.iter().take_while(|delta| delta.moment <= moment) {
            for row in delta.rows().filter(|row| days.contains(row.day)) {
                let table = tables.entry((row.day, row.closing())).or_insert_with(Table::new);
                table.add(row.hash, row.key.clone(), row.aggregate.clone());
            }
        }
        tables.into_iter().map(|(place, mut table)| (place, Arc::new(table.share()))).collect()
    }

    /// Visits what this worker holds of one key as of `moment`, with each event in exactly one visited aggregate. For
    /// questions that read little. Returns false, and has visited nothing, if files have to be opened first.
    pub(crate) fn visit_key(
        &self,
        (hash, key, bytes): (u64, &K, &[u8]),
        (days, fits): (DayRange, &dyn Fn(Grain) -> bool),
        moment: Moment,
        visit: &mut dyn FnMut(Day, Layer, &A),
    ) -> Result<bool, ArchiveError> {
        if days.is_empty() {
            return Ok(true);
        }
        let Some(sealed) = self.sealed.open_ones(days, crate::key::partition(hash), fits) else {
            return Ok(false);
        };
        for part in sealed {
            if let Some(aggregate) = part.view.get(hash, bytes)? {
                visit(part.day, Layer::Batch(part.closing.day), &aggregate);
            }
        }
        let place = of_days(days.lower, days.upper);
        let frozen = self.frozen.range(place.clone()).map(|(place, table)| (place, table.as_ref()));
        for (&(day, closing), table) in frozen.chain(self.tables.range(place)) {
            if let Some(aggregate) = table.get(hash, key) {
                visit(day, speed_layer(day, closing.day), aggregate);
            }
        }
        for delta in self.deltas.iter().take_while(|delta| delta.moment <= moment) {
            delta.visit(hash, key, |row| {
                if days.contains(row.day) {
                    visit(row.day, speed_layer(row.day, row.closing().day), &row.aggregate);
                }
            });
        }
        Ok(true)
    }

    /// Keeps files open that were opened elsewhere.
    pub(crate) fn keep_opened(&self, opened: Vec<LivePart<K, A>>) {
        self.sealed.keep_opened(opened);
    }

    /// The threads that read for questions.
    pub(crate) fn pool(&self) -> &Pool {
        self.sealed.archive().pool()
    }
}

/// All closings of days from `lower` up to `upper`.
fn of_days(lower: Day, upper: Day) -> std::ops::Range<(Day, Closing)> {
    let least = Closing::late(Day::MIN, i64::MIN);
    (lower, least)..(upper, least)
}

/// The layer of unsealed rows.
pub(crate) fn speed_layer(day: Day, closing: Day) -> Layer {
    if day == closing { Layer::Speed } else { Layer::Amendment }
}
