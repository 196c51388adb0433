//! Sources with partitions: a topic of a broker, a folder of files.

use std::io;
use std::time::Duration;

use super::clock::{Reading, advance, check_behind};
use super::partition_options::PartitionOptions;
use super::reread::Reread;
use super::row::Refused;
use super::share::{Mark, Share, full_name};
use crate::log::Extent;
use crate::time::{EventTime, milliseconds};

/// How many records are taken at once. Records that a worker enters together become visible together.
const TAKEN_AT_ONCE: usize = 4_096;

/// The same in bytes of the records.
const BYTES_AT_ONCE: usize = 4 << 20;

/// A source whose records come in partitions, each with its own order: a topic of a broker.
///
/// Each worker of each process reads a share of the partitions in its own thread, and enters their records. The log
/// keeps the position of a partition, under its name, together with the events read up to there. So each record counts
/// once, whenever a run is killed and whichever worker reads the partition next.
///
/// **The contract.** Every partition belongs to the share of exactly one worker. Opened at a position, a partition has
/// the same records in the same order. The order between partitions does not matter.
///
/// **The clock.** Each partition has its own: the greatest arrival so far, or the greatest event time of records
/// without one. Days close by the least clock of all partitions, except those that are at their end and quiet.
///
/// [`Engine::partitioned`](crate::Engine::partitioned) reads such a source.
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// use dayfold::source::{
///     Committed, More, PartitionOptions, Partitioned, Partitions, Share, Start, Taken, Taking,
/// };
///
/// /// Each partition has the numbers below 1,000.
/// struct Numbers(usize);
///
/// impl Partitioned<u64> for Numbers {
///     fn name(&self) -> &str {
///         "numbers"
///     }
///
///     fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<u64>>> {
///         let mine = (0..self.0).filter(|partition| share.has(*partition));
///         let begin = |partition: usize| {
///             let name = partition.to_string();
///             let next = share.committed(&name).map_or(0, |committed: Committed| committed.next);
///             (name, next)
///         };
///         Ok(Box::new(Reading { open: mine.map(begin).collect(), is_known: false }))
///     }
///
///     fn options(&self) -> PartitionOptions {
///         PartitionOptions::default().behind_limit(Duration::from_secs(86_400))
///     }
/// }
///
/// struct Reading {
///     open: Vec<(String, u64)>,
///     is_known: bool,
/// }
///
/// impl Partitions<u64> for Reading {
///     fn take(&mut self, into: &mut Taking<u64>, _wait: Duration) -> io::Result<More> {
///         if !std::mem::replace(&mut self.is_known, true) {
///             for (name, next) in &self.open {
///                 into.add(name, Start::new(0, *next));
///             }
///             into.ready();
///         }
///         for (index, (_, next)) in self.open.iter_mut().enumerate() {
///             while *next < 1_000 && !into.is_full() {
///                 let (number, time) = (*next, *next as i64);
///                 *next += 1;
///                 into.event(index, Taken::new(*next, b""), time, number);
///             }
///         }
///         let is_over = self.open.iter().all(|(_, next)| *next == 1_000);
///         Ok(if is_over { More::Ended } else { More::Later })
///     }
/// }
/// ```
pub trait Partitioned<E>: Send + Sync + 'static {
    /// The name under which the log keeps the positions; also used in messages. A source with another name is another
    /// source, which is read from its beginning.
    fn name(&self) -> &str;

    /// Opens the share of a worker, on the thread that will read it. It may block.
    ///
    /// # Errors
    /// Why the share cannot be read; the error stops the engine.
    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<E>>>;

    /// How events are judged, and when a partition is quiet.
    fn options(&self) -> PartitionOptions {
        PartitionOptions::default()
    }
}

/// Reads the partitions of one worker.
pub trait Partitions<E> {
    /// Takes the available records, until [`Taking::is_full`]; waits at most this long for the first one. If it may only
    /// take from partitions that are paused, [`std::thread::park_timeout`] waits until that may have changed.
    ///
    /// # Errors
    /// An error of the source as a whole. It stops the engine, after the records taken before have entered.
    fn take(&mut self, into: &mut Taking<E>, wait: Duration) -> io::Result<More>;

    /// Bytes that the log keeps for a partition beside its position, for the next run.
    fn mark(&self, partition: usize) -> Vec<u8> {
        let _ = partition;
        Vec::new()
    }

