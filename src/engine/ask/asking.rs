//! A view on one worker, as the engine's loop sees it. Queries enter at complete moments.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;

use crate::aggregate::Aggregate;
use crate::dataflow::ViewStatus;
use crate::engine::ask::handle::Ranks;
use crate::engine::ask::mailbox::{AskedTask, Mail, Mailbox, Request, Said};
use crate::engine::ask::reply::{Replies, Reply};
use crate::engine::ask::snapshots::Keep;
use crate::engine::ask::standing::Seen;
use crate::engine::clock::Clock;
use crate::engine::upkeep::maintenance::{MaintainError, Maintained, Maintenance, Task};
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Call, Merge, Question};
use crate::time::{Day, EventTime};
use crate::view::View;

/// What the loop knows when it lets queries in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complete {
    /// The latest moment that is complete on all workers.
    pub(crate) moment: Moment,
    /// Whether everything from before the start of the program is in.
    pub(crate) recovered: bool,
    /// The highest tick in which events entered, if all workers are in this process.
    pub(crate) entered: Option<u64>,
}

/// A view on one worker.
pub(crate) trait WorkerView {
    /// Moves the query input to a complete moment, and sends the waiting queries at that moment. Queries wait until
    /// everything from before the start of the program is in. Returns whether there were any.
    fn ask_at(&mut self, complete: Complete) -> bool;
    /// Keeps the state at the moment of the query input, or releases it.
    fn keep(&mut self, snapshot: Keep);
    /// When a subscriber may next get an answer.
    fn next_due(&self) -> Option<Instant>;
    /// The name of the view.
    fn name(&self) -> &str;
    /// The first period that is not over at a floor.
    fn first_open(&self, floor: EventTime) -> Day;
    fn status(&self) -> &ViewStatus;
    /// Takes an audit or a rebuild that the program has requested.
    fn asked_task(&mut self) -> Option<AskedTask>;
    /// Begins this worker's share of an audit or a rebuild.
    fn begin_task(&mut self, id: u64, task: Task);
    /// From now on, computes nothing that needs events in the log before this day. Returns whether no such computation
    /// is running.
    fn leave_log(&mut self, from: Day) -> bool;
    /// Continues the running task; returns its result once it has ended.
    fn step_task(&mut self) -> Option<(u64, Result<Maintained, String>)>;
    /// Publishes the state of the view on this worker for other threads.
    fn publish(&self);
    /// Why the view cannot go on, if it cannot.
    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>>;
    /// Sends the queries that still wait and asks for the last answers of subscribers, if the last complete moment is
    /// given. Then ends the query input.
    fn close(&mut self, complete: Option<Complete>);
}

/// The numbers of subscribers' questions start here, above those of questions from the mailbox.
const GROUPS: u64 = 1 << 63;

type QueryInput<K> = InputHandle<Moment, CapacityContainerBuilder<Vec<Call<K>>>>;

pub(crate) struct Asking<K: Key, A: Aggregate> {
    pub(crate) input: Option<QueryInput<K>>,
    pub(crate) mailbox: Arc<Mailbox<K, A>>,
    pub(crate) replies: Rc<Replies<K, A>>,
    pub(crate) worker: usize,
    /// The number of questions that subscribers have asked.
    pub(crate) number: u64,
    pub(crate) ranks: Ranks<A>,
    /// The last sealed day when this worker last checked.
    pub(crate) sealed: Option<Day>,
    pub(crate) status: ViewStatus,
    pub(crate) skewed: Skewed,
    /// Present if there is a log.
    pub(crate) maintenance: Option<Maintenance<K, A>>,
    pub(crate) view: View,
    /// Tells the time, which determines the last periods.
    pub(crate) clock: Clock,
}

