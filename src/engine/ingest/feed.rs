//! The channels between the workers of an engine, besides rows: blocks to parse, floors, and the end.
//!
//! One worker reads a source and deals its blocks to all workers in turn. Floors travel in the same channel to every
//! worker, so each worker sees a floor after the blocks that were dealt before it. So the order of the source
//! determines which events are late, not the speed of workers.

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
use crate::engine::ingest::deal::{Control, Data, Deal, Keyed, Upkeep};
use crate::engine::ingest::request::{Reply, Request};
use crate::source::Refused;
use crate::speed::Room;
use crate::time::EventTime;

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
    pub(crate) inbox: Rc<RefCell<VecDeque<Data>>>,
    /// The acknowledgements for blocks that this worker dealt.
    pub(crate) acked: Rc<RefCell<Vec<Ack>>>,
    /// Audits and rebuilds that begin or have ended: they overtake what waits in the inbox.
    pub(crate) tasks: Rc<RefCell<Vec<Upkeep>>>,
    /// Pushes with a key that this worker owns, and the workers that passed them on. No floor that would make them late
    /// has been dealt, because their process holds it back.
    pub(crate) once: Rc<RefCell<VecDeque<(usize, Request)>>>,
    /// Answers to the pushes that this worker passed on.
    pub(crate) replies: Rc<RefCell<Vec<(u64, Reply)>>>,
    /// How much more each worker can take: it overtakes what waits in the inbox.
    pub(crate) rooms: Rc<RefCell<Vec<Room>>>,
    /// A floor to which to raise, whatever the sources allow.
    pub(crate) raise: Rc<Cell<Option<EventTime>>>,
    /// Orders to add views or to remove them.
    pub(crate) changes: Rc<RefCell<VecDeque<u64>>>,
    /// A stop overtakes what waits in the inbox.
    pub(crate) stop: Rc<Cell<Option<Outcome>>>,
    /// Whether the stop leaves open days to the log.
    pub(crate) leave: Rc<Cell<bool>>,
    /// An interruption also overtakes what waits in the inbox.
    pub(crate) interrupt: Rc<Cell<bool>>,
    /// Nothing may be taken from the inbox before the run has begun.
    pub(crate) begin: Rc<Cell<bool>>,
    /// The first reason to stop that was sent to this worker.
    asked_to_stop: Rc<RefCell<Option<Outcome>>>,
    stopping: bool,
}

/// The worker that reads the source, and that stops the others.
pub(crate) const READER: usize = 0;

type Sender<M> = InputHandle<u64, CapacityContainerBuilder<Vec<(u64, M)>>>;

impl Feed {
    /// Builds the feed's dataflow. Every worker must call it, in the same order as for its other dataflows.
    pub(crate) fn new(worker: &mut Worker) -> Feed {
        let peers = worker.peers();
        let inbox: Rc<RefCell<VecDeque<Data>>> = Rc::default();
        let acked: Rc<RefCell<Vec<Ack>>> = Rc::default();
        let tasks: Rc<RefCell<Vec<Upkeep>>> = Rc::default();
        let once: Rc<RefCell<VecDeque<(usize, Request)>>> = Rc::default();
        let replies: Rc<RefCell<Vec<(u64, Reply)>>> = Rc::default();
        let stop: Rc<Cell<Option<Outcome>>> = Rc::default();
        let rooms = Rc::new(RefCell::new(vec![Room::default(); peers]));
        let raise: Rc<Cell<Option<EventTime>>> = Rc::default();
        let [interrupt, begin, leave]: [Rc<Cell<bool>>; 3] = Default::default();
        let asked_to_stop: Rc<RefCell<Option<Outcome>>> = Rc::default();
        let changes: Rc<RefCell<VecDeque<u64>>> = Rc::default();
        let (deals, acks) = worker.dataflow_named("Feed", |scope| {
            let (to_inbox, to_stop) = (Rc::clone(&inbox), Rc::clone(&stop));
            let to_leave = Rc::clone(&leave);
            let (to_once, to_replies) = (Rc::clone(&once), Rc::clone(&replies));
            let (to_rooms, to_raise) = (Rc::clone(&rooms), Rc::clone(&raise));
            let (to_interrupt, to_begin) = (Rc::clone(&interrupt), Rc::clone(&begin));
            let to_changes = Rc::clone(&changes);
            let (to_asked, to_tasks) = (Rc::clone(&asked_to_stop), Rc::clone(&tasks));
            let control = move |control| match control {
                Control::Begin => to_begin.set(true),
                Control::Change { number } => to_changes.borrow_mut().push_back(number),
                Control::Interrupt => to_interrupt.set(true),
                Control::Stop { outcome, leave } => {
                    to_leave.set(leave);
                    to_stop.set(Some(outcome));
                }
                Control::AskToStop(outcome) => {
                    to_asked.borrow_mut().get_or_insert(outcome);
                }
                Control::Room { worker, room } => to_rooms.borrow_mut()[worker] = room,
                Control::Raise { floor } => to_raise.set(to_raise.get().max(Some(floor))),
            };
            let deals = channel(scope, "Deal", move |deal| match deal {
                Deal::Data(data) => to_inbox.borrow_mut().push_back(data),
                Deal::Control(message) => control(message),
                Deal::Keyed(Keyed::Push { from, request }) => {
                    to_once.borrow_mut().push_back((from, request));
                }
                Deal::Keyed(Keyed::Answer { id, reply }) => {
                    to_replies.borrow_mut().push((id, reply));
                }
                Deal::Upkeep(task) => to_tasks.borrow_mut().push(task),
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
            changes,
            stop,
            leave,
            interrupt,
            begin,
            asked_to_stop,
            stopping,
        }
    }

    pub(crate) fn deal(&mut self, to: usize, deal: impl Into<Deal>) {
        if let Some(deals) = &mut self.deals {
            deals.send((to as u64, deal.into()));
            deals.flush();
        }
    }

    pub(crate) fn broadcast(&mut self, deal: impl Into<Deal>) {
        let deal = deal.into();
        for to in 0..self.peers {
            self.deal(to, deal.clone());
        }
    }

    /// Requests that all workers of all processes stop.
    pub(crate) fn ask_to_stop(&mut self, outcome: Outcome) {
        self.deal(READER, Control::AskToStop(outcome));
    }

    /// Stops all workers if this was requested; with `leave`, they leave open days to the log.
    pub(crate) fn stop_if_asked(&mut self, leave: bool) {
        let asked = self.asked_to_stop.borrow_mut().take();
        if let Some(outcome) = asked
            && !std::mem::replace(&mut self.stopping, true)
        {
            self.broadcast(Control::Stop { outcome, leave });
        }
    }

    /// Whether this worker has told all workers to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
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
/// Messages pass an operator before the exchange. What an input sends straight into an exchange would wait there until
/// the input advances, and the feed has no time that advances.
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
