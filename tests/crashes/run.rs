//! One run of the program: what it does, how it ends, and what is checked meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dayfold::Cluster;
use dayfold::engine::{
    AskError, EngineError, MaintainError, Maintained, OnceError, Pusher, Running, ViewHandle,
    WaitError,
};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, Query, Revision};
use dayfold::store::{Failure, StoreError};
use dayfold::time::{Day, DayRange};

use crate::program::{Built, Event, HOUR, Rows, Spec, Stats, lock};
use crate::world::{Fate, World};

/// A step that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(60);

/// How a run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Complete,
    Interrupt,
    /// The program drops the engine.
    Drop,
    /// A crash at the operation with this number in the run.
    Crash(u64),
    Fail(u64, Failure),
}

/// A run in progress.
struct Run<'a> {
    world: &'a mut World,
    built: Built,
    running: Running,
    /// The count that each view has shown.
    shown: Vec<i64>,
}

/// The run has ended because of the planned failure.
struct Over;

impl World {
    /// Runs the program once. Returns whether the run was complete: everything sealed, and finished in order.
    pub(crate) fn run(&mut self, workers: usize, end: End) -> bool {
        self.note(format!("{workers} workers, to end with {end:?}"));
        let base = self.storage.operations();
        match end {
            End::Crash(number) => self.storage.crash_at(base + number),
            End::Fail(number, failure) => self.storage.fail_at(base + number, failure),
            _ => {}
        }
        self.faulty_from = match end {
            End::Crash(number) | End::Fail(number, _) => base + number,
            _ => u64::MAX,
        };
        self.old_batches = self.batches.len();
        self.sealed_files.clear();
        let (built, started) = self.start(workers);
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                self.judge(&error);
                return false;
            }
        };
        let shown = vec![0; built.handles.len()];
        let mut run = Run { world: self, built, running, shown };
        let result = run.go(end);
        let Run { built, running, .. } = run;
        let complete = match result {
            Ok(true) => match running.finish() {
                Ok(stopped) => {
                    assert!(stopped.sealed, "it was sealed before");
                    true
                }
                Err(EngineError::Interrupted) => true,
                Err(error) => {
                    self.judge(&error);
                    false
                }
            },
            Ok(false) => {
                drop(running);
                false
            }
            Err(Over) => {
                let error = running.finish().err();
                self.judge(&error.expect("an engine that has stopped says why"));
                false
            }
        };
        let told = lock(&built.told);
        self.check_refused(&told.refused);
        drop(told);
        self.note(format!("complete: {complete}, {} operations", self.storage.operations() - base));
        if complete && self.faulty_from == u64::MAX {
            self.operations = self.storage.operations() - base;
        }
        if complete {
            for (_, fate) in &mut self.batches[self.old_batches..] {
                *fate = if *fate == Fate::Open { Fate::In } else { *fate };
            }
        }
        complete
    }

    /// Starts an engine once the folder is free. If a source was being opened when an engine ended, it may hold the
    /// folder a little longer.
    fn start(&self, workers: usize) -> (Built, Result<Running, EngineError>) {
        loop {
            let mut built = self.program.build(&self.storage, &self.content);
            let engine = std::mem::take(&mut built.engine);
            match engine.start(Cluster::workers(workers)) {
                Err(EngineError::Store(StoreError::InUse { .. })) => std::thread::yield_now(),
                started => return (built, started),
            }
        }
    }

    /// Checks that an error is a proper one, and comes from the planned failure.
    pub(crate) fn judge(&self, error: &EngineError) {
        let text = format!("{error}");
        self.note(format!("ended with: {text}"));
        assert!(self.has_failed(), "nothing had gone wrong: {text}");
        assert!(!text.contains("a worker stopped") && !text.contains("panicked"), "{text}");
    }

    /// Checks that refused rows came in the order of the source, each once.
    fn check_refused(&self, refused: &[dayfold::source::Refused]) {
        assert!(refused.len() <= self.content.refused.len(), "too many refused: {refused:?}");
        for (found, (line, row, reason)) in refused.iter().zip(&self.content.refused) {
            assert_eq!((found.line, &found.row), (*line, row), "{refused:?}");
            assert!(reason.is_none_or(|reason| found.reason == reason), "{found:?}");
        }
    }
}

