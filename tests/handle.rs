//! The handle of an engine: asking, and subscriptions, from threads and tasks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{AskError, LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};

/// Event time, key, value.
type Event = (i64, u64, i64);
type Totals = (Count, Sum);

/// Bounds hanging only.
const LONG: Duration = Duration::from_secs(60);
/// Noon of a day, and a clock that stays there.
const NOON: i64 = 1_714_557_600_000;

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

/// The least runtime there is: a thread that sleeps until it is woken.
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
        let asked = handle.send(point(3)).unwrap();
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
        // The clock stands at noon: the days before close once, and that is told.
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

        // The day is sealed at the end: its value stays, its parts move, and then it is over.
        drop(pusher);
        assert!(running.wait_sealed(LONG).unwrap());
        running.finish().unwrap();
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
