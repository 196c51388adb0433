//! Rollups that outlive the periods that they are made of: each event counts in them once, whatever is removed, and
//! whenever the machine stops.

mod crash;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::Count;
use dayfold::engine::{AskError, EngineError, LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::scan::{ErasedView, Scan, ScanError};
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Files, Input};
use dayfold::store::{Memory, Storage};
use dayfold::time::{Calendar, Day, DayRange, EventTime, Grain, Last};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// When it happened, and a number of its own.
type Event = (EventTime, u64);

const DAY: EventTime = 86_400_000;
const A_DAY: Duration = Duration::from_secs(86_400);
/// 2020-01-01.
const FIRST: i64 = 18_262;

struct Started {
    running: Running,
    pusher: Pusher<Event>,
    view: ViewHandle<u64, Count>,
    clock: Arc<AtomicI64>,
}

impl Started {
    /// A live engine at the beginning of a day.
    fn new(
        storage: Arc<dyn Storage>,
        day: i64,
        workers: usize,
        keep: impl Fn(View) -> View,
    ) -> Result<Started, EngineError> {
        let clock = Arc::new(AtomicI64::new(day * DAY));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Event>::new()
            .clock(move || now.load(Ordering::SeqCst))
            .data_in(storage, "data")
            .log(Durability::EveryCommit, |event: &Event| event.0);
        let view = keep(View::new("events").unwrap().grace(Duration::ZERO));
        let enter = |&(time, key): &Event| Some((time, key, Count::one()));
        let view = engine.view(view, Measures::none(), enter);
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.start(Cluster::workers(workers))?;
        Ok(Started { running, pusher, view, clock })
    }

    /// Seals the days before this one, then takes in its events.
    fn day(&self, day: i64, events: Vec<Event>) -> Option<()> {
        self.clock.store(day * DAY + 1, Ordering::SeqCst);
        self.view.wait_sealed_through(Day(day as i32 - 1), LONG).ok()?;
        self.pusher.push(events).ok()?.receipt.wait_both(LONG).ok()
    }

    /// How many events there are of each period of an answer.
    fn counts(&self, query: Query<u64>) -> Result<BTreeMap<Day, i64>, AskError> {
        let mut counts = BTreeMap::new();
        for item in self.view.ask_timeout(query, LONG)?.items {
            let count = item.parts.merged().unwrap().0;
            *counts.entry(item.day.unwrap()).or_default() += count;
        }
        Ok(counts)
    }

    /// The events that count, by their numbers. None of them counts twice.
    fn found(&self) -> BTreeSet<u64> {
        let items = self.view.ask_timeout(Query::keys(KeyRange::all(), DayRange::ALL), LONG);
        let items = items.unwrap().items.into_iter();
        let of = |item: dayfold::serve::Item<u64, Count>| {
            let key = item.key.unwrap();
            assert_eq!(item.parts.merged().unwrap().0, 1, "{key} counts once");
            key
        };
        items.map(of).collect()
    }
}