impl Run<'_> {
    /// Returns whether everything was sealed, unless the engine is to be dropped.
    fn go(&mut self, end: End) -> Result<bool, Over> {
        for _ in 0..self.world.random.below(self.world.acts) {
            self.act()?;
        }
        match end {
            End::Drop => return Ok(false),
            End::Interrupt => self.running.interrupt(),
            _ => {}
        }
        for _ in 0..self.world.random.below(self.world.acts.min(3)) {
            self.act()?;
        }
        self.built.pusher = None;
        self.seal()?;
        for _ in 0..self.world.random.below(self.world.acts.min(3)) {
            self.act()?;
        }
        self.check_sealed()?;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.world.has_failed()
    }

    /// An operation may fail only if a failure was planned.
    fn over<T, E: std::fmt::Display>(&self, result: Result<T, E>, what: &str) -> Result<T, Over> {
        result.map_err(|error| {
            self.world.note(format!("{what}: {error}"));
            let is_over = self.is_over();
            let stopped = self.running.wait_sealed(Duration::ZERO);
            assert!(is_over, "{what}: {error}, and nothing had gone wrong: {stopped:?}");
            Over
        })
    }

    /// The result of an audit or a rebuild. One that fails leaves the engine as it was.
    fn maintained(
        &self,
        result: Result<Maintained, MaintainError>,
    ) -> Result<Option<Maintained>, Over> {
        match result {
            Err(MaintainError::Failed { message, .. }) => {
                assert!(self.is_over(), "{message}, and nothing had gone wrong");
                self.world.note(format!("an audit or a rebuild: {message}"));
                Ok(None)
            }
            // Some of the days were removed.
            Err(MaintainError::Removed { .. } | MaintainError::LogShortened { .. }) => Ok(None),
            other => self.over(other, "an audit or a rebuild").map(Some),
        }
    }

    fn seal(&mut self) -> Result<(), Over> {
        for _ in 0..HANGS.as_secs() {
            match self.running.wait_sealed(Duration::from_secs(1)) {
                Ok(true) => return Ok(()),
                Err(EngineError::Interrupted) => unreachable!("nobody has finished it"),
                Err(error) => return self.over(Err(error), "sealing"),
                Ok(false) => {}
            }
        }
        panic!("not sealed: {:?}", self.running.progress());
    }

    /// Does one of the things that a program does while an engine runs.
    fn act(&mut self) -> Result<(), Over> {
        let which = self.world.random.below(self.built.handles.len() as u64) as usize;
        let view = self.built.handles[which].clone();
        match self.world.random.below(12) {
            0..4 => self.look(which, &view)?,
            4 => {
                let days = self.days();
                if let Some(audited) = self.maintained(view.audit(days, 1.0))? {
                    assert!(audited.findings.is_empty(), "{:?}", audited.findings);
                }
            }
            5 => {
                let days = self.days();
                self.maintained(view.rebuild(days, 1.0))?;
            }
            6 if !self.world.damaged => {
                let query = Query::rows(KeyRange::all(), DayRange::ALL).revision(Revision::First);
                let spec = self.world.program.views[which].clone();
                self.ask_past(&spec, &view, query)?;
            }
            7 => {
                let hours = self.world.random.between(0, 30);
                self.world.program.clock.fetch_add(hours * HOUR, Ordering::SeqCst);
            }
            8 => std::thread::yield_now(),
            _ => self.push()?,
        }
        Ok(())
    }

    /// Some of the existing days.
    fn days(&mut self) -> DayRange {
        let first = crate::program::START / (24 * HOUR) - 6;
        let last = first + 40;
        let random = &mut self.world.random;
        let (one, two) = (random.between(first, last), random.between(1, 20));
        if random.one_in(3) {
            DayRange::ALL
        } else {
            DayRange::new(Day(one as i32), Day((one + two) as i32))
        }
    }

    fn ask(
        &self,
        view: &ViewHandle<u64, Stats>,
        query: Query<u64>,
    ) -> Result<Answer<u64, Stats>, Over> {
        let answer = view.ask_timeout(query, HANGS);
        if let Err(error @ dayfold::engine::AskError::TimedOut { .. }) = &answer {
            panic!("{error}");
        }
        self.over(answer, "a query")
    }

    /// The past may have been removed, if not all revisions are kept.
    fn ask_past(
        &self,
        spec: &Spec,
        view: &ViewHandle<u64, Stats>,
        query: Query<u64>,
    ) -> Result<Option<Answer<u64, Stats>>, Over> {
        match view.ask_timeout(query.clone(), HANGS) {
            Err(AskError::Superseded { .. }) if spec.keep.1 > 0 => Ok(None),
            Err(AskError::TimedOut { .. }) => panic!("{query:?} hangs"),
            answer => self.over(answer, "a query of the past").map(Some),
        }
    }

    /// Checks that a total never goes down, never exceeds what was accepted, and includes everything that was in the
    /// log.
    fn look(&mut self, which: usize, view: &ViewHandle<u64, Stats>) -> Result<(), Over> {
        let spec = self.world.program.views[which].clone();
        let answer = self.ask(view, Query::keys(KeyRange::all(), DayRange::ALL))?;
        let counts: i64 = answer.items.iter().map(|item| item.parts.merged().unwrap().0.0).sum();
        let told = lock(&self.built.told);
        let consumed = told.consumed.map_or(0, |consumed| consumed.bytes);
        drop(told);
        let count = |fate| self.world.pushed(fate).count();
        // Durable events need not be visible yet, but those from before the run are.
        let old = &self.world.batches[..self.world.old_batches];
        let old = old.iter().filter(|(_, fate)| *fate == Fate::In).flat_map(|(events, _)| events);
        let (mut least, mut most) = (old.count(), count(Fate::In) + count(Fate::Open));
        if !spec.is_of_batches() {
            least += self.world.content.events_before(consumed);
            most += self.world.content.events.len();
        }
        if spec.keep.0 > 0 || spec.name == "added" {
            // Removed days do not count any more.
            least = 0;
        }
        let range = least as i64..=most as i64;
        assert!(range.contains(&counts), "{}: {counts} events, expected {range:?}", spec.name);
        if spec.keep.0 == 0 {
            assert!(counts >= self.shown[which], "{}: {counts} after {:?}", spec.name, self.shown);
        }
        self.shown[which] = counts;
        if spec.is_of_batches() {
            for item in &answer.items {
                let number = item.key.unwrap();
                let whole = self.world.batches[number as usize - 1].0.len() as i64;
                let merged = item.parts.merged().unwrap().0.0;
                assert_eq!(merged, whole, "batch {number} is in as a whole or not at all");
                let fate = self.world.fate(number);
                assert_ne!(*fate, Fate::Out, "batch {number} was refused");
                if item.parts.batch.is_some() {
                    *fate = Fate::In;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self) -> Result<(), Over> {
        let Some(pusher) = &self.built.pusher else { return Ok(()) };
        let promises = self.world.program.durability != dayfold::log::Durability::System;
        if promises && self.world.random.one_in(2) {
            let pusher = pusher.clone();
            return self.push_once(&pusher);
        }
        let (number, events) = self.world.batch();
        let pushed = match pusher.push(events) {
            Ok(pushed) => pushed,
            Err(_) => {
                *self.world.fate(number) = Fate::Out;
                assert!(self.is_over() || self.running.is_interrupted());
                return Ok(());
            }
        };
        assert_eq!(pushed.refused, []);
        let wait = self.world.random.below(3);
        let waited = match wait {
            0 => return Ok(()),
            1 => pushed.receipt.wait_durable(HANGS),
            _ => pushed.receipt.wait_visible(HANGS),
        };
        match waited {
            Err(WaitError::TimedOut { .. }) => panic!("batch {number} hangs"),
            Err(WaitError::NotPromised) => {
                assert_eq!(self.world.program.durability, dayfold::log::Durability::System);
            }
            other => {
                self.over(other, "a receipt")?;
                if wait == 1 {
                    *self.world.fate(number) = Fate::In;
                } else {
                    let views = self.world.program.views.iter();
                    let at = views.take_while(|view| !view.is_of_batches()).count();
                    let view = self.built.handles[at].clone();
                    let answer = self.ask(&view, Query::point(number, DayRange::ALL))?;
                    let whole = self.world.batches[number as usize - 1].0.len() as i64;
                    assert_eq!(answer.value().map(|stats| stats.0.0), Some(whole));
                }
            }
        }
        Ok(())
    }

    /// Pushes with a key that may have come before, for example in a run that has crashed since.
    fn push_once(&mut self, pusher: &Pusher<Event>) -> Result<(), Over> {
        let (number, events) = self.world.keyed_batch();
        let (before, whole) = (*self.world.fate(number), events.len() as u64);
        let is_new = number as usize > self.world.old_batches;
        match pusher.push_once(&format!("batch {number}"), events, HANGS) {
            Ok(once) => {
                self.world.note(format!("batch {number}, {before:?} before: {once:?}"));
                assert_eq!(once.events, whole);
                assert!(once.repeated || before != Fate::In, "batch {number} was in");
                assert!(!once.repeated || before != Fate::Out, "batch {number} was not in");
                *self.world.fate(number) = Fate::In;
            }
            Err(OnceError::Stopped { .. }) => {
                assert!(self.is_over() || self.running.is_interrupted());
                if is_new && before == Fate::Open {
                    *self.world.fate(number) = Fate::Out;
                }
            }
            Err(OnceError::Unknown { error: WaitError::TimedOut { .. } }) => {
                panic!("batch {number} hangs");
            }
            Err(error) => {
                if before == Fate::Out {
                    *self.world.fate(number) = Fate::Open;
                }
                return self.over(Err(error), "a push with a key");
            }
        }
        Ok(())
    }

    /// Checks, with everything sealed, that every view equals a computation from scratch, and stays so.
    fn check_sealed(&mut self) -> Result<(), Over> {
        self.settle_batches()?;
        let all = self.world.content.events.len();
        let read = match self.running.consumed() {
            Some(consumed) => self.world.content.events_before(consumed.bytes),
            None => 0,
        };
        for (spec, view) in self.world.program.views.clone().iter().zip(self.built.handles.clone())
        {
            let answer = self.ask(&view, Query::rows(KeyRange::all(), DayRange::ALL))?;
            // This asks the folder: only this run knows what is sealed without rows.
            let through = self.running.store().and_then(|store| store.closed_through(spec.name));
            for item in &answer.items {
                assert!(item.parts.speed.is_none() && item.parts.amendments.is_none(), "{item:?}");
            }
            let kept_from = answer.certificate.kept_from.unwrap_or(Day::MIN);
            // The last closed period may have no file here yet.
            let last = self.world.events(all).map(|event| event.0 + spec.shift).max();
            let last = last.map(|last| spec.view().calendar().day_of(last));
            // Late events are dropped by the floor, if they are in rollups that outlive the periods. The end of a run
            // takes it to the end of the present period of any view.
            let floor = self.running.progress().floor;
            let floor = spec.outlives().then(|| spec.view().calendar().day_of(floor));
            match through.max(last).max(floor) {
                // An added view begins where the log is complete.
                _ if spec.name == "added" && self.world.program.log_days.is_some() => {}
                Some(latest) if spec.keep.0 > 0 => {
                    let most = spec.kept_from(latest);
                    assert!(kept_from <= most, "{}: {kept_from}, {most} at most", spec.name);
                }
                _ => assert_eq!(kept_from, Day::MIN, "{} keeps everything", spec.name),
            }
            let is_kept = |(day, ..): &(Day, u64, Stats)| *day >= kept_from;
            let rows = rows_of(answer);
            let count: i64 = rows.iter().map(|(.., stats)| stats.0.0).sum();
            let mut expect = spec.rows(self.world.events(if self.running.is_interrupted() {
                read
            } else {
                all
            }));
            expect.retain(is_kept);
            let expected: i64 = expect.iter().map(|(.., stats)| stats.0.0).sum();
            // For an interrupted run, the log may have more rows, behind a hole.
            if !self.running.is_interrupted() || count <= expected {
                assert_same(&rows, &expect, spec.name);
            }
            let past = self.world.past.get(spec.name).filter(|_| !self.world.damaged);
            if let Some((through, before)) = past {
                let query = Query::rows(KeyRange::all(), DayRange::ALL);
                let query = query.revision(Revision::At(*through));
                if let Some(answer) = self.ask_past(spec, &view, query)? {
                    let what = format!("{} as of the closing of {through}", spec.name);
                    let before = before.iter().copied().filter(is_kept).collect();
                    assert_same(&rows_of(answer), &before, &what);
                }
            }
            // Late events that were sealed on their own, after the last closed day, are not part of that day's closing.
            let live = self.running.store().map(|store| store.live(spec.name));
            let live = live.and_then(Result::ok);
            let is_whole = |through: Day| {
                live.as_ref().is_some_and(|live| live.iter().all(|file| file.closing <= through))
            };
            match through {
                Some(through) if is_whole(through) => {
                    drop(self.world.past.insert(spec.name, (through, rows)));
                }
                _ => drop(self.world.past.remove(spec.name)),
            }
        }
        for (spec, view) in self.world.program.views.clone().iter().zip(self.built.handles.clone())
        {
            if let Some(audited) = self.maintained(view.audit(DayRange::ALL, 1.0))? {
                assert!(audited.findings.is_empty(), "{:?}", audited.findings);
            }
            if let Some(Ok(live)) = self.running.store().map(|store| store.live(spec.name)) {
                self.world.sealed_files.extend(live.into_iter().map(|batch| batch.path));
            }
        }
        let told = lock(&self.built.told);
        if !self.running.is_interrupted() && self.world.program.reads {
            assert_eq!(told.refused.len(), self.world.content.refused.len(), "refused rows");
        }
        Ok(())
    }

    /// Checks that every batch is in as a whole or not at all. For batches of earlier runs, this decides which ones are
    /// in.
    fn settle_batches(&mut self) -> Result<(), Over> {
        let views = self.world.program.views.iter();
        let Some(at) = views.clone().position(|view| view.is_of_batches()) else { return Ok(()) };
        let view = self.built.handles[at].clone();
        let answer = self.ask(&view, Query::keys(KeyRange::all(), DayRange::ALL))?;
        let mut counts = vec![0; self.world.batches.len()];
        for item in &answer.items {
            counts[item.key.unwrap() as usize - 1] = item.parts.merged().unwrap().0.0;
        }
        let batches = self.world.batches.iter_mut().zip(counts).enumerate();
        for (at, ((events, fate), count)) in batches {
            let is_in = count == events.len() as i64;
            assert!(is_in || count == 0, "batch {} is in with {count} events", at + 1);
            let expect = match *fate {
                Fate::Open if at < self.world.old_batches => is_in,
                Fate::Open | Fate::In => true,
                Fate::Out => false,
            };
            assert_eq!(is_in, expect, "whether batch {} is in, which was {fate:?}", at + 1);
            *fate = if is_in { Fate::In } else { Fate::Out };
        }
        Ok(())
    }
}

fn rows_of(answer: Answer<u64, Stats>) -> Rows {
    let items = answer.items.into_iter();
    items.map(|item| (item.day.unwrap(), item.key.unwrap(), item.parts.merged().unwrap())).collect()
}

/// Compares rows and shows only the differences.
#[track_caller]
fn assert_same(found: &Rows, expected: &Rows, what: &str) {
    let only = |of: &Rows, other: &Rows| -> Rows {
        of.iter().filter(|row| !other.contains(row)).take(8).copied().collect()
    };
    if found != expected {
        let (found, expected) = (only(found, expected), only(expected, found));
        panic!("{what}: found {found:?}, expected {expected:?}");
    }
}
