//! The log of an engine: its configuration, what earlier runs have left in it, and where the sources continue.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use crate::closing::Closing;
use crate::cluster::Met;
use crate::engine::error::EngineError;
use crate::engine::ingest::owner::{Owner, owner_of};
use crate::engine::recover::gather::Gathered;
use crate::engine::recover::replay::{FromLog, Plan};
use crate::engine::recover::resume::Known;
use crate::engine::shared::Shared;
use crate::log::{self, Durability, EventCodec, Extents, LogError, LogWriter, OnceKey};
use crate::source::{Refused, SourcePosition};
use crate::store::{LogProof, Store};
use crate::time::EventTime;
use crate::view::View;

/// The number of the source that is read; see [`SourceRange`](crate::log::SourceRange).
const SOURCE: u32 = 0;

/// Receives the refused rows of partitions that earlier runs have logged.
pub(crate) type KeepBefore = dyn FnOnce(&[Refused]) -> Result<(), EngineError> + Send;

/// What an engine reads itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    /// A source whose rows are dealt to all workers.
    pub(crate) one: bool,
    /// Sources with partitions.
    pub(crate) partitions: bool,
}

/// What a program configures for its log.
pub(crate) struct LogConfig<E> {
    pub(crate) durability: Durability,
    pub(crate) codec: EventCodec<E>,
}

/// The log of a running engine.
pub(crate) struct Logging<E> {
    durability: Durability,
    pub(crate) codec: EventCodec<E>,
    store: Arc<Store>,
    part: PathBuf,
    run: u64,
    /// The ticks of earlier runs go up to here.
    pub(crate) tick: u64,
    /// The floor that the sources had reached; see [`first_floor`].
    pub(crate) floor: EventTime,
    pub(crate) known: Arc<Known>,
    /// The committed extents of the partitions of sources.
    pub(crate) extents: Arc<Extents>,
    plan: Arc<Plan>,
    /// Keys of pushes that no worker of this process has taken over.
    once: Mutex<Vec<OnceKey>>,
}

impl<E: Send + Sync + 'static> Logging<E> {
    /// Reads what earlier runs have left in the logs, and which of it the views have to read again. Each process reads
    /// the parts that it is responsible for, and sends the others what they need to know. Call it when all processes
    /// have repaired their parts.
    pub(crate) fn recover(
        config: LogConfig<E>,
        store: &Arc<Store>,
        views: &[View],
        reads: Reads,
        before: Option<Box<KeepBefore>>,
        met: &mut Met,
    ) -> Result<Logging<E>, EngineError> {
        let (run, storage) = (store.run(), store.storage());
        let mut state = log::scan(&**storage, &store.held_parts(), run)?;
        let gathered = Gathered::of(&**storage, &mut state)?.exchange(met)?;
        let Gathered { mut ranges, extents, refused, once, tick_max, floor_max, proofs } = gathered;
        // By now all of it is durable; the beginning of the run proves it.
        store.note_logs(proofs);
        ranges.retain(|range| range.source == SOURCE);
        let once = Mutex::new(once);
        let extents = log::joined(extents).map_err(|message| EngineError::Failed { message })?;
        // Refused rows of partitions are not rows of the one source.
        let (of_partitions, refused): (Vec<Refused>, Vec<Refused>) =
            refused.into_iter().partition(|row| is_of_partition(row, &extents));
        if let Some(before) = before.filter(|_| met.cluster().process() == 0) {
            before(&of_partitions)?;
        }
        let known =
            Known::new(&ranges, refused).map_err(|message| EngineError::Failed { message })?;
        let tick = tick_max.unwrap_or(0);
        let floor = first_floor(&known, floor_max, views, reads);
        let sealed = |view: &View| store.sealed_through(view.name());
        let views: Vec<(View, Option<Closing>)> =
            views.iter().map(|view| (view.clone(), sealed(view))).collect();
        let plan = Plan::new(Arc::clone(storage), state, views);
        let (known, extents, plan) = (Arc::new(known), Arc::new(extents), Arc::new(plan));
        let LogConfig { durability, codec } = config;
        let (store, part) = (Arc::clone(store), store.part_path());
        Ok(Logging { durability, codec, store, part, run, tick, floor, known, extents, plan, once })
    }

    /// The number of events that this process has to replay.
    pub(crate) fn to_replay(&self) -> u64 {
        self.plan.events()
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Starts the log of a worker in this run.
    pub(crate) fn writer(&self, shared: &Arc<Shared>, worker: u32) -> LogWriter<E> {
        let views = shared.views();
        let graces = views.iter().map(|view| (view.name().to_owned(), view.grace_ms()));
        let waits = Arc::clone(&shared.waits);
        let wake = std::thread::current();
        LogWriter::new(
            Arc::clone(self.store.storage()),
            self.part.clone(),
            self.run,
            worker,
            graces.collect(),
            self.durability,
            self.codec.clone(),
            move || {
                waits.tell_log();
                wake.unpark();
            },
        )
    }

    /// The keys that a worker owns. Each is passed on once.
    pub(crate) fn owner(&self, shared: &Shared, worker: usize, peers: usize) -> Owner<E> {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys of other processes are not needed here.
        once.retain(|key| owner_of(&key.key, peers) / shared.threads == worker / shared.threads);
        let (ours, left) = std::mem::take(&mut *once)
            .into_iter()
            .partition(|key| owner_of(&key.key, peers) == worker);
        *once = left;
        Owner::new(self.codec.clone(), ours)
    }

    /// Starts to read a worker's share of the replay.
    pub(crate) fn replay(&self, shared: &Arc<Shared>, worker: usize) -> mpsc::Receiver<FromLog<E>> {
        self.plan.read(worker, self.codec.clone(), shared)
    }
}

/// Whether a refused row is one of a partition; its reason says so.
fn is_of_partition(row: &Refused, extents: &Extents) -> bool {
    let named = row.reason.split_once(&format!(", {}: ", row.line));
    named.is_some_and(|(name, _)| extents.contains_key(name))
}

/// Removes what was never committed from the logs that this process holds.
pub(crate) fn repair(store: &Store) -> Result<(), LogError> {
    for (_, part) in store.held_parts() {
        let cut = log::repair(&**store.storage(), &part, store.run())?;
        if cut != log::Repaired::default() {
            tracing::info!(part = %part.display(), %cut, "the logs of earlier runs are settled");
        }
    }
    Ok(())
}

/// Proves, when a run has ended in order, what its workers in this process have logged.
pub(crate) fn prove(store: &Store) -> Result<(), EngineError> {
    let part = store.process();
    let positions = log::synced(&**store.storage(), &store.part_path(), store.run())?;
    store.note_logs(positions.into_iter().map(|position| LogProof { part, position }));
    Ok(store.prove_logs()?)
}

/// The floor from which the sources continue.
///
/// A source that is read begins where it was: under the floor of the last row that is committed without a hole. So rows
/// that were not committed enter under the same floor as before. Whatever a view has sealed was committed before that.
/// A live source continues from the greatest floor.
fn first_floor(
    known: &Known,
    state_floor: Option<EventTime>,
    views: &[View],
    reads: Reads,
) -> EventTime {
    let read = known.prefix.as_ref().map(SourcePosition::clock);
    let reached = match reads {
        Reads { one: false, .. } => state_floor,
        Reads { partitions: false, .. } => read,
        // Partitions may have held back what the other source allowed.
        Reads { .. } => read.zip(state_floor).map(|(read, floor)| read.min(floor)),
    };
    let floors = views.iter().filter_map(|view| Some(view.floor_at(reached?)));
    floors.max().unwrap_or(EventTime::MIN)
}
