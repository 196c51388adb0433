//! Sinks of an engine: what a store refuses, and views whose past changes. The store is one of files.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use dayfold::aggregate::Sum;
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::scan::{Batches, Scan, ScanError};
use dayfold::schema::Value;
use dayfold::time::{Day, DayRange};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sinks::{
    ChangeKind, Feed, Files, Opened, Row, Sink, SinkOptions, Stamp, Store, StoreError, Sweep, Table,
};

/// Event time, shop, cents.
type Event = (i64, String, i64);
/// Sales and cents by day and shop.
type Rows = BTreeMap<(String, String), (i64, i64)>;

/// Only bounds hanging tests.
const LONG: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 3;

fn events() -> Vec<Event> {
    let of_day = |day: i64| {
        (0..60).map(move |number| {
            let shop = ["Oslo", "Rome", "bad"][number as usize % 3];
            (day * DAY_MS + number, shop.to_owned(), day * 100 + number)
        })
    };
    (0..DAYS).flat_map(of_day).collect()
}

/// The expected rows if an event is worth this many cents; an event without a worth is in no row.
fn expected(worth: impl Fn(&Event) -> Option<i64>) -> Rows {
    let mut rows = Rows::new();
    for event in events() {
        if let Some(cents) = worth(&event) {
            let day = Day((event.0 / DAY_MS) as i32).to_string();
            let row = rows.entry((day, event.1)).or_default();
            *row = (row.0 + 1, row.1 + cents);
        }
    }
    rows
}

struct Started {
    view: ViewHandle<String, (Sum, Sum)>,
    pusher: Pusher<Event>,
    running: Running,
}

/// An engine whose view may have another definition than its folder. An event of negative cents takes a sale back.
fn start(
    folder: &Path,
    definition: &str,
    worth: impl Fn(&Event) -> Option<i64> + Send + Sync + 'static,
    clock: &Arc<AtomicI64>,
) -> Started {
    let now = Arc::clone(clock);
    let mut engine = Engine::<Event>::new()
        .clock(move || now.load(Ordering::SeqCst))
        .data(folder)
        .log(Durability::Every(Duration::from_millis(1)), |event: &Event| event.0)
        .redefine("sales");
    let view = View::new("sales").unwrap().defined_as(definition);
    let view = view.grace(Duration::from_millis((DAYS * DAY_MS) as u64));
    let view = view.key_columns(["shop"]).unwrap();
    let view = view.measure_names([["sales"], ["cents"]]).unwrap();
    let view = engine.view(view, Measures::none(), move |event: &Event| {
        let cents = worth(event)?;
        let sales = if cents < 0 { -1 } else { 1 };
        Some((event.0, event.1.clone(), (Sum::of(sales), Sum::of(cents))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.start(Cluster::workers(2)).unwrap();
    Started { view, pusher, running }
}

impl Started {
    fn push(&self, events: Vec<Event>) {
        let pushed = self.pusher.push(events).unwrap();
        assert!(pushed.refused.is_empty());
        pushed.receipt.wait_visible(LONG).unwrap();
    }

    fn sink(&self, folder: &Path, store: impl Store + 'static, options: SinkOptions) -> Sink {
        let options = options.every(Duration::from_millis(5));
        let (aside, views) = (folder.join("sinks/files"), ["sales".to_owned()]);
        Sink::start(&self.running, folder, &aside, &views, Box::new(store), options).unwrap()
    }

    fn finish(self, sink: Sink) {
        drop((sink, self.pusher));
        self.running.finish().unwrap();
    }
}

/// The rows of a reader that applies all lines of the journal from the beginning.
fn journal(store: &Path) -> Rows {
    let mut rows = BTreeMap::new();
    for line in std::fs::read_to_string(store.join("sales.ndjson")).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let as_of = line["as_of"].as_i64().unwrap();
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        if let Some(day) = text("removed") {
            rows.retain(|key: &(String, String), row: &mut (i64, i64, i64)| {
                key.0 != day || row.2 >= as_of
            });
        } else if let Some(kept) = line["removed_all_but"].as_array() {
            rows.retain(|key, row| kept.iter().any(|day| *day == key.0) || row.2 >= as_of);
        } else {
            let number = |name: &str| line[name].as_i64().unwrap();
            let key = (text("day").unwrap(), text("shop").unwrap());
            rows.insert(key, (number("sales"), number("cents"), as_of));
        }
    }
    rows.into_iter().map(|(key, (sales, cents, _))| (key, (sales, cents))).collect()
}

/// A function that is called before rows are written.
type Before = Box<dyn FnMut(&[Row]) -> Result<(), StoreError> + Send>;

/// Files that call a function before they accept rows, count how often they are opened, and can be made unavailable.
struct Watched {
    files: Files,
    before: Before,
    is_away: Arc<AtomicBool>,
    openings: Arc<AtomicUsize>,
}

impl Watched {
    fn new(store: &Path, before: Before) -> Watched {
        let (is_away, openings) = (Arc::default(), Arc::default());
        Watched { files: Files::new(store), before, is_away, openings }
    }
}

impl Store for Watched {
    fn name(&self) -> &'static str {
        self.files.name()
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        self.openings.fetch_add(1, Ordering::SeqCst);
        self.files.open(table, at_least)
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { store: "files", why: "away".to_owned() });
        }
        self.files.ping(table, stamp)
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        (self.before)(rows)?;
        self.files.write(table, stamp, rows)
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        self.files.sweep(table, stamp, sweep)
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        self.files.mark(table, stamp, marks)
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        self.files.check(table)
    }
}

