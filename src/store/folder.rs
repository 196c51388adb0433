//! All parts of a folder as they are on disk, and whether they match each other and the program.

use std::collections::BTreeMap;
use std::io;

use super::config::StoreConfig;
use super::error::StoreError;
use super::layout::{Layout, TEMPORARY, parse_part};
use super::lower_end;
use super::manifest::{self, Replayed};
use super::proof::{LogPosition, Proofs};
use super::record::{Definition, Identity, PartState, Run};
use super::storage::Storage;
use super::view_record::ViewRecord;
use crate::closing::Closing;
use crate::key::PARTITIONS;
use crate::time::Day;
use crate::view::RollupsFrom;
use crate::zones;

/// The recorded name of the hash that places keys.
const HASH: &str = "xxh3-64";

/// The contents of the manifests of all parts.
#[derive(Debug)]
pub(super) struct Folder {
    /// The parts that have a manifest here, unless another process reported their state.
    pub(super) parts: BTreeMap<u32, Replayed>,
    /// The states of parts that other processes reported; `None` if they were not asked.
    heard: Option<BTreeMap<u32, PartState>>,
    /// The number of parts that the folder has ever had, as far as any part here knows, even a copy.
    pub(super) ever: u32,
    /// Whether there may be parts that are not known yet.
    is_partial: bool,
}

/// What the parts agree on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) cluster: Option<u128>,
    /// The newest run, if there was one.
    pub(super) run: Option<Run>,
    /// The last closing of each view: the greatest of the newest run's parts. One process committed it, so all had
    /// prepared it, and parts that are behind roll forward.
    pub(super) through: BTreeMap<String, Closing>,
    /// The last period of each view that has sealed events.
    pub(super) latest: BTreeMap<String, Day>,
    /// The edition of each view of the program. A part with an earlier edition drops its sealed days of the view.
    pub(super) editions: BTreeMap<String, u32>,
    /// The first kept period of each view: the greatest that any part has recorded.
    pub(super) kept: BTreeMap<String, Day>,
    /// The first UTC day whose events are all in the log, if earlier ones were removed.
    pub(super) log_from: Option<Day>,
    /// The first day of the rollups that outlive the periods of each view: of those that all parts have which have anything
    /// of the view.
    pub(super) outliving: BTreeMap<String, RollupsFrom>,
}

impl Agreed {
    /// The edition of a view of the program.
    pub(super) fn edition(&self, view: &str) -> u32 {
        self.editions.get(view).copied().unwrap_or(0)
    }

    /// Whether a part has an earlier edition of a view than the other parts or the program.
    pub(super) fn is_behind(&self, state: &PartState) -> bool {
        self.editions.iter().any(|(view, &edition)| state.edition(view) < edition)
    }

    /// Whether a part has periods that another part has removed.
    pub(super) fn is_longer(&self, state: &PartState) -> bool {
        self.kept.iter().any(|(view, &from)| state.kept_from(view) < from)
    }

    /// Whether a process took part in the newest run, and so prepared what that run committed.
    pub(super) fn is_member(&self, process: u32) -> bool {
        self.run.is_some_and(|run| process < run.processes)
    }
}

