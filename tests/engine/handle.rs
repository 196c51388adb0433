//! The handle of an engine: asking, and subscriptions, from threads and tasks.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{
    AskError, LiveOptions, Measures, PushRefusal, Pusher, Running, Subscription, ViewHandle,
};
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::time::{Day, DayRange};
use dayfold::view::{LimitError, Limits, View};
use dayfold::{Cluster, Engine, ViewNumbers};

use crate::LONG;

/// Event time, key, value.
type Event = (i64, u64, i64);
type Totals = (Count, Sum);

/// Noon of a day, and a clock that stops there.
const NOON: i64 = 1_714_557_600_000;
const DAY_MS: i64 = 86_400_000;

fn start(
    workers: usize,
    set: impl FnOnce(Engine<Event>) -> Engine<Event>,
) -> (ViewHandle<u64, Totals>, Pusher<Event>, Running) {
    let mut engine = set(Engine::<Event>::new().clock(|| NOON));
    let view = View::new("handle").unwrap();
    let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    (handle, pusher, engine.start(Cluster::workers(workers)).unwrap())
}

fn push(pusher: &Pusher<Event>, events: Vec<Event>) {
    let pushed = pusher.push(events).unwrap();
    assert!(pushed.refused.is_empty());
    pushed.receipt.wait_visible(LONG).unwrap();
}

fn point(key: u64) -> Query<u64> {
    Query::point(key, DayRange::ALL)
}

/// The smallest runtime: a thread that sleeps until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread, AtomicBool);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }
    let thread = Arc::new(Thread(std::thread::current(), AtomicBool::new(false)));
    let waker = Arc::clone(&thread).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !thread.1.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(LONG);
        }
    }
}

#[test]
fn tasks_and_threads_ask_the_same() {
    for workers in 1..=3 {
        let (handle, pusher, running) = start(workers, |engine| engine);
        push(&pusher, vec![(NOON, 1, 5), (NOON, 1, 6), (NOON, 2, 7)]);
        let expected = Some((Count(2), Sum::of(11)));
        assert_eq!(handle.ask(point(1).id(9)).unwrap().value(), expected);
        let answer = block_on(handle.ask_async(point(1).id(9))).unwrap();
        assert_eq!((answer.id, answer.value()), (9, expected));
        let mut asked = handle.send(point(1)).unwrap();
        assert_eq!(asked.wait_timeout(LONG).unwrap().value(), expected);
        assert_eq!(asked.try_take().err(), Some(AskError::Stopped), "an answer is given once");
        let mut asked = handle.send(point(3)).unwrap();
        while !asked.is_ready() {
            std::thread::yield_now();
        }
        assert_eq!(asked.wait().unwrap().value(), None);
        running.finish().unwrap();
        assert_eq!(handle.ask(point(1)).err(), Some(AskError::Stopped));
        assert_eq!(block_on(handle.ask_async(point(1))).err(), Some(AskError::Stopped));
    }
}

#[test]
fn a_subscriber_gets_the_first_answer_at_once_and_then_what_changes() {
    for workers in 1..=3 {
        let (handle, pusher, running) = start(workers, |engine| engine);
        let mut subscription = handle.subscribe(point(1).id(5), Duration::ZERO).unwrap();
        let mut first = subscription.next().unwrap();
        assert_eq!((first.id, first.value()), (5, None));
        // The clock stands at noon: the days before close once, and this causes an answer.
        while first.certificate.sealed_through.is_none() {
            first = subscription.next_timeout(LONG).unwrap();
        }
        for sum in 1..=20i64 {
            push(&pusher, vec![(NOON, 1, 1), (NOON, 2, 1)]);
            let answer = subscription.next_timeout(LONG).unwrap();
            assert_eq!(answer.value(), Some((Count(sum), Sum::of(sum))));
        }
        // Another key changes; this one has not.
        push(&pusher, vec![(NOON, 2, 1)]);
        handle.ask(point(1)).unwrap();
        assert!(subscription.try_next().unwrap().is_none());
        push(&pusher, vec![(NOON, 1, 1)]);
        let answer = block_on(subscription.next_async()).unwrap();
        assert_eq!(answer.value(), Some((Count(21), Sum::of(21))));

        let today = handle.view().calendar().day_of(NOON);
        handle.wait_sealed_through(today.previous(), LONG).unwrap();
        let limit = Duration::from_millis(1);
        let waited = handle.wait_sealed_through(today, limit);
        assert_eq!(waited, Err(AskError::TimedOut { limit }));

        // The day is sealed at the end: its value stays, its parts change, and then the subscription ends.
        drop(pusher);
        assert!(running.wait_sealed(LONG).unwrap());
        running.finish().unwrap();
        handle.wait_sealed_through(today, LONG).unwrap();
        let waited = handle.wait_sealed_through(today.next(), LONG);
        assert_eq!(waited, Err(AskError::Stopped), "nothing waits for what will not be");
        let mut last = None;
        while let Some(answer) = subscription.next() {
            last = Some(answer);
        }
        let last = last.expect("what moved is told");
        assert_eq!(last.items[0].parts.batch, Some((Count(21), Sum::of(21))));
        assert!(last.items[0].parts.speed.is_none() && last.certificate.sealed_through.is_some());
        assert_eq!(subscription.try_next().err(), Some(AskError::Stopped));
        drop(subscription);
        assert_eq!(handle.waiting(), (0, 0));
    }
}

