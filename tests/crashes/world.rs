//! What outlives the runs of a program: the machine, the sources, and what is known about them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::log::Durability;
use dayfold::store::Faulty;
use dayfold::time::{Day, EventTime};

use crate::content::Content;
use crate::program::{Event, HOUR, Program, Rows, START, Spec, lock};
use crate::random::Random;

/// What is known about a pushed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was acknowledged as durable, or seen in a sealed day: it is in, whatever happens.
    In,
    /// It was pushed, and the next complete run will show whether it is in.
    Open,
    /// It never entered.
    Out,
}

/// The views of a complete run, by name: the last sealed period, and the rows.
pub(crate) type Past = BTreeMap<&'static str, (Day, Rows)>;

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) storage: Faulty,
    pub(crate) program: Program,
    pub(crate) content: Content,
    /// The events of each batch; the first one has the number 1.
    pub(crate) batches: Vec<(Vec<Event>, Fate)>,
    /// Batches that were pushed with a key, and when they first were.
    pub(crate) keyed: BTreeMap<u64, EventTime>,
    /// The number of operations of the last complete run.
    pub(crate) operations: u64,
    /// The operation from which this run may go wrong, as the storage counts.
    pub(crate) faulty_from: u64,
    pub(crate) past: Past,
    /// Batches with lower numbers are from earlier runs.
    pub(crate) old_batches: usize,
    /// Whether a file was damaged. A repair computes only the newest revision, so the past is not queried any more.
    pub(crate) damaged: bool,
    /// Files of sealed days that count, if the last run was complete.
    pub(crate) sealed_files: Vec<PathBuf>,
    /// The maximum number of things that a run does besides reading.
    pub(crate) acts: u64,
    /// What was done, to help find the reason of a failure.
    trace: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Arc<Mutex<Vec<String>>>) -> World {
        let mut random = Random(seed);
        let (reads, is_live) =
            random.pick(&[(true, false), (true, false), (true, true), (false, true)]);
        let mut views = vec![Spec::random("first", &mut random)];
        if random.one_in(2) {
            views.push(Spec::random("second", &mut random));
        }
        if is_live {
            views.push(Spec::batches(&mut random));
        }
        // A clock that stands still keeps the days of the file open, and one that is far ahead has many open days.
        let limit = match (reads, is_live) {
            (true, true) => 40_000,
            (true, false) => random.pick(&[40_000, 30]),
            (false, _) => random.pick(&[40_000, 8, 4]),
        };
        views.iter_mut().for_each(|view| view.limit = limit);
        let durability = random.pick(&[
            Durability::EveryCommit,
            Durability::Every(Duration::from_millis(2)),
            Durability::System,
        ]);
        let tick_rows = random.pick(&[1, 10, 10, 100, 10_000]);
        let clock = Arc::new(AtomicI64::new(START));
        let content = Content::new(random.one_in(2));
        let log_days = random.pick(&[None, None, Some(0), Some(3)]);
        let program = Program { views, durability, reads, is_live, tick_rows, log_days, clock };
        let world = World {
            storage: Faulty::new(random.next()),
            random,
            program,
            content,
            batches: Vec::new(),
            keyed: BTreeMap::new(),
            operations: 60,
            faulty_from: u64::MAX,
            past: Past::new(),
            old_batches: 0,
            damaged: false,
            sealed_files: Vec::new(),
            acts: 8,
            trace,
        };
        world.note(format!(
            "{:?}, {durability:?}, ticks of {tick_rows}, csv {reads}, live {is_live}, log of {log_days:?} days",
            world.program.views
        ));
        world
    }

    /// A small source and two views, and a machine with its own seed: the operations are the same each time, except for
    /// the order of threads.
    pub(crate) fn small(seed: u64, trace: Arc<Mutex<Vec<String>>>) -> World {
        let mut random = Random(1);
        let mut views =
            vec![Spec::random("first", &mut random), Spec::random("second", &mut random)];
        views[0].keep = (1, 1);
        let mut world = World::new(seed, trace);
        world.program = Program {
            views,
            durability: Durability::EveryCommit,
            reads: true,
            is_live: false,
            tick_rows: 10,
            log_days: Some(0),
            ..world.program
        };
        (world.random, world.content, world.acts) = (random, Content::new(false), 1);
        world.content.grow_by(12, &mut world.random);
        world
    }

    /// Whether a failure has happened in the storage.
    pub(crate) fn has_failed(&self) -> bool {
        self.storage.operations() >= self.faulty_from
    }

    pub(crate) fn note(&self, what: String) {
        lock(&self.trace).push(what);
    }

    /// Changes between two runs: more rows, other graces, a view that is added or redefined.
    pub(crate) fn change(&mut self) {
        if self.program.reads {
            self.content.grow(&mut self.random);
        }
        let random = &mut self.random;
        self.program.clock.fetch_add(random.between(0, 30) * HOUR, Ordering::SeqCst);
        let views = &mut self.program.views;
        if random.one_in(4) {
            views.iter_mut().for_each(|view| view.grace = Spec::grace(random));
        }
        if random.one_in(8) && views.iter().all(|view| view.name != "added") {
            let mut added = Spec::random("added", random);
            added.limit = views[0].limit;
            views.push(added);
        }
        // A view cannot be computed anew if the log no longer has its events.
        if self.program.log_days.is_none() && random.one_in(8) {
            let view = random.below(views.len() as u64) as usize;
            views[view].factor = random.between(1, 4);
            views[view].redefined = true;
            self.past.remove(views[view].name);
        }
        let views: Vec<_> = views.iter().map(|view| (view.name, view.grace, view.factor)).collect();
        self.note(format!("{} rows; views, graces, factors: {views:?}", self.content.events.len()));
    }

    /// A new batch of events around the wall clock, and its number.
    pub(crate) fn batch(&mut self) -> (u64, Vec<Event>) {
        let (now, number) =
            (self.program.clock.load(Ordering::SeqCst), self.batches.len() as u64 + 1);
        let random = &mut self.random;
        let event = |random: &mut Random| {
            let late = if random.one_in(5) { 100 } else { 2 };
            let time = now - random.between(-HOUR, late * HOUR);
            (time, random.below(30), random.between(-1_000, 1_000), number)
        };
        let events: Vec<Event> = (0..1 + random.below(6)).map(|_| event(random)).collect();
        self.batches.push((events.clone(), Fate::Open));
        (number, events)
    }

    /// A batch to push with a key: a new one, or one that came with its key less than a day ago.
    pub(crate) fn keyed_batch(&mut self) -> (u64, Vec<Event>) {
        let now = self.program.clock.load(Ordering::SeqCst);
        let known = self.keyed.iter().filter(|(_, asked)| now - **asked < 24 * HOUR);
        let known: Vec<u64> = known.map(|(number, _)| *number).collect();
        if known.is_empty() || self.random.one_in(3) {
            let (number, events) = self.batch();
            self.keyed.insert(number, now);
            return (number, events);
        }
        let number = self.random.pick(&known);
        (number, self.batches[number as usize - 1].0.clone())
    }

    pub(crate) fn fate(&mut self, number: u64) -> &mut Fate {
        &mut self.batches[number as usize - 1].1
    }

    /// The pushed events with this fate.
    pub(crate) fn pushed(&self, fate: Fate) -> impl Iterator<Item = &Event> {
        self.batches.iter().filter(move |(_, of)| *of == fate).flat_map(|(events, _)| events)
    }

    /// All events that are in, if the CSV source has this many rows.
    pub(crate) fn events(&self, rows: usize) -> impl Iterator<Item = &Event> {
        let rows = self.content.events[..rows].iter().map(|(_, event)| event);
        rows.chain(self.pushed(Fate::In))
    }
}