/// Waits until something holds.
#[track_caller]
fn wait(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The first day of the period that a day is in.
fn first_of(day: i64, grain: Grain) -> Day {
    Calendar::utc().coarser(Day(day as i32), grain).unwrap()
}

/// Days for 40 days, months for 100 days, years for ever.
fn keep(view: View) -> View {
    view.keep(40 * A_DAY)
        .keep_rollup(Grain::Month, 100 * A_DAY)
        .keep_rollup(Grain::Year, Duration::MAX)
}

/// What a view like that keeps at the beginning of a day: from when on days, and months.
fn kept_at(day: i64) -> (Day, Day) {
    let months = first_of(day - 100, Grain::Month);
    (first_of(day - 40, Grain::Month), first_of(i64::from(months.0), Grain::Year))
}

/// Everything that can be asked is as a recomputation over the events has it; the rest is refused.
#[track_caller]
fn check(started: &Started, day: i64, events: &[Event]) {
    let (days_from, months_from) = kept_at(day);
    let by = |grain: Grain, from: Day| {
        let mut counts = BTreeMap::new();
        for (time, _) in events {
            let period = first_of(time / DAY, grain);
            if period >= from {
                *counts.entry(period).or_default() += 1;
            }
        }
        counts
    };
    let rows = |days: DayRange| Query::rows(KeyRange::all(), days);
    let all = DayRange::ALL;
    let numbers: BTreeSet<u64> = events.iter().map(|(_, number)| *number).collect();
    assert_eq!(started.found(), numbers, "{day}");
    assert_eq!(started.counts(rows(all)).unwrap(), by(Grain::Day, days_from), "{day}");
    let months = started.counts(rows(all).by(Grain::Month)).unwrap();
    assert_eq!(months, by(Grain::Month, months_from), "{day}");
    let years = started.counts(rows(all).by(Grain::Year)).unwrap();
    assert_eq!(years, by(Grain::Year, Day::MIN), "{day}");
    let total = started.view.ask(Query::total(all)).unwrap();
    assert_eq!(total.value().map(|count| count.0 as usize), Some(events.len()), "{day}");
    let window = Query::total(all).last(Last::new(2, Grain::Month).unwrap());
    let window = started.view.ask(window).unwrap().value().unwrap().0;
    let from = first_of(i64::from(first_of(day, Grain::Month).0) - 1, Grain::Month);
    let expected: i64 = by(Grain::Month, from).values().sum();
    assert_eq!(window, expected, "{day}");

    // By days, and from within a month, there is nothing of earlier days.
    let begins = i64::from(days_from.0);
    if begins <= FIRST {
        return;
    }
    assert_eq!(started.view.ask(rows(all)).unwrap().certificate.kept_from, Some(days_from));
    let month = first_of(begins - 1, Grain::Month);
    let earlier = DayRange::new(month, Day(day as i32));
    let within = DayRange::new(Day(days_from.0 - 3), Day(day as i32));
    for (query, limit) in [(rows(earlier), days_from), (Query::total(within), days_from)] {
        let error = started.view.ask(query).unwrap_err();
        let removed = AskError::Removed { view: "events".to_owned(), kept_from: limit };
        assert_eq!(error, removed, "{day}");
    }
    let error = started.view.scan(&Scan::rows().periods(earlier), None).map(|_| ()).unwrap_err();
    assert!(matches!(error, ScanError::Removed { kept_from, .. } if kept_from == days_from));
    if months_from <= month {
        let found = started.view.ask(Query::total(earlier)).unwrap().value().unwrap().0;
        let of_months = by(Grain::Month, month);
        assert_eq!(found, of_months.values().sum::<i64>() - of_day(events, day), "{day}");
    }
}

fn of_day(events: &[Event], day: i64) -> i64 {
    events.iter().filter(|(time, _)| time / DAY == day).count() as i64
}

/// The events of a day, with late ones; those of them that count.
fn events_of(day: i64) -> (Vec<Event>, Vec<Event>) {
    let of = |late: i64, number: i64| ((day - late) * DAY + number, (day * 10 + number) as u64);
    let mut events: Vec<Event> = (0..3).map(|number| of(0, number)).collect();
    events.extend([of(1, 3), of(20, 4), of(90, 5)]);
    events.retain(|(time, _)| *time >= FIRST * DAY);
    let (from, _) = kept_at(day);
    let counted = events.iter().filter(|(time, _)| time / DAY >= i64::from(from.0));
    (events.clone(), counted.copied().collect())
}

fn folders(storage: &dyn Storage) -> usize {
    let views = Path::new("data/part-0/views/events");
    let days = storage.list(views).unwrap_or_default();
    days.iter().filter(|day| !storage.list(&views.join(day)).unwrap_or_default().is_empty()).count()
}

#[test]
fn what_is_removed_counts_in_the_rollups_that_outlive_it() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let mut counted = Vec::new();
    let (mut day, mut workers) = (FIRST, 1);
    // Until months of the first year go, with other workers each time.
    for until in [60, 150, 260, 400, 520] {
        let started = Started::new(Arc::clone(&storage), day, workers, keep).unwrap();
        check_after_start(&started, day, &counted);
        while day < FIRST + until {
            let (events, of_these) = events_of(day);
            started.day(day, events).unwrap();
            counted.extend(of_these);
            if day % 29 == 0 {
                check(&started, day, &counted);
            }
            day += 1;
        }
        check(&started, day - 1, &counted);
        // Days are removed as soon as their months are durable.
        let kept_days = (day - 1 - i64::from(kept_at(day - 1).0.0)).min(until);
        wait("days are removed", || folders(&*storage) == kept_days as usize);
        check(&started, day - 1, &counted);
        assert_eq!(started.view.audit(DayRange::ALL, 1.0).unwrap().findings, []);
        let Started { running, pusher, .. } = started;
        drop(pusher);
        running.finish().unwrap();
        workers = workers % 3 + 1;
    }
}