/// An engine, the lock that holds its worker, and the number of events that have reached it.
type Gated = (ViewHandle<u64, Totals>, Pusher<Event>, Running, Arc<Mutex<()>>, Arc<AtomicUsize>);

/// An engine with one worker that stands still while the lock is held, and reports it.
fn start_gated(set: impl FnOnce(Engine<Event>) -> Engine<Event>, waiting: usize) -> Gated {
    let (gate, reached) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let (worker_gate, worker_reached) = (Arc::clone(&gate), Arc::clone(&reached));
    let mut engine = set(Engine::<Event>::new().clock(|| NOON));
    let view = View::new("gated").unwrap();
    let handle = engine.view(view, Measures::none(), move |&(time, key, value): &Event| {
        worker_reached.fetch_add(1, Ordering::AcqRel);
        drop(worker_gate.lock().unwrap());
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    let options = LiveOptions::new(|event: &Event| event.0).waiting(waiting);
    let pusher = engine.live(options);
    let running = engine.start(Cluster::workers(1)).unwrap();
    (handle, pusher, running, gate, reached)
}

#[test]
fn queries_that_nobody_wants_leave_the_mailbox_and_bounds_hold() {
    let (handle, pusher, running, gate, reached) = start_gated(|engine| engine.asking(3, 2), 1);
    handle.ask(point(1)).unwrap();
    let held = gate.lock().unwrap();
    let pushed = pusher.push(vec![(NOON, 1, 1)]).unwrap();
    while reached.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    // The worker stands still, so queries wait.
    let mut asked: Vec<_> = (0..3).map(|_| handle.send(point(1)).unwrap()).collect();
    assert_eq!(handle.send(point(1)).err(), Some(AskError::Full { limit: 3 }));
    assert_eq!(handle.waiting(), (3, 0));
    assert!(!asked[0].is_ready() && asked[0].try_take().unwrap().is_none());
    let limit = Duration::from_millis(1);
    assert_eq!(asked[0].wait_timeout(limit).err(), Some(AskError::TimedOut { limit }));
    assert_eq!(handle.ask_timeout(point(1), limit).err(), Some(AskError::Full { limit: 3 }));
    asked.pop();
    assert_eq!(handle.waiting(), (2, 0), "dropped, it is cancelled");
    let timed_out = handle.ask_timeout(point(1), limit).err();
    assert_eq!(timed_out, Some(AskError::TimedOut { limit }));
    drop(handle.ask_async(point(1)));
    assert_eq!(handle.waiting(), (2, 0), "so is one that was given up");

    let subscriptions: Vec<Subscription<_, _>> =
        (0..2).map(|_| handle.subscribe(point(1), Duration::ZERO).unwrap()).collect();
    let refused = handle.subscribe(point(1), Duration::ZERO).err();
    assert_eq!(refused, Some(AskError::TooManySubscribers { limit: 2 }));
    drop(subscriptions);
    assert_eq!(handle.waiting(), (2, 0));
    let mut subscription = handle.subscribe(point(1), Duration::ZERO).unwrap();

    // Room for one event: the next push waits, as a thread and as a task.
    let next = pusher.push(vec![(NOON, 1, 1)]).unwrap();
    let refused = pusher.try_push(vec![(NOON, 1, 1)]).unwrap_err();
    assert_eq!((refused.events.len(), refused.refusal), (1, PushRefusal::Full));
    assert!(!next.receipt.is_visible());
    let waiting = pusher.push_async(vec![(NOON, 1, 1)]);
    drop(pusher.push_async(vec![(NOON, 1, 1_000)]));
    drop(held);
    let last = block_on(waiting).unwrap();
    block_on(last.receipt.visible()).unwrap();
    while !last.receipt.is_visible() || !pushed.receipt.is_visible() {
        std::thread::yield_now();
    }
    for asked in asked {
        asked.wait().unwrap();
    }
    let expected = Some((Count(3), Sum::of(3)));
    assert_eq!(handle.ask(point(1)).unwrap().value(), expected);
    while subscription.next_timeout(LONG).unwrap().value() != expected {}
    drop(pusher);
    running.finish().unwrap();
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    for _ in 0..20 {
        let (handle, pusher, running, gate, reached) = start_gated(|engine| engine, 1_000);
        handle.ask(point(1)).unwrap();
        let held = gate.lock().unwrap();
        let pushed = pusher.push(vec![(NOON, 1, 1)]).unwrap();
        while reached.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        let asked: Vec<_> = (0..10).map(|_| handle.send(point(1)).unwrap()).collect();
        let mut subscription = handle.subscribe(point(1), LONG).unwrap();
        let finish = std::thread::spawn(move || running.finish());
        drop(held);
        let expected = Some((Count(1), Sum::of(1)));
        for asked in asked {
            asked.wait().expect("it was accepted before the end");
        }
        finish.join().unwrap().unwrap();
        pushed.receipt.wait_visible(LONG).unwrap();
        let mut last = None;
        while let Some(answer) = subscription.next() {
            last = answer.value();
        }
        assert_eq!(last, expected, "the last answer has all, however long its turn is off");
    }
}

#[test]
fn many_come_and_go_while_the_engine_stops() {
    for workers in 1..=3 {
        let (handle, pusher, running) = start(workers, |engine| engine.asking(64, 40));
        let slow = handle.subscribe(Query::total(DayRange::ALL), Duration::ZERO).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        for thread in 0..6u64 {
            let (handle, pusher, done) = (handle.clone(), pusher.clone(), Arc::clone(&done));
            threads.push(std::thread::spawn(move || {
                for turn in 0.. {
                    let key = (thread + turn) % 5;
                    let is_open = match thread {
                        0 => pusher.push(vec![(NOON, key, 1)]).is_ok(),
                        1 => block_on(pusher.push_async(vec![(NOON, key, 1)])).is_ok(),
                        2 => handle.ask(point(key)).is_ok(),
                        3 => block_on(handle.ask_async(point(key))).is_ok(),
                        4 => handle.send(point(key)).err() != Some(AskError::Stopped),
                        _ => match handle.subscribe(point(key), Duration::from_millis(turn % 3)) {
                            Ok(mut subscription) => {
                                turn % 2 == 0 || subscription.next_timeout(LONG).is_ok()
                            }
                            Err(error) => error != AskError::Stopped,
                        },
                    };
                    if !is_open {
                        break;
                    }
                    done.fetch_add(1, Ordering::AcqRel);
                }
            }));
        }
        drop(pusher);
        while done.load(Ordering::Acquire) < 3_000 {
            std::thread::yield_now();
        }
        running.finish().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(handle.waiting(), (0, 1));
        drop(slow);
        assert_eq!(handle.waiting(), (0, 0));
    }
}

#[test]
fn oracle_each_delivered_answer_is_a_moment_of_what_was_pushed() {
    const PUSHES: i64 = 300;
    for workers in 1..=3 {
        let (handle, pusher, running) = start(workers, |engine| engine);
        let mut watching = Vec::new();
        // All have an answer before anything is pushed.
        let subscribed = Arc::new(Barrier::new(4));
        for every in [0, 1, 5] {
            let (handle, subscribed) = (handle.clone(), Arc::clone(&subscribed));
            watching.push(std::thread::spawn(move || {
                let every = Duration::from_millis(every);
                let mut subscription =
                    handle.subscribe(Query::total(DayRange::ALL), every).unwrap();
                let (mut last, mut delivered) = ((Count(0), Sum::of(0)), 0);
                loop {
                    let Some(answer) = subscription.next() else { return (last, delivered) };
                    let value = answer.value().unwrap_or((Count(0), Sum::of(0)));
                    // One thread pushes n events of value n, for n from 1: a moment has whole pushes.
                    let pushes = (0..=PUSHES).find(|n| n * (n + 1) / 2 == value.0.0);
                    let pushes = pushes.expect("whole pushes are visible");
                    let sum = (1..=pushes).map(|n| n * n).sum::<i64>();
                    assert_eq!(value.1, Sum::of(sum), "both values are of one moment");
                    assert!(value >= last, "moments rise");
                    (last, delivered) = (value, delivered + 1);
                    if delivered == 1 {
                        subscribed.wait();
                    }
                }
            }));
        }
        subscribed.wait();
        for n in 1..=PUSHES {
            push(&pusher, (0..n).map(|key| (NOON, key as u64, n)).collect());
        }
        let asked = handle.ask(Query::total(DayRange::ALL)).unwrap().value().unwrap();
        // The first answer of a subscription has what was acknowledged before, too.
        let mut late = handle.subscribe(Query::total(DayRange::ALL), LONG).unwrap();
        assert_eq!(late.next().unwrap().value(), Some(asked));
        drop(late);
        running.finish().unwrap();
        for watching in watching {
            let (last, delivered) = watching.join().unwrap();
            assert_eq!(last, asked);
            assert!(delivered > 1);
        }
        assert_eq!(handle.waiting(), (0, 0));
    }
}

/// Waits until the numbers are so.
#[track_caller]
fn await_numbers(
    handle: &ViewHandle<u64, Totals>,
    is: impl Fn(&ViewNumbers) -> bool,
) -> ViewNumbers {
    let started = Instant::now();
    loop {
        let state = handle.status();
        assert!(state.error.is_none(), "{state:?}");
        if is(&state.numbers) {
            return state.numbers;
        }
        assert!(started.elapsed() < LONG, "{state:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_state_of_a_view_is_known_without_asking_it() {
    let days: Vec<Day> = (-1..=2).map(|n| Day((NOON / DAY_MS) as i32 + n)).collect();
    for workers in 1..=3 {
        let now = Arc::new(AtomicI64::new(NOON));
        let clock = Arc::clone(&now);
        let (handle, pusher, running) =
            start(workers, |engine| engine.clock(move || clock.load(Ordering::SeqCst)));
        // Of each key one worker has both days.
        let events = |day: i64| (0..50).map(move |key| (NOON + day * DAY_MS, key, 1)).collect();
        push(&pusher, events(0));
        push(&pusher, events(1));
        let numbers = await_numbers(&handle, |numbers| numbers.last_day == Some(days[2]));
        assert_eq!(numbers.first_day, Some(days[1]));
        assert_eq!(numbers.sealed_days, 0);
        await_numbers(&handle, |numbers| (numbers.unsealed_days, numbers.groups) == (2, 100));

        now.store(NOON + DAY_MS, Ordering::SeqCst);
        handle.wait_sealed_through(days[1], LONG).unwrap();
        let numbers = handle.status().numbers;
        assert_eq!((numbers.sealed_through, numbers.sealed_days), (Some(days[1]), 1));
        assert_eq!((numbers.first_day, numbers.last_day), (Some(days[1]), Some(days[2])));
        push(&pusher, events(-1));
        await_numbers(&handle, |numbers| {
            (numbers.first_day, numbers.late, numbers.groups) == (Some(days[0]), 50, 100)
        });
        drop(pusher);
        running.finish().unwrap();
        let numbers = handle.status().numbers;
        assert_eq!((numbers.first_day, numbers.last_day), (Some(days[0]), Some(days[2])));
        assert_eq!((numbers.sealed_through, numbers.sealed_days), (Some(days[2]), 3));
        assert_eq!((numbers.unsealed_days, numbers.groups), (0, 0));
    }
}

#[test]
fn the_state_of_a_view_says_what_went_wrong() {
    let mut engine = Engine::<Event>::new().clock(|| NOON);
    let limits = Limits::new(10, 10, usize::MAX);
    let view = View::new("small").unwrap().limits(limits);
    let handle = engine
        .view(view, Measures::none(), |&(time, key, _): &Event| Some((time, key, Count::one())));
    let state = handle.status();
    assert!(state.numbers == ViewNumbers::default() && state.error.is_none());
    let mut rows = "t,k\n".to_owned();
    (0..1_000).for_each(|key| rows.push_str(&format!("{NOON},{key}\n")));
    let engine = engine.csv(
        move |_| {
            let options = CsvOptions::new("t").fields(["k"]);
            let input = Input::reader("rows", std::io::Cursor::new(rows));
            Ok(Some(CsvSource::open(input, options)?))
        },
        |row| {
            let key = std::str::from_utf8(row.field(0)).ok().and_then(|key| key.parse().ok());
            Ok((row.time(), key.ok_or("no key")?, 1))
        },
    );
    let running = engine.start(Cluster::workers(2)).unwrap();
    assert!(running.wait_stopped(LONG));
    drop(running);
    let error = handle.status().error.unwrap();
    assert!(error.downcast_ref::<LimitError>().is_some(), "{error}");
}
