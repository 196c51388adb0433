//! What an engine declares about itself: to the folder that it opens, and to the other processes of its cluster.

use super::Engine;
use super::recover::joining::{self, LostLog};
use super::view;
use crate::cluster::{Cluster, Word};
use crate::store::{Looked, Packing, StoreConfig};

impl<E: Send + Sync + 'static> Engine<E> {
    /// Removes a view that the engine no longer has from the data folder, with all its sealed days. Without this, such
    /// a folder is refused. Events stay in the log: a view that is added under the same name later is a new one, whose
    /// past is computed from the log as far back as it goes. If the folder does not have the view, nothing happens.
    ///
    /// ```
    /// use dayfold::aggregate::Count;
    /// use dayfold::engine::Measures;
    /// use dayfold::log::Durability;
    /// use dayfold::time::EventTime;
    /// use dayfold::view::View;
    /// use dayfold::{Cluster, Engine};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let place = tempfile::tempdir()?;
    /// # let folder = place.path().join("data");
    /// let start = |name: &str, former: &str| {
    ///     let engine = Engine::<EventTime>::new().data(&folder).log(Durability::System, |at| *at);
    ///     let mut engine = engine.remove_view(former);
    ///     let view = View::new(name).expect("it is a name");
    ///     engine.view(view, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    ///     engine.start(Cluster::workers(1))
    /// };
    /// start("visits", "none").and_then(|running| running.finish())?;
    /// // The folder has visits and no views.
    /// start("views", "visits").and_then(|running| running.finish())?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn remove_view(mut self, view: &str) -> Self {
        self.removed.push(view.to_owned());
        self
    }

    /// Refuses a data folder whose log has a source that was read in order ([`Engine::file`], [`Engine::csv`],
    /// [`Engine::source`]), if this engine has none. Also refuses one whose log has partitions
    /// ([`Engine::partitioned`]), if this engine only reads in order. It is for a program that reads the same rows in
    /// another way than before, and would count them twice. Without this, what the log has of such a source counts, and
    /// nothing more is read of it.
    ///
    /// ```
    /// use dayfold::Engine;
    /// use dayfold::log::Durability;
    ///
    /// let engine = Engine::<i64>::new().data("data").log(Durability::System, |time| *time);
    /// let engine = engine.refuse_former_source();
    /// ```
    #[must_use]
    pub fn refuse_former_source(mut self) -> Self {
        self.refuses_former = true;
        self
    }

    /// Sets which sealed files move into packs when the folder is opened: those of all but the newest periods of a view,
    /// if there are so many. For tests and measurements.
    #[doc(hidden)]
    #[must_use]
    pub fn packing(mut self, newest: usize, least: usize) -> Self {
        self.packing = Packing { newest, least };
        self
    }

    pub(super) fn store_config(&self, cluster: &Cluster) -> StoreConfig {
        StoreConfig {
            process: cluster.process(),
            processes: cluster.processes(),
            views: self.views.iter().map(|view| view.record()).collect(),
            logged: self.log.is_some(),
            rebuild: self.redefined.clone(),
            removed: self.removed.clone(),
            schemas: self.views.iter().filter_map(|view| view.schema().ok()).collect(),
            former: self.views.iter().map(|view| (view.record().name, view.former())).collect(),
            retention: view::retention(&self.views),
            packing: self.packing,
        }
    }

    /// What the processes of a cluster must agree on.
    pub(super) fn word(&self, looked: Option<&Looked>) -> Word {
        let yes_no = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
        let mut computes = Vec::new();
        for view in &self.views {
            let (record, grace) = (view.record(), view.view().grace_ms());
            let mut add = |what, value: &str| {
                computes.push((format!("view '{}': {what}", record.name), value.to_owned()));
            };
            record.agreed().into_iter().for_each(|(what, value)| add(what, &value));
            let schema = view.schema().map(|schema| schema.to_string()).unwrap_or_default();
            add("columns", &schema);
            // With another grace, a process would assign the same late event to another closing.
            add("grace", &format!("{grace} ms"));
            add("what it keeps", &format!("{:?}", view.view().retention()));
        }
        let mut removed = self.removed.clone();
        removed.sort_unstable();
        computes.push(("views that are removed".to_owned(), removed.join(", ")));
        computes.push(("a log".to_owned(), yes_no(self.log.is_some())));
        computes.push(("how long the log is kept".to_owned(), format!("{:?}", self.log_kept)));
        let promises = self.log.as_ref().is_some_and(|log| log.durability.is_promise());
        computes.push(("a lost log accepted".to_owned(), yes_no(self.lost == LostLog::SetAside)));
        computes.push(("a promise that events are durable".to_owned(), yes_no(promises)));
        computes.push(("a source that is read".to_owned(), yes_no(self.feeding.is_some())));
        for source in &self.partitioned {
            computes.push((format!("the source '{}'", source.name()), yes_no(true)));
        }
        computes.push(("a live source".to_owned(), yes_no(self.live.is_some())));
        Word { computes, folder: looked.map(joining::seen) }
    }
}
