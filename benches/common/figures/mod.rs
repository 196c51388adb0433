//! The figures of the log, one in each module, and the program with which they are measured.

pub(crate) mod closing;
pub(crate) mod ingest;
pub(crate) mod opening;
mod plain;
pub(crate) mod recovery;
mod traced;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Receipt, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::store::Storage;
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::workload::{Event, State};

/// A longer wait than this is for something that does not come.
const LIMIT: Duration = Duration::from_secs(300);

/// The durability that is measured: group commit every 10 ms.
const GROUPED: Durability = Durability::Every(Duration::from_millis(10));

/// Whether a run should take seconds, not minutes.
fn is_short() -> bool {
    std::env::var_os("DAYFOLD_BENCH_SHORT").is_some()
}

fn view() -> View {
    View::new("bench").unwrap()
}

/// A running engine with one view over a live source, whose clock is set by hand.
struct Program {
    running: Running,
    view: ViewHandle<u64, State>,
    pusher: Pusher<Event>,
    clock: Arc<AtomicI64>,
}

impl Program {
    /// Starts on a folder, with a log or without. No day closes before the clock is set: it stays at `start`, and
    /// events may be any time ahead of it.
    fn start(
        storage: Arc<dyn Storage>,
        folder: &Path,
        workers: usize,
        durability: Option<Durability>,
        start: EventTime,
    ) -> Program {
        let clock = Arc::new(AtomicI64::new(start));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Event>::new()
            .data_in(storage, folder)
            .clock(move || now.load(Ordering::Relaxed));
        if let Some(durability) = durability {
            engine = engine.log(durability, |event: &Event| event.0);
        }
        let stats = |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::from(value), Max(value))))
        };
        let handle = engine.view(view(), Measures::none(), stats);
        let any_time = LiveOptions::new(time_of).ahead_limit(Duration::MAX);
        let pusher = engine.live(any_time);
        let running = engine.start(Cluster::workers(workers)).unwrap();
        Program { running, view: handle, pusher, clock }
    }

    fn push(&self, events: Vec<Event>) -> Receipt {
        let pushed = self.pusher.push(events).unwrap();
        assert!(pushed.refused.is_empty(), "no event is too far ahead");
        pushed.receipt
    }
}

fn time_of(event: &Event) -> EventTime {
    event.0
}

fn fail(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1);
}

/// The greatest and the median.
fn summary(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() - 1], values[values.len() / 2])
}