/// A run that has just begun has the events of the runs before.
#[track_caller]
fn check_after_start(started: &Started, day: i64, events: &[Event]) {
    let numbers: BTreeSet<u64> = events.iter().map(|(_, number)| *number).collect();
    assert_eq!(started.found(), numbers, "opened at {day}");
}

/// Three events of each of these days, in order.
fn lines(days: std::ops::Range<i64>) -> String {
    let line = |number: i64| format!("{},{number}\n", number / 3 * DAY);
    days.flat_map(|day| 3 * day..3 * day + 3).map(line).collect()
}

#[test]
fn what_closes_at_once_is_in_the_rollups_before_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let path = folder.path().join(format!("{round}.csv"));
        std::fs::write(&path, "time,number\n").unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Memory::default());
        // Much more than is kept of days and months is sealed before the first month is made.
        for (run, until) in [FIRST + 900, FIRST + 900, FIRST + 1_300].into_iter().enumerate() {
            let text = std::fs::read_to_string(&path).unwrap();
            let from = FIRST + (text.lines().count() as i64 - 1) / 3;
            std::fs::write(&path, text + &lines(from..until)).unwrap();
            let options = CsvOptions::new("time").fields(["number"]);
            let parse = |row: &dayfold::source::Row<'_>| {
                let number =
                    String::from_utf8_lossy(row.field(0)).parse().map_err(|_| "no number")?;
                Ok((row.time(), number))
            };
            let mut engine = Engine::<Event>::new()
                .data_in(Arc::clone(&storage), "data")
                .log(Durability::System, |event: &Event| event.0);
            let view = keep(View::new("events").unwrap().grace(Duration::ZERO));
            let enter = |&(time, key): &Event| Some((time, key, Count::one()));
            let view = engine.view(view, Measures::none(), enter);
            let rows = Files::new("rows", path.to_str().unwrap(), options, parse);
            let engine = engine.partitioned(rows.watch());
            let running = engine.start(Cluster::workers(1 + (round + run) % 3)).unwrap();
            let last = until - 1;
            view.wait_sealed_through(Day(last as i32 - 1), LONG).unwrap();

            let years = || {
                let query = Query::rows(KeyRange::all(), DayRange::ALL).by(Grain::Year);
                let mut counts = BTreeMap::<Day, i64>::new();
                for item in view.ask_timeout(query, LONG).unwrap().items {
                    *counts.entry(item.day.unwrap()).or_default() += item.parts.merged().unwrap().0;
                }
                counts
            };
            let mut expected = BTreeMap::<Day, i64>::new();
            // The last day may not have been read whole when the one before it is sealed.
            let of_last = Query::total(DayRange::only(Day(last as i32)));
            let counted = || view.ask_timeout(of_last.clone(), LONG).unwrap().value().unwrap().0;
            wait("the last day is read", || counted() == 3);
            (FIRST..until)
                .for_each(|day| *expected.entry(first_of(day, Grain::Year)).or_default() += 3);
            let at = format!("round {round}, run {run}");
            let kept_days = (last - i64::from(kept_at(last).0.0)) as usize;
            wait("days are removed", || {
                assert_eq!(years(), expected, "{at}");
                folders(&*storage) == kept_days
            });
            assert_eq!(years(), expected, "{at}");
            assert_eq!(view.audit(DayRange::ALL, 1.0).unwrap().findings, [], "{at}");
            running.finish().unwrap();
        }
    }
}