impl<K: Key, A: Aggregate> Asking<K, A> {
    /// Takes the requests from the mailbox, and asks for subscribers; `last` if this is the last time. Returns whether
    /// anything was asked.
    fn take_up(&mut self, complete: Complete, last: bool) -> bool {
        let Some(input) = &mut self.input else { return false };
        if *input.time() < complete.moment {
            input.advance_to(complete.moment);
        }
        let sealed = self.status.sealed_through();
        if sealed != self.sealed {
            self.sealed = sealed;
            self.mailbox.note_sealing(self.worker, self.status.numbers());
        }
        if !complete.recovered {
            return false;
        }
        let Some(mail) = self.mailbox.take(self.worker, last) else { return false };
        let kept = self.status.kept_at(complete.moment);
        self.mailbox.keeps(&kept);
        let Mail { requests, joining, left, said } = mail;
        let mut asked = !requests.is_empty();
        for (number, Request { mut question, reply }) in requests {
            self.replies.insert(number, Reply::One(reply, 0));
            if question.query.last.is_some() {
                let now = self.clock.now();
                question.query = question.query.at_time(self.view.calendar(), now, &kept);
            }
            input.send(Call::Ask(number, question));
        }
        for (number, said) in said {
            // The answer has been given, so there is nothing to do.
            match said {
                Said::More(of) if self.replies.is_open(number) => {
                    input.send(Call::More(number, of));
                }
                Said::Cancel if self.replies.remove(number) => input.send(Call::Cancel(number)),
                Said::More(_) | Said::Cancel => {}
            }
        }
        self.replies.take_finished();
        if last {
            self.replies.end().into_iter().for_each(|number| input.send(Call::Cancel(number)));
        }
        let mut standing = self.replies.standing.borrow_mut();
        if !joining.is_empty() || !left.is_empty() || !standing.is_empty() {
            let now = Instant::now();
            joining.into_values().for_each(|joining| standing.join(joining, now));
            left.into_iter().for_each(|number| standing.leave(number));
            if standing.has_windows() {
                standing.move_windows(self.view.calendar(), self.clock.now());
            }
            let seen = Seen { moment: complete.moment, sealings: self.mailbox.sealings() };
            let asking = match last {
                true => standing.look_last(seen),
                false => standing.look(seen, complete.entered, now),
            };
            for (group, query) in asking {
                // A subscription continues with those of its days that are kept.
                let query = query.limited_to(self.view.calendar(), &kept);
                self.number += 1;
                asked = true;
                let merge = Merge::new(query.shape, Arc::clone(&self.ranks));
                self.replies.insert(GROUPS + self.number, Reply::Group(group, merge));
                input.send(Call::Ask(GROUPS + self.number, Question::whole(query)));
            }
        }
        drop(standing);
        input.flush();
        asked
    }
}

/// The event time in the view differs from that in the log by more than the view allows.
pub(crate) struct Skewed {
    pub(crate) view: String,
    pub(crate) limit: i64,
    pub(crate) found: Rc<Cell<Option<(EventTime, EventTime)>>>,
}

/// See [`View::skew`].
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "view '{view}' gives an event the time {time}, and the log {logged}: more than {limit} ms apart; \
     say with View::skew how far they may be"
)]
struct SkewError {
    view: String,
    time: EventTime,
    logged: EventTime,
    limit: i64,
}

impl<K: Key, A: Aggregate> WorkerView for Asking<K, A> {
    fn ask_at(&mut self, complete: Complete) -> bool {
        self.take_up(complete, false)
    }

    fn keep(&mut self, snapshot: Keep) {
        let Some(input) = &mut self.input else { return };
        input.send(match snapshot {
            Keep::Hold { id, limit } => {
                Call::Hold(id, limit.as_millis().try_into().unwrap_or(u64::MAX))
            }
            Keep::Release { id } => Call::Release(id),
        });
        input.flush();
    }

    fn next_due(&self) -> Option<Instant> {
        self.replies.standing.borrow().next_due()
    }

    fn publish(&self) {
        self.mailbox.publish(self.worker, self.status.numbers(), self.error());
    }

    fn name(&self) -> &str {
        self.view.name()
    }

    fn first_open(&self, floor: EventTime) -> Day {
        self.view.first_open(floor)
    }

    fn status(&self) -> &ViewStatus {
        &self.status
    }

    fn asked_task(&mut self) -> Option<AskedTask> {
        let (task, reply) = self.mailbox.take_task()?;
        if self.maintenance.is_none() {
            // The requester may have given up.
            let _ = reply.try_send(Err(MaintainError::NoLog));
            return None;
        }
        Some((task, reply))
    }

    fn begin_task(&mut self, id: u64, task: Task) {
        self.maintenance.iter_mut().for_each(|maintenance| maintenance.push(id, task));
    }

    fn leave_log(&mut self, from: Day) -> bool {
        let Some(maintenance) = &mut self.maintenance else { return true };
        let (computed, is_left) = maintenance.leave_log(from);
        self.mailbox.computes_from(computed);
        is_left
    }

    fn step_task(&mut self) -> Option<(u64, Result<Maintained, String>)> {
        self.maintenance.as_mut()?.step()
    }

    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>> {
        let skewed = self.skewed.found.get().map(|(time, logged)| {
            let (view, limit) = (self.skewed.view.clone(), self.skewed.limit);
            Arc::new(SkewError { view, time, logged, limit }) as Arc<_>
        });
        self.status.error().or(skewed)
    }

    fn close(&mut self, complete: Option<Complete>) {
        if let Some(complete) = complete {
            self.take_up(complete, true);
        }
        self.input = None;
    }
}
