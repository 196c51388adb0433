//! The progress of an engine in plain numbers.

use crate::speed::ViewNumbers;
use crate::time::EventTime;

/// The progress of an engine. The numbers are those of this process, unless they say otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Rows read from the source, including refused ones, in the process that reads it.
    pub rows: u64,
    /// Rows of the source that were refused, in the process that reads it, and refused events that were pushed to this
    /// process.
    pub refused: u64,
    /// Bytes of the source read so far, as stored.
    pub bytes_read: u64,
    /// Bytes of the source, if known.
    pub bytes_total: Option<u64>,
    /// Events entered by the workers of this process.
    pub events: u64,
    /// Events of the log that have been replayed in this process since it started.
    pub replayed: u64,
    /// Events of the log that this process has to replay.
    pub to_replay: u64,
    /// Whether all events from before the start of the program are in; queries wait for that.
    pub recovered: bool,
    /// Incomplete ticks of the first worker of this process.
    pub ticks: usize,
    /// The approximate bytes that wait to be encoded for the log of the first worker of this process.
    pub log_waiting: usize,
    /// What the first worker of this process holds of each view, in the order in which they were added.
    pub views: Vec<ViewNumbers>,
    /// The names of the views, in the same order.
    pub view_names: Vec<String>,
    /// The event time up to which days may close, as the first worker of this process sees it.
    pub floor: EventTime,
    /// The sources that this process reads, the live one last.
    pub sources: Vec<SourceNumbers>,
    /// Sources that have positions in the log and are not read by the engine.
    pub former_sources: Vec<String>,
    /// The progress of the logs of this process, if there are any.
    pub log: Option<LogNumbers>,
    /// The same for each log: an entry of a log is durable when `durable` of that log has reached its number.
    pub logs: Vec<LogNumbers>,
}

/// The progress of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceNumbers {
    /// `replay` for a source that is read, `live` for one that is pushed into; for a partition, the names of its source
    /// and of the partition.
    pub name: String,
    /// The estimate of event-time completeness; [`EventTime::MIN`] before there is one.
    pub watermark: EventTime,
    /// What the watermark is compared with: the clock of a source that is read, the wall clock for a live one.
    pub clock: EventTime,
    /// Whether nothing more will come.
    pub ended: bool,
    /// For a partition: the number of the next record, as the source counts.
    pub position: Option<u64>,
    /// For a partition: the distance from there to its end, if the end is known.
    pub lag: Option<u64>,
    /// For a partition: whether it was read to its end and has brought nothing for a while, so that it holds no days
    /// open.
    pub quiet: bool,
    /// For a partition: whether it waits because it is too far ahead of others.
    pub paused: bool,
    /// For a partition: what prevents reading, if anything does.
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

/// The progress of the logs of the workers of a process, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogNumbers {
    /// The number of appended entries.
    pub appended: u64,
    /// The number of entries that survive a crash of the machine.
    pub durable: u64,
}

impl LogNumbers {
    /// The sums over all logs; `None` if there are none.
    pub(crate) fn together(logs: &[LogNumbers]) -> Option<LogNumbers> {
        logs.iter().copied().reduce(|all, log| LogNumbers {
            appended: all.appended + log.appended,
            durable: all.durable + log.durable,
        })
    }
}