#[test]
fn hours_for_two_days_their_days_for_twenty_and_months_for_ever() {
    // The clocks of Vienna went forward on 2020-03-29.
    let zone = "Europe/Vienna";
    let hours = |view: View| {
        let hours = view.zone(zone).unwrap().grain(Grain::Hour).keep(2 * A_DAY);
        hours.keep_rollup(Grain::Day, 20 * A_DAY).keep_rollup(Grain::Month, Duration::MAX)
    };
    let calendar = Calendar::new(zone).unwrap();
    let by_hours = calendar.clone().by(Grain::Hour);
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let first = FIRST + 60;
    let (mut day, mut events) = (first, Vec::<Event>::new());
    for (until, workers) in [(20, 2), (45, 1), (70, 3)] {
        let started = Started::new(Arc::clone(&storage), day, workers, hours).unwrap();
        while day < first + until {
            started.clock.store(day * DAY + 1, Ordering::SeqCst);
            let sealed = by_hours.day_of(day * DAY - 1);
            started.view.wait_sealed_through(sealed, LONG).unwrap();
            // Behind the clock, and all of this hour or later ones.
            let of_day: Vec<Event> = (0..24)
                .map(|hour| (day * DAY + hour * DAY / 24, (day * 24 + hour) as u64))
                .collect();
            started.clock.store((day + 1) * DAY - 1, Ordering::SeqCst);
            started.pusher.push(of_day.clone()).unwrap().receipt.wait_visible(LONG).unwrap();
            events.extend(of_day);
            day += 1;
        }
        started.clock.store(day * DAY + 1, Ordering::SeqCst);
        started.view.wait_sealed_through(by_hours.day_of(day * DAY - 1), LONG).unwrap();
        let numbers: BTreeSet<u64> = events.iter().map(|(_, number)| *number).collect();
        assert_eq!(started.found(), numbers, "{until}");
        let by = |grain: Grain| {
            let query = Query::rows(KeyRange::all(), DayRange::ALL).by(grain);
            let from = started.view.ask(query.clone()).unwrap().certificate.kept_from;
            (started.counts(query).unwrap(), from.unwrap_or(Day::MIN))
        };
        let expected = |grain: Grain, from: Day| {
            let mut counts = BTreeMap::new();
            for (time, _) in &events {
                let date = calendar.day_of(*time);
                let period = calendar.coarser(date, grain).unwrap();
                let hour = by_hours.day_of(*time);
                if hour >= from {
                    *counts.entry(period).or_default() += 1;
                }
            }
            counts
        };
        let (months, from) = by(Grain::Month);
        assert_eq!((months, from), (expected(Grain::Month, Day::MIN), Day::MIN), "{until}");
        let (days, from) = by(Grain::Day);
        assert_eq!(days, expected(Grain::Day, from), "{until}");
        // Whole months of days are kept, so those of at least twenty days.
        let month = calendar.coarser(Day((day - 20) as i32), Grain::Month).unwrap();
        let expected_from = by_hours.periods(DayRange::new(month, Day::MAX)).lower;
        assert!(from == expected_from || month.0 < first as i32 - 1, "{until}: {from}");
        let hours_kept = 24 * 4;
        wait("hours are removed", || folders(&*storage) <= hours_kept);
        assert_eq!(started.found(), numbers, "{until}");
        assert_eq!(by(Grain::Day).0, days, "{until}");
        assert_eq!(started.view.audit(DayRange::ALL, 1.0).unwrap().findings, []);
        started.running.finish().unwrap();
    }
    // Rollups of days went as well, when those of months had them.
    let files = storage.list(Path::new("data/part-0/rollups/events")).unwrap();
    let days = files.iter().filter(|name| name.starts_with("day-")).count();
    assert!(days <= 3 * 62, "{files:?}");
}

