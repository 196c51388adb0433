//! The reports that processes send each other about their parts.
//!
//! Each process is responsible for its own part, and the first one also for those of processes that the cluster no
//! longer has. The other parts need not be in its folder, which may be on another machine; their processes report what
//! it needs to know. It needs their files only if they cover partitions of its own workers. There are none as long as
//! the number of processes and workers does not change. After a change, those parts have to be there: the shared folder
//! itself, or copies of them. A copy may be older than the part, as long as it has the needed files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::config::StoreConfig;
use super::error::StoreError;
use super::layout::Layout;
use super::manifest;
use super::opened::Store;
use super::record::PartState;
use super::storage::Storage;
use crate::batch::Coverage;
use crate::codec;

/// The report of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    /// An identity for the folder if it is new. That of the first process counts.
    pub(super) proposed: u128,
    process: u32,
    /// The number of parts that the folder has ever had, as far as this process knows.
    pub(super) ever: u32,
    /// The parts that the process is responsible for, without their files.
    parts: BTreeMap<u32, PartState>,
    needs: Vec<Need>,
}

/// Files of a part that cover partitions of another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Need {
    /// The process that needs them.
    process: u32,
    /// The process that has them.
    holder: u32,
    part: u32,
    view: String,
    coverage: Coverage,
    files: Files,
}

/// A set of files: how many, and a sum over their entries in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    count: u64,
    sum: u64,
}

impl Said {
    /// The report of this process about the parts that it is responsible for, if each process has `threads` workers.
    pub(super) fn new(
        config: &StoreConfig,
        threads: usize,
        proposed: u128,
        ever: u32,
        mut parts: BTreeMap<u32, PartState>,
    ) -> Said {
        let (holder, peers) = (config.process as u32, config.processes * threads);
        let mut needs = Vec::new();
        for process in (0..config.processes).filter(|&process| process != config.process) {
            let workers = process * threads..(process + 1) * threads;
            let coverage = workers.map(|worker| Coverage::of_owner(worker, peers));
            let coverage = coverage.fold(Coverage::NONE, Coverage::union);
            for (&part, state) in &parts {
                for view in state.sealed.keys().cloned() {
                    // Files that opening drops are not needed.
                    let files = files(state, &view, coverage);
                    let is_dropped =
                        config.rebuild.contains(&view) || config.removed.contains(&view);
                    if files.count > 0 && !is_dropped {
                        let process = process as u32;
                        needs.push(Need { process, holder, part, view, coverage, files });
                    }
                }
            }
        }
        for state in parts.values_mut() {
            state.rollups.clear();
            for sealed in state.sealed.values_mut() {
                sealed.batches.clear();
                sealed.packed.clear();
                sealed.packs.clear();
            }
        }
        Said { proposed, process: holder, ever, parts, needs }
    }
}

/// The files of a part that cover some of these partitions.
fn files(state: &PartState, view: &str, coverage: Coverage) -> Files {
    let entries = state.sealed.get(view).into_iter().flat_map(|sealed| sealed.batches.values());
    let wanted = entries.filter(|entry| !entry.coverage.intersection(coverage).is_empty());
    wanted.fold(Files::default(), |files, entry| {
        let mut bytes = state.edition(view).to_le_bytes().to_vec();
        codec::encode(entry, &mut bytes).expect("an entry holds nothing that cannot be encoded");
        Files { count: files.count + 1, sum: files.sum.wrapping_add(xxh3_64(&bytes)) }
    })
}

/// All reported parts. Each has one process that is responsible for it.
pub(super) fn states(said: Vec<Said>) -> BTreeMap<u32, PartState> {
    said.into_iter().flat_map(|said| said.parts).collect()
}

/// What a process needs from the parts of others.
pub(super) fn needed(said: &[Said], process: usize) -> Vec<Need> {
    let needs = said.iter().flat_map(|said| &said.needs);
    needs.filter(|need| need.process as usize == process).cloned().collect()
}

/// Checks that the files that this process needs are in its folder.
pub(super) fn check_needs(
    storage: &dyn Storage,
    layout: &Layout,
    config: &StoreConfig,
    needs: &[Need],
) -> Result<(), StoreError> {
    for need in needs {
        let here = manifest::read(storage, &layout.manifest(need.part))?;
        let files = here.map(|found| files(&found.state, &need.view, need.coverage));
        if files != Some(need.files) {
            let (process, holder) = (config.process, need.holder as usize);
            return Err(StoreError::Unreachable { process, holder, part: layout.part(need.part) });
        }
    }
    Ok(())
}

/// The processes begin their run within this time of each other.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Store {
    /// The folders of all parts that the folder has ever had, by process, as other processes write them now.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] if one is missing here, or exists only as a copy.
    pub(crate) fn all_parts(&self) -> Result<Vec<(u32, PathBuf)>, StoreError> {
        let others = {
            let state = self.read();
            state.heard.as_ref().map(|_| state.others.clone())
        };
        // No process was asked, so all parts are here.
        for (part, known) in others.into_iter().flatten() {
            let is_member = (part as usize) < self.config.processes;
            // A copy does not know this run. Parts of processes that the cluster no longer has do not change.
            let is_it = |state: PartState| match is_member {
                true => state.run.is_some_and(|run| run.number >= self.run()),
                false => state.run == known.run,
            };
            let mut tries = 0..BEGINS_WITHIN.as_millis() / LOOK_EVERY.as_millis();
            loop {
                let here = manifest::read(&*self.storage, &self.layout.manifest(part))?;
                match here.map(|found| is_it(found.state)) {
                    Some(true) => break,
                    Some(false) if is_member && tries.next().is_some() => {
                        std::thread::sleep(LOOK_EVERY);
                    }
                    _ => return Err(StoreError::Elsewhere { part: self.layout.part(part) }),
                }
            }
        }
        Ok(self.part_paths().into_iter().map(|(part, path)| (part as u32, path)).collect())
    }
}
