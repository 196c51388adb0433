//! Packing: small sealed files of older periods move into packs, when a part is opened.
//!
//! A pack is durable before the record that names it; the files that moved are removed afterwards, as all that no record
//! names. So wherever a crash comes, each file is where the manifest says. Nobody reads a part while it is opened, so no
//! reader has to follow a file that moves.
//!
//! A file that is superseded or removed leaves a gap in its pack. A pack that is less than half in use is written again
//! without the gaps. So are packs of a view that keeps only its newest periods, as soon as one of their files is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::PoisonError;

use super::batch_file::{bytes_of, check_raw};
use super::config::{Packing, StoreConfig};
use super::error::StoreError;
use super::layout::{Layout, TEMPORARY};
use super::live::{self, LiveBatch};
use super::manifest::{self, Manifest};
use super::names::parse_pack_name;
use super::opened::Store;
use super::packed::{self, length_of};
use super::record::{FileKey, PartState, Record, Sealed};
use super::storage::Storage;
use super::whole::{names_in, write_whole};
use crate::time::Day;

/// A file of more bytes stays: opening it takes little of the time of reading it.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// A pack is closed beyond this length, or with this number of files.
const PACK_BYTES: usize = 16 << 20;
const PACK_FILES: usize = 4_096;
/// If this many packs have fewer than so many files each, they become one.
const SMALL_PACKS: usize = 16;
const SMALL_FILES: usize = 256;

/// Moves small files of older periods into packs. What cannot be read or written stays where it is.
///
/// # Errors
/// Those of the manifest.
pub(super) fn pack_older(
    storage: &dyn Storage,
    layout: &Layout,
    config: &StoreConfig,
    process: u32,
    (manifest, state): (&mut Manifest, &mut PartState),
) -> Result<(), StoreError> {
    for view in config.views.iter().map(|view| &view.name) {
        let Some(sealed) = state.sealed.get(view) else { continue };
        let keeps = config.retention.get(view).is_some_and(|asked| asked.keep.is_some());
        let due = due(config.packing, keeps, sealed);
        if due.is_empty() {
            continue;
        }
        let files: Vec<LiveBatch> = live::batches(state, layout, view, process).collect();
        let files = files.iter().filter(|file| due.contains(&key(file)));
        let mut pack = NewPack::default();
        for file in files {
            match pack.add(storage, file) {
                Ok(()) if pack.is_full() => {
                    std::mem::take(&mut pack).finish(
                        storage,
                        layout,
                        (process, view),
                        (manifest, state),
                    )?;
                }
                Ok(()) => {}
                // Whoever needs it finds out.
                Err(error) => tracing::warn!(path = %file.path.display(), %error, "not packed"),
            }
        }
        pack.finish(storage, layout, (process, view), (manifest, state))?;
    }
    Ok(())
}

fn key(file: &LiveBatch) -> FileKey {
    (file.day, file.revision(), file.generation, file.worker as u32)
}

/// The files that are to move into new packs.
fn due(packing: Packing, keeps: bool, sealed: &Sealed) -> BTreeSet<FileKey> {
    let mut used: BTreeMap<NonZeroU32, (usize, u64)> = BTreeMap::new();
    for (file, at) in &sealed.packed {
        let (files, bytes) = used.entry(at.pack).or_default();
        *files += 1;
        *bytes += sealed.batches.get(file).map_or(0, |entry| length_of(entry.bytes));
    }
    let is_small = |pack: &&NonZeroU32| used[pack].0 < SMALL_FILES;
    let small: Vec<NonZeroU32> = used.keys().filter(is_small).copied().collect();
    let has_gaps = |pack: &&NonZeroU32| {
        let (length, (_, used)) = (sealed.packs.get(pack).copied().unwrap_or(0), used[pack]);
        let header = packed::header().len() as u64;
        2 * used < length || (keeps && used + header < length)
    };
    let mut again: BTreeSet<NonZeroU32> = used.keys().filter(has_gaps).copied().collect();
    if small.len() >= SMALL_PACKS {
        again.extend(small);
    }
    let mut due: BTreeSet<FileKey> = sealed
        .packed
        .iter()
        .filter(|(_, at)| again.contains(&at.pack))
        .map(|(file, _)| *file)
        .collect();
    // With an end of its periods, a view has few files, and each goes with its period.
    if !keeps {
        let days: BTreeSet<Day> = sealed.batches.keys().map(|(day, ..)| *day).collect();
        let newest = days.iter().rev().nth(packing.newest.saturating_sub(1)).copied();
        let is_old = |day: Day| packing.newest == 0 || newest.is_some_and(|newest| day < newest);
        let fresh = sealed.batches.iter().filter(|(file, entry)| {
            is_old(file.0) && entry.bytes <= FILE_BYTES_MAX && !sealed.packed.contains_key(file)
        });
        let fresh: Vec<FileKey> = fresh.map(|(file, _)| *file).collect();
        if fresh.len() >= packing.least.max(1) {
            due.extend(fresh);
        }
    }
    due
}

/// A pack that is not written yet.
struct NewPack {
    bytes: Vec<u8>,
    files: Vec<(FileKey, u32)>,
}

impl Default for NewPack {
    fn default() -> NewPack {
        NewPack { bytes: packed::header(), files: Vec::new() }
    }
}

impl NewPack {
    fn is_full(&self) -> bool {
        self.bytes.len() > PACK_BYTES || self.files.len() >= PACK_FILES
    }

