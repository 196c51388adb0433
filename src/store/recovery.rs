//! Opens a part: first the parts agree, then files are removed.
//!
//! A seal is committed in every process's manifest, one after the other, once all processes have written and synced
//! their files. So if one part has committed a closing, all parts have its files. A part that a crash left behind
//! *rolls forward*: it finds its prepared files by their names and commits them. Only then are files removed that no
//! manifest names; they belong to a closing that no process committed.

use std::io;
use std::path::Path;

use super::config::StoreConfig;
use super::error::StoreError;
use super::folder::{Agreed, Folder, mismatch};
use super::layout::{Layout, TEMPORARY};
use super::manifest::{Manifest, Replayed};
use super::names::{parse_batch_file_name, parse_period_name, period_name};
use super::pack;
use super::record::{BatchEntry, Definition, FileKey, PartState, Record};
use super::removal;
use super::storage::Storage;
use super::view_record::ViewRecord;
use super::whole::names_in;
use crate::batch::RawBatch;
use crate::closing::Closing;
use crate::schema::ViewSchema;

/// Opens the manifest of a part and creates it if necessary, rolls the part forward, and removes what no process
/// committed.
pub(super) fn open_part(
    storage: &dyn Storage,
    layout: &Layout,
    config: &StoreConfig,
    agreed: &Agreed,
    process: u32,
    replayed: Option<Replayed>,
) -> Result<(Manifest, PartState), StoreError> {
    let path = layout.manifest(process);
    let (mut manifest, mut state) = match replayed {
        Some(mut replayed) => {
            rename_types(&mut replayed.state, config);
            replayed.state.prune_rollups(config);
            (Manifest::resume(storage, &path, &replayed)?, replayed.state)
        }
        None => (Manifest::create(storage, &path, &[])?, PartState::default()),
    };
    let mut records = Vec::new();
    if state.identity.is_none()
        && let Some(cluster) = agreed.cluster
    {
        records.push(Record::Identity(super::folder::identity(cluster, process)));
    }
    // If no run has begun in the folder yet, the definitions come with the first one.
    if agreed.run.is_some() {
        records.extend(definitions(config, agreed, &state));
    }
    // This comes first, so that the sealed days of a redefined view are dropped, not rolled forward.
    append(&mut manifest, &mut state, std::mem::take(&mut records))?;
    for (view, &through) in &agreed.through {
        if state.through(view).is_none_or(|own| own < through) {
            // A process outside the newest run has prepared nothing in it.
            let batches = match agreed.is_member(process) {
                true => prepared(storage, layout, process, view, state.through(view), through)?,
                false => Vec::new(),
            };
            records.push(Record::commit(view.clone(), through, batches));
        }
    }
    append(&mut manifest, &mut state, records)?;
    let removed = removal::records(config, agreed, layout, process, &state);
    append(&mut manifest, &mut state, removed)?;
    pack::pack_older(storage, layout, config, process, (&mut manifest, &mut state))?;
    sweep(storage, layout, process, &state)?;
    Ok((manifest, state))
}

/// Replaces the type names of version 0.1 with ids. The definitions stay the same, and the manifest is rewritten in any
/// case.
fn rename_types(state: &mut PartState, config: &StoreConfig) {
    for asked in &config.views {
        let known = state.views.get_mut(&asked.name);
        if let Some(known) = known.filter(|known| mismatch(&known.view, asked, config).is_none()) {
            known.view = asked.clone();
        }
    }
}

/// The definitions that a part lacks, or has in an earlier edition; and the schemas of views that differ in the part.
pub(super) fn definitions(config: &StoreConfig, agreed: &Agreed, state: &PartState) -> Vec<Record> {
    let asked = config.views.iter().map(|view| (view.clone(), agreed.edition(&view.name)));
    // A view that the program does not define is one that was removed.
    let is_asked = |name: &str| config.views.iter().any(|view| view.name == name);
    let removed = agreed.editions.iter().filter(|(name, _)| !is_asked(name));
    let removed = removed.map(|(name, edition)| (ViewRecord::removed(name), *edition));
    let is_new = |(view, edition): &(ViewRecord, u32)| {
        state.views.get(&view.name).is_none_or(|known| known.edition < *edition)
    };
    let record = |(view, edition)| Record::define(Definition { view, edition });
    let mut records: Vec<Record> = asked.chain(removed).filter(is_new).map(record).collect();
    // A new edition of a view removes its schema.
    let has = |name: &str| records.iter().any(|record| record.defines(name));
    let is_shown =
        |schema: &&ViewSchema| has(&schema.name) || state.schemas.get(&schema.name) != Some(schema);
    let shown: Vec<Record> =
        config.schemas.iter().filter(is_shown).cloned().map(Record::Schema).collect();
    records.extend(shown);
    records
}

/// Appends records and adds them to the state.
pub(super) fn append(
    manifest: &mut Manifest,
    state: &mut PartState,
    records: Vec<Record>,
) -> Result<(), StoreError> {
    manifest.append(&records)?;
    for record in records {
        state.apply(record).expect("our own records follow each other");
    }
    Ok(())
}

