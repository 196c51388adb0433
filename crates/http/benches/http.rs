//! The HTTP server during ingest: point queries while events come at 100,000 per second, and ingest, at a million a
//! second and at full speed, with 1,000 live subscribers.
//!
//! Client, server and one worker share the machine and one process; everything goes over loopback connections that stay
//! open. Totals are compared with the pushed events before a figure is printed. `DAYFOLD_BENCH_SHORT=1` takes a second
//! for each figure, and fewer subscribers.

#![allow(missing_docs, clippy::unwrap_used)]

// Each benchmark uses only a part of both.
#[allow(dead_code)]
#[path = "../examples/http_load/client.rs"]
mod client;
#[path = "../../../benches/common/workload/events.rs"]
mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::{Listeners, ask};
use dayfold::aggregate::{Count, Decimal, Max, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_http::{Server, Serving};
use workload::{Event, State};

const EVENTS: usize = 1_000_000;
const BATCH: usize = 1_000;
const ASKING_RATE: u64 = 100_000;
/// The rate at which subscribers may slow ingest by a tenth.
const INGEST_RATE: u64 = 1_000_000;
const CONNECTIONS: usize = 16;
/// A run prints the wanted figures beside its own.
const WANTED: &str = "wanted: 20,000/s, p99 5 ms; ingest at 1 M events/s no more than 10 % slower";

fn main() {
    let is_short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    let (time, subscribers, rounds) = match is_short {
        true => (Duration::from_secs(1), 100, 1),
        false => (Duration::from_secs(5), 1_000, 3),
    };
    println!("{WANTED}");
    let events = Arc::new(workload::first_events(EVENTS));
    asking(&events, time);
    for (name, rate) in [("at 1 M events/s", Some(INGEST_RATE)), ("as fast as it goes", None)] {
        let mut ratios = Vec::new();
        for _ in 0..rounds {
            let alone = ingest(&events, time, rate, 0);
            let beside = ingest(&events, time, rate, subscribers);
            println!(
                "ingest {name}: {alone:.0} events/s alone, {beside:.0} beside {subscribers} \
                 subscribers: {:.1} % slower",
                (1.0 - beside / alone) * 100.0
            );
            ratios.push(beside / alone);
        }
        ratios.sort_by(f64::total_cmp);
        println!("{name}, median: {:.1} % slower", (1.0 - ratios[ratios.len() / 2]) * 100.0);
    }
}

struct Program {
    running: Running,
    serving: Serving,
    view: ViewHandle<u64, State>,
    pusher: Pusher<Event>,
}

impl Program {
    fn start() -> Program {
        let mut engine = Engine::<Event>::new();
        let measures = Measures::none()
            .measure("events", |state: &State| Some(state.0.0.into()))
            .measure("greatest", |state: &State| i64::try_from(state.2.0).ok().map(Decimal::from));
        let view = engine.view(View::new("by-key").unwrap(), measures, |event: &Event| {
            let state = (Count::one(), Sum::from(event.2), Max(event.2));
            Some((event.0, event.1, state))
        });
        // Times of the workload are long ago, and in order to within minutes, so no event is late.
        let disorder = Duration::from_millis(i64::MAX as u64 / 4);
        let options = LiveOptions::new(|event: &Event| event.0).disorder(disorder);
        let pusher = engine.live(options);
        let running = engine.start(Cluster::workers(1)).unwrap();
        let server = Server::new("bench").observe(running.observer()).views(&running.views());
        let serving = server.serve("127.0.0.1:0").unwrap();
        Program { running, serving, view, pusher }
    }

    /// Compares the total with the pushed events, and stops.
    fn end(self, pushed: u64) {
        let answer = self.view.ask(Query::total(DayRange::ALL)).unwrap();
        assert_eq!(answer.value().map_or(0, |state| state.0.0) as u64, pushed);
        self.serving.stop();
        drop(self.pusher);
        self.running.finish().unwrap();
    }
}

/// Pushes the events repeatedly, at a rate or as fast as possible, until it is told to end and all are visible. Returns
/// their number, and the rate per second.
fn push(
    pusher: Pusher<Event>,
    events: Arc<Vec<Event>>,
    rate: Option<u64>,
    done: Arc<AtomicBool>,
) -> JoinHandle<(u64, f64)> {
    std::thread::spawn(move || {
        let (began, mut pushed) = (Instant::now(), 0u64);
        let mut last = None;
        for batch in events.chunks(BATCH).cycle() {
            if done.load(Ordering::Relaxed) {
                break;
            }
            if let Some(rate) = rate {
                let due = Duration::from_nanos(pushed * 1_000_000_000 / rate);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            let outcome = pusher.push(batch.to_vec()).unwrap();
            assert!(outcome.refused.is_empty());
            pushed += batch.len() as u64;
            last = Some(outcome.receipt);
        }
        last.unwrap().wait_visible(Duration::from_secs(60)).unwrap();
        (pushed, pushed as f64 / began.elapsed().as_secs_f64())
    })
}

fn asking(events: &Arc<Vec<Event>>, time: Duration) {
    let program = Program::start();
    let done = Arc::new(AtomicBool::new(false));
    let (pusher, events) = (program.pusher.clone(), Arc::clone(events));
    let keys: Vec<u64> = events.iter().take(10_000).map(|event| event.1).collect();
    let pushing = push(pusher, events, Some(ASKING_RATE), Arc::clone(&done));
    let path = move |number: u64| {
        let key = keys[number as usize % keys.len()];
        format!("/api/views/by-key/value?key={key}")
    };
    let address = program.serving.address();
    // The first time warms up, the second is measured.
    ask(address, CONNECTIONS, time / 5, path.clone()).unwrap();
    let asked = ask(address, CONNECTIONS, time, path).unwrap();
    done.store(true, Ordering::Relaxed);
    let (pushed, rate) = pushing.join().unwrap();
    program.end(pushed);
    assert_eq!(asked.refused, 0);
    let ms = |quantile| asked.latency.value_at_quantile(quantile) as f64 / 1e6;
    println!(
        "{CONNECTIONS} connections: {:.0} answers/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, beside \
         {rate:.0} events/s",
        asked.per_second(),
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

/// Events per second, with this many listeners of the total.
fn ingest(events: &Arc<Vec<Event>>, time: Duration, rate: Option<u64>, subscribers: usize) -> f64 {
    let program = Program::start();
    let path = |_| "/api/views/by-key/live".to_owned();
    let listeners = Listeners::subscribe(program.serving.address(), subscribers, path).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let pushing = push(program.pusher.clone(), Arc::clone(events), rate, Arc::clone(&done));
    std::thread::sleep(time);
    done.store(true, Ordering::Relaxed);
    let (pushed, rate) = pushing.join().unwrap();
    let heard = listeners.heard();
    assert!(heard.iter().all(|answers| *answers > 0), "everybody hears something");
    drop(listeners);
    program.end(pushed);
    rate
}