    /// Why it cannot read on, if so; shown to people.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Whether there may be more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum More {
    /// At some time.
    Later,
    /// None in any partition of this share.
    Ended,
}

/// Where to begin reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// The epoch in the log, or 0. It is one more than the epoch in the log if reading was told to begin somewhere else
    /// than at the log's position, because the records there have changed or are gone.
    pub epoch: u32,
    /// The number of the first record.
    pub next: u64,
}

impl Start {
    /// It begins with the record `next`.
    pub fn new(epoch: u32, next: u64) -> Start {
        Start { epoch, next }
    }
}

/// The records taken from the partitions of a share.
#[derive(Debug)]
pub struct Taking<E> {
    options: PartitionOptions,
    share: Share,
    pub(crate) now: EventTime,
    /// A partition whose clock is beyond this is paused.
    reach: EventTime,
    pub(crate) partitions: Vec<Partition>,
    /// What enters of records that are read again.
    pub(crate) reread: Option<Reread<E>>,
    /// Whether the partitions of the share are known.
    is_ready: bool,
    pub(crate) events: Vec<E>,
    pub(crate) refused: Vec<Refused>,
    /// For the records from which these were made.
    bytes: usize,
}

/// A record of a partition.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Taken<'a> {
    /// When it came, if the source knows.
    pub arrival: Option<EventTime>,
    /// The number of the record after it.
    pub next: u64,
    /// The bytes to keep if it is refused.
    pub raw: &'a [u8],
}

impl<'a> Taken<'a> {
    /// The record before `next`, whose arrival is not known.
    pub fn new(next: u64, raw: &'a [u8]) -> Taken<'a> {
        Taken { arrival: None, next, raw }
    }

    /// The same record, with its arrival if that is known.
    #[must_use]
    pub fn arrival(self, arrival: Option<EventTime>) -> Taken<'a> {
        Taken { arrival, ..self }
    }
}

/// How far a partition was read.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) name: String,
    epoch: u32,
    /// Records before this one are read again.
    reread_before: u64,
    /// The positions after the records handed to the worker, and after those taken.
    from: u64,
    pub(crate) next: u64,
    pub(crate) clock: EventTime,
    /// The end, if it is known; with `is_at_end`, everything before it was taken.
    pub(crate) end: Option<u64>,
    pub(crate) is_at_end: bool,
    /// Nothing more will come.
    pub(crate) has_ended: bool,
    pub(crate) is_paused: bool,
    /// Why this one cannot be read on.
    pub(crate) trouble: Option<String>,
    /// When the last record came, on the wall clock.
    pub(crate) heard: EventTime,
}

impl<E> Taking<E> {
    pub(crate) fn new(share: Share, options: PartitionOptions, now: EventTime) -> Taking<E> {
        let (partitions, events, refused) = (Vec::new(), Vec::new(), Vec::new());
        let (is_ready, bytes) = (false, 0);
        let reach = EventTime::MAX;
        let reread = None;
        Taking { options, share, now, reach, partitions, reread, is_ready, events, refused, bytes }
    }

    /// Which share this is.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// Call this once all partitions of the share have been added, even if there are none. Until then, days stay open.
    pub fn ready(&mut self) {
        self.is_ready = true;
    }

    /// Adds a partition of this share, when it is opened or found. Returns its index for all later calls.
    pub fn add(&mut self, partition: &str, start: Start) -> usize {
        let name = full_name(&self.share.source, partition);
        let known = self.share.known.get(&name).filter(|extent| extent.epoch == start.epoch);
        let clock = known.and_then(Mark::of).unwrap_or_default().clock;
        let Start { epoch, next } = start;
        let (heard, from) = (self.now, next);
        let reread_before = self.share.reread_before(partition).last().copied().unwrap_or(0);
        self.partitions.push(Partition {
            name,
            epoch,
            reread_before,
            from,
            next,
            clock,
            end: None,
            is_at_end: false,
            has_ended: false,
            is_paused: false,
            trouble: None,
            heard,
        });
        self.partitions.len() - 1
    }

    /// Restarts a partition in another epoch, because its content is not what was read before. Call it before anything
    /// of the partition is taken in a turn.
    pub fn anew(&mut self, partition: usize, start: Start) {
        let partition = &mut self.partitions[partition];
        debug_assert_eq!(partition.from, partition.next, "what was taken before has its extent");
        (partition.epoch, partition.from, partition.next) = (start.epoch, start.next, start.next);
    }

