//! The latency of ticks while a large day is sealed.
//!
//! An open loop: a tick of 1,000 events is due every millisecond, and its latency counts from that instant, however
//! late it is pushed. Event time runs faster: a day passes in four seconds and has each of a million keys four times,
//! in random order. A day is being *closed* from the first tick whose time is beyond its end and grace until it is
//! sealed; all other ticks are ordinary. Ticks during which the table of a new day grows are ordinary, too, unless a
//! day is being closed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::Receipt;
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::{Keys, Query, Shape};
use dayfold::store::Disk;
use dayfold::time::{Day, DayRange, EventTime};
use hdrhistogram::Histogram;

use super::{GROUPED, LIMIT, Program, fail, is_short, view};
use crate::workload::{self, DAY_MS, Event, START, SplitMix};

const KEYS: usize = 1_000_000;
const TICK: Duration = Duration::from_millis(1);
const TICK_EVENTS: usize = 1_000;
const DAY_EVENTS: usize = 4 * KEYS;
const DAY_TICKS: usize = DAY_EVENTS / TICK_EVENTS;
const TICK_MS: i64 = DAY_MS / DAY_TICKS as i64;
/// The first ticks are not counted: all memory is new to the program.
const WARM_UP: usize = 1_000;

pub(crate) fn measure() {
    let closings = if is_short() { 1 } else { 21 };
    println!(
        "\nclosing days of {KEYS} keys at {} events/s, {closings} closings; from when a tick is due until \
         it is visible",
        TICK_EVENTS * 1_000
    );
    println!(
        "{:<24} {:>8} {:>7} {:>7} {:>7} {:>7}   in milliseconds",
        "", "ticks", "p50", "p99", "p99.9", "most"
    );
    for (name, durability) in [("log off", None), ("log on", Some(GROUPED))] {
        let Measured { ordinary, closing, sealed } = run(durability, closings);
        print(&format!("{name}, ordinary ticks"), &ordinary);
        print(&format!("{name}, closing"), &closing);
        let [usual, worst] = [&ordinary, &closing].map(|of| of.value_at_quantile(0.999) as f64);
        println!(
            "  99.9th percentile while closing: {:.2} of that of ordinary ticks; {} of {closings} closings \
             ended before the next one began, after {:.2?} to {:.2?}",
            worst / usual,
            sealed.len(),
            sealed.iter().min().copied().unwrap_or_default(),
            sealed.iter().max().copied().unwrap_or_default(),
        );
    }
}

fn print(name: &str, of: &Histogram<u64>) {
    print!("{name:<24} {:>8}", of.len());
    for quantile in [0.5, 0.99, 0.999, 1.0] {
        print!(" {:>7.2}", of.value_at_quantile(quantile) as f64 / 1e6);
    }
    println!();
}

struct Measured {
    ordinary: Histogram<u64>,
    closing: Histogram<u64>,
    /// The duration of each closing that ended before the next one began.
    sealed: Vec<Duration>,
}

/// A pushed tick, its due time, and the time of its events.
struct Pushed {
    number: usize,
    due: Instant,
    time: EventTime,
    receipt: Receipt,
}

fn run(durability: Option<Durability>, closings: usize) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(Arc::new(Disk), folder.path(), 1, durability, START);
    let order = order();
    // The last closing begins after the last full day, and has one more day to end in.
    let ticks = (closings + 1) * DAY_TICKS;
    let (sender, pushed) = mpsc::channel();
    let measured = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&program, pushed));
        let start = Instant::now() + TICK;
        for number in 0..ticks {
            let time = START + number as i64 * TICK_MS;
            let events = events_of(&order, number, time);
            let due = start + TICK * number as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            program.clock.store(time, Ordering::Relaxed);
            let receipt = program.push(events);
            sender.send(Pushed { number, due, time, receipt }).unwrap();
        }
        drop(sender);
        watching.join().unwrap()
    });
    check(program, closings + 1);
    measured
}

/// Waits for one tick after the other. When a tick becomes visible, it is known whether a day was being closed.
fn watch(program: &Program, pushed: mpsc::Receiver<Pushed>) -> Measured {
    let histogram = || Histogram::new(3).unwrap();
    let mut measured = Measured { ordinary: histogram(), closing: histogram(), sealed: Vec::new() };
    let view = view();
    // When the closing of a day began.
    let mut since: Option<Instant> = None;
    for Pushed { number, due, time, receipt } in pushed {
        // Its state when the tick was due, or later.
        let numbers = program.running.progress().views;
        let sealed = numbers.first().and_then(|numbers| numbers.sealed_through);
        let over = view.first_open(view.floor_at(time)).previous();
        let is_closing = over >= Day((START / DAY_MS) as i32) && sealed < Some(over);
        receipt.wait_visible(LIMIT).unwrap();
        let latency = due.elapsed().as_nanos() as u64;
        if is_closing {
            since.get_or_insert(due);
        } else if let Some(since) = since.take() {
            measured.sealed.push(since.elapsed());
        }
        if number >= WARM_UP {
            let of = if is_closing { &mut measured.closing } else { &mut measured.ordinary };
            of.record(latency).unwrap();
        }
    }
    measured
}

/// The numbers of a day's events, in random order.
fn order() -> Vec<u32> {
    let mut random = SplitMix(7);
    let mut order: Vec<u32> = (0..DAY_EVENTS as u32).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, (random.next() % (at as u64 + 1)) as usize);
    }
    order
}

/// The events of a tick. Their values are 1.
fn events_of(order: &[u32], tick: usize, time: EventTime) -> Vec<Event> {
    let from = tick % DAY_TICKS * TICK_EVENTS;
    let event = |&number: &u32| (time, workload::key(number as usize % KEYS), 1);
    order[from..from + TICK_EVENTS].iter().map(event).collect()
}

/// Seals open days, and ends the program unless every day has all events, and the last one has each key.
fn check(program: Program, days: usize) {
    let Program { running, view, pusher, .. } = program;
    drop(pusher);
    assert!(running.wait_sealed(LIMIT).unwrap(), "all days are sealed in time");
    let by_day = Query::new(Keys::Range(KeyRange::all()), DayRange::ALL, Shape::ByDay);
    let by_day = view.ask(by_day).unwrap();
    let is_whole = |count: i64, state| state == (Count(count), Sum::of(count));
    let whole = by_day.items.iter().filter_map(|item| item.parts.batch.as_ref());
    let whole = whole.filter(|day| is_whole(DAY_EVENTS as i64, (day.0, day.1))).count();
    let first = (START / DAY_MS) as i32;
    let last = Day(first + days as i32 - 1);
    let keys = view.ask(Query::keys(KeyRange::all(), DayRange::new(last, last.next()))).unwrap();
    let values = keys.items.iter().filter_map(|item| item.parts.merged());
    let right = values.filter(|state| is_whole(4, (state.0, state.1))).count();
    if (by_day.items.len(), whole, right) != (days, days, KEYS) {
        fail("the sealed days do not hold the events");
    }
    running.finish().unwrap();
}
