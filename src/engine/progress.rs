//! How far an engine is: plain numbers, for whoever looks.

use crate::speed::ViewNumbers;
use crate::time::EventTime;

/// How far an engine is. Numbers of this process, unless they say otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Rows read from the source, refused ones included, on the process that reads it.
    pub rows: u64,
    /// Rows of the source that were refused, on the process that reads it, and events pushed to this process that
    /// were refused.
    pub refused: u64,
    /// Bytes of the source read so far, as they are stored.
    pub bytes_read: u64,
    /// Bytes of the source, if known.
    pub bytes_total: Option<u64>,
    /// Events entered by the workers of this process.
    pub events: u64,
    /// Events of the log that have entered again in this process, since it started.
    pub replayed: u64,
    /// How many events of the log this process has to replay.
    pub to_replay: u64,
    /// Whether what was before the program started is all in; queries wait for that.
    pub recovered: bool,
    /// Ticks of the first worker of this process that are under way.
    pub ticks: usize,
    /// Bytes that wait to be encoded for the log of the first worker of this process, about.
    pub log_waiting: usize,
    /// For each view, in the order they were added, what the first worker of this process holds.
    pub views: Vec<ViewNumbers>,
    /// The names of the views, in the same order.
    pub view_names: Vec<String>,
    /// The event time up to which days may close, as the first worker of this process sees it.
    pub floor: EventTime,
    /// The sources that this process reads, the live one last.
    pub sources: Vec<SourceNumbers>,
    /// Sources that the log has positions of, and that the engine does not read.
    pub former_sources: Vec<String>,
    /// How far the logs of this process are, if there are any.
    pub log: Option<LogNumbers>,
    /// The same, log by log: what had been appended to one is durable when `durable` of that one has come so far.
    pub logs: Vec<LogNumbers>,
}

/// How far a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceNumbers {
    /// `replay` for one that is read, `live` for one that is pushed into; of a partition, its source and its own name.
    pub name: String,
    /// The estimate of event-time completeness; [`EventTime::MIN`] before there is one.
    pub watermark: EventTime,
    /// What it is measured against: the clock of a source that is read, the wall clock of a live one.
    pub clock: EventTime,
    /// Whether nothing more will come.
    pub ended: bool,
    /// Of a partition: the number of the next record, in its source's counting.
    pub position: Option<u64>,
    /// Of a partition: how many numbers that is behind its end, as far as the end is known.
    pub lag: Option<u64>,
    /// Of a partition: whether it is read to its end and has brought nothing for a while, so that it holds no days open.
    pub quiet: bool,
    /// Of a partition: whether it waits for others, which it is too far ahead of.
    pub paused: bool,
    /// Of a partition: what keeps it from being read on, if anything does.
    pub trouble: Option<String>,
}

impl SourceNumbers {
    pub(crate) fn new(name: String) -> SourceNumbers {
        let (watermark, clock) = (EventTime::MIN, EventTime::MIN);
        let (ended, quiet, paused) = (false, false, false);
        let (position, lag, trouble) = (None, None, None);
        SourceNumbers { name, watermark, clock, ended, position, lag, quiet, paused, trouble }
    }
}

/// How far the logs of the workers of a process are, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogNumbers {
    /// Entries appended.
    pub appended: u64,
    /// Entries that survive a crash of the machine.
    pub durable: u64,
}

impl LogNumbers {
    /// Those of all logs together; `None` if there are none.
    pub(crate) fn together(logs: &[LogNumbers]) -> Option<LogNumbers> {
        logs.iter().copied().reduce(|all, log| LogNumbers {
            appended: all.appended + log.appended,
            durable: all.durable + log.durable,
        })
    }
}
