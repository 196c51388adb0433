//! The records of a manifest, and the state that results from them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::kept::Kept;
use super::names::{batch_file_name, parse_batch_file_name, rollup_file_name};
use super::packed::Packed;
use super::proof::{LogProof, Proofs, Written};
use super::view_record::ViewRecord;
use crate::batch::{Coverage, Digest};
use crate::closing::Closing;
use crate::schema::ViewSchema;
use crate::time::{Day, Grain};
use crate::view::{RollupsFrom, is_name};

/// A view of a part: its present definition, and how often the definition has changed in this folder.
///
/// A new definition goes into one part after the other, and drops what is sealed of the view there. The greatest
/// edition counts: a part that a crash left behind follows on its next opening, even if the program has returned to the
/// old definition in between. The removal of a view is one more edition, with the definition [`ViewRecord::removed`]. A
/// view that takes the name again is the next edition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) view: ViewRecord,
    pub(super) edition: u32,
}

/// The form of a [`Definition`] of a view of days in a manifest. It is older than other grains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DefinitionOfDays {
    name: String,
    zone: String,
    key: String,
    aggregate: String,
    definition: String,
    edition: u32,
}

impl From<DefinitionOfDays> for Definition {
    fn from(of: DefinitionOfDays) -> Definition {
        let DefinitionOfDays { name, zone, key, aggregate, definition, edition } = of;
        let grain = Grain::Day;
        Definition { view: ViewRecord { name, zone, grain, key, aggregate, definition }, edition }
    }
}

/// One file of a commit.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The day.
    pub day: Day,
    /// The day of the closing that made this revision. If late events were sealed on their own, their floor is in the
    /// name of the file.
    pub closing: Day,
    /// 0 for a sealed file; otherwise how often it had been rebuilt.
    pub generation: u32,
    /// The worker that wrote the file, by its index in the cluster of that run.
    pub worker: u32,
    /// The partitions that the file covers.
    pub coverage: Coverage,
    /// The name of the file in the day's folder.
    pub file: String,
    /// The number of rows.
    pub rows: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The sum over the rows.
    pub digest: Digest,
}

impl BatchEntry {
    /// The key of the file among those of a part and view. The order of keys is the order in which files supersede each
    /// other.
    pub(super) fn place(&self) -> FileKey {
        (self.day, self.closing(), self.generation, self.worker)
    }

    /// The closing that made this revision.
    pub(super) fn closing(&self) -> Closing {
        let named = parse_batch_file_name(&self.file).map(|(closing, ..)| closing);
        named.filter(|named| named.day == self.closing).unwrap_or(Closing::of(self.closing))
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.day > self.closing {
            return Err("a batch belongs to a closing before its day");
        }
        if self.file != batch_file_name(self.closing(), self.generation, self.worker) {
            return Err("a batch has an unexpected file name");
        }
        Ok(())
    }
}

/// Day, closing, generation and worker.
pub(super) type FileKey = (Day, Closing, u32, u32);

/// A rollup of a part, as its manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RollupEntry {
    pub(super) grain: Grain,
    /// The fingerprint of what it was made of.
    pub(super) parts: u64,
    /// The run in which it was made, and its number among those of its worker.
    pub(super) made: (u64, u64),
    /// The file; its day is the first period of the view that is in it.
    pub(super) batch: BatchEntry,
}

/// First period, grain, when it was made, and worker.
pub(super) type RollupKey = (Day, u8, (u64, u64), u32);

impl RollupEntry {
    fn key(&self) -> RollupKey {
        (self.batch.day, self.grain as u8, self.made, self.batch.worker)
    }
}

/// The rollups of a period.
fn of_period(day: Day, grain: u8) -> RangeInclusive<RollupKey> {
    (day, grain, (0, 0), 0)..=(day, grain, (u64::MAX, u64::MAX), u32::MAX)
}

/// Which folder a part belongs to, and the rules by which keys are placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) partitions: u32,
    pub(super) hash: String,
    pub(super) cluster: u128,
    pub(super) process: u32,
}