#[test]
fn refused_rows_are_kept_aside_with_the_reason_and_the_others_are_written() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    started.push(events());
    let is_bad = |row: &Row| row.key == [Value::Text("bad".to_owned())];
    let refuse = move |rows: &[Row]| match rows.iter().any(is_bad) {
        true => Err(StoreError::Refused { store: "files", why: "a bad \"shop\"".to_owned() }),
        false => Ok(()),
    };
    let watched = Watched::new(store.path(), Box::new(refuse));
    let is_away = Arc::clone(&watched.is_away);
    let sink = started.sink(folder.path(), watched, SinkOptions::default());
    assert!(sink.complete(LONG));

    let (bad, good): (Rows, Rows) =
        expected(|event| Some(event.2)).into_iter().partition(|((_, shop), _)| shop == "bad");
    assert_eq!(journal(store.path()), good);
    let status = &sink.status()["sales"];
    assert_eq!((status.refused, status.failures, &status.error), (bad.len() as u64, 0, &None));
    let kept = std::fs::read_to_string(folder.path().join("sinks/files/refused.ndjson")).unwrap();
    let mut refused = Rows::new();
    for line in kept.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["view"], &line["why"]), (&"sales".into(), &"a bad \"shop\"".into()));
        let text = |name: &str| line["row"][name].as_str().unwrap().to_owned();
        let number = |name: &str| line["row"][name].as_i64().unwrap();
        refused.insert((text("day"), text("shop")), (number("sales"), number("cents")));
    }
    assert_eq!(refused, bad);
    assert_eq!(
        kept.lines().count(),
        bad.len(),
        "each is tried once, as long as it does not change"
    );

    // An unavailable store is behind, although no events come.
    let view = || sink.status()["sales"].clone();
    assert_eq!((view().is_in_step, view().lag), (true, Duration::ZERO));
    is_away.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while view().lag.is_zero() {
        assert!(begun.elapsed() < LONG, "{:?}", view());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((view().is_in_step, view().lag_events), (false, 0));
    is_away.store(false, Ordering::SeqCst);
    assert!(sink.complete(LONG));
    started.finish(sink);
}

#[test]
fn rebuilt_and_redefined_views_are_rewritten_and_what_is_gone_is_removed() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    started.push(events());
    let sink = started.sink(folder.path(), Files::new(store.path()), SinkOptions::default());
    // All but the last day close.
    clock.store((2 * DAYS - 1) * DAY_MS, Ordering::SeqCst);
    started.view.wait_sealed_through(Day(DAYS as i32 - 2), LONG).unwrap();
    assert!(sink.complete(LONG));
    let all = expected(|event| Some(event.2));
    assert_eq!(journal(store.path()), all);

    // A row that somebody else adds to a sealed day stays until the day is written anew, by a rebuild.
    let mut file = OpenOptions::new().append(true).open(store.path().join("sales.ndjson")).unwrap();
    let foreign = r#"{"day":"1970-01-01","shop":"nobody","sales":1,"cents":1,"as_of":1}"#;
    writeln!(file, "{foreign}").unwrap();
    assert!(sink.complete(LONG));
    assert_eq!(journal(store.path()).len(), all.len() + 1);
    let written = sink.status()["sales"].written;
    assert_eq!(started.view.rebuild(DayRange::only(Day(0)), 1.0).unwrap().findings, []);
    assert!(sink.complete(LONG));
    assert_eq!(journal(store.path()), all);
    assert!(sink.status()["sales"].written > written);
    started.finish(sink);

    // Another definition: other numbers, and a shop that is gone, in sealed days and in the open one.
    let worth = |event: &Event| (event.1 != "Rome").then_some(5 * event.2);
    let started = start(folder.path(), "five times the cents, without Rome", worth, &clock);
    started.view.wait_sealed_through(Day(DAYS as i32 - 2), LONG).unwrap();
    let sink = started.sink(folder.path(), Files::new(store.path()), SinkOptions::default());
    assert!(sink.complete(LONG));
    assert_eq!(journal(store.path()), expected(worth));
    started.finish(sink);
}