#[test]
fn a_damaged_rollup_without_its_days_is_told_and_never_left_out() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let started = Started::new(Arc::clone(&storage), FIRST, 1, keep).unwrap();
    for day in FIRST..FIRST + 100 {
        started.day(day, events_of(day).0).unwrap();
    }
    let kept_days = (FIRST + 99 - i64::from(kept_at(FIRST + 99).0.0)) as usize;
    wait("days are removed", || folders(&*storage) == kept_days);
    let rollups = Path::new("data/part-0/rollups/events");
    let names = storage.list(rollups).unwrap();
    let january = names.iter().find(|name| name.starts_with("month-2020-01-01")).unwrap();
    let january = rollups.join(january);
    let whole = storage.read(&january).unwrap();
    storage.create(&january).unwrap().write_all(&whole[..whole.len() - 1]).unwrap();
    let findings = started.view.audit(DayRange::ALL, 1.0).unwrap().findings;
    assert_eq!(findings.iter().map(|finding| finding.day).collect::<Vec<_>>(), [Day(FIRST as i32)]);
    let Started { running, pusher, .. } = started;
    drop(pusher);
    running.finish().unwrap();
    let error = Started::new(Arc::clone(&storage), FIRST + 100, 1, keep).map(|_| ()).unwrap_err();
    assert!(format!("{error:?}").contains("month-2020-01-01"), "{error:?}");
    storage.create(&january).unwrap().write_all(&whole).unwrap();
    Started::new(Arc::clone(&storage), FIRST + 100, 1, keep).unwrap().running.finish().unwrap();
}

#[test]
fn a_rollup_that_is_named_later_begins_with_its_first_whole_period() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let days = |view: View| view.keep(10 * A_DAY);
    let started = Started::new(Arc::clone(&storage), FIRST, 1, days).unwrap();
    (FIRST..FIRST + 50).for_each(|day| started.day(day, vec![(day * DAY, day as u64)]).unwrap());
    // Days from 2020-02-09 on.
    wait("days are removed", || folders(&*storage) == 10);
    started.running.finish().unwrap();
    let months = |view: View| days(view).keep_rollup(Grain::Month, Duration::MAX);
    let started = Started::new(Arc::clone(&storage), FIRST + 50, 2, months).unwrap();
    (FIRST + 50..FIRST + 120)
        .for_each(|day| started.day(day, vec![(day * DAY, day as u64)]).unwrap());
    // 2020-04-01 is day 91; March begins with day 60, and of February there was no whole month.
    let found = started.found();
    assert_eq!(found, (FIRST as u64 + 60..FIRST as u64 + 120).collect());
    wait("days are removed", || folders(&*storage) == 28);
    assert_eq!(started.found(), found);
    let error = started.view.ask(Query::total(DayRange::new(Day(FIRST as i32 + 40), Day::MAX)));
    assert!(matches!(error, Err(AskError::Removed { .. })), "{error:?}");
    started.running.finish().unwrap();
    // Without them, their rollups go; and they begin anew.
    let started = Started::new(Arc::clone(&storage), FIRST + 120, 1, days).unwrap();
    assert!(started.found().iter().all(|day| *day >= FIRST as u64 + 91));
    started.running.finish().unwrap();
}

/// The first day of an answer by days, and how many events it has. An earlier day is refused.
#[track_caller]
fn claims(view: &ViewHandle<u64, Count>) -> (Day, usize) {
    let rows = Query::rows(KeyRange::all(), DayRange::ALL);
    let answer = view.ask_timeout(rows, LONG).unwrap();
    let from = answer.certificate.kept_from.unwrap_or(Day::MIN);
    if from > Day::MIN {
        let earlier = Query::rows(KeyRange::all(), DayRange::new(from.previous(), Day::MAX));
        let refused = view.ask_timeout(earlier, LONG).unwrap_err();
        assert!(matches!(refused, AskError::Removed { .. }), "{refused}");
    }
    (from, answer.items.len())
}

