//! What travels between the workers of an engine besides rows: blocks to parse, floors, and the end.
//!
//! One worker reads a source and deals its blocks to all in turn. Floors travel in the same channel,
//! to every worker, so each one sees a floor after the blocks that were dealt before it: which events
//! are late is decided by the order of the source, not by the speed of workers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Input;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{InputHandle, Scope, StreamVec};
use timely::worker::Worker;

use crate::engine::error::Outcome;
use crate::engine::ingest::once::{Reply, Request};
use crate::engine::upkeep::maintenance::{Maintained, Task};
use crate::log::SourceRange;
use crate::source::{Refused, RowBlock};
use crate::speed::Room;
use crate::time::EventTime;

/// A message to one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Deal {
    /// The source is open: the run begins.
    Begin,
    /// Rows to parse and enter, and the range of the source that they take up.
    Rows { number: u64, block: RowBlock, range: SourceRange },
    /// A last line without its end: it counts in the answers of this run, and is not logged.
    Rest { number: u64, block: RowBlock },
    /// The source has ended with such a line, which entered in this tick at the latest. What it holds stays open,
    /// and is read again by the next run.
    Rested { tick: u64 },
    /// The events of a source before this came before the days up to the floor closed.
    Floor { source: usize, floor: EventTime },
    /// A source is quiet, and holds nothing back until it sends a floor; where all are quiet, days up to this one close.
    Quiet { source: usize, floor: EventTime },
    /// A source has ended.
    End { source: usize },
    /// An audit or a rebuild of a view, asked for by a worker.
    Task { id: u64, from: usize, view: usize, task: Task },
    /// What came of one worker's part of it.
    TaskDone { id: u64, worker: usize, result: Result<Maintained, String> },
    /// A push with a key, to the worker that the key belongs to.
    Once { from: usize, request: Request },
    /// The answer, to the worker that passed it on.
    OnceDone { id: u64, reply: Reply },
    /// A worker says how much more it can take.
    Room { worker: usize, room: Room },
    /// The floor is to be this high, so that late events can be sealed.
    Raise { floor: EventTime },
    /// End all sources where they are.
    Interrupt,
    /// Somebody asks the reading worker to stop all workers. It alone does, and for the first reason
    /// that reaches it, so that every process ends for the same.
    AskToStop(Outcome),
    /// Stop, for this reason. Who is to leave seals nothing more: the log has what is open.
    Stop { outcome: Outcome, leave: bool },
}

/// A worker has entered a block; these rows of it were refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) number: u64,
    pub(crate) refused: Vec<Refused>,
}

/// A worker's end of the feed.
pub(crate) struct Feed {
    peers: usize,
    deals: Option<Sender<Deal>>,
    acks: Option<Sender<Ack>>,
    /// What was dealt to this worker, in order.
    pub(crate) inbox: Rc<RefCell<VecDeque<Deal>>>,
    /// What workers have entered of what this worker dealt.
    pub(crate) acked: Rc<RefCell<Vec<Ack>>>,
    /// Audits and rebuilds to begin or that have ended: they overtake what waits in the inbox.
    pub(crate) tasks: Rc<RefCell<Vec<Deal>>>,
    /// Pushes with a key of this worker, and who passed them on. No floor that would make them late has been
    /// dealt: their process holds it back.
    pub(crate) once: Rc<RefCell<VecDeque<(usize, Request)>>>,
    /// Answers to those that this worker passed on.
    pub(crate) replies: Rc<RefCell<Vec<(u64, Reply)>>>,
    /// How much more each worker can take: it overtakes what waits in the inbox.
    pub(crate) rooms: Rc<RefCell<Vec<Room>>>,
    /// A floor to be raised, whatever the sources allow.
    pub(crate) raise: Rc<Cell<Option<EventTime>>>,
    /// A stop overtakes what waits in the inbox.
    pub(crate) stop: Rc<Cell<Option<Outcome>>>,
    /// Whether the stop leaves open days to the log.
    pub(crate) leave: Rc<Cell<bool>>,
    /// So does an interruption.
    pub(crate) interrupt: Rc<Cell<bool>>,
    /// Nothing of the inbox may be taken before the run has begun.
    pub(crate) begin: Rc<Cell<bool>>,
    /// The first reason to stop that this worker was asked for.
    asked_to_stop: Rc<RefCell<Option<Outcome>>>,
    stopping: bool,
}

/// The worker that reads the source, and that stops the others.
pub(crate) const READER: usize = 0;

type Sender<M> = InputHandle<u64, CapacityContainerBuilder<Vec<(u64, M)>>>;

