//! Combine: rows of one (day, key), tick and worker are combined before they are sent.

use serde::{Deserialize, Serialize};
use timely::Container;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};
use timely::progress::operate::FrontierInterest;

use super::exchange::{Addressed, to_each};
use super::term::Term;
use crate::aggregate::Aggregate;
use crate::closing::Closing;
use crate::key::{Key, KeyRef, PARTITIONS, owner, partition};
use crate::moment::Moment;
use crate::table::TableRow;
use crate::time::{Day, DayFinder, EVENT_TIME_MAX, EVENT_TIME_MIN, EventTime};
use crate::view::{View, late_or_not};

/// Numbers in a certificate that do not come from the view's rows. They flow with the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Events whose day was closed at their moment.
    pub(crate) late: u64,
    /// Events that a source or the view refused.
    pub(crate) refused: u64,
    /// The last period that has events, for a view that keeps a limited number of periods.
    pub(crate) latest: Option<Day>,
    /// The first period of which no event was dropped, if any was: for a view with rollups that outlive its periods.
    pub(crate) not_dropped_from: Option<Day>,
}

impl Counts {
    /// Counts with this many refused events.
    pub(crate) fn refused(refused: u64) -> Counts {
        Counts { refused, ..Counts::default() }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.late += other.late;
        self.refused += other.refused;
        self.latest = self.latest.max(other.latest);
        self.not_dropped_from = self.not_dropped_from.max(other.not_dropped_from);
    }
}

/// The number of rows of a tick whose position a combiner remembers at most: a power of two. The list of positions
/// should stay in a core's cache together with the rows. A small tick uses fewer, which stay in the nearest cache.
const PLACES: usize = 1 << 15;

/// The minimum of [`PLACES`].
const PLACES_MIN: usize = 1 << 11;

/// Combines the events of one tick on one worker.
///
/// It combines nearly all rows that can be combined. That is enough, because rows of the same day and key that are sent
/// separately are combined in the table of the day. There is one place for each value of some bits of the hash, and the
/// latest row takes it. So nothing is searched, grown or cleared between ticks: a place is used only if its row has the
/// same day and key.
///
/// Rows are grouped by the worker that owns their key, and each is written directly where it is sent from.
pub(crate) struct Combiner<K: Key, A: Aggregate> {
    view: View,
    finder: DayFinder,
    /// The floor and the grace for which `first_open` was computed.
    floor: EventTime,
    grace: Option<i64>,
    first_open: Day,
    /// The first period that is kept under the floor, where late events of earlier ones are not counted in rollups. In a
    /// replay it is the first one that was not removed: an event that counted when it came has to count again.
    first_kept: Day,
    outlives: bool,
    /// The first period that was not removed when the program started.
    kept_from: Day,
    /// Closings up to this one are sealed, or were when the program started.
    sealed: Option<Closing>,
    /// Whether a replay wants the sealed events, or the unsealed ones.
    wants_sealed: bool,
    /// The events that are read now were in the log, and may already be in sealed days.
    replaying: bool,
    /// The rows for each worker.
    shares: Vec<Share<K, A>>,
    /// The worker of each partition; there are no more workers than partitions.
    owners: Vec<u8>,
    /// For each hash, the row into which an event of this hash was last combined: the upper half of the hash, and the
    /// number of the row among those of its worker.
    places: Vec<(u32, u32)>,
    /// The bits of the hash that select the place.
    mask: usize,
    counts: Counts,
    /// Whether a refused event was reported.
    warned: bool,
}

/// The rows of one tick for one worker.
struct Share<K: Key, A: Aggregate> {
    rows: Vec<TableRow<K, A>>,
    /// Rows before this one are complete: nothing more is combined into them.
    from: usize,
    /// The expected number of rows of the next tick.
    expected: usize,
}