/// The last events were long before the clock, so no period was removed, but a late event of these days is dropped. It is in
/// the log, and counts when that is read again, as long as its day is there.
#[test]
fn an_answer_claims_no_days_of_which_an_event_was_dropped() {
    for seals in [false, true] {
        let storage: Arc<dyn Storage> = Arc::new(Memory::default());
        let keep = |view: View| view.keep(5 * A_DAY).keep_rollup(Grain::Month, Duration::MAX);
        let started = Started::new(Arc::clone(&storage), FIRST + 1, 2, keep).unwrap();
        started.day(FIRST + 1, vec![((FIRST + 1) * DAY, 1), ((FIRST + 2) * DAY - 1, 2)]).unwrap();
        let now = FIRST + 80;
        started.clock.store(now * DAY + 1, Ordering::SeqCst);
        started.view.wait_sealed_through(Day(now as i32 - 1), LONG).unwrap();
        // December begins the month of the last event.
        let whole = first_of(FIRST - 4, Grain::Month);
        assert_eq!(claims(&started.view), (whole, 2));
        let late = (FIRST * DAY, 3);
        started.pusher.push(vec![late]).unwrap().receipt.wait_both(LONG).unwrap();
        let claimed = (first_of(now - 6, Grain::Month), 0);
        assert_eq!(claims(&started.view), claimed);
        // All of it is still in the month.
        assert_eq!(started.found(), BTreeSet::from([1, 2]));
        let mut expected = (whole, 3, vec![1, 2, 3]);
        if seals {
            let event = (now * DAY, 4);
            started.pusher.push(vec![event]).unwrap().receipt.wait_both(LONG).unwrap();
            started.clock.store((now + 1) * DAY + 1, Ordering::SeqCst);
            started.view.wait_sealed_through(Day(now as i32), LONG).unwrap();
            expected = (first_of(now - 5, Grain::Month), 1, vec![1, 2, 4]);
        }
        started.running.finish().unwrap();
        for workers in [1, 3] {
            let started = Started::new(Arc::clone(&storage), now + 1, workers, keep).unwrap();
            assert_eq!(claims(&started.view), (expected.0, expected.1), "{seals}, {workers}");
            assert_eq!(started.found(), expected.2.iter().copied().collect(), "{seals}, {workers}");
            assert_eq!(started.view.audit(DayRange::ALL, 1.0).unwrap().findings, []);
            started.running.finish().unwrap();
        }
    }
}

/// Without a log, the folder remembers it, because nothing is read again.
#[test]
fn a_folder_without_a_log_remembers_of_which_days_an_event_was_dropped() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let start = |rows: String| {
        let view = View::new("events").unwrap().grace(Duration::ZERO).keep(5 * A_DAY);
        let view = view.keep_rollup(Grain::Month, Duration::MAX);
        let mut engine = Engine::<Event>::new().data_in(Arc::clone(&storage), "data");
        // It counts only some of the events, which are long before the others.
        let enter = |&(time, key): &Event| (key < 100).then(|| (time, key, Count::one()));
        let view = engine.view(view, Measures::none(), enter);
        let engine = engine.csv(
            move |resume| {
                let (input, options) = (
                    Input::reader("rows", Cursor::new(rows.clone())),
                    CsvOptions::new("at").fields(["key"]),
                );
                Ok(Some(match resume.consumed() {
                    Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
                    None => CsvSource::open(input, options)?,
                }))
            },
            |row| Ok((row.time(), std::str::from_utf8(row.field(0)).unwrap().parse().unwrap())),
        );
        (engine.start(Cluster::workers(2)).unwrap(), view)
    };
    let row = |(day, key): (i64, u64)| format!("{}T00:00:00Z,{key}\n", Day(day as i32));
    let rows = [(FIRST, 1), (FIRST + 79, 100), (FIRST + 80, 101), (FIRST + 1, 2)].map(row);
    let rows = format!("at,key\n{}", rows.concat());
    let (running, view) = start(rows.clone());
    assert!(running.wait_sealed(LONG).unwrap());
    let claimed = (first_of(FIRST + 74, Grain::Month), 0);
    assert_eq!(claims(&view), claimed);
    running.finish().unwrap();
    let (running, view) = start(rows + &row((FIRST + 80, 102)));
    assert!(running.wait_sealed(LONG).unwrap());
    assert_eq!(claims(&view), claimed);
    running.finish().unwrap();
}

#[test]
fn rollups_that_are_not_made_of_each_other_are_refused() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let both = |view: View| {
        let weeks = view.keep(10 * A_DAY).keep_rollup(Grain::Week, Duration::MAX);
        weeks.keep_rollup(Grain::Month, Duration::MAX)
    };
    let error = Started::new(storage, FIRST, 1, both).map(|_| ()).unwrap_err();
    assert!(format!("{error:?}").contains("week and month of view events"), "{error:?}");
}