/// A run of the program. Runs are numbered from 1 in the whole folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) processes: u32,
    /// The number of parts that the folder has ever had, so that a lost part is noticed.
    pub(super) parts: u32,
    pub(super) complete: bool,
    /// Whether the events of the run were logged: the same for all runs of a folder.
    pub(super) logged: bool,
}

/// A record. New kinds are added at the end, because the position is the kind on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Identity(Identity),
    /// The definition of a view. A later edition drops what was sealed of the view before.
    View(DefinitionOfDays),
    /// A commit: these files count, and the view is closed through this closing. All or nothing.
    Live {
        view: String,
        through: Day,
        batches: Vec<BatchEntry>,
    },
    /// A small named value; the last one counts.
    Fact {
        name: String,
        bytes: Vec<u8>,
    },
    State(Run),
    /// A rebuild: these files count, and the last closing does not change. All or nothing.
    Rebuilt {
        view: String,
        batches: Vec<BatchEntry>,
    },
    /// The schema of a view; the last one counts.
    Schema(ViewSchema),
    /// Durable ends of logs. The greatest position of each commit stream counts.
    Proven(Vec<LogProof>),
    /// The numbers of files of a view that the workers of the cluster have written; the last record counts.
    Written {
        view: String,
        written: Written,
    },
    /// A commit of amendments before their day closes: as `Live`, but up to a closing of late events.
    Early {
        view: String,
        through: Closing,
        batches: Vec<BatchEntry>,
    },
    /// As `View`, for a view with another grain than days. Programs older than grains do not know this record, and
    /// refuse the folder.
    Grained(Definition),
    /// What a view no longer keeps: all periods before one, and these superseded files. For each period in `revised`,
    /// no state before the given closing is known.
    Removed {
        view: String,
        from: Day,
        files: Vec<FileKey>,
        revised: Vec<(Day, Closing)>,
    },
    /// What is removed of the log: events of UTC days before this one, in all parts.
    Shortened(Day),
    /// Coarser periods, made of sealed ones.
    Rolled {
        view: String,
        rollups: Vec<RollupEntry>,
    },
    /// The rollups that outlive the periods of a view, and the first day of each; the last one counts.
    Outliving {
        view: String,
        from: RollupsFrom,
    },
    /// What is removed of the rollups of a grain: all that begin before a day and cover no other partitions.
    Unrolled {
        view: String,
        grain: Grain,
        before: Day,
        coverage: Coverage,
    },
    /// A pack of this length, and where sealed files begin in it. They are no longer files of their own.
    Packed {
        view: String,
        pack: NonZeroU32,
        bytes: u64,
        files: Vec<(FileKey, u32)>,
    },
}

impl Record {
    /// The definition of a view.
    pub(super) fn define(of: Definition) -> Record {
        if of.view.grain != Grain::Day {
            return Record::Grained(of);
        }
        let Definition { view, edition } = of;
        let ViewRecord { name, zone, key, aggregate, definition, .. } = view;
        Record::View(DefinitionOfDays { name, zone, key, aggregate, definition, edition })
    }

    /// Whether this is the definition of the view `name`.
    pub(super) fn defines(&self, name: &str) -> bool {
        match self {
            Record::View(of) => of.name == name,
            Record::Grained(of) => of.view.name == name,
            _ => false,
        }
    }

    /// A commit of everything up to a closing.
    pub(super) fn commit(view: String, through: Closing, batches: Vec<BatchEntry>) -> Record {
        match through.floor() {
            None => Record::Live { view, through: through.day, batches },
            Some(_) => Record::Early { view, through, batches },
        }
    }
}

/// What a part has sealed of one view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) through: Closing,
    /// The last period that has any, also if it was removed since.
    pub(super) latest: Option<Day>,
    /// The files. After [`PartState::forget_batches`], only those that were rebuilt.
    pub(super) batches: BTreeMap<FileKey, BatchEntry>,
    /// The files that are in packs. After [`PartState::forget_batches`], none.
    pub(super) packed: BTreeMap<FileKey, Packed>,
    /// The lengths of the packs, by number.
    pub(super) packs: BTreeMap<NonZeroU32, u64>,
}