/// The processes that have a folder, with or without a manifest; empty if there is no root.
pub(super) fn processes(storage: &dyn Storage, layout: &Layout) -> Result<Vec<u32>, StoreError> {
    match storage.list(layout.root()) {
        Ok(names) => Ok(names.iter().filter_map(|name| parse_part(name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::harmless("list", layout.root())(error)),
    }
}

impl Folder {
    /// Reads all manifests and changes nothing.
    pub(super) fn read(storage: &dyn Storage, layout: &Layout) -> Result<Folder, StoreError> {
        let mut parts = BTreeMap::new();
        for process in processes(storage, layout)? {
            match manifest::read(storage, &layout.manifest(process))? {
                Some(replayed) => drop(parts.insert(process, replayed)),
                None => check_bare(storage, layout, process)?,
            }
        }
        let runs = parts.values().filter_map(|part: &Replayed| part.state.run);
        let ever = runs.map(|run| run.parts).max().unwrap_or(0);
        Ok(Folder { parts, heard: None, ever, is_partial: false })
    }

    /// Marks that other processes have yet to report the parts they are responsible for.
    pub(super) fn await_others(&mut self) {
        self.is_partial = true;
    }

    /// Takes the reports of other processes about the parts they are responsible for. A report replaces what is here of
    /// such a part: a copy from another machine, or nothing.
    pub(super) fn hear(&mut self, held: &[u32], heard: BTreeMap<u32, PartState>) {
        self.parts.retain(|part, _| held.contains(part));
        (self.heard, self.is_partial) = (Some(heard), false);
    }

    /// The reports of other processes, if they were asked.
    pub(super) fn heard(&self) -> Option<BTreeMap<u32, PartState>> {
        self.heard.clone()
    }

    /// The known state of a part.
    pub(super) fn state(&self, part: u32) -> Option<&PartState> {
        let here = self.parts.get(&part).map(|replayed| &replayed.state);
        here.or_else(|| self.heard.as_ref()?.get(&part))
    }

    /// The known states of all parts.
    pub(super) fn into_states(self) -> BTreeMap<u32, PartState> {
        let here = self.parts.into_iter().map(|(part, found)| (part, found.state));
        here.chain(self.heard.unwrap_or_default()).collect()
    }

    /// The positions of a part's log that any part proves.
    pub(super) fn proven(&self, part: u32) -> Vec<LogPosition> {
        let mut proven = Proofs::default();
        let proofs = self.states().flat_map(|(_, state)| state.proofs.iter());
        proofs.for_each(|proof| proven.add(proof));
        proven.of_part(part)
    }

    /// Compares the parts with each other and with the program. Only views named in `rebuild` may differ from those of
    /// the folder. Changes nothing.
    pub(super) fn check(
        &self,
        config: &StoreConfig,
        rebuild: &[String],
        layout: &Layout,
    ) -> Result<Agreed, StoreError> {
        let run = self.newest_run();
        let mut parts = 0..self.ever.max(run.map_or(0, |run| run.parts));
        if let Some(part) = parts.find(|&part| !self.is_partial && self.state(part).is_none()) {
            let is_here = part as usize == config.process || self.heard.is_none();
            let is_gone = part as usize >= config.processes;
            return Err(match is_here || (is_gone && config.process == 0) {
                true => StoreError::MissingPart { path: layout.manifest(part) },
                false => {
                    let (part, process) = (part as usize, if is_gone { 0 } else { part as usize });
                    StoreError::LostPart { part, process }
                }
            });
        }
        let cluster = self.check_identities(layout)?;
        if let Some(run) = run.filter(|run| run.logged != config.logged) {
            let (folder, on_disk, asked) = (layout.root().to_owned(), run.logged, config.logged);
            return Err(StoreError::LogMismatch { folder, on_disk, asked });
        }
        let editions = self.check_views(config, rebuild)?;
        let (through, latest, kept, outliving) = Default::default();
        let log_from = self.states().filter_map(|(_, state)| state.log_from).max();
        let mut agreed =
            Agreed { cluster, run, through, latest, editions, kept, log_from, outliving };
        for (process, state) in self.states() {
            for (view, sealed) in &state.sealed {
                if let Some(day) =
                    sealed.latest.filter(|_| state.edition(view) == agreed.edition(view))
                {
                    let latest = agreed.latest.entry(view.clone()).or_insert(day);
                    *latest = day.max(*latest);
                }
            }
            for (view, kept) in &state.kept {
                if state.edition(view) == agreed.edition(view) {
                    let from = agreed.kept.entry(view.clone()).or_insert(kept.from);
                    *from = kept.from.max(*from);
                }
            }
            for view in state.views.keys() {
                let from = state.outliving.get(view).copied();
                let has_some = from.is_some() || state.through(view).is_some();
                if !has_some || state.edition(view) != agreed.edition(view) {
                    continue;
                }
                let from = from.unwrap_or_default();
                let all = agreed.outliving.entry(view.clone()).or_insert(from);
                *all = std::array::from_fn(|at| Some(all[at]?.max(from[at]?)));
            }
            if agreed.is_member(process) {
                for (view, sealed) in &state.sealed {
                    if state.edition(view) != agreed.edition(view) {
                        continue;
                    }
                    let through = agreed.through.entry(view.clone()).or_insert(sealed.through);
                    *through = sealed.through.max(*through);
                }
            }
        }
        self.check_redefined(config, &agreed)?;
        Ok(agreed)
    }

    /// Checks that the log has the events that the new definitions of views need.
    fn check_redefined(&self, config: &StoreConfig, agreed: &Agreed) -> Result<(), StoreError> {
        let Some(log_from) = agreed.log_from else { return Ok(()) };
        for (name, known) in self.definitions() {
            let view = config.views.iter().find(|view| view.name == name);
            // The sealed days of an earlier edition are dropped in any case.
            let is_sealed = self.states().any(|(_, state)| {
                state.edition(&name) == known.edition && state.through(&name).is_some()
            });
            let Some(view) = view.filter(|_| agreed.edition(&name) > known.edition && is_sealed)
            else {
                continue;
            };
            let from = self.states().map(|(_, state)| state.kept_from(&name)).max();
            let first = lower_end::first_of_log(config, view, log_from);
            if from.is_none_or(|from| from < first) {
                return Err(StoreError::LogShortened { view: name, first, log_from });
            }
        }
        Ok(())
    }

    /// The newest run that any part knows.
    pub(super) fn newest_run(&self) -> Option<Run> {
        self.states().filter_map(|(_, state)| state.run).max_by_key(|run| run.number)
    }

    /// The newest definitions in the folder, whatever the program defines.
    pub(super) fn definitions(&self) -> BTreeMap<String, Definition> {
        let mut newest: BTreeMap<String, Definition> = BTreeMap::new();
        for (name, found) in self.states().flat_map(|(_, state)| &state.views) {
            let known = newest.entry(name.clone()).or_insert_with(|| found.clone());
            // A part that has not been opened since version 0.1 has type names instead of ids.
            let is_older = known.edition < found.edition
                || (known.edition == found.edition && known.view.is_former());
            if is_older {
                *known = found.clone();
            }
        }
        newest
    }

    pub(super) fn states(&self) -> impl Iterator<Item = (u32, &PartState)> {
        let here = self.parts.iter().map(|(&process, replayed)| (process, &replayed.state));
        let heard = self.heard.iter().flatten().map(|(&process, state)| (process, state));
        here.chain(heard)
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

    /// Computes the edition of each view of the program: the greatest in the folder, or the next one if the program may
    /// redefine the view.
    fn check_views(
        &self,
        config: &StoreConfig,
        rebuild: &[String],
    ) -> Result<BTreeMap<String, u32>, StoreError> {
        let definitions = self.definitions();
        let mut editions = BTreeMap::new();
        for (name, known) in &definitions {
            let asked = config.views.iter().find(|view| view.name == *name);
            let is_new = match (asked, known.view.is_removed()) {
                (None, is_removed) if is_removed || config.removed.contains(name) => !is_removed,
                (None, _) => return Err(StoreError::ViewMissing { view: name.clone() }),
                // The name is free.
                (Some(_), true) => true,
                (Some(asked), false) => match self.mismatch(known, asked, config) {
                    Some(_) if rebuild.contains(name) => true,
                    Some(error) => return Err(error),
                    None => false,
                },
            };
            editions.insert(name.clone(), known.edition + u32::from(is_new));
        }
        let is_sealed = self.states().any(|(_, state)| !state.sealed.is_empty());
        for view in &config.views {
            if definitions.get(&view.name).is_none_or(|known| known.view.is_removed()) {
                // A log is the only source for the view's past.
                if is_sealed && !config.logged {
                    return Err(StoreError::ViewAdded { view: view.name.clone() });
                }
                editions.entry(view.name.clone()).or_insert(0);
            }
        }
        Ok(editions)
    }

    /// How the newest definition of a view, in any part, differs from the program's definition.
    fn mismatch(
        &self,
        newest: &Definition,
        asked: &ViewRecord,
        config: &StoreConfig,
    ) -> Option<StoreError> {
        let known = self.states().filter_map(|(_, state)| state.views.get(&asked.name));
        let mut known = known.filter(|known| known.edition == newest.edition);
        known.find_map(|known| mismatch(&known.view, asked, config))
    }

    /// Checks that every process of the cluster has opened its part and rolled it forward.
    pub(super) fn check_group(
        &self,
        config: &StoreConfig,
        layout: &Layout,
        own: &PartState,
    ) -> Result<(), StoreError> {
        for process in 0..config.processes as u32 {
            let path = layout.manifest(process);
            let Some(state) = self.state(process) else {
                return Err(StoreError::MissingPart { path });
            };
            for view in config.views.iter().map(|view| &view.name) {
                let (through, other) = (state.through(view), own.through(view));
                // A part that is behind must also be opened first: it still has to drop sealed days.
                if through != other || state.edition(view) != own.edition(view) {
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

/// How the folder's definition of a view differs from the program's, if it does.
pub(super) fn mismatch(
    known: &ViewRecord,
    asked: &ViewRecord,
    config: &StoreConfig,
) -> Option<StoreError> {
    let former = config.former.get(&known.name);
    let is_same = |field: &str, on_disk: &str, asked: &str| {
        on_disk == asked
            || (field == "zone" && zones::is_same(on_disk, asked))
            || former.is_some_and(|former| former.has(field, on_disk))
    };
    let mut fields = known.fields().into_iter().zip(asked.fields());
    let ((field, on_disk), (_, asked)) =
        fields.find(|((field, on_disk), (_, asked))| !is_same(field, on_disk, asked))?;
    Some(StoreError::ViewMismatch {
        view: known.name.clone(),
        field,
        on_disk: on_disk.to_owned(),
        asked: asked.to_owned(),
        logged: config.logged,
    })
}

/// Checks a part without a manifest. If it has no data, its creation was interrupted; if it has data, its manifest was
/// lost.
fn check_bare(storage: &dyn Storage, layout: &Layout, process: u32) -> Result<(), StoreError> {
    let part = layout.part(process);
    let names = storage.list(&part).map_err(StoreError::harmless("list", &part))?;
    // Or the process is about to create the manifest, or has just created it.
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
