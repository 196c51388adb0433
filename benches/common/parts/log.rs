//! The log, on files in memory. 100,000 events from a push until they are visible, without a log and with one, in which
//! they are also encoded into frames and committed; reading a log of a million events and verifying its checksums; and
//! an engine that starts over it, decodes its frames and folds their events again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::log::{Durability, LogState, Verified, scan, verify};
use dayfold::serve::Query;
use dayfold::store::Memory;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::workload::{self, Event, START, State};

const BATCH: usize = 100_000;
const BATCHES: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);
const FOLDER: &str = "/parts";

struct Program {
    running: Running,
    view: ViewHandle<u64, State>,
    pusher: Pusher<Event>,
}

impl Program {
    /// An engine whose clock stands still: no day closes.
    fn start(storage: &Memory, logged: bool) -> Program {
        let mut engine =
            Engine::<Event>::new().data_in(Arc::new(storage.clone()), FOLDER).clock(|| START);
        if logged {
            engine = engine.log(Durability::EveryCommit, |event: &Event| event.0);
        }
        let stats = |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::from(value), Max(value))))
        };
        let view = engine.view(View::new("parts").unwrap(), Measures::none(), stats);
        let options = LiveOptions::new(|event: &Event| event.0).ahead_limit(Duration::MAX);
        let pusher = engine.live(options);
        Program { running: engine.start(Cluster::workers(1)).unwrap(), view, pusher }
    }

    /// Pushes events and waits for them.
    fn push(&self, events: Vec<Event>, logged: bool) {
        let pushed = self.pusher.push(events).unwrap();
        assert!(pushed.refused.is_empty(), "no event is too far ahead");
        let receipt = pushed.receipt;
        if logged { receipt.wait_both(LIMIT) } else { receipt.wait_visible(LIMIT) }.unwrap();
    }

    fn check(&self, expected: usize) {
        let answer = self.view.ask(Query::total(DayRange::ALL)).unwrap();
        let count = answer.value().map(|(count, ..)| count);
        assert_eq!(count, Some(Count(expected as i64)), "not all events are there");
    }
}

#[divan::bench(args = ["no log", "a log"], sample_count = 50, sample_size = 1)]
fn push(bencher: Bencher, kind: &str) {
    let logged = kind == "a log";
    let program = Program::start(&Memory::default(), logged);
    let events = workload::first_events(BATCH);
    program.push(events.clone(), logged);
    program.check(BATCH);
    let mut batches = 1;
    let input = || {
        batches += 1;
        events.clone()
    };
    bencher
        .counter(BATCH)
        .with_inputs(input)
        .bench_local_values(|events| program.push(events, logged));
    program.check(batches * BATCH);
}

/// A folder with a log of a million events.
fn logged() -> Memory {
    let storage = Memory::default();
    let program = Program::start(&storage, true);
    workload::first_events(BATCH * BATCHES)
        .chunks(BATCH)
        .for_each(|batch| program.push(batch.to_vec(), true));
    program.check(BATCH * BATCHES);
    storage
}

fn read(storage: &Memory) -> (LogState, Verified) {
    let part: PathBuf = Path::new(FOLDER).join("part-0");
    let state = scan(storage, &[(0, part)], u64::MAX).unwrap();
    let verified = verify(storage, &state).unwrap();
    (state, verified)
}

#[divan::bench(sample_count = 50)]
fn verify_a_million(bencher: Bencher) {
    let storage = logged();
    assert_eq!(read(&storage).1.events, (BATCH * BATCHES) as u64);
    bencher.counter(BATCH * BATCHES).bench_local(|| read(&storage));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn recover_a_million(bencher: Bencher) {
    let storage = logged();
    let recover = || {
        let program = Program::start(&storage, true);
        while !program.running.progress().recovered {
            std::thread::sleep(Duration::from_micros(100));
        }
        program
    };
    recover().check(BATCH * BATCHES);
    bencher.counter(BATCH * BATCHES).bench_local(recover);
}