impl Sealed {
    /// Forgets packs in which no file counts any more.
    fn forget_packs(&mut self) {
        let used: BTreeSet<NonZeroU32> = self.packed.values().map(|packed| packed.pack).collect();
        self.packs.retain(|pack, _| used.contains(pack));
    }
}

/// The state that results from the records of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartState {
    pub(super) identity: Option<Identity>,
    pub(super) views: BTreeMap<String, Definition>,
    pub(super) sealed: BTreeMap<String, Sealed>,
    pub(super) facts: BTreeMap<String, Vec<u8>>,
    pub(super) run: Option<Run>,
    pub(super) schemas: BTreeMap<String, ViewSchema>,
    /// The proven positions of the logs of all parts, as far as this part knows.
    pub(super) proofs: Proofs,
    /// The numbers of files that the workers of the cluster have written, by view.
    pub(super) written: BTreeMap<String, Written>,
    /// What remains of views from which something was removed.
    pub(super) kept: BTreeMap<String, Kept>,
    /// The first UTC day whose events are all in the log, if earlier ones were removed.
    pub(super) log_from: Option<Day>,
    /// Rollups, by view. After [`PartState::forget_batches`], none.
    pub(super) rollups: BTreeMap<String, BTreeMap<RollupKey, RollupEntry>>,
    /// The first day of the rollups that outlive the periods of a view.
    pub(super) outliving: BTreeMap<String, RollupsFrom>,
}

/// The number of batches in one record of a snapshot, so that no record exceeds its size limit.
const SNAPSHOT_BATCHES: usize = 4_096;
const SNAPSHOT_PROOFS: usize = 4_096;

