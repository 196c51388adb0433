//! Subscribers in the processes of a cluster: each gets the right answers, whichever process gets the events; slow or
//! missing subscribers hold nobody up.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, Subscription, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, Query};
use dayfold::time::{Day, DayRange};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// Event time, key, value.
type Event = (i64, u64, i64);
type Totals = (Count, Sum);
/// The values of an answer, without their parts.
type Said = Vec<(Option<Day>, Option<u64>, Option<Totals>)>;

const NOON: i64 = 1_714_557_600_000;
const DAY_MS: i64 = 86_400_000;
const KEYS: u64 = 20;

struct Program {
    handle: ViewHandle<u64, Totals>,
    pusher: Pusher<Event>,
    running: Running,
}

/// Two processes in one, with some workers each, and the clock of both.
fn start(workers: usize) -> (Vec<Program>, Arc<AtomicI64>) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = listeners.each_ref().map(|it| it.local_addr().unwrap().to_string());
    drop(listeners);
    let now = Arc::new(AtomicI64::new(NOON));
    let program = |process: usize| {
        let clock = Arc::clone(&now);
        let mut engine = Engine::<Event>::new().clock(move || clock.load(Ordering::SeqCst));
        let view = View::new("subscribed").unwrap();
        let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::of(value))))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let cluster = Cluster::hosts(workers, process, hosts.to_vec()).unwrap();
        Program { handle, pusher, running: engine.start(cluster).unwrap() }
    };
    let programs = std::thread::scope(|scope| {
        [0, 1].map(|process| scope.spawn(move || program(process))).map(|it| it.join().unwrap())
    });
    (programs.into(), now)
}

fn queries() -> [Query<u64>; 3] {
    [
        Query::point(3, DayRange::ALL),
        Query::series(4, DayRange::ALL),
        Query::rows(KeyRange::all(), DayRange::ALL),
    ]
}

fn said(answer: &Answer<u64, Totals>) -> Said {
    let items = answer.items.iter();
    let said: Said = items.map(|item| (item.day, item.key, item.parts.merged())).collect();
    said.into_iter().filter(|(_, _, value)| value.is_some()).collect()
}

/// Waits for an answer with this value; earlier ones must have the previous value.
#[track_caller]
fn hears(subscription: &mut Subscription<u64, Totals>, before: &Said, now: &Said) {
    loop {
        let heard = said(&subscription.next_timeout(LONG).unwrap());
        if heard == *now {
            return;
        }
        assert_eq!(heard, *before, "neither what was nor what is");
    }
}

#[test]
fn each_process_hears_what_the_answers_say_and_nobody_waits_for_the_others() {
    for workers in 1..=2 {
        let (programs, now) = start(workers);
        let subscribe = |program: &Program| {
            queries().map(|query| program.handle.subscribe(query, Duration::ZERO).unwrap())
        };
        let mut listening: Vec<_> = programs.iter().map(subscribe).collect();
        // Nobody reads these, and these are dropped before the end.
        let mut slow: Vec<_> = programs.iter().map(subscribe).collect();
        let mut leaving: Vec<_> = programs.iter().map(subscribe).collect();

        let mut before: [Said; 3] = Default::default();
        for round in 0..20 {
            // Each push has keys of all workers, and every fifth one a day that is closed or in the future.
            let time = NOON + [0, 0, 0, -DAY_MS, DAY_MS / 4][round % 5];
            let events = (0..KEYS).map(|key| (time, key, round as i64)).collect();
            let pusher = &programs[round % 2].pusher;
            pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
            let asked =
                queries().map(|query| said(&programs[round % 2].handle.ask(query).unwrap()));
            assert_eq!(asked[0].first().unwrap().2.unwrap().0, Count(round as i64 + 1));
            assert_eq!(asked[2].len() as u64 % KEYS, 0);
            for subscriptions in &mut listening {
                for ((subscription, before), asked) in
                    subscriptions.iter_mut().zip(&before).zip(&asked)
                {
                    hears(subscription, before, asked);
                }
            }
            before = asked;
            if round == 7 {
                leaving.clear();
            }
        }
        for program in &programs {
            assert_eq!(program.handle.waiting(), (0, 6), "those that are gone are forgotten");
        }

        // A day closes: the value stays, but its parts change.
        now.store(NOON + DAY_MS, Ordering::SeqCst);
        let today = programs[0].handle.view().calendar().day_of(NOON);
        for (program, subscriptions) in programs.iter().zip(&mut listening) {
            program.handle.wait_sealed_through(today, LONG).unwrap();
            for (subscription, before) in subscriptions.iter_mut().zip(&before) {
                loop {
                    let answer = subscription.next_timeout(LONG).unwrap();
                    assert_eq!(said(&answer), *before);
                    if answer.certificate.sealed_through >= Some(today) {
                        break;
                    }
                }
            }
        }

        std::thread::scope(|scope| {
            for Program { pusher, running, .. } in programs {
                scope.spawn(move || {
                    drop(pusher);
                    running.finish().unwrap();
                });
            }
        });
        // Slow ones have missed all but the latest, and then all get the end.
        for subscriptions in &mut slow {
            for (subscription, before) in subscriptions.iter_mut().zip(&before) {
                assert_eq!(said(&subscription.next().unwrap()), *before);
                assert!(subscription.next().is_none());
            }
        }
        for subscription in listening.iter_mut().flatten() {
            while let Some(answer) = subscription.next() {
                assert!(before.contains(&said(&answer)));
            }
        }
    }
}
