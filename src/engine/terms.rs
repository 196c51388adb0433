//! What an engine says of itself: to the folder that it opens, and to the other processes of its group.

use super::Engine;
use super::recover::joining::{self, LostLog};
use super::view;
use crate::cluster::{Cluster, Word};
use crate::store::{Looked, StoreConfig};

impl<E: Send + Sync + 'static> Engine<E> {
    pub(super) fn store_config(&self, cluster: &Cluster) -> StoreConfig {
        StoreConfig {
            process: cluster.process(),
            processes: cluster.processes(),
            views: self.views.iter().map(|view| view.record()).collect(),
            logged: self.log.is_some(),
            rebuild: self.redefined.clone(),
            schemas: self.views.iter().filter_map(|view| view.schema().ok()).collect(),
            former: self.views.iter().map(|view| (view.record().name, view.former())).collect(),
            retention: view::retention(&self.views),
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
            // With another grace, a process would put the same late event into another closing.
            add("grace", &format!("{grace} ms"));
            add("what it keeps", &format!("{:?}", view.view().retention()));
        }
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