impl PartState {
    /// Applies a record. The error says why it cannot follow the records before it.
    pub(super) fn apply(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Identity(identity) => {
                if self.identity.as_ref().is_some_and(|known| *known != identity) {
                    return Err("the identity changes");
                }
                self.identity = Some(identity);
            }
            Record::View(definition) => self.define(definition.into())?,
            Record::Grained(definition) => self.define(definition)?,
            Record::Live { view, through, batches } => {
                self.commit(view, Closing::of(through), batches)?;
            }
            Record::Early { view, through, batches } => self.commit(view, through, batches)?,
            Record::Fact { name, bytes } => {
                self.facts.insert(name, bytes);
            }
            Record::State(run) => {
                if self.run.is_some_and(|last| run.number < last.number) {
                    return Err("the number of a run falls");
                }
                self.run = Some(run);
            }
            Record::Rebuilt { view, batches } => {
                let through = self.through(&view).ok_or("nothing is closed that is rebuilt")?;
                self.commit(view, through, batches)?;
            }
            Record::Schema(schema) => {
                if !self.views.contains_key(&schema.name) {
                    return Err("a schema is of an unknown view");
                }
                self.schemas.insert(schema.name.clone(), schema);
            }
            Record::Written { view, written } => drop(self.written.insert(view, written)),
            Record::Removed { view, from, files, revised } => {
                self.remove(view, from, &files, revised)?;
            }
            Record::Rolled { view, rollups } => self.roll_up(view, rollups)?,
            Record::Outliving { view, from } => {
                if !self.views.contains_key(&view) {
                    return Err("rollups are of an unknown view");
                }
                self.outliving.insert(view, from);
            }
            Record::Unrolled { view, grain, before, coverage } => {
                let rollups = self.rollups.entry(view.clone()).or_default();
                rollups.retain(|(day, of, ..), entry| {
                    let is_left = entry.batch.coverage.difference(coverage).is_empty();
                    !(is_left && *of == grain as u8 && *day < before)
                });
                let from = self.outliving.get_mut(&view);
                let from = from.and_then(|from| from[grain as usize].as_mut());
                from.into_iter().for_each(|from| *from = before.max(*from));
            }
            Record::Packed { view, pack, bytes, files } => {
                self.pack(&view, (pack, bytes), files)?
            }
            Record::Shortened(from) => self.log_from = self.log_from.max(Some(from)),
            Record::Proven(proofs) => proofs.into_iter().for_each(|proof| self.proofs.add(proof)),
        }
        Ok(())
    }

    fn define(&mut self, definition: Definition) -> Result<(), &'static str> {
        let name = definition.view.name.clone();
        if !is_name(&name) {
            return Err("the name of a view is not a name");
        }
        match self.views.get(&name) {
            Some(known) if known.edition < definition.edition => {
                self.sealed.remove(&name);
                self.schemas.remove(&name);
                self.written.remove(&name);
                self.kept.remove(&name);
                self.rollups.remove(&name);
                self.outliving.remove(&name);
            }
            Some(known) if *known != definition => {
                return Err("the definition of a view changes within an edition");
            }
            _ => {}
        }
        self.views.insert(name, definition);
        Ok(())
    }

    fn commit(
        &mut self,
        view: String,
        through: Closing,
        batches: Vec<BatchEntry>,
    ) -> Result<(), &'static str> {
        if !self.views.contains_key(&view) {
            return Err("a commit names an unknown view");
        }
        if self.through(&view).is_some_and(|known| through < known) {
            return Err("a commit goes back");
        }
        for batch in &batches {
            batch.check()?;
            if batch.closing() > through {
                return Err("a batch belongs to a later closing than its commit");
            }
        }
        // Late events of a removed period: the next opening removes what is sealed of them.
        let from = self.kept_from(&view);
        let latest = batches.iter().map(|entry| entry.day).max();
        let batches = batches.into_iter().filter(|entry| entry.day >= from);
        let (packed, packs) = (BTreeMap::new(), BTreeMap::new());
        let empty = || Sealed { through, latest, batches: BTreeMap::new(), packed, packs };
        let sealed = self.sealed.entry(view).or_insert_with(empty);
        sealed.through = through;
        sealed.latest = sealed.latest.max(latest);
        sealed.batches.extend(batches.map(|entry| (entry.place(), entry)));
        Ok(())
    }

    fn pack(
        &mut self,
        view: &str,
        (pack, bytes): (NonZeroU32, u64),
        files: Vec<(FileKey, u32)>,
    ) -> Result<(), &'static str> {
        let sealed = self.sealed.get_mut(view).ok_or("a pack is of a view with no sealed files")?;
        for (file, offset) in files {
            if !sealed.batches.contains_key(&file) {
                return Err("a pack has a file that nothing names");
            }
            sealed.packed.insert(file, Packed { pack, offset });
        }
        sealed.packs.insert(pack, bytes);
        sealed.forget_packs();
        Ok(())
    }

    fn remove(
        &mut self,
        view: String,
        from: Day,
        files: &[FileKey],
        revised: Vec<(Day, Closing)>,
    ) -> Result<(), &'static str> {
        if !self.views.contains_key(&view) {
            return Err("what is removed is of an unknown view");
        }
        if let Some(sealed) = self.sealed.get_mut(&view) {
            sealed.batches.retain(|(day, ..), _| *day >= from);
            sealed.packed.retain(|(day, ..), _| *day >= from);
            for file in files {
                sealed.batches.remove(file);
                sealed.packed.remove(file);
            }
            sealed.forget_packs();
        }
        self.kept.entry(view).or_default().add(from, revised);
        Ok(())
    }

    /// Adds rollups; each takes the place of earlier ones that it covers.
    fn roll_up(&mut self, view: String, rollups: Vec<RollupEntry>) -> Result<(), &'static str> {
        if !self.views.contains_key(&view) {
            return Err("a rollup is of an unknown view");
        }
        let known = self.rollups.entry(view).or_default();
        for entry in rollups {
            let BatchEntry { day, worker, coverage, .. } = entry.batch;
            if entry.batch.file != rollup_file_name(entry.grain, day, worker, entry.made) {
                return Err("a rollup has an unexpected file name");
            }
            let (key, grain) = (entry.key(), entry.grain as u8);
            let before = known.range(of_period(day, grain));
            let is_covered = |old: &&RollupEntry| {
                old.made < entry.made && old.batch.coverage.difference(coverage).is_empty()
            };
            let gone: Vec<_> =
                before.map(|(_, old)| old).filter(is_covered).map(RollupEntry::key).collect();
            gone.iter().for_each(|key| drop(known.remove(key)));
            known.insert(key, entry);
        }
        Ok(())
    }

    /// The first kept period of a view.
    pub(super) fn kept_from(&self, view: &str) -> Day {
        self.kept.get(view).map_or(Day::MIN, |kept| kept.from)
    }

    /// Forgets the sealed files, whose number grows every day; the manifest has them. Rebuilt files are few and are
    /// kept, because the next rebuild needs their generations.
    pub(super) fn forget_batches(&mut self) {
        self.rollups.clear();
        for sealed in self.sealed.values_mut() {
            sealed.batches.retain(|_, entry| entry.generation > 0);
            sealed.packed.clear();
            sealed.packs.clear();
        }
        self.kept.values_mut().for_each(|kept| kept.revised.clear());
    }

    /// The last closing of a view that this part has committed.
    /// The last period of a view that has sealed events.
    pub(super) fn latest(&self, view: &str) -> Option<Day> {
        self.sealed.get(view)?.latest
    }

    pub(super) fn through(&self, view: &str) -> Option<Closing> {
        self.sealed.get(view).map(|sealed| sealed.through)
    }

    /// How often the definition of a view has changed, as far as this part knows.
    pub(super) fn edition(&self, view: &str) -> u32 {
        self.views.get(view).map_or(0, |known| known.edition)
    }

    /// The smallest list of records that results in this state.
    pub(super) fn snapshot(&self) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.identity.clone().map(Record::Identity).into_iter().collect();
        records.extend(self.views.values().cloned().map(Record::define));
        records.extend(self.schemas.values().cloned().map(Record::Schema));
        for (view, sealed) in &self.sealed {
            let batches: Vec<BatchEntry> = sealed.batches.values().cloned().collect();
            // A part with closed days and no batches needs at least one record.
            let chunks =
                batches.chunks(SNAPSHOT_BATCHES).chain(batches.is_empty().then_some(&[][..]));
            records.extend(
                chunks.map(|chunk| Record::commit(view.clone(), sealed.through, chunk.to_vec())),
            );
            for (&pack, &bytes) in &sealed.packs {
                let files = sealed.packed.iter().filter(|(_, packed)| packed.pack == pack);
                let files = files.map(|(file, packed)| (*file, packed.offset)).collect();
                records.push(Record::Packed { view: view.clone(), pack, bytes, files });
            }
        }
        let facts = self.facts.iter();
        records.extend(
            facts.map(|(name, bytes)| Record::Fact { name: name.clone(), bytes: bytes.clone() }),
        );
        for (view, kept) in &self.kept {
            let revised: Vec<(Day, Closing)> = kept.revised.iter().map(|(d, c)| (*d, *c)).collect();
            let chunks =
                revised.chunks(SNAPSHOT_BATCHES).chain(revised.is_empty().then_some(&[][..]));
            records.extend(chunks.map(|chunk| Record::Removed {
                view: view.clone(),
                from: kept.from,
                files: Vec::new(),
                revised: chunk.to_vec(),
            }));
        }
        records.extend(
            self.outliving
                .iter()
                .map(|(view, from)| Record::Outliving { view: view.clone(), from: *from }),
        );
        for (view, rollups) in &self.rollups {
            let rollups: Vec<RollupEntry> = rollups.values().cloned().collect();
            let chunks = rollups.chunks(SNAPSHOT_BATCHES);
            records.extend(
                chunks.map(|some| Record::Rolled { view: view.clone(), rollups: some.to_vec() }),
            );
        }
        records.extend(self.log_from.map(Record::Shortened));
        let proofs: Vec<LogProof> = self.proofs.iter().collect();
        records.extend(proofs.chunks(SNAPSHOT_PROOFS).map(|some| Record::Proven(some.to_vec())));
        let written = self.written.iter();
        records.extend(written.map(|(view, written)| Record::Written {
            view: view.clone(),
            written: written.clone(),
        }));
        records.extend(self.run.map(Record::State));
        records
    }
}
