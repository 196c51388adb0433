//! What travels between the workers of an engine besides rows.

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
    /// What is read: it is taken in the order in which it was sent.
    Data(Data),
    /// How the run goes: it overtakes data that waits.
    Control(Control),
    /// A push with a key: it overtakes data that waits.
    Keyed(Keyed),
    /// An audit or a rebuild: it overtakes data that waits.
    Upkeep(Upkeep),
}

/// Rows of sources, and what their order decides: which days may close.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Data {
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
}

/// Beginning and end of a run, and how much the workers can take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Control {
    /// The source is open: the run begins.
    Begin,
    /// A worker says how much more it can take.
    Room { worker: usize, room: Room },
    /// The floor is to be this high, so that late events can be sealed.
    Raise { floor: EventTime },
    /// End all sources where they are.
    Interrupt,
    /// Somebody asks the reading worker to stop all workers. It alone does, and for the first reason
    /// that reaches it, so that every process ends for the same.
    AskToStop(Outcome),
    /// Stop, for this reason. With `leave`, workers seal nothing more; open days stay in the log.
    Stop { outcome: Outcome, leave: bool },
}

/// A push that counts once, on its way to the worker that its key belongs to, and back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Keyed {
    /// A push with a key, to the worker that the key belongs to.
    Push { from: usize, request: Request },
    /// The answer, to the worker that passed it on.
    Answer { id: u64, reply: Reply },
}

/// An audit or a rebuild of a view, on all workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Upkeep {
    /// A worker asks for it.
    Begin { id: u64, from: usize, view: usize, task: Task },
    /// What came of one worker's part of it.
    Done { id: u64, worker: usize, result: Result<Maintained, String> },
    /// The log is to begin with this UTC day.
    Log(LogStep, Day),
}

/// How far a shorter log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogStep {
    /// Nobody is to read what comes before.
    Leave,
    /// A worker does not any more.
    Left,
    /// No worker does: it may go.
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
