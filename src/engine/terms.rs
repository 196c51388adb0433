//! What an engine declares about itself: to the folder that it opens, and to the other processes of its cluster.

use std::sync::Arc;

use super::Engine;
use super::change::{Place, ViewChanger};
use super::recover::joining::{self, LostLog};
use super::shared::Shared;
use super::view;
use crate::archive::Archive;
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

    /// For changing the views of the engine while it runs: they are added with their past from the log, and removed, while
    /// sources, pushes, subscriptions and queries of the other views go on.
    ///
    /// This needs a log that is kept for ever, and one process. The one source of [`Engine::file`], [`Engine::csv`] or
    /// [`Engine::source`] is not possible beside it, because its last line may not be in the log.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dayfold::aggregate::Count;
    /// use dayfold::engine::{ChangeError, Changing, LiveOptions, Measures, ViewChange, ViewChanger};
    /// use dayfold::log::Durability;
    /// use dayfold::serve::Query;
    /// use dayfold::time::{DayRange, EventTime};
    /// use dayfold::view::View;
    /// use dayfold::{Cluster, Engine};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let limit = Duration::from_secs(10);
    /// let mut engine = Engine::<EventTime>::new();
    /// engine.view(View::new("all")?, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    /// let pusher = engine.live(LiveOptions::new(|at: &EventTime| *at));
    /// let changer: ViewChanger<EventTime> = engine.changer();
    /// let every = Durability::Every(Duration::from_millis(10));
    /// let engine = engine.data(folder.path()).log(every, |at| *at);
    /// let running = engine.start(Cluster::workers(1))?;
    /// pusher.push(vec![5])?.receipt.wait_both(limit)?;
    ///
    /// let mut change: ViewChange<EventTime> = changer.change();
    /// let odd = change.view(View::new("odd")?, Measures::none(), |at| {
    ///     (at % 2 == 1).then(|| (*at, 0u64, Count::one()))
    /// });
    /// change.remove_view("all");
    /// let changing: Changing = change.begin()?;
    /// while !changing.wait(limit)? {
    ///     let (read, all) = changing.progress();
    ///     println!("{read} of {all} events");
    /// }
    /// let answer = odd.ask(Query::point(0, DayRange::ALL))?;
    /// assert_eq!(answer.value(), Some(Count(1)));
    ///
    /// let mut again = changer.change();
    /// again.remove_view("all");
    /// assert!(matches!(again.begin(), Err(ChangeError::Definition(_))));
    /// drop(pusher);
    /// running.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn changer(&self) -> ViewChanger<E> {
        ViewChanger::new(&self.changes)
    }

    /// What changes of the views need while the engine runs; or why there can be none.
    pub(super) fn place(
        &self,
        cluster: &Cluster,
        shared: &Arc<Shared>,
        archive: &Archive,
    ) -> Result<Place, &'static str> {
        let Some(store) = archive.store().filter(|store| store.is_logged()) else {
            return Err("it has no log, from which a view could have its past");
        };
        if cluster.processes() > 1 || store.has_other_parts() {
            return Err("its data folder has the parts of several processes");
        }
        if self.log_kept.is_some() || store.log_from().is_some() {
            return Err("its log is not kept for ever");
        }
        if self.feeding.is_some() {
            return Err("it reads one source in order");
        }
        if self.reread.is_some() {
            return Err("another data folder has counted a part of its events");
        }
        let (shared, archive, store) = (Arc::clone(shared), archive.clone(), Arc::clone(store));
        Ok(Place { shared, archive, store, cluster: cluster.clone(), asking: self.asking })
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