impl<K: Key, A: Aggregate> Combiner<K, A> {
    pub(crate) fn new(view: View, sealed: Option<Closing>, peers: usize) -> Self {
        let share = |_| Share { rows: Vec::new(), from: 0, expected: 0 };
        Combiner {
            finder: DayFinder::new(view.calendar().clone()),
            floor: EventTime::MIN,
            grace: Some(view.grace_ms()),
            first_open: view.first_open(EventTime::MIN),
            first_kept: Day::MIN,
            outlives: !view.outliving().is_empty(),
            kept_from: Day::MIN,
            sealed,
            wants_sealed: false,
            replaying: false,
            view,
            shares: (0..peers).map(share).collect(),
            owners: (0..PARTITIONS).map(|partition| owner(partition, peers) as u8).collect(),
            places: vec![(0, 0); PLACES],
            mask: PLACES - 1,
            counts: Counts::default(),
            warned: false,
        }
    }

    /// The same, where periods before this one were removed.
    pub(crate) fn kept_from(self, kept_from: Day) -> Self {
        Combiner { kept_from, ..self }
    }

    /// A combiner that takes the events of closings up to `through` from a replay.
    pub(crate) fn of_sealed(view: View, through: Closing) -> Self {
        Combiner { wants_sealed: true, ..Combiner::new(view, Some(through), 1) }
    }

    /// Starts a tick: what is added next enters under `floor`.
    pub(crate) fn begin(&mut self, floor: EventTime) {
        // Allocated only now, because by this time the memory of the last tick's rows may be free.
        for share in self.shares.iter_mut().filter(|share| share.rows.capacity() == 0) {
            share.rows.reserve(share.expected);
        }
        self.enter(floor, Some(self.view.grace_ms()), false);
    }

    /// Starts a part of a replay: what is added next entered under `floor` in an earlier run, with the `grace` of that
    /// run if it had the view.
    pub(crate) fn begin_replay(&mut self, floor: EventTime, grace: Option<i64>) {
        // One tick may replay events that entered under several floors. Equal days and keys under different floors may
        // belong to different closings, so their rows are not combined.
        self.shares.iter_mut().for_each(|share| share.from = share.rows.len());
        self.enter(floor, grace, true);
    }

    fn enter(&mut self, floor: EventTime, grace: Option<i64>, replaying: bool) {
        if (floor, grace, replaying) != (self.floor, self.grace, self.replaying) {
            (self.floor, self.grace, self.replaying) = (floor, grace, replaying);
            self.first_open = self.view.first_open_with(floor, grace);
            self.first_kept = if self.outlives { self.kept_from } else { Day::MIN };
            if self.outlives && !replaying {
                let closed = self.view.counted_from(self.view.closed_before(self.first_open));
                self.first_kept = self.view.kept_behind(closed).periods;
            }
        }
    }

    /// Combines an event into the row of its day and key, or into a new row. For an existing row, neither a key nor a
    /// state is made.
    #[inline]
    pub(crate) fn add(&mut self, time: EventTime, key: impl KeyRef<K>, term: impl Term<A>) {
        if !(EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&time) {
            // No calendar has a date for this time. Counting it on a calendar's last day would be wrong.
            self.refuse(&format_args!("no calendar can place its time, {time}"));
            return;
        }
        let day = self.finder.day_of(time);
        let closing = late_or_not(day, self.first_open, self.floor);
        // A live revision has what is sealed.
        if self.replaying && (Some(closing) <= self.sealed) != self.wants_sealed {
            return;
        }
        self.counts.late += u64::from(day < self.first_open);
        if day < self.first_kept {
            let from = &mut self.counts.not_dropped_from;
            *from = (*from).max(Some(self.first_kept));
            return;
        }
        let hash = key.hash_key();
        let upper = (hash >> 32) as u32;
        let share = match &mut self.shares[..] {
            [all] => all,
            shares => &mut shares[usize::from(self.owners[partition(hash)])],
        };
        let place = &mut self.places[hash as usize & self.mask];
        // The upper half of the hash is stored beside the number, and decides nearly all comparisons.
        if place.0 == upper
            && place.1 as usize >= share.from
            && let Some(row) = share.rows.get_mut(place.1 as usize)
            && row.hash == hash
            && row.day == day
            && key.is_key(&row.key)
        {
            term.add_to(&mut row.aggregate);
            return;
        }
        // Row numbers beyond 2³² wrap around to those of earlier rows; such rows are not combined.
        *place = (upper, share.rows.len() as u32);
        share.rows.push(TableRow::new(hash, day, closing, key.into_key(), term.state()));
    }

