//! How a worker adds views to its running dataflows, and ends them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::Turning;
use super::inputs::Fed;
use super::joining::{Joining, Stage};
use crate::engine::ask::asking::{Complete, WorkerView};
use crate::engine::change::{Adding, Fate, Order};
use crate::engine::error::in_full;
use crate::engine::ingest::deal::Control;
use crate::engine::ingest::feed::READER;
use crate::engine::recover::follow::{Cut, FollowedLog, Following, skew};
use crate::engine::recover::replay::FromLog;
use crate::log::LogWriter;
use crate::moment::Moment;
use crate::time::EventTime;

/// When at most this many events have entered since a part of the log was cut, they are held instead of read.
const NEAR_EVENTS: usize = 1 << 16;
/// After this many parts, views join even if more enters meanwhile than is read.
const PARTS_MOST: usize = 16;
/// The number of held events that go on in one turn.
const HELD_AT_ONCE: usize = 2_048;
/// How often a worker lets the ticks of others pass in views that are being added.
const ADVANCE: Duration = Duration::from_millis(1);

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Carries out orders to add views and to remove them, as far as possible. Returns whether anything happened.
    pub(super) fn change(&mut self) -> bool {
        if self.worker.index() == READER && !self.feed.is_stopping() {
            for number in self.start.changes.unannounced() {
                self.feed.broadcast(Control::Change { number });
            }
        }
        let begun = self.begin_orders();
        if !self.leaving.is_empty() {
            self.note_gone();
        }
        let Some(joining) = self.joining.take() else { return begun };
        self.step_joining(joining) || begun
    }

    fn begin_orders(&mut self) -> bool {
        let mut begun = false;
        loop {
            let number = self.feed.changes.borrow_mut().pop_front();
            let Some(number) = number else { return begun };
            begun = true;
            let Some(order) = self.start.changes.announced(number) else { continue };
            match &*order {
                Order::Add(adding) => self.begin_joining(&order, adding),
                Order::Remove(removing) => self.remove_views(&order, &removing.names),
            }
        }
    }

    /// Builds views, and starts to read the log for them.
    fn begin_joining(&mut self, order: &Arc<Order<E>>, adding: &Adding<E>) {
        let place = self.log.as_ref().map(LogWriter::handle).zip(self.start.log.as_ref());
        let place = place.map(|(log, logging)| (log, logging.codec.clone()));
        let (mut fed, mut views) = (Vec::new(), Vec::new());
        for view in &adding.views {
            let (of, built) = Fed::build(self.worker, view, &self.start.archive, place.as_ref());
            // They are not what fails if the engine cannot take more.
            built.status().has_door();
            fed.push(of);
            views.push(built);
        }
        let log = place.zip(self.start.archive.store()).map(|((log, codec), store)| Following {
            storage: Arc::clone(store.storage()),
            parts: store.held_parts(),
            part: (store.process(), store.part_path()),
            views: adding.views.iter().map(|view| view.view().clone()).collect(),
            numbers: Arc::clone(&adding.past),
            codec,
            log,
            run: store.run(),
            worker: self.worker.index(),
            threads: self.start.shared.threads,
        });
        let log = match log.map(Following::read) {
            Some(Ok(log)) => log,
            failed => {
                let why = failed.and_then(Result::err).map(|error| error.to_string());
                self.fail_joining(adding, why.unwrap_or_else(|| "there is no log".to_owned()));
                // Nothing comes from here, and the order is taken back.
                FollowedLog { found: mpsc::channel().1, cuts: mpsc::channel().0 }
            }
        };
        let mut joining = Joining {
            order: Arc::clone(order),
            views,
            fed,
            log,
            now: Moment::MIN,
            bound: self.start.shared.floor,
            skew: skew(adding),
            advanced: Instant::now(),
            in_flight: VecDeque::new(),
            stage: Stage::Reading,
            parts: 0,
            is_near: false,
        };
        joining.advance_to(Moment::new(EventTime::MIN, self.clock.next()));
        self.joining = Some(joining);
    }

    fn fail_joining(&self, adding: &Adding<E>, message: String) {
        let _ = adding.error.set(message);
        self.start.changes.note();
    }

    fn step_joining(&mut self, mut joining: Joining<E>) -> bool {
        let order = Arc::clone(&joining.order);
        let Order::Add(adding) = &*order else { return false };
        let error = joining.views.iter().find_map(|view| view.error());
        if let Some(error) = error.filter(|_| adding.error.get().is_none()) {
            self.fail_joining(adding, in_full(error.as_ref()));
        }
        if adding.error.get().is_some() {
            // An order to remove the views follows.
            self.joining = Some(joining);
            return false;
        }
        let happened = match joining.stage {
            Stage::Reading | Stage::ReadingLast => self.follow_log(&mut joining, adding),
            Stage::Read => self.begin_part(&mut joining, adding),
            Stage::Held => self.catch_up(&mut joining, adding),
            Stage::Joined => {
                if adding.joined.load(Ordering::Acquire) == self.worker.peers()
                    && adding.decide(Fate::Stays) == Fate::Stays
                {
                    self.make_ready(joining, adding);
                    return true;
                }
                false
            }
        };
        if joining.stage != Stage::Joined && joining.advanced.elapsed() >= ADVANCE {
            joining.advance_to(Moment::new(joining.now.floor, self.clock.next()));
        }
        // Their queries wait until they are ready, and hold nothing back.
        let fed = match joining.stage {
            Stage::Joined => self.inputs.joined(),
            _ => &mut joining.fed,
        };
        for (fed, view) in fed.iter().zip(&mut joining.views) {
            let complete = match fed.frontier() {
                Some(frontier) => frontier.before(),
                None => Some(Moment::new(i64::MAX, 0)),
            };
            if let Some(moment) = complete {
                view.ask_at(Complete { moment, recovered: false, entered: None });
            }
        }
        self.joining = Some(joining);
        happened
    }

    /// Takes in what was read of the log.
    fn follow_log(&mut self, joining: &mut Joining<E>, adding: &Adding<E>) -> bool {
        if !joining.has_room() {
            return false;
        }
        let mut floor = joining.now.floor;
        match joining.log.found.try_recv() {
            Ok(FromLog::Events(batch)) => {
                joining.send(&batch);
                joining.in_flight.push_back(joining.now);
            }
            // What this worker has entered since the part was cut entered under this floor or a higher one.
            Ok(FromLog::Passed(time)) => {
                floor = floor.max(time.saturating_sub(joining.skew).min(joining.bound));
            }
            Ok(FromLog::Done) => {
                floor = floor.max(joining.bound);
                joining.stage = match joining.stage {
                    Stage::ReadingLast => Stage::Held,
                    _ => Stage::Read,
                };
            }
            Ok(FromLog::Failed(error)) => {
                self.fail_joining(adding, in_full(&error));
                return false;
            }
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                let message = "the thread that reads the log for a new view ended early".to_owned();
                self.fail_joining(adding, message);
                return false;
            }
        }
        joining.advance_to(Moment::new(floor, self.clock.next()));
        true
    }

    /// Has the next part of this worker's log read. It is the last one if all workers are near the ends of theirs.
    fn begin_part(&mut self, joining: &mut Joining<E>, adding: &Adding<E>) -> bool {
        let is_near = self.inputs.entered() <= NEAR_EVENTS || joining.parts >= PARTS_MOST;
        if joining.parts > 0 && is_near && !std::mem::replace(&mut joining.is_near, true) {
            adding.near.fetch_add(1, Ordering::AcqRel);
        }
        let is_last = adding.near.load(Ordering::Acquire) == self.worker.peers();
        if joining.parts > 0 && is_near && !is_last {
            // While this worker only waited, its old floor would hold back those that still read under a higher one.
            if self.now.floor <= joining.bound {
                return false;
            }
            if self.inputs.entered() == 0 {
                // Since the cut nothing has entered under the old floor, so nothing is left to be read under it.
                joining.bound = self.now.floor;
                joining.advance_to(Moment::new(joining.bound, self.clock.next()));
                return true;
            }
            // Otherwise another part is read, a short one.
        }
        // All entries so far have lower ticks, and later ones have not.
        let tick = self.clock.next();
        self.advance_to(Moment::new(self.now.floor, tick));
        joining.bound = joining.bound.max(self.now.floor);
        joining.parts += 1;
        let log = self.log.as_ref().map(LogWriter::handle);
        let cut = Cut { tick, appended: log.map_or(0, |log| log.appended()) };
        // A thread that has ended is noticed where its messages are awaited.
        let _ = joining.log.cuts.send(cut);
        if is_last {
            let views = adding.views.iter().map(|view| view.view());
            self.inputs.hold(views.map(|view| (view.name().to_owned(), view.grace_ms())));
            joining.stage = Stage::ReadingLast;
        } else {
            self.inputs.begin_count();
            joining.stage = Stage::Reading;
        }
        true
    }

    /// Takes in what was held. When nothing is left, the views join the input of this worker.
    fn catch_up(&mut self, joining: &mut Joining<E>, adding: &Adding<E>) -> bool {
        if !joining.has_room() {
            return false;
        }
        let mut entered = 0;
        while entered < HELD_AT_ONCE
            && let Some(batch) = self.inputs.take_held()
        {
            entered += batch.events.len().max(1);
            joining.send(&batch);
        }
        if entered > 0 {
            joining.in_flight.push_back(joining.now);
            joining.advance_to(Moment::new(joining.now.floor, self.clock.next()));
            return true;
        }
        self.inputs.release();
        let tick = self.clock.next();
        self.advance_to(Moment::new(self.now.floor, tick));
        for mut fed in joining.fed.drain(..) {
            fed.advance_to(self.now);
            self.inputs.join(fed);
        }
        joining.stage = Stage::Joined;
        adding.joined.fetch_add(1, Ordering::AcqRel);
        self.start.shared.wake();
        true
    }

    /// The views are asked from now on, as all others.
    fn make_ready(&mut self, joining: Joining<E>, adding: &Adding<E>) {
        self.start.shared.define(adding.views.iter().map(|view| view.view()));
        self.inputs.make_ready();
        self.views.extend(joining.views);
        // Their periods may end earlier than those of other views.
        if let Some((_, next)) = &mut self.live {
            *next = EventTime::MIN;
        }
        self.shares.iter_mut().for_each(|share| share.next = EventTime::MIN);
        self.publish();
        adding.ready.fetch_add(1, Ordering::AcqRel);
        self.start.changes.note();
    }

    /// Ends views, without sealing anything more of them.
    fn remove_views(&mut self, order: &Arc<Order<E>>, names: &[String]) {
        let mut dataflows = Vec::new();
        let is_gone = |view: &dyn WorkerView| names.iter().any(|name| name == view.name());
        if let Some(joining) =
            self.joining.take_if(|joining| joining.views.iter().any(|view| is_gone(&**view)))
        {
            dataflows = self.end_joining(joining);
        }
        let complete = self.complete();
        while let Some(at) = self.views.iter().position(|view| is_gone(&**view)) {
            let mut view = self.views.remove(at);
            view.status().abandon();
            view.close(complete.filter(|complete| complete.recovered));
            self.tasks.forget(view.name(), &mut self.feed);
            dataflows.push(self.inputs.remove(at).dataflow);
        }
        self.leaving.push((Arc::clone(order), dataflows));
    }

    /// Ends views that were being added. Returns their dataflows.
    fn end_joining(&mut self, joining: Joining<E>) -> Vec<usize> {
        let Joining { mut views, mut fed, .. } = joining;
        for view in &mut views {
            view.status().abandon();
            view.close(None);
        }
        self.inputs.release();
        fed.extend(self.inputs.end_joined());
        fed.iter().map(|fed| fed.dataflow).collect()
    }

    /// Notes which views have ended here.
    fn note_gone(&mut self) {
        let installed = self.worker.installed_dataflows();
        let changes = &self.start.changes;
        self.leaving.retain(|(order, dataflows)| {
            if dataflows.iter().any(|dataflow| installed.contains(dataflow)) {
                return true;
            }
            if let Order::Remove(removing) = &**order {
                removing.gone.fetch_add(1, Ordering::AcqRel);
                changes.note();
            }
            false
        });
    }

    /// The engine stops in order. All workers have heard of the same orders, and end with the same views.
    pub(super) fn settle_changes(&mut self) {
        self.begin_orders();
        let Some(joining) = self.joining.take() else { return };
        let order = Arc::clone(&joining.order);
        let Order::Add(adding) = &*order else { return };
        match adding.decide(Fate::Goes) {
            Fate::Stays => self.make_ready(joining, adding),
            Fate::Goes => drop(self.end_joining(joining)),
        }
    }
}
