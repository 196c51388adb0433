//! Sources with partitions: each worker reads a share of them in a thread of its own, and enters what it reads.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use crate::engine::error::EngineError;
use crate::engine::ingest::reader::{Feeding, Keep};
use crate::engine::progress::SourceNumbers;
use crate::engine::shared::Shared;
use crate::log::{Extent, Extents};
use crate::source::{More, Partitioned, Refused, Reread, Share, SourceError, Taking, Watermark};
use crate::time::EventTime;
use crate::view::View;

/// The number of batches that the reading thread may be ahead of its worker.
const BATCHES_AHEAD: usize = 4;

/// The number of partitions of a share that are reported; more only if they are not read to their end.
const PARTITIONS_TOLD: usize = 100;

/// How long the thread waits for a record before it checks whether the engine stops.
const POLL: Duration = Duration::from_millis(20);

/// A source with partitions, as the program defines it.
pub(crate) type Partitioning<E> = Arc<dyn Partitioned<E>>;

/// Gives the same `keep` to the partitions and to the source that is dealt to all workers, if there is one, for refused
/// rows.
pub(crate) fn share_keep<E>(
    keep: Option<Box<Keep>>,
    feeding: Option<&mut Feeding<E>>,
) -> Mutex<Option<Box<Keep>>> {
    let (keep, feeding) = match (keep, feeding) {
        (Some(keep), Some(feeding)) => (keep, feeding),
        (keep, _) => return Mutex::new(keep),
    };
    let shared = Arc::new(Mutex::new(keep));
    let one = || {
        let shared = Arc::clone(&shared);
        let keep = move |row: &Refused| {
            let mut keep = shared.lock().unwrap_or_else(PoisonError::into_inner);
            keep(row)
        };
        Box::new(keep) as Box<Keep>
    };
    feeding.refused = Some(one());
    Mutex::new(Some(one()))
}

/// Compares the sources with those that have positions in the log, and reports which are new or no longer read. Returns
/// the names of the latter.
pub(crate) fn compare<E: 'static>(extents: &Extents, sources: &[Partitioning<E>]) -> Vec<String> {
    let is_of = |name: &str, source: &Partitioning<E>| {
        name.strip_prefix(source.name()).is_some_and(|rest| rest.starts_with('/'))
    };
    for source in sources {
        if !extents.is_empty() && !extents.keys().any(|name| is_of(name, source)) {
            tracing::info!(
                source = source.name(),
                "a source is new: it is read from its beginning"
            );
        }
    }
    let is_former = |name: &&String| !sources.iter().any(|source| is_of(name, source));
    let former = extents.keys().filter(is_former).filter_map(|name| Some(name.split_once('/')?.0));
    let former: BTreeSet<&str> = former.collect();
    for source in &former {
        tracing::warn!(
            source,
            "the log has positions of a source that this engine does not read: what was read of it counts, and they are kept"
        );
    }
    former.into_iter().map(str::to_owned).collect()
}

/// What a worker enters of its share at once.
pub(crate) struct ReadBatch<E> {
    pub(crate) events: Vec<E>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) extents: Vec<(String, Extent)>,
    /// The watermark of the share with these records.
    pub(crate) watermark: Watermark,
}

/// A message of the reading thread to its worker.
pub(crate) enum FromShare<E> {
    Read(ReadBatch<E>),
    Ended,
    Failed(EngineError),
}

/// A share, as its worker sees it.
pub(crate) struct ShareReader<E> {
    /// Its number among the sources that have floors.
    pub(crate) source: usize,
    pub(crate) found: mpsc::Receiver<FromShare<E>>,
    /// The watermark at which the floor moves next.
    pub(crate) next: EventTime,
    /// Whether the workers were told that the share is quiet.
    pub(crate) is_quiet: bool,
    pub(crate) has_ended: bool,
}

impl<E: Send + Sync + 'static> ShareReader<E> {
    /// Starts to open and read the share of a worker.
    pub(crate) fn new(
        source: usize,
        partitioned: &Partitioning<E>,
        known: &Arc<Extents>,
        reread: Option<&Reread<E>>,
        shared: &Arc<Shared>,
        (worker, workers): (usize, usize),
    ) -> ShareReader<E> {
        let (sender, found) = mpsc::sync_channel(BATCHES_AHEAD);
        let thread = std::thread::current();
        let partitioned = Arc::clone(partitioned);
        let source_name = partitioned.name().to_owned();
        let reread = reread.cloned();
        let before = reread.as_ref().map(|reread| Arc::clone(reread.before())).unwrap_or_default();
        let known = Arc::clone(known);
        let share = Share { source: source_name, worker, workers, known, reread: before };
        let reading = Arc::clone(shared);
        let read = move || {
            // If nobody listens any more, the engine is stopping.
            let send = |found| {
                let gone = sender.send(found).is_err();
                thread.unpark();
                !gone
            };
            let name = share.source.clone();
            if let Err(source) = read_share(&*partitioned, share, reread, &reading, &send) {
                let error = SourceError::Io { name, source };
                send(FromShare::Failed(error.into()));
            }
        };
        std::thread::Builder::new()
            .name(format!("dayfold:read-{worker}"))
            .spawn(read)
            .expect("the system gives a thread to the reader");
        let (next, is_quiet, has_ended) = (shared.floor, false, false);
        ShareReader { source, found, next, is_quiet, has_ended }
    }
}