    /// Refuses an event: counts it, and reports the reason of the first one.
    #[cold]
    pub(crate) fn refuse(&mut self, reason: &dyn std::fmt::Display) {
        self.counts.refused += 1;
        if !std::mem::replace(&mut self.warned, true) {
            let view = self.view.name();
            tracing::warn!(
                view,
                "an event is refused: {reason}; reported once, and counted as refused"
            );
        }
    }

    /// Ends a tick: returns the rows for each worker that has any.
    pub(crate) fn take(&mut self) -> (impl Iterator<Item = Vec<TableRow<K, A>>>, Counts) {
        // The next tick will be about as large.
        let rows: usize = self.shares.iter().map(|share| share.rows.len()).sum();
        self.mask = (4 * rows).next_power_of_two().clamp(PLACES_MIN, PLACES) - 1;
        let take = |share: &mut Share<K, A>| {
            share.from = 0;
            if share.rows.is_empty() {
                return None;
            }
            share.expected = share.rows.len() + share.rows.len() / 8;
            Some(std::mem::take(&mut share.rows))
        };
        (self.shares.iter_mut().filter_map(take), std::mem::take(&mut self.counts))
    }
}

/// The streams that combine makes: rows, and counts for each worker.
type Combined<'scope, K, A> =
    (StreamVec<'scope, Moment, TableRow<K, A>>, StreamVec<'scope, Moment, Addressed<Counts>>);

