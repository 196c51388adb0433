//! Starts an engine: meets the other processes, opens the folder, recovers what earlier runs have left, and spawns the
//! workers.

use std::sync::{Arc, Mutex};

use super::ingest::logging::{self, Logging, Reads};
use super::ingest::partitions;
use super::ingest::readers::Readers;
use super::recover::joining::{self, LostLog};
use super::recover::resume::{self, Known};
use super::recover::shorten;
use super::running::Running;
use super::shared::Shared;
use super::start::Start;
use super::{Engine, EngineError, clock, spawn};
use crate::archive::{Archive, ArchiveError};
use crate::cluster::Cluster;
use crate::time::EventTime;
use crate::view::View;

impl<E: Send + Sync + 'static> Engine<E> {
    /// Starts the engine on its own threads. First it recovers what an unfinished run has left in the log; queries wait
    /// until that is done, and [`Running::progress`] shows how far it is.
    ///
    /// # Errors
    /// [`EngineError::Definition`] if the engine has a second source that is read or a second live source, or a log
    /// without a data folder. [`EngineError::Schema`] if names of columns do not match the types of a view. Another
    /// [`EngineError`] if the folder or its log cannot be opened or do not match the views, if an unfinished run
    /// without a log left the folder, or if the processes of the cluster cannot connect. Then nothing has been read or
    /// written; only what was never committed may have been removed.
    pub fn start(self, cluster: Cluster) -> Result<Running, EngineError> {
        let close = spawn::close(&self.views, self.live.as_ref(), &self.waits, &self.changes);
        // Other threads that have asked or pushed meanwhile get an error.
        self.try_start(cluster).inspect_err(|_| close())
    }

    fn try_start(mut self, cluster: Cluster) -> Result<Running, EngineError> {
        if let Some(mistake) = self.find_mistake() {
            return Err(EngineError::Definition(mistake));
        }
        for view in &self.views {
            if let Err(error) = view.schema() {
                return Err(EngineError::Schema { view: view.view().name().to_owned(), error });
            }
        }
        let keep = partitions::share_keep(self.refused.take(), self.feeding.as_mut());
        self.views.iter().for_each(|view| view.open(self.asking));
        if let (Some(queue), Some(log)) = (&self.live, &self.log)
            && log.durability.is_promise()
        {
            queue.keep_keys(log.codec.clone());
        }
        let config = self.store_config(&cluster);
        let lost = if self.log.is_some() { self.lost } else { LostLog::Refuse };
        let looked =
            self.data.take().map(|place| joining::look(place, config, lost)).transpose()?;
        let mut met = cluster.clone().meet(&self.word(looked.as_ref()))?;
        let open = |looked| joining::open(looked, &mut met, cluster.threads(), lost);
        let store = looked.map(open).transpose()?;
        let archive = match &store {
            Some(store) => Archive::folder(Arc::clone(store)),
            None => Archive::in_memory(),
        };
        let views: Vec<View> = self.views.iter().map(|view| view.view().clone()).collect();
        let log = self.log.take().zip(store.as_ref());
        log.iter().try_for_each(|(_, store)| logging::repair(store))?;
        if let (Some((_, store)), Some(keep)) = (&log, &self.log_kept) {
            shorten::shorten(store, &views, keep, &mut met)?;
        }
        self.load(&archive, &cluster)?;
        let sealed =
            |view: &View| Some(view.floor_after(store.as_ref()?.sealed_through(view.name())?));
        let floor = views.iter().filter_map(sealed).max().unwrap_or(EventTime::MIN);
        // No process continues before all have rolled forward what was prepared, and removed what was never committed.
        // From here on all find the same state.
        let floors = met.exchange(&floor)?.into_iter().map(|(_, theirs)| theirs);
        let floor = floors.fold(floor, EventTime::max);
        if !met.is_alone() {
            // What the others had prepared counts as well.
            self.load(&archive, &cluster)?;
        }
        let (one, partitions) = (self.feeding.is_some(), !self.partitioned.is_empty());
        let reads = Reads { one, partitions };
        let before = self.refused_before.take();
        let log = log
            .map(|(log, store)| Logging::recover(log, store, &views, reads, before, &mut met))
            .transpose()?;
        if let Some(log) = log.as_ref().filter(|_| self.refuses_former) {
            match (reads.one, reads.partitions) {
                (false, _) => log.known.check_none()?,
                (true, false) => resume::check_no_partitions(&log.extents)?,
                (true, true) => {}
            }
        }
        let known = match (&log, &store) {
            (Some(log), _) => Arc::clone(&log.known),
            (None, Some(store)) if one && cluster.process() == 0 => Known::of_folder(store)?.into(),
            (None, _) => Arc::default(),
        };
        let extents = log.as_ref().map_or_else(Arc::default, |log| Arc::clone(&log.extents));
        let joined = met.join()?;
        let threads = joined.threads();
        // With a log, this is greater than the floor under which a worker replays, so all see when all have finished
        // replaying.
        let floor = log.as_ref().map_or(floor, |log| floor.max(log.floor).max(EventTime::MIN + 1));
        let now = self.clock.now();
        let runs = store.as_ref().map_or(0, |store| store.run().saturating_sub(1));
        if !self.floor_ahead && clock::is_ahead(floor, now, runs, &views) {
            let [floor, now] = [floor, now].map(clock::text);
            return Err(EngineError::FloorAhead { floor, now });
        }
        if let Some(store) = &store {
            views.iter().for_each(|view| store.note_lead(view, floor));
        }
        tracing::info!(views = views.len(), threads, floor, "the engine starts");
        let to_replay = log.as_ref().map_or(0, Logging::to_replay);
        self.waits.open(threads, log.as_ref().map(Logging::durability));
        let (clock, waits) = (self.clock.clone(), Arc::clone(&self.waits));
        // Only what a process reads of partitions by itself can be read again by position.
        let has_cuts = self.feeding.is_none() && cluster.processes() == 1;
        let read = (Arc::clone(&extents), has_cuts);
        let mut shared = Shared::new(views, threads, floor, to_replay, clock, waits, read);
        let is_alone = cluster.processes() == 1 && self.feeding.is_none() && self.live.is_none();
        shared.readers = Readers::new(is_alone.then_some(threads * self.partitioned.len()));
        shared.set_former(partitions::compare(&extents, &self.partitioned));
        let shared = Arc::new(shared);
        self.changes.open(&self.views, self.place(&cluster, &shared, &archive));
        let start = Start {
            shared,
            views: self.views,
            changes: self.changes,
            parse: self.feeding.as_ref().map(|feeding| Arc::clone(&feeding.parse)),
            feeding: Mutex::new(self.feeding),
            archive,
            live: self.live,
            log,
            log_kept: self.log_kept,
            known,
            partitioned: self.partitioned,
            reread: self.reread,
            extents,
            keep,
            tick_rows: self.tick_rows,
        };
        spawn::spawn(joined, start)
    }

    /// Opens the sealed days of this process's workers.
    fn load(&self, archive: &Archive, cluster: &Cluster) -> Result<(), ArchiveError> {
        self.views.iter().try_for_each(|view| view.load(archive, cluster))
    }
}