/// If a first fill takes longer than its moment is kept, it continues after the last row, with a later moment.
#[test]
fn a_slow_store_gets_its_first_fill_over_several_moments() {
    const SHOPS: i64 = 40_000;
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    let shop = |number: i64| format!("{number:05}");
    started.push((0..SHOPS).map(|number| (number, shop(number), number)).collect());

    let ((waits, waiting), (go_on, goes_on)) = (sync_channel(0), sync_channel::<()>(0));
    let mut first = Some((waits, goes_on));
    let wait = move |_: &[Row]| {
        if let Some((waits, goes_on)) = first.take() {
            waits.send(()).unwrap();
            goes_on.recv().unwrap();
        }
        Ok(())
    };
    let watched = Watched::new(store.path(), Box::new(wait));
    let openings = Arc::clone(&watched.openings);
    let keep = Duration::from_secs(2);
    let sink = started.sink(folder.path(), watched, SinkOptions::default().keep(keep));
    waiting.recv_timeout(LONG).unwrap();

    // While the first rows are written, the last one changes, and the moment of the fill expires; the next moment is a
    // later one.
    started.push(vec![(0, shop(SHOPS - 1), 1)]);
    let views = started.running.views();
    let (later, begun) = (views.snapshot(keep).unwrap(), Instant::now());
    let scan = Scan::total();
    while !is_expired(views.get("sales").unwrap().scan(&scan, Some(&later))) {
        assert!(begun.elapsed() < LONG, "a moment is kept for ever");
        std::thread::sleep(Duration::from_millis(5));
    }
    go_on.send(()).unwrap();
    assert!(sink.complete(LONG), "{:?}", sink.status());

    assert_eq!(openings.load(Ordering::SeqCst), 1, "{:?}", sink.status());
    let mut expected: Rows =
        (0..SHOPS).map(|number| (("1970-01-01".to_owned(), shop(number)), (1, number))).collect();
    expected.insert(("1970-01-01".to_owned(), shop(SHOPS - 1)), (2, SHOPS));
    assert_eq!(journal(store.path()), expected);
    assert_eq!(
        sink.status()["sales"].written,
        SHOPS as u64,
        "each row once, the last one as changed"
    );
    started.finish(sink);
}

/// Late events of a sealed period change their own rows; the others are not written again.
#[test]
fn a_late_event_writes_one_row_of_a_sealed_period() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    started.push(events());
    clock.store((2 * DAYS - 1) * DAY_MS, Ordering::SeqCst);
    started.view.wait_sealed_through(Day(DAYS as i32 - 2), LONG).unwrap();
    started.push(vec![(0, "Oslo".to_owned(), 7)]);
    let sink = started.sink(folder.path(), Files::new(store.path()), SinkOptions::default());
    assert!(sink.complete(LONG));
    for number in 1..=3 {
        let written = sink.status()["sales"].written;
        started.push(vec![(0, "Rome".to_owned(), number)]);
        assert!(sink.complete(LONG));
        assert_eq!(sink.status()["sales"].written, written + 1);
    }
    let mut expected = expected(|event| Some(event.2));
    let day = Day(0).to_string();
    for (shop, sales, cents) in [("Oslo", 1, 7), ("Rome", 3, 6)] {
        let row = expected.get_mut(&(day.clone(), shop.to_owned())).unwrap();
        *row = (row.0 + sales, row.1 + cents);
    }
    assert_eq!(journal(store.path()), expected);
    started.finish(sink);
}