/// Checks that a part that must roll forward has the files that its process had prepared; otherwise it is an old copy.
/// Changes nothing.
pub(super) fn check_prepared(
    storage: &dyn Storage,
    layout: &Layout,
    folder: &Folder,
    agreed: &Agreed,
    process: u32,
) -> Result<(), StoreError> {
    let Some((own, run)) = folder.state(process).zip(agreed.run) else { return Ok(()) };
    for (view, &through) in &agreed.through {
        let is_behind = own.through(view).is_none_or(|own| own < through);
        if !is_behind || !agreed.is_member(process) || agreed.is_behind(own) {
            continue;
        }
        let of_run = |state: &PartState| {
            state.written.get(view).filter(|written| written.run == run.number).cloned()
        };
        // Older programs did not record this.
        let mut said = folder.states().filter_map(|(_, state)| of_run(state));
        let Some(said) = said.find(|said| said.through == through) else { continue };
        let committed = of_run(own).map_or(0, |written| written.by(process, run.processes));
        let expected = said.by(process, run.processes).saturating_sub(committed);
        let files = prepared(storage, layout, process, view, own.through(view), through)?;
        let found = files.len() as u64;
        // Sealing in a run starts only after the run has begun in all processes.
        let has_begun = own.run.is_some_and(|own| own.number == run.number);
        if !has_begun || found != expected {
            let (part, view) = (layout.part(process), view.clone());
            return Err(StoreError::PartBehind { part, view, through, found, expected });
        }
    }
    Ok(())
}

/// The files of a view with closings after `own`, up to `through`.
fn prepared(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
    view: &str,
    own: Option<Closing>,
    through: Closing,
) -> Result<Vec<BatchEntry>, StoreError> {
    let mut entries = Vec::new();
    let is_due = |closing: Closing| own.is_none_or(|own| own < closing) && closing <= through;
    each_file(storage, layout, process, &mut |found, path| {
        let Some((closing, generation, worker)) = parse_batch_file_name(found.file) else {
            return Ok(());
        };
        // A rebuild is not prepared by all processes, so an uncommitted one does not count.
        if found.view == view && generation == 0 && is_due(closing) {
            entries.extend(entry_of(storage, path, found, closing, worker)?);
        }
        Ok(())
    })?;
    Ok(entries)
}

/// The entry of a file, read from the file itself; `None` if it was discarded.
fn entry_of(
    storage: &dyn Storage,
    path: &Path,
    found: FileNames<'_>,
    closing: Closing,
    worker: u32,
) -> Result<Option<BatchEntry>, StoreError> {
    let bytes = storage.map(path).map_err(StoreError::harmless("open", path))?;
    if &bytes[..] == DISCARDED {
        return Ok(None);
    }
    let raw = RawBatch::open(bytes, &path.display().to_string())?;
    let (meta, summary) = (raw.meta(), raw.summary());
    let said = format!("{} {} {}", meta.view, period_name(meta.day), meta.closing);
    let expected = format!("{} {} {}", found.view, found.day, closing.day);
    if said != expected {
        let (path, field) = (path.to_owned(), "revision");
        return Err(StoreError::WrongBatch { path, field, found: said, expected });
    }
    Ok(Some(BatchEntry {
        day: meta.day,
        closing: closing.day,
        generation: 0,
        worker,
        coverage: meta.coverage,
        file: found.file.to_owned(),
        rows: summary.rows,
        bytes: summary.bytes,
        digest: summary.digest,
    }))
}

/// Removes unfinished files, and batch views that the manifest does not name, or has in a pack. Foreign files stay.
fn sweep(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
    state: &PartState,
) -> Result<(), StoreError> {
    super::rollup::sweep(storage, layout, process, state)?;
    let mut moved = Vec::new();
    each_file(storage, layout, process, &mut |found, path| {
        let is_orphan = match parse_batch_file_name(found.file) {
            Some((closing, generation, worker)) => {
                let day = parse_period_name(found.day);
                let file = day.map(|day| (day, closing, generation, worker));
                let sealed = state.sealed.get(found.view);
                let is_named =
                    |file: &FileKey| sealed.is_some_and(|s| s.batches.contains_key(file));
                let is_packed =
                    |file: &FileKey| sealed.is_some_and(|s| s.packed.contains_key(file));
                if file.as_ref().is_some_and(is_packed) {
                    moved.push(path.to_owned());
                }
                file.is_some_and(|file| !is_named(&file))
            }
            None => found.file.ends_with(TEMPORARY),
        };
        if is_orphan {
            tracing::debug!(path = %path.display(), "removing a file that does not count");
            discard(storage, path).map_err(StoreError::perhaps("remove", path))?;
            // If this was the last file of a day, the day's folder is removed too.
            let day = path.parent().unwrap_or(path);
            if names_in(storage, day)?.is_empty() {
                storage.remove_empty(day).map_err(StoreError::perhaps("remove", day))?;
            }
        }
        Ok(())
    })?;
    let removed = pack::remove_moved(storage, &moved);
    removed.map_err(StoreError::perhaps("remove files from", layout.views(process)))?;
    pack::sweep(storage, layout, process, state)
}

/// The content of an uncommitted batch view after its removal.
const DISCARDED: &[u8] = b"never committed\n";

/// Overwrites and removes a file. A power loss may bring a removed name back, and by then another process may have
/// committed the file's closing again. The overwritten file is not taken for a prepared one.
fn discard(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    let mut file = storage.append(path)?;
    file.truncate(0)?;
    file.write_all(DISCARDED)?;
    file.sync()?;
    storage.remove(path)
}

/// The names on the path to a file below `views`.
#[derive(Clone, Copy)]
struct FileNames<'a> {
    view: &'a str,
    day: &'a str,
    file: &'a str,
}

fn each_file(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
    visit: &mut dyn FnMut(FileNames<'_>, &Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let views = layout.views(process);
    for view in names_in(storage, &views)? {
        let days = views.join(&view);
        for day in names_in(storage, &days)? {
            let files = days.join(&day);
            for file in names_in(storage, &files)? {
                let found = FileNames { view: &view, day: &day, file: &file };
                visit(found, &files.join(&file))?;
            }
        }
    }
    Ok(())
}