/// Turns events into rows and combines them, for each worker and tick.
///
/// Ticks are not combined with each other. A worker sends its rows of a tick at the end of the same step, because
/// waiting for the frontier would mean waiting for every other worker.
///
/// Each container has the rows of one owner. Counts, with those from `refused`, are addressed to each worker.
pub(crate) fn combine<'scope, C, K, A>(
    events: Stream<'scope, Moment, C>,
    refused: Option<StreamVec<'scope, Moment, Counts>>,
    view: &View,
    (sealed, kept_from): (Option<Closing>, Day),
    read: impl Fn(&mut C, &mut Combiner<K, A>) + 'static,
) -> Combined<'scope, K, A>
where
    C: Container,
    K: Key,
    A: Aggregate,
{
    let peers = events.scope().peers();
    let mut builder = OperatorBuilder::new(format!("Combine {}", view.name()), events.scope());
    let mut input = builder.new_input(events, Pipeline);
    let mut refused = refused.map(|refused| builder.new_input(refused, Pipeline));
    let (rows, row_stream) = builder.new_output();
    let (counts, count_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<TableRow<K, A>>>>::from(rows);
    let mut counts =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Addressed<Counts>>>>::from(counts);
    for input in 0..builder.shape().inputs() {
        builder.set_notify_for(input, FrontierInterest::Never);
    }
    let mut combiner = Combiner::<K, A>::new(view.clone(), sealed, peers).kept_from(kept_from);
    let (removes, mut latest) = (view.retention().keep.is_some(), None);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let mut rows = rows.activate();
            let mut counts = counts.activate();
            input.for_each_stamp(|capability, containers| {
                let Some(moment) = capability.least() else { return };
                combiner.begin(moment.floor);
                for container in containers {
                    read(container, &mut combiner);
                }
                let (shares, mut counted) = combiner.take();
                let mut session = rows.session(&capability);
                shares.for_each(|mut share| {
                    if removes {
                        let last = share.iter().map(|row| row.day).max();
                        counted.latest = counted.latest.max(last.filter(|_| last > latest));
                    }
                    session.give_container(&mut share);
                });
                latest = latest.max(counted.latest);
                if counted != Counts::default() {
                    counts.session(&capability).give_iterator(to_each(peers, counted));
                }
            });
            if let Some(refused) = &mut refused {
                refused.for_each(|capability, data| {
                    let addressed = data.drain(..).flat_map(|counted| to_each(peers, counted));
                    counts.session(&capability).give_iterator(addressed);
                });
            }
        }
    });
    (row_stream, count_stream)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aggregate::{Count, Semigroup};
    use crate::time::duration;

    type Found = Vec<(Day, Day, Count)>;

    /// One event, counted in place.
    struct One;

    impl Term<Count> for One {
        fn state(self) -> Count {
            Count::one()
        }
        fn add_to(self, state: &mut Count) {
            state.add();
        }
    }

    fn take(combiner: &mut Combiner<u64, Count>) -> Found {
        let mut found = Found::new();
        for row in combiner.take().0.flatten() {
            let (at, closing) = (row.day, row.closing().day);
            let place = |found: &&mut (Day, Day, Count)| (found.0, found.1) == (at, closing);
            match found.iter_mut().find(place) {
                Some((.., sum)) => sum.plus_equals(&row.aggregate),
                None => found.push((at, closing, row.aggregate)),
            }
        }
        found
    }

    fn view() -> View {
        View::new("v").unwrap().grace(Duration::ZERO)
    }

    #[test]
    fn regression_rows_that_are_replayed_in_one_tick_under_different_floors_stay_apart() {
        let (first, second) = (view().upper(Day(0)), view().upper(Day(4)));
        let mut combiner = Combiner::new(view(), None, 1);
        combiner.begin(EventTime::MIN);
        for floor in [EventTime::MIN, first, first, second] {
            combiner.begin_replay(floor, Some(0));
            combiner.add(1, 7u64, One);
            combiner.add(2, 7, One);
        }
        let closings = [(0, 2), (1, 4), (5, 2)];
        let expect = closings.map(|(closing, count)| (Day(0), Day(closing), Count(count)));
        assert_eq!(take(&mut combiner), expect);
    }

    #[test]
    fn what_a_live_revision_holds_is_dropped_from_a_replay() {
        let mut combiner = Combiner::new(view(), Some(Closing::of(Day(1))), 1);
        combiner.begin_replay(EventTime::MIN, Some(0));
        combiner.add(1, 7u64, One);
        assert_eq!(take(&mut combiner), []);
        combiner.begin_replay(view().upper(Day(1)), Some(0));
        combiner.add(1, 7u64, One);
        assert_eq!(take(&mut combiner), [(Day(0), Day(2), Count(1))]);
    }

    #[test]
    fn of_late_events_a_revision_holds_those_of_floors_up_to_its_own() {
        let floor = view().upper(Day(1));
        let sealed = Closing::late(Day(2), floor);
        let add = |combiner: &mut Combiner<u64, Count>, floor| {
            combiner.begin_replay(floor, Some(0));
            combiner.add(1, 7u64, One);
            combiner.add(2 * 86_400_000, 7, One);
            take(combiner)
        };
        let (late, open) = ((Day(0), Day(2), Count(1)), (Day(2), Day(2), Count(1)));
        let mut combiner = Combiner::new(view(), Some(sealed), 1);
        assert_eq!(add(&mut combiner, floor), [open], "day 2 itself is still open");
        assert_eq!(add(&mut combiner, floor + 1), [late, open]);
        let mut combiner = Combiner::of_sealed(view(), sealed);
        assert_eq!(add(&mut combiner, floor), [late]);
        assert_eq!(add(&mut combiner, floor + 1), []);
    }

    #[test]
    fn regression_nothing_was_late_in_a_run_without_the_view_whatever_the_grace_is_now() {
        let floor = view().upper(Day(4));
        for grace in [0, 86_400_000, 30 * 86_400_000] {
            let mut combiner = Combiner::new(view().grace(duration(grace)), None, 1);
            combiner.begin_replay(floor, None);
            combiner.add(1, 7u64, One);
            assert_eq!(take(&mut combiner), [(Day(0), Day(0), Count(1))]);
        }
    }

    #[test]
    fn rows_of_ticks_large_and_small_are_those_of_their_own_events() {
        let mut combiner = Combiner::new(view(), None, 1);
        combiner.begin(EventTime::MIN);
        for _ in 0..2 {
            // There are more keys than places: rows that are not combined are not lost.
            for key in (0..2 * PLACES as u64).chain(0..10) {
                combiner.add(1, key, One);
            }
            let mut counts = std::collections::HashMap::new();
            for row in combiner.take().0.flatten() {
                counts.entry(row.key).or_insert_with(|| Count(0)).plus_equals(&row.aggregate);
            }
            assert_eq!(counts.len(), 2 * PLACES);
            let expect = |key| Count(if key < 10 { 2 } else { 1 });
            assert!(counts.iter().all(|(key, count)| *count == expect(*key)));
            for key in [7, 8, 7] {
                combiner.add(1, key, One);
            }
            let rows: Vec<_> =
                combiner.take().0.flatten().map(|row| (row.key, row.aggregate)).collect();
            assert_eq!(rows, [(7, Count(2)), (8, Count(1))]);
        }
    }

    #[test]
    fn rows_lie_apart_by_the_worker_that_owns_their_key() {
        for peers in [1, 2, 3, 7, PARTITIONS, 2 * PARTITIONS] {
            let mut combiner = Combiner::new(view(), None, peers);
            combiner.begin(EventTime::MIN);
            for _ in 0..2 {
                for key in 0..1_000u64 {
                    combiner.add(1, key, One);
                }
                // The same days and keys under another floor become rows of their own.
                combiner.begin_replay(EventTime::MIN, Some(0));
                for key in 0..1_000u64 {
                    combiner.add(1, key, One);
                }
                let mut seen = std::collections::HashMap::new();
                for rows in combiner.take().0 {
                    let to = |row: &TableRow<u64, Count>| owner(partition(row.hash), peers);
                    assert!(rows.iter().all(|row| to(row) == to(&rows[0])));
                    assert!(seen.insert(to(&rows[0]), rows.len()).is_none(), "one list for each");
                }
                let sent: usize = seen.values().sum();
                assert!((2_000..2_000 + 1_000).contains(&sent), "{sent} rows, {peers} workers");
                let owners: std::collections::HashSet<usize> =
                    (0..1_000u64).map(|key| owner(partition(key.hash64()), peers)).collect();
                assert_eq!(owners, seen.into_keys().collect());
            }
        }
    }

    #[test]
    fn regression_events_beyond_the_calendar_are_refused_and_counted() {
        let mut combiner = Combiner::new(view(), None, 1);
        combiner.begin(EventTime::MIN);
        let times = [EVENT_TIME_MIN, EVENT_TIME_MAX, EVENT_TIME_MIN - 1, EVENT_TIME_MAX + 1];
        for time in times.into_iter().chain([EventTime::MIN, EventTime::MAX]) {
            combiner.add(time, 7, One);
        }
        let (shares, counts) = combiner.take();
        assert_eq!((shares.flatten().count(), counts), (2, Counts::refused(4)));
    }

    #[test]
    fn one_key_on_two_days_makes_two_rows() {
        let mut combiner = Combiner::new(view(), None, 1);
        combiner.begin(EventTime::MIN);
        for time in [1, 86_400_001, 2, 86_400_002] {
            combiner.add(time, 7, One);
        }
        let found = take(&mut combiner);
        assert_eq!(found, [(Day(0), Day(0), Count(2)), (Day(1), Day(1), Count(2))]);
    }
}