impl Feed {
    /// Builds the feed's dataflow; every worker must, in the same order as its other dataflows.
    pub(crate) fn new(worker: &mut Worker) -> Feed {
        let peers = worker.peers();
        let inbox: Rc<RefCell<VecDeque<Deal>>> = Rc::default();
        let acked: Rc<RefCell<Vec<Ack>>> = Rc::default();
        let tasks: Rc<RefCell<Vec<Deal>>> = Rc::default();
        let once: Rc<RefCell<VecDeque<(usize, Request)>>> = Rc::default();
        let replies: Rc<RefCell<Vec<(u64, Reply)>>> = Rc::default();
        let stop: Rc<Cell<Option<Outcome>>> = Rc::default();
        let rooms = Rc::new(RefCell::new(vec![Room::default(); peers]));
        let raise: Rc<Cell<Option<EventTime>>> = Rc::default();
        let [interrupt, begin, leave]: [Rc<Cell<bool>>; 3] = Default::default();
        let asked_to_stop: Rc<RefCell<Option<Outcome>>> = Rc::default();
        let (deals, acks) = worker.dataflow_named("Feed", |scope| {
            let (to_inbox, to_stop) = (Rc::clone(&inbox), Rc::clone(&stop));
            let to_leave = Rc::clone(&leave);
            let (to_once, to_replies) = (Rc::clone(&once), Rc::clone(&replies));
            let (to_rooms, to_raise) = (Rc::clone(&rooms), Rc::clone(&raise));
            let (to_interrupt, to_begin) = (Rc::clone(&interrupt), Rc::clone(&begin));
            let (to_asked, to_tasks) = (Rc::clone(&asked_to_stop), Rc::clone(&tasks));
            let deals = channel(scope, "Deal", move |deal| match deal {
                Deal::Begin => to_begin.set(true),
                Deal::Interrupt => to_interrupt.set(true),
                Deal::Stop { outcome, leave } => {
                    to_leave.set(leave);
                    to_stop.set(Some(outcome));
                }
                Deal::AskToStop(outcome) => {
                    to_asked.borrow_mut().get_or_insert(outcome);
                }
                deal @ (Deal::Task { .. } | Deal::TaskDone { .. }) => {
                    to_tasks.borrow_mut().push(deal);
                }
                Deal::Room { worker, room } => to_rooms.borrow_mut()[worker] = room,
                Deal::Raise { floor } => to_raise.set(to_raise.get().max(Some(floor))),
                Deal::Once { from, request } => to_once.borrow_mut().push_back((from, request)),
                Deal::OnceDone { id, reply } => to_replies.borrow_mut().push((id, reply)),
                deal => to_inbox.borrow_mut().push_back(deal),
            });
            let to_acked = Rc::clone(&acked);
            let acks = channel(scope, "Ack", move |ack| to_acked.borrow_mut().push(ack));
            (deals, acks)
        });
        let (deals, acks, stopping) = (Some(deals), Some(acks), false);
        Feed {
            peers,
            deals,
            acks,
            inbox,
            acked,
            tasks,
            once,
            replies,
            rooms,
            raise,
            stop,
            leave,
            interrupt,
            begin,
            asked_to_stop,
            stopping,
        }
    }

    pub(crate) fn deal(&mut self, to: usize, deal: Deal) {
        if let Some(deals) = &mut self.deals {
            deals.send((to as u64, deal));
            deals.flush();
        }
    }

    pub(crate) fn broadcast(&mut self, deal: &Deal) {
        for to in 0..self.peers {
            self.deal(to, deal.clone());
        }
    }

    /// Asks for all workers of all processes to stop.
    pub(crate) fn ask_to_stop(&mut self, outcome: Outcome) {
        self.deal(READER, Deal::AskToStop(outcome));
    }

    /// Stops all workers if this one was asked to; they leave open days to the log if `leave`.
    pub(crate) fn stop_if_asked(&mut self, leave: bool) {
        let asked = self.asked_to_stop.borrow_mut().take();
        if let Some(outcome) = asked
            && !std::mem::replace(&mut self.stopping, true)
        {
            self.broadcast(&Deal::Stop { outcome, leave });
        }
    }

    pub(crate) fn ack(&mut self, to: usize, ack: Ack) {
        if let Some(acks) = &mut self.acks {
            acks.send((to as u64, ack));
            acks.flush();
        }
    }

    /// Sends nothing more.
    pub(crate) fn close(&mut self) {
        self.deals = None;
        self.acks = None;
    }
}

/// A channel from every worker to every worker.
///
/// Messages pass an operator before the exchange: what an input sends straight into an exchange waits
/// there until the input advances, and the feed has no time to advance.
fn channel<M: ExchangeData + Clone>(
    scope: Scope<'_, u64>,
    name: &str,
    mut receive: impl FnMut(M) + 'static,
) -> Sender<M> {
    let (input, stream) = scope.new_input::<Vec<(u64, M)>>();
    let passed: StreamVec<'_, u64, (u64, M)> = stream
        .unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, name, |_, _| {
            |input, output| {
                input.for_each(|capability, data| output.session(&capability).give_container(data));
            }
        });
    passed.sink(Exchange::new(|(to, _): &(u64, M)| *to), name, move |(input, _frontier)| {
        input.for_each(|_, data| data.drain(..).for_each(|(_, message)| receive(message)));
    });
    input
}