    /// The wall clock when this began to be filled.
    pub fn now(&self) -> EventTime {
        self.now
    }

    /// Whether the taken records should go to the worker before more are taken.
    pub fn is_full(&self) -> bool {
        self.events.len() + self.refused.len() >= TAKEN_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    /// A record that is an event at this time. An event that is too far ahead or too old is refused.
    pub fn event(&mut self, partition: usize, record: Taken<'_>, time: EventTime, event: E) {
        self.events(partition, record, std::iter::once((time, event)));
    }

    /// A record that is several events. If one of them is too far ahead or too old, all are refused.
    pub fn events(
        &mut self,
        partition: usize,
        record: Taken<'_>,
        events: impl IntoIterator<Item = (EventTime, E)>,
    ) {
        let Taken { arrival, next, raw } = record;
        let before = self.events.len();
        for (time, event) in events {
            match self.judge(partition, time, arrival) {
                Ok(clock) => {
                    let event = self.entering(partition, next, event);
                    self.events.extend(event);
                    self.partitions[partition].clock = clock;
                }
                Err(reason) => {
                    self.events.truncate(before);
                    self.refused(partition, reason, raw, next);
                    return;
                }
            }
        }
        self.heard(partition, next, raw.len());
    }

    /// The event of a record, as it enters.
    fn entering(&self, partition: usize, next: u64, event: E) -> Option<E> {
        let Partition { name, reread_before, .. } = &self.partitions[partition];
        match &self.reread {
            Some(reread) if next <= *reread_before => reread.pass(name, next, event),
            _ => Some(event),
        }
    }

    /// The clock after an event of this time, or the reason to refuse it.
    fn judge(
        &self,
        partition: usize,
        time: EventTime,
        arrival: Option<EventTime>,
    ) -> Result<EventTime, String> {
        let PartitionOptions { ahead_limit, behind_limit, .. } = self.options;
        let clock = self.partitions[partition].clock;
        let reading = arrival.map_or(Reading::Event, |at| Reading::Arrival(Some(at)));
        let step = advance(clock, time, reading, self.now, ahead_limit)?;
        check_behind(time, step.clock, behind_limit)?;
        Ok(step.clock)
    }

    /// A record that is not an event. It is counted, and kept aside with its reason, its partition and its number
    /// there.
    pub fn refused(&mut self, partition: usize, reason: impl AsRef<str>, raw: &[u8], next: u64) {
        let line = next.saturating_sub(1);
        let reason = format!("{}, {line}: {}", self.partitions[partition].name, reason.as_ref());
        let bytes = raw.len() + reason.len();
        self.refused.push(Refused { line, reason, row: raw.to_vec() });
        self.heard(partition, next, bytes);
    }

    /// There are no more records to count before this number.
    pub fn passed(&mut self, partition: usize, next: u64) {
        let partition = &mut self.partitions[partition];
        partition.next = partition.next.max(next);
    }

    /// The present end of the partition, and whether everything before it was taken.
    pub fn end(&mut self, partition: usize, end: Option<u64>, is_at_end: bool) {
        let partition = &mut self.partitions[partition];
        (partition.end, partition.is_at_end) = (end.or(partition.end), is_at_end);
    }

    /// Whether records were taken from the partition that the worker does not have yet.
    pub(crate) fn has_untold(&self, partition: usize) -> bool {
        self.partitions[partition].next > self.partitions[partition].from
    }

    /// Says that no record before this time will come in the partition, so days before it may close. A source knows
    /// this of an idle partition, or if it has seen the next record. An earlier record that comes all the same is late.
    pub fn idle(&mut self, partition: usize, watermark: EventTime) {
        let partition = &mut self.partitions[partition];
        partition.clock = partition.clock.max(watermark);
    }

    /// Says that no more records will come in the partition, so it holds no days open. A record that comes all the same
    /// counts.
    pub fn ended(&mut self, partition: usize) {
        let partition = &mut self.partitions[partition];
        (partition.is_at_end, partition.has_ended) = (true, true);
    }

    /// Whether no more records should be taken from the partition at present, because it is too far ahead of the others
    /// ([`PartitionOptions::max_ahead`]). Ask each time before taking; the partition that holds days open is never
    /// paused.
    pub fn is_paused(&mut self, partition: usize) -> bool {
        let partition = &mut self.partitions[partition];
        partition.is_paused = partition.clock > self.reach;
        partition.is_paused
    }

    /// Sets why this partition cannot be read on, if so; shown to people.
    pub fn trouble(&mut self, partition: usize, trouble: Option<String>) {
        self.partitions[partition].trouble = trouble;
    }

    /// Sets the clock at which a partition is paused. Days up to `floor` have closed, and the first clock that holds
    /// days open is before `next`; or it is `least`, if that is known: then days up to it are about to close.
    pub(crate) fn set_reach(
        &mut self,
        floor: EventTime,
        next: EventTime,
        least: Option<EventTime>,
    ) {
        let Some(max_ahead) = self.options.max_ahead else { return };
        // Before any day has closed, the other partitions may not have reported their clocks yet.
        let is_known = floor > EventTime::MIN + 1;
        let clocks = self.partitions.iter().map(|partition| partition.clock);
        let first = || clocks.filter(|clock| *clock != EventTime::MIN).min();
        let from = if is_known { Some(next) } else { first() }.max(least);
        self.reach =
            from.map_or(EventTime::MAX, |from| from.saturating_add(milliseconds(max_ahead)));
    }

    /// Rows that are judged already, with the clock after them.
    pub(crate) fn rows(
        &mut self,
        partition: usize,
        clock: EventTime,
        next: u64,
        bytes: usize,
        events: impl IntoIterator<Item = E>,
    ) {
        if next <= self.partitions[partition].reread_before {
            for event in events {
                let event = self.entering(partition, next, event);
                self.events.extend(event);
            }
        } else {
            self.events.extend(events);
        }
        self.idle(partition, clock);
        self.heard(partition, next, bytes);
    }

    /// A refused row of them.
    pub(crate) fn refused_row(&mut self, partition: usize, mut refused: Refused) {
        let name = &self.partitions[partition].name;
        refused.reason = format!("{name}, {}: {}", refused.line, refused.reason);
        self.bytes += refused.row.len() + refused.reason.len();
        self.refused.push(refused);
    }

    fn heard(&mut self, partition: usize, next: u64, bytes: usize) {
        self.bytes += bytes;
        let now = self.now;
        let partition = &mut self.partitions[partition];
        debug_assert!(next > partition.next, "the numbers of a partition rise");
        (partition.next, partition.heard) = (next, now);
        (partition.is_at_end, partition.has_ended) = (false, false);
    }

    /// The ranges taken from the partitions since the last call, with the source's state of each.
    pub(crate) fn extents(&mut self, mark: impl Fn(usize) -> Vec<u8>) -> Vec<(String, Extent)> {
        let moved = self.partitions.iter_mut().enumerate();
        let moved = moved.filter(|(_, partition)| partition.next > partition.from);
        let extent = |(index, partition): (usize, &mut Partition)| {
            let kept = Mark { clock: partition.clock, source: mark(index) };
            let mark = bincode::serialize(&kept).expect("a mark can be encoded");
            let (from, to) = (partition.from, partition.next);
            partition.from = to;
            (partition.name.clone(), Extent { epoch: partition.epoch, from, to, mark })
        };
        moved.map(extent).collect()
    }

    /// The taken records, for the worker.
    pub(crate) fn drain(&mut self) -> (Vec<E>, Vec<Refused>) {
        self.bytes = 0;
        (std::mem::take(&mut self.events), std::mem::take(&mut self.refused))
    }

    /// How far this share allows days to close.
    pub(crate) fn allows(&self) -> Watermark {
        if !self.is_ready {
            return Watermark::Held(EventTime::MIN);
        }
        let held = self.partitions.iter().filter(|partition| !self.is_quiet(partition));
        let after = self.options.quiet_after.filter(|_| !self.partitions.is_empty());
        held.map(|partition| partition.clock).min().map_or_else(
            || Watermark::Quiet(after.map(|after| self.now.saturating_sub(milliseconds(after)))),
            Watermark::Held,
        )
    }

    pub(crate) fn is_quiet(&self, partition: &Partition) -> bool {
        if partition.has_ended {
            return true;
        }
        let quiet = |after| self.now.saturating_sub(partition.heard) >= milliseconds(after);
        partition.is_at_end && self.options.quiet_after.is_some_and(quiet)
    }
}

/// How far days may close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watermark {
    /// No further, even if others would allow it.
    Held(EventTime),
    /// As far as other partitions allow; if there are none, up to this time.
    Quiet(Option<EventTime>),
}

#[cfg(test)]
mod tests;