/// Rows beyond the limit are written every time, and rows of open periods that are gone are removed all the same.
#[test]
fn the_rows_that_are_remembered_have_a_limit() {
    const SHOPS: i64 = 40;
    let day = |number: i64| Day(number as i32).to_string();
    let shop = |number: i64| format!("{number:02}");
    for remembered in [0, 1, SHOPS as usize + 7, 1_000] {
        let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
        let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
        let all = |cents: i64| {
            let of_day = |day| (0..SHOPS).map(move |number| (day * DAY_MS, shop(number), cents));
            (0..DAYS).flat_map(of_day).collect::<Vec<Event>>()
        };
        started.push(all(5));
        let options = SinkOptions::default().remembered_rows(remembered);
        let sink = started.sink(folder.path(), Files::new(store.path()), options);
        let mut expected = Rows::new();
        for number in 0..DAYS * SHOPS {
            expected.insert((day(number / SHOPS), shop(number % SHOPS)), (1, 5));
        }
        assert!(sink.complete(LONG));
        assert_eq!(journal(store.path()), expected, "{remembered} rows");

        // The rows of some shops are gone, in all days, which are open; others change.
        let (gone, changed) = (shop(SHOPS - 1), shop(3));
        let is_gone = |event: &Event| event.1 == gone;
        started.push(all(-5).into_iter().filter(is_gone).collect());
        started.push(all(1).into_iter().filter(|event| event.1 == changed).collect());
        expected.retain(|(_, shop), _| *shop != gone);
        let of_changed = |((_, shop), _): &(&(String, String), &mut (i64, i64))| *shop == changed;
        expected.iter_mut().filter(of_changed).for_each(|(_, row)| *row = (2, 6));
        assert!(sink.complete(LONG));
        assert_eq!(journal(store.path()), expected, "{remembered} rows");

        // All but the last day close; then late events amend them.
        clock.store((2 * DAYS - 1) * DAY_MS, Ordering::SeqCst);
        started.view.wait_sealed_through(Day(DAYS as i32 - 2), LONG).unwrap();
        started.push(all(-6).into_iter().filter(|event| event.1 == changed).collect());
        started.push(all(5).into_iter().filter(is_gone).collect());
        for number in 0..DAYS {
            expected.insert((day(number), gone.clone()), (1, 5));
            expected.insert((day(number), changed.clone()), (1, 0));
        }
        assert!(sink.complete(LONG));
        assert_eq!(journal(store.path()), expected, "{remembered} rows");
        started.finish(sink);
    }
}

/// The file of refused rows has a limit; beyond it, they are counted only.
#[test]
fn the_file_of_refused_rows_has_a_limit() {
    const BYTES: u64 = 1_000;
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    started.push((0..100).map(|number| (number, number.to_string(), 1)).collect());
    let refuse = |_: &[Row]| Err(StoreError::Refused { store: "files", why: "full".to_owned() });
    let watched = Watched::new(store.path(), Box::new(refuse));
    let options = SinkOptions::default().refused_bytes(BYTES);
    let sink = started.sink(folder.path(), watched, options);
    assert!(sink.complete(LONG));
    assert_eq!(sink.status()["sales"].refused, 100);
    let kept = std::fs::read_to_string(folder.path().join("sinks/files/refused.ndjson")).unwrap();
    let lines = kept.lines().map(serde_json::from_str::<serde_json::Value>);
    assert!(lines.clone().all(|line| line.is_ok()), "no line is cut: {kept}");
    let line = kept.len() / lines.clone().count();
    assert!(kept.len() as u64 <= BYTES && kept.len() + 2 * line > BYTES as usize, "{}", kept.len());
    started.finish(sink);
}

/// A subscriber that needs changes beyond the limit of the journal gets all rows again.
#[test]
fn the_journal_of_a_feed_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(DAYS * DAY_MS - 1));
    let started = start(folder.path(), "cents", |event| Some(event.2), &clock);
    let options = SinkOptions::default().every(Duration::from_millis(1)).journal_bytes(2_000);
    let (views, observer) = (started.running.views(), started.running.observer());
    let feed = Feed::start(&views, &observer, folder.path(), "sales", options).unwrap();
    started.push(vec![(0, "Oslo".to_owned(), 1)]);
    // The row comes with all rows of the first moment, or as a change after them.
    let (mut first, mut has_row, mut changes) = (None, false, feed.changes(None));
    while first.is_none() || !has_row {
        let change = changes.next_timeout(LONG).unwrap().unwrap();
        assert!(first.is_some() || (change.kind == ChangeKind::Row) == change.id.is_none());
        has_row |= change.json.contains("Oslo");
        first = change.id;
    }
    // Few changes are kept; many are not.
    for (pushed, is_kept) in [(2, true), (100, false)] {
        for number in 0..pushed {
            started.push(vec![(0, number.to_string(), 1)]);
        }
        let last = (pushed - 1).to_string();
        let (mut seen, mut has_last) = (0, false);
        loop {
            let change = changes.next_timeout(LONG).unwrap().unwrap();
            let row: serde_json::Value = serde_json::from_str(&change.json).unwrap();
            seen += 1;
            has_last |= row["shop"] == last.as_str();
            if has_last && change.id.is_some() {
                break;
            }
        }
        assert!(!is_kept || seen <= pushed, "each change comes once: {seen}");
        let change = feed.changes(first.as_deref()).next_timeout(LONG).unwrap().unwrap();
        assert_eq!(change.id.is_some(), is_kept, "{change:?}");
    }
    drop((changes, feed, started.pusher));
    started.running.finish().unwrap();
}

fn is_expired(scanned: Result<Batches, ScanError>) -> bool {
    let counted = scanned.and_then(Batches::collect_rows);
    match counted {
        Ok(_) => false,
        Err(ScanError::Expired { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}
