//! The messages between the workers of an engine, besides rows.

use serde::{Deserialize, Serialize};

use crate::engine::error::Outcome;
use crate::engine::ingest::request::{Reply, Request};
use crate::engine::upkeep::maintenance::{Maintained, Task};
use crate::log::SourceRange;
use crate::source::RowBlock;
use crate::speed::Room;
use crate::time::{Day, EventTime};

/// A message to one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Deal {
    /// Input, which is taken in the order in which it was sent.
    Data(Data),
    /// The course of the run; it overtakes waiting data.
    Control(Control),
    /// A push with a key; it overtakes waiting data.
    Keyed(Keyed),
    /// An audit or a rebuild; it overtakes waiting data.
    Upkeep(Upkeep),
}

/// Rows of sources, and what depends on their order: which days may close.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Data {
    /// Rows to parse and enter, and their range in the source.
    Rows { number: u64, block: RowBlock, range: SourceRange },
    /// A last line without its end. It counts in the answers of this run, and is not logged.
    Rest { number: u64, block: RowBlock },
    /// The source has ended with such a line, which entered in this tick at the latest. Its event stays open, and the
    /// next run reads it again.
    Rested { tick: u64 },
    /// The events that the source sent before this message came before the days up to the floor closed.
    Floor { source: usize, floor: EventTime },
    /// A source is quiet, and holds no day open until it sends a floor. If all sources are quiet, days up to this floor
    /// close.
    Quiet { source: usize, floor: EventTime },
    /// A source has ended.
    End { source: usize },
}

/// The beginning and the end of a run, and how much the workers can take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Control {
    /// The source is open: the run begins.
    Begin,
    /// How much more a worker can take.
    Room { worker: usize, room: Room },
    /// Raise the floor to this, so that late events can be sealed.
    Raise { floor: EventTime },
    /// Add views, or remove them: the order with this number. All workers build and end dataflows in the same order.
    Change { number: u64 },
    /// End all sources where they are.
    Interrupt,
    /// A request to the reading worker to stop all workers. Only that worker does so, for the first reason that reaches
    /// it, so that every process ends for the same reason.
    AskToStop(Outcome),
    /// Stop, for this reason. With `leave`, workers seal nothing more; open days stay in the log.
    Stop { outcome: Outcome, leave: bool },
}

/// A push that counts once, on its way to the worker that owns its key, and back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Keyed {
    /// A push with a key, to the worker that owns the key.
    Push { from: usize, request: Request },
    /// The answer, to the worker that passed the push on.
    Answer { id: u64, reply: Reply },
}

/// An audit or a rebuild of a view, on all workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Upkeep {
    /// The request of a worker.
    Begin { id: u64, from: usize, view: String, task: Task },
    /// The result of one worker's share.
    Done { id: u64, worker: usize, result: Result<Maintained, String> },
    /// The log is to begin with this UTC day.
    Log(LogStep, Day),
}

/// The steps of shortening the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogStep {
    /// Nobody may read what comes before the day any more.
    Leave,
    /// A worker no longer reads it.
    Left,
    /// No worker reads it: it may be removed.
    Remove,
}

impl From<Data> for Deal {
    fn from(data: Data) -> Deal {
        Deal::Data(data)
    }
}

impl From<Control> for Deal {
    fn from(control: Control) -> Deal {
        Deal::Control(control)
    }
}

impl From<Keyed> for Deal {
    fn from(keyed: Keyed) -> Deal {
        Deal::Keyed(keyed)
    }
}

impl From<Upkeep> for Deal {
    fn from(upkeep: Upkeep) -> Deal {
        Deal::Upkeep(upkeep)
    }
}
