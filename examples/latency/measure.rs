//! One run: threads that push, wait and ask by a schedule, and record latencies.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use dayfold::engine::{EngineError, Pusher, Receipt, Running, Subscription};
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold_latency::{
    Conditions, Pace, Pacer, Pauses, Recorder, Recording, Report, Schedule, Watch, duration,
};

use crate::common::{failed, is_set};
use crate::load::{DayClock, Event, Load, mix};
use crate::observe::{self, HAND_OVER, Watching};
use crate::options::Options;
use crate::program::{Handle, Stats};

/// The most events of one push: after a stall, due events are pushed in batches of this size.
const PUSH_MAX: u64 = 65_536;

/// Threads that ask: a due query waits only if this many are under way.
const ASKERS: usize = 4;

/// Longer than anything takes, unless the engine is stuck.
const LONG: Duration = Duration::from_secs(120);

/// State that the threads of a run share.
pub(crate) struct Run<'a> {
    pub(crate) options: &'a Options,
    pub(crate) clock: &'a DayClock,
    pub(crate) view: &'a Handle,
    pub(crate) running: &'a Running,
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) schedule: Schedule,
    pub(crate) watch: Watch,
    pub(crate) conditions: Conditions,
    /// The events below this number are visible.
    pub(crate) visible: AtomicU64,
    /// The measurement is over.
    pub(crate) over: AtomicBool,
    /// Queries below this number have been taken by an asking thread.
    asked: AtomicU64,
    slice: u64,
    /// When to give up.
    deadline: u64,
}

/// Events that were pushed together, and their receipt.
type Batch = (Range<u64>, Receipt);