/// Reads until the source ends or nobody listens any more.
fn read_share<E: Send + Sync + 'static>(
    partitioned: &dyn Partitioned<E>,
    share: Share,
    reread: Option<Reread<E>>,
    shared: &Shared,
    send: &impl Fn(FromShare<E>) -> bool,
) -> std::io::Result<()> {
    let mut partitions = partitioned.open(&share)?;
    let mut taking = Taking::new(share, partitioned.options(), shared.clock.now());
    taking.reread = reread;
    let mut told = None;
    let reader = shared.readers.enter();
    loop {
        taking.now = shared.clock.now();
        let floor = shared.closing.load(Ordering::Acquire);
        let next = shared.views().iter().map(|view| view.next_floor(floor)).max();
        taking.set_reach(floor, next.unwrap_or(EventTime::MAX), shared.readers.least());
        let more = partitions.take(&mut taking, POLL);
        let is_stopping = shared.is_interrupted() || shared.failed.load(Ordering::Acquire);
        let extents = taking.extents(|partition| partitions.mark(partition));
        let may_go_on = extents.is_empty() && matches!(more, Ok(More::Later));
        let watermark = told_now(taking.allows(), may_go_on);
        shared.readers.advance(reader, watermark);
        let (events, refused) = taking.drain();
        let has_more = matches!(more, Ok(More::Later)) && !is_stopping;
        publish(&taking, partitions.trouble(), !has_more, shared);
        if !extents.is_empty() || moves(told, watermark, &shared.views()) {
            told = Some(watermark);
            if !send(FromShare::Read(ReadBatch { events, refused, extents, watermark })) {
                return Ok(());
            }
        }
        more?;
        if !has_more {
            send(FromShare::Ended);
            return Ok(());
        }
    }
}

/// What the worker is told of a watermark. Right after the last records of a source, nobody knows yet whether it ends: if
/// it does, its days close by its own clock, and the wall clock must not be first. A source without an end says so in
/// the next turn.
fn told_now(watermark: Watermark, may_go_on: bool) -> Watermark {
    match watermark {
        Watermark::Quiet(Some(_)) if !may_go_on => Watermark::Quiet(None),
        other => other,
    }
}

/// Whether the worker has to know this watermark, because it may let days close.
fn moves(told: Option<Watermark>, now: Watermark, views: &[View]) -> bool {
    let crosses = |told, now| views.iter().any(|view| view.floor_at(now) > view.floor_at(told));
    match (told, now) {
        (Some(Watermark::Held(told)), Watermark::Held(now))
        | (Some(Watermark::Quiet(Some(told))), Watermark::Quiet(Some(now))) => crosses(told, now),
        (told, now) => told != Some(now),
    }
}

fn publish<E>(taking: &Taking<E>, trouble: Option<String>, ended: bool, shared: &Shared) {
    let numbers = taking.partitions.iter().map(|partition| SourceNumbers {
        name: partition.name.clone(),
        watermark: partition.clock,
        clock: partition.clock,
        ended: ended || partition.has_ended,
        position: Some(partition.next),
        lag: partition.end.map(|end| end.saturating_sub(partition.next)),
        quiet: !partition.has_ended && taking.is_quiet(partition),
        paused: partition.is_paused,
        trouble: partition.trouble.clone().or_else(|| trouble.clone()),
    });
    let mut numbers: Vec<SourceNumbers> = numbers.collect();
    // Otherwise thousands of files that are read to their end would hide those that are not.
    let mut finished = numbers.len().saturating_sub(PARTITIONS_TOLD);
    numbers.retain(|numbers| {
        let leaves = finished > 0 && numbers.ended && numbers.trouble.is_none();
        finished -= usize::from(leaves);
        !leaves
    });
    let share = taking.share();
    if numbers.is_empty() && trouble.is_some() {
        // The trouble is reported even before any partition is known.
        let name = share.source.clone();
        numbers.push(SourceNumbers { trouble, ended, ..SourceNumbers::new(name) });
    }
    shared.set_partitions(&share.source, share.worker, numbers);
}