    /// Adds a file, if it is whole.
    fn add(&mut self, storage: &dyn Storage, file: &LiveBatch) -> Result<(), StoreError> {
        let bytes = bytes_of(storage, &file.path, file.packed)?;
        check_raw(bytes.clone(), file)?.verify()?;
        self.files.push((key(file), self.bytes.len() as u32));
        packed::put(&bytes, &mut self.bytes);
        Ok(())
    }

    /// Writes the pack, and makes it count. If it cannot be written, the files stay where they are.
    fn finish(
        self,
        storage: &dyn Storage,
        layout: &Layout,
        (process, view): (u32, &str),
        (manifest, state): (&mut Manifest, &mut PartState),
    ) -> Result<(), StoreError> {
        if self.files.is_empty() {
            return Ok(());
        }
        let pack = match self.write(storage, layout, (process, view), state) {
            Ok(pack) => pack,
            Err(error) => {
                tracing::warn!(view, %error, "small files are not packed");
                return Ok(());
            }
        };
        let (view, bytes, files) = (view.to_owned(), self.bytes.len() as u64, self.files);
        tracing::info!(view, %pack, bytes, files = files.len(), "small files are packed");
        let record = Record::Packed { view, pack, bytes, files };
        manifest.append(std::slice::from_ref(&record))?;
        state.apply(record).expect("our own records follow each other");
        Ok(())
    }

    /// Writes it durably, under a number that no pack here has.
    fn write(
        &self,
        storage: &dyn Storage,
        layout: &Layout,
        (process, view): (u32, &str),
        state: &PartState,
    ) -> Result<NonZeroU32, StoreError> {
        let dir = layout.packs(process).join(view);
        let made = storage.create_dirs(&dir);
        // What an earlier attempt has left of the folders may not be durable.
        let above = dir.ancestors().skip(1).take(2);
        let made = made.and_then(|()| above.into_iter().try_for_each(|dir| storage.sync_dir(dir)));
        made.map_err(StoreError::harmless("make", &dir))?;
        let names = names_in(storage, &dir)?;
        let there = names.iter().filter_map(|name| parse_pack_name(name));
        let named = state.sealed.get(view).into_iter().flat_map(|sealed| sealed.packs.keys());
        let last = there.chain(named.copied()).max().map_or(0, NonZeroU32::get);
        let pack = last.checked_add(1).and_then(NonZeroU32::new);
        let pack = pack.ok_or(io::ErrorKind::Unsupported.into());
        let pack = pack.map_err(StoreError::harmless("number a pack in", &dir))?;
        write_whole(storage, &layout.pack(process, view, pack), |file| {
            file.write_all(&self.bytes)
        })?;
        Ok(pack)
    }
}

/// Removes the packs of a part that no record names.
pub(super) fn sweep(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
    state: &PartState,
) -> Result<(), StoreError> {
    for view in names_in(storage, &layout.packs(process))? {
        sweep_view(storage, layout, (process, &view), state)?;
    }
    Ok(())
}

fn sweep_view(
    storage: &dyn Storage,
    layout: &Layout,
    (process, view): (u32, &str),
    state: &PartState,
) -> Result<(), StoreError> {
    let dir = layout.packs(process).join(view);
    let sealed = state.sealed.get(view);
    let is_named = |pack: NonZeroU32| sealed.is_some_and(|sealed| sealed.packs.contains_key(&pack));
    for name in names_in(storage, &dir)? {
        let is_orphan = match parse_pack_name(&name) {
            Some(pack) => !is_named(pack),
            None => name.ends_with(TEMPORARY),
        };
        if is_orphan {
            let path = dir.join(name);
            tracing::debug!(path = %path.display(), "removing a pack that does not count");
            storage.remove(&path).map_err(StoreError::perhaps("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes files that are in packs now. After `Ok` no power loss brings them back: files under their names would be taken
/// for prepared ones, if the view were defined anew.
pub(super) fn remove_moved(storage: &dyn Storage, moved: &[impl AsRef<Path>]) -> io::Result<()> {
    let mut days = BTreeSet::new();
    for path in moved.iter().map(AsRef::as_ref) {
        storage.remove(path)?;
        days.extend(path.parent());
    }
    let mut views = BTreeSet::new();
    for day in days {
        if storage.list(day)?.is_empty() {
            storage.remove_empty(day)?;
        }
        match storage.sync_dir(day) {
            // It was removed, and is gone for good with the next sync.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced?,
        }
        views.extend(day.parent());
    }
    views.into_iter().try_for_each(|view| storage.sync_dir(view))
}

impl Store {
    /// Removes packs of a view in which no file counts any more from this process's part, while the folder is open. By
    /// then, nobody opens files in them. What cannot be removed stays until the next opening.
    pub(super) fn remove_empty_packs(&self, view: &str) {
        let process = self.config.process as u32;
        let dir = self.layout.packs(process).join(view);
        let has_packs = || Ok(!names_in(&*self.storage, &dir)?.is_empty());
        let mut open = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|path, _| !path.starts_with(&dir));
        drop(open);
        let removed = has_packs().and_then(|has_packs| {
            let path = self.layout.manifest(process);
            match manifest::read(&*self.storage, &path)?.filter(|_| has_packs) {
                Some(own) => sweep_view(&*self.storage, &self.layout, (process, view), &own.state),
                None => Ok(()),
            }
        });
        if let Err(error) = removed {
            tracing::warn!(view, %error, "packs are removed with the next opening");
        }
    }
}