impl<'a> Run<'a> {
    pub(crate) fn new(
        options: &'a Options,
        clock: &'a DayClock,
        view: &'a Handle,
        running: &'a Running,
        interrupted: &'a AtomicBool,
    ) -> Run<'a> {
        let (process, processes) = (options.workers.process(), options.workers.processes());
        let schedule = Schedule::new(options.rate, options.rate * options.seconds);
        let schedule = schedule.share(process as u64, processes as u64);
        let end = options.seconds * 1_000_000_000;
        Run {
            options,
            clock,
            view,
            running,
            interrupted,
            schedule,
            watch: clock.start(),
            conditions: Conditions::new(),
            visible: AtomicU64::new(0),
            over: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            // 200 slices or more: wide enough for a percentile, narrow enough to see a closing.
            slice: (end / 400).clamp(50_000_000, 1_000_000_000),
            // Twice the time, and a little more: events that have not come by then will not come.
            deadline: 2 * end + 10_000_000_000,
        }
    }

    /// Measures until all due events are done.
    pub(crate) fn measure(
        &self,
        pusher: Pusher<Event>,
        load: &Load<'_>,
    ) -> Result<Report, EngineError> {
        let (to_visible, visible) = mpsc::channel();
        let (to_durable, durable) = mpsc::channel();
        let (to_subscribed, subscribed) = mpsc::channel();
        // Before anything is pushed, so that each change is reported.
        let of = Query::point(load.most_frequent(), DayRange::ALL);
        let subscription = (!self.options.no_subscription)
            .then(|| self.view.subscribe(of, Duration::ZERO).map_err(failed));
        let subscription = subscription.transpose()?;
        let watching = Watching::new(self);
        std::thread::scope(|scope| {
            let promises = self.options.log.promises();
            let to_durable = promises.then_some(to_durable);
            let to_subscribed = subscription.is_some().then_some(to_subscribed);
            let told: Vec<_> =
                [Some(to_visible), to_durable, to_subscribed].into_iter().flatten().collect();
            let pushing = named(scope, "push", move || self.push(pusher, load, told))?;
            let visible = named(scope, "visible", move || self.visible(visible))?;
            let durable = promises.then(|| named(scope, "durable", move || self.durable(durable)));
            let durable = durable.transpose()?;
            let following = subscription.map(|subscription| {
                named(scope, "subscription", move || self.follow(load, subscription, subscribed))
            });
            let following = following.transpose()?;
            let askers = if self.options.queries > 0 { ASKERS } else { 0 };
            let asking = (0..askers).map(|_| named(scope, "ask", || self.ask(load)));
            let asking = asking.collect::<Result<Vec<_>, _>>()?;
            let maintains = self.options.maintain > 0.0;
            let maintaining =
                maintains.then(|| named(scope, "maintain", || observe::maintain(self)));
            let maintaining = maintaining.transpose()?;
            let watching = named(scope, "watch", move || watching.watch())?;

            // In this order, because each of these ends after those before it.
            let pushed = joined(pushing);
            let visible = joined(visible);
            let durable = durable.map(joined).transpose();
            let followed = following.map(joined).transpose();
            let asked = asking.into_iter().map(joined).collect::<Result<Vec<_>, _>>();
            self.over.store(true, Ordering::Release);
            let maintained = maintaining.map(joined).transpose();
            let hand_overs = joined(watching)?;
            if is_set(self.interrupted) {
                return Err(EngineError::Interrupted);
            }
            let (visible, pace, pauses) = visible?;
            let mut report = Report::new(pace).with(visible);
            report = durable?.into_iter().fold(report, Report::with);
            report = followed?.into_iter().fold(report, Report::with);
            report = self.queries(report, asked?);
            report = report.with(pauses).with(hand_overs).with(pushed?);
            maintained?;
            Ok(report.with_spans(self.conditions.spans()))
        })
    }

    fn recorder(&self, name: &str) -> Recorder {
        Recorder::new(name, &self.conditions, self.slice)
    }

    /// Pushes due events, as often as configured. Events that could not be pushed in time are left out.
    fn push(
        &self,
        pusher: Pusher<Event>,
        load: &Load<'_>,
        told: Vec<mpsc::Sender<Batch>>,
    ) -> Result<Recording, EngineError> {
        let every = self.options.push_every.as_nanos() as u64;
        // The lab's own share: it is reported as it is, and not under conditions.
        let mut recorder = Recorder::new("handed in", &Conditions::new(), self.slice);
        let (mut next, mut now) = (0, 0);
        while next < self.schedule.total() && !is_set(self.interrupted) && now < self.deadline {
            // At intervals, but not before an event is due.
            let beat = (now / every + 1) * every;
            now = self.watch.sleep_until(self.schedule.at(next).max(beat));
            let due = self.schedule.due(now);
            while next < due && now < self.deadline && !is_set(self.interrupted) {
                let events = next..due.min(next + PUSH_MAX);
                let made =
                    events.clone().map(|number| load.event(number, self.schedule.at(number)));
                let pushed = pusher.push(made.collect()).map_err(failed)?;
                if !pushed.refused.is_empty() {
                    return Err(failed(
                        "the engine has refused events that are no newer than its clock",
                    ));
                }
                now = self.watch.now();
                recorder.record_run(&self.schedule, events.clone(), now);
                next = events.end;
                for to in &told {
                    // The thread that waits for them may have failed, which is reported elsewhere.
                    let _ = to.send((events.clone(), pushed.receipt.clone()));
                }
            }
        }
        recorder.record_run(&self.schedule, next..self.schedule.total(), self.watch.now());
        Ok(recorder.finish())
    }

    fn visible(
        &self,
        batches: mpsc::Receiver<Batch>,
    ) -> Result<(Recording, Pace, Recording), EngineError> {
        let (mut recorder, mut pacer) = (self.recorder("freshness"), Pacer::new(self.schedule));
        let mut pauses = Pauses::new(&self.conditions, HAND_OVER);
        let mut next = 0;
        for (events, receipt) in batches {
            receipt.wait_visible(LONG).map_err(failed)?;
            let now = self.watch.now();
            next = events.end;
            self.visible.store(next, Ordering::Relaxed);
            pacer.seen(next, now);
            pauses.seen(now);
            recorder.record_run(&self.schedule, events, now);
        }
        if next < self.schedule.total() {
            let now = self.watch.now();
            pacer.give_up(now);
            recorder.record_run(&self.schedule, next..self.schedule.total(), now);
        }
        let pauses = Recording::of("longest pause of a hand-over", pauses.finish());
        Ok((recorder.finish(), pacer.pace(), pauses))
    }

    fn durable(&self, batches: mpsc::Receiver<Batch>) -> Result<Recording, EngineError> {
        let mut recorder = self.recorder("durable");
        let mut next = 0;
        for (events, receipt) in batches {
            receipt.wait_durable(LONG).map_err(failed)?;
            next = events.end;
            recorder.record_run(&self.schedule, events, self.watch.now());
        }
        recorder.record_run(&self.schedule, next..self.schedule.total(), self.watch.now());
        Ok(recorder.finish())
    }

    /// Notes when the subscriber of one key has an answer with each event of that key.
    fn follow(
        &self,
        load: &Load<'_>,
        mut subscription: Subscription<u64, Stats>,
        batches: mpsc::Receiver<Batch>,
    ) -> Result<Recording, EngineError> {
        let mut recorder = self.recorder("subscription");
        let key = load.most_frequent();
        let of_key = |events: &Range<u64>| -> Vec<u64> {
            events.clone().filter(|number| load.key(*number) == key).collect()
        };
        let mut waiting: VecDeque<(Vec<u64>, Receipt)> = VecDeque::new();
        let mut latest = None;
        let mut next = 0;
        while let Ok(first) = batches.recv() {
            let mut more = Some(first);
            loop {
                while let Some((events, receipt)) = more.take().or_else(|| batches.try_recv().ok())
                {
                    next = events.end;
                    let events = of_key(&events);
                    if !events.is_empty() {
                        waiting.push_back((events, receipt));
                    }
                }
                // An answer may have come before these were known to be pushed.
                if let Some((certificate, now)) = &latest {
                    let is_in = |receipt: &Receipt| receipt.is_in(certificate) == Some(true);
                    while let Some((events, _)) =
                        waiting.pop_front_if(|(_, receipt)| is_in(receipt))
                    {
                        events.iter().for_each(|n| recorder.record(self.schedule.at(*n), *now));
                    }
                }
                if waiting.is_empty() {
                    break;
                }
                let answer = subscription.next_timeout(LONG).map_err(failed)?;
                latest = Some((answer.certificate, self.watch.now()));
            }
        }
        let now = self.watch.now();
        let unseen = of_key(&(next..self.schedule.total()));
        unseen.iter().for_each(|number| recorder.record(self.schedule.at(*number), now));
        Ok(recorder.finish())
    }

    /// The queries of a process, over all its threads that ask.
    fn query_schedule(&self) -> Schedule {
        let rate = self.options.queries;
        Schedule::new(rate, rate * self.options.seconds)
    }

    /// Asks one query after the other, as they are due.
    fn ask(&self, load: &Load<'_>) -> Result<(Recording, u64), EngineError> {
        let (schedule, mut recorder) = (self.query_schedule(), self.recorder("query"));
        let mut now = 0;
        loop {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            if number >= schedule.total() || is_set(self.interrupted) {
                return Ok((recorder.finish(), now));
            }
            let due = schedule.at(number);
            now = self.watch.sleep_until(due);
            // A query that will not be asked any more would take longer than until now.
            if now < self.deadline {
                let query = Query::point(load.key(mix(number)), DayRange::ALL);
                self.view.ask_timeout(query, LONG).map_err(failed)?;
                now = self.watch.now();
            }
            recorder.record(due, now);
        }
    }

    /// Adds the queries to the report, with a remark if they were not answered as fast as they came.
    fn queries(&self, mut report: Report, asked: Vec<(Recording, u64)>) -> Report {
        let last = asked.iter().map(|(_, last)| *last).max().unwrap_or(0);
        let mut recordings = asked.into_iter().map(|(recording, _)| recording);
        let Some(first) = recordings.next() else { return report };
        let first = recordings.fold(first, |mut sum, recording| {
            sum.merge(&recording);
            sum
        });
        report = report.with(first);
        let end = self.query_schedule().end();
        let behind = last.saturating_sub(end);
        if behind > (end / 100).max(100_000_000) {
            report = report.note(format!(
                "QUERIES FELL BEHIND: the last one was answered {} after the end. Their latencies depend on how \
                 long was measured.",
                duration(behind)
            ));
        }
        report
    }
}

/// Starts a thread with a name that tells its purpose in a profile.
fn named<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T, EngineError>>, EngineError> {
    std::thread::Builder::new()
        .name(format!("lab:{name}"))
        .spawn_scoped(scope, work)
        .map_err(failed)
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, EngineError>>) -> Result<T, EngineError> {
    thread.join().unwrap_or_else(|_| Err(failed("a thread of the lab has panicked")))
}
