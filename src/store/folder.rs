//! All parts of a folder as they are on disk, and whether they fit each other and the program.

use std::collections::BTreeMap;
use std::io;

use super::StoreConfig;
use super::error::StoreError;
use super::layout::{Layout, TEMPORARY, parse_part};
use super::manifest::{self, Replayed};
use super::record::{Identity, PartState, Run};
use super::storage::Storage;
use crate::key::PARTITIONS;
use crate::time::Day;

/// The hash that places keys, as recorded.
const HASH: &str = "xxh3-64";

/// What the manifests of all parts say.
#[derive(Debug)]
pub(super) struct Folder {
    /// Parts that have a manifest.
    pub(super) parts: BTreeMap<u32, Replayed>,
}

/// What the parts agree on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) cluster: Option<u128>,
    /// The newest run, if any began.
    pub(super) run: Option<Run>,
    /// Up to where each view is closed: the greatest of the newest run's parts. One process committed
    /// it, so all had prepared it, and those that are behind roll forward.
    pub(super) through: BTreeMap<String, Day>,
}

impl Agreed {
    /// Whether a process took part in the newest run, so that it prepared what that run committed.
    pub(super) fn is_member(&self, process: u32) -> bool {
        self.run.is_some_and(|run| process < run.processes)
    }
}

/// The processes that have a folder, with a manifest or not; empty if there is no root.
pub(super) fn processes(storage: &dyn Storage, layout: &Layout) -> Result<Vec<u32>, StoreError> {
    match storage.list(layout.root()) {
        Ok(names) => Ok(names.iter().filter_map(|name| parse_part(name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::harmless("list", layout.root())(error)),
    }
}

impl Folder {
    /// Reads all manifests. Changes nothing.
    pub(super) fn read(storage: &dyn Storage, layout: &Layout) -> Result<Folder, StoreError> {
        let mut parts = BTreeMap::new();
        for process in processes(storage, layout)? {
            match manifest::read(storage, &layout.manifest(process))? {
                Some(replayed) => drop(parts.insert(process, replayed)),
                None => check_bare(storage, layout, process)?,
            }
        }
        Ok(Folder { parts })
    }

    /// Compares the parts with each other and with the program. Changes nothing.
    pub(super) fn check(
        &self,
        config: &StoreConfig,
        layout: &Layout,
    ) -> Result<Agreed, StoreError> {
        let run = self.states().filter_map(|(_, state)| state.run).max_by_key(|run| run.number);
        let missing =
            (0..run.map_or(0, |run| run.parts)).find(|part| !self.parts.contains_key(part));
        if let Some(process) = missing {
            return Err(StoreError::MissingPart { path: layout.manifest(process) });
        }
        let cluster = self.check_identities(layout)?;
        if let Some(run) = run.filter(|run| run.logged != config.logged) {
            let (folder, on_disk, asked) = (layout.root().to_owned(), run.logged, config.logged);
            return Err(StoreError::LogMismatch { folder, on_disk, asked });
        }
        self.check_views(config)?;
        let mut agreed = Agreed { cluster, run, through: BTreeMap::new() };
        for (process, state) in self.states() {
            if agreed.is_member(process) {
                for (view, sealed) in &state.sealed {
                    let through = agreed.through.entry(view.clone()).or_insert(sealed.through);
                    *through = sealed.through.max(*through);
                }
            }
        }
        Ok(agreed)
    }

    fn states(&self) -> impl Iterator<Item = (u32, &PartState)> {
        self.parts.iter().map(|(&process, replayed)| (process, &replayed.state))
    }

    fn check_identities(&self, layout: &Layout) -> Result<Option<u128>, StoreError> {
        let mut cluster = None;
        for (process, state) in self.states() {
            let Some(found) = &state.identity else { continue };
            let expect = identity(*cluster.get_or_insert(found.cluster), process);
            let fields = [
                ("partitions", found.partitions.to_string(), expect.partitions.to_string()),
                ("key hash", found.hash.clone(), expect.hash),
                ("cluster", cluster_name(found.cluster), cluster_name(expect.cluster)),
                ("process", found.process.to_string(), expect.process.to_string()),
            ];
            if let Some((field, on_disk, asked)) =
                fields.into_iter().find(|(_, on_disk, asked)| on_disk != asked)
            {
                let path = layout.manifest(process);
                return Err(StoreError::IdentityMismatch { path, field, on_disk, asked });
            }
        }
        Ok(cluster)
    }

    fn check_views(&self, config: &StoreConfig) -> Result<(), StoreError> {
        for (_, state) in self.states() {
            for known in state.views.values() {
                let Some(asked) = config.views.iter().find(|view| view.name == known.name) else {
                    return Err(StoreError::ViewMissing { view: known.name.clone() });
                };
                for ((field, on_disk), (_, asked)) in known.fields().into_iter().zip(asked.fields())
                {
                    if on_disk != asked {
                        return Err(StoreError::ViewMismatch {
                            view: known.name.clone(),
                            field,
                            on_disk: on_disk.to_owned(),
                            asked: asked.to_owned(),
                        });
                    }
                }
            }
        }
        let sealed = self.states().any(|(_, state)| !state.sealed.is_empty());
        let is_known =
            |name: &String| self.states().any(|(_, state)| state.views.contains_key(name));
        match config.views.iter().find(|view| sealed && !is_known(&view.name)) {
            Some(added) => Err(StoreError::ViewAdded { view: added.name.clone() }),
            None => Ok(()),
        }
    }

    /// Checks that every process of the group has opened its part and rolled it forward.
    pub(super) fn check_group(
        &self,
        config: &StoreConfig,
        layout: &Layout,
        own: &PartState,
    ) -> Result<(), StoreError> {
        for process in 0..config.processes as u32 {
            let path = layout.manifest(process);
            let Some(part) = self.parts.get(&process) else {
                return Err(StoreError::MissingPart { path });
            };
            for view in config.views.iter().map(|view| &view.name) {
                let (through, other) = (part.state.through(view), own.through(view));
                if through != other {
                    return Err(StoreError::PartsDisagree {
                        view: view.clone(),
                        path,
                        through,
                        own: other,
                    });
                }
            }
        }
        Ok(())
    }
}

/// A part without a manifest is one whose making was cut short; one that has data has lost it.
fn check_bare(storage: &dyn Storage, layout: &Layout, process: u32) -> Result<(), StoreError> {
    let part = layout.part(process);
    let names = storage.list(&part).map_err(StoreError::harmless("list", &part))?;
    // Or its process is about to make it, or just has.
    let is_new = names.iter().all(|name| name == "lock" || name.ends_with(TEMPORARY));
    if is_new || names.iter().any(|name| name == "manifest") {
        return Ok(());
    }
    Err(StoreError::MissingPart { path: layout.manifest(process) })
}

pub(super) fn identity(cluster: u128, process: u32) -> Identity {
    Identity { partitions: PARTITIONS as u32, hash: HASH.to_owned(), cluster, process }
}

fn cluster_name(cluster: u128) -> String {
    format!("{cluster:032x}")
}
