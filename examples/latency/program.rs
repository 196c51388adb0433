//! The program that is measured: an engine with one view.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayfold::Engine;
use dayfold::aggregate::{Count, Max, Sum};
use dayfold::engine::{EngineError, LiveOptions, Measures, Pusher, ViewHandle};
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;

use crate::common::{failed, input};
use crate::load::{DayClock, Event};
use crate::options::Options;

/// What is kept for each day and key.
pub(crate) type Stats = (Count, Sum, Max<i64>);
pub(crate) type Handle = ViewHandle<u64, Stats>;

/// An engine that has not started, and its ends.
pub(crate) struct Program {
    pub(crate) engine: Engine<Event>,
    pub(crate) view: Handle,
    pub(crate) pusher: Pusher<Event>,
}

impl Program {
    pub(crate) fn new(
        options: &Options,
        clock: &Arc<DayClock>,
        folder: &Folder,
    ) -> Result<Program, EngineError> {
        let clock = Arc::clone(clock);
        let mut engine = Engine::<Event>::new().clock(move || clock.now()).data(&folder.root);
        let view = View::new("by-key").map_err(input)?;
        let view = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::of(value), Max(value))))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        if let Some(durability) = options.log.durability {
            engine = engine.log(durability, |event: &Event| event.0);
        }
        Ok(Program { engine, view, pusher })
    }
}

/// How many events the view has.
pub(crate) fn total(view: &Handle) -> Result<u64, EngineError> {
    let answer = view.ask(Query::total(DayRange::ALL)).map_err(failed)?;
    Ok(answer.value().map_or(0, |(Count(events), _, _)| events as u64))
}

/// The data folder of a run; dropping it removes this process's part.
pub(crate) struct Folder {
    root: PathBuf,
    part: PathBuf,
    made: bool,
}

impl Folder {
    /// A folder in which this process has nothing yet.
    pub(crate) fn new(root: &Path, process: usize) -> Result<Folder, EngineError> {
        let part = root.join(format!("part-{process}"));
        if part.exists() {
            return Err(input(format_args!("{} is there already: remove it", part.display())));
        }
        let made = !root.exists();
        Ok(Folder { root: root.to_owned(), part, made })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If a file cannot be removed, the next run reports it.
        let _ = std::fs::remove_dir_all(&self.part);
        if self.made {
            // Fails if another process still has its part there.
            let _ = std::fs::remove_dir(&self.root);
        }
    }
}
