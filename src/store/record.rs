//! The records of a manifest, and the state they add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::{Coverage, Digest};
use crate::time::Day;

/// What a folder remembers of a view's definition. All texts; a mismatch of any is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// The name: letters, digits, `_`, `-` and `.`; it names a folder.
    pub name: String,
    /// The IANA zone of its days.
    pub zone: String,
    /// The type of its keys.
    pub key: String,
    /// The type of its aggregates.
    pub aggregate: String,
    /// What else decides its rows: expressions, filters, parameters of aggregates.
    pub definition: String,
}

impl ViewRecord {
    /// Names and texts in which two definitions may differ.
    pub(super) fn fields(&self) -> [(&'static str, &str); 4] {
        [
            ("zone", &self.zone),
            ("key", &self.key),
            ("aggregate", &self.aggregate),
            ("definition", &self.definition),
        ]
    }
}

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// The day.
    pub day: Day,
    /// The closing that made this revision.
    pub closing: Day,
    /// The worker that wrote it, by its index in the group of that run.
    pub worker: u32,
    /// The partitions it speaks for.
    pub coverage: Coverage,
    /// Its name in the day's folder.
    pub file: String,
    /// The number of its rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The sum over its rows.
    pub digest: Digest,
}

/// Which folder a part belongs to, and by which rules keys are placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) partitions: u32,
    pub(super) hash: String,
    pub(super) cluster: u128,
    pub(super) process: u32,
}

/// Runs of the program, numbered from 1 in the whole folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) processes: u32,
    /// The number of parts that the folder has ever had, so that a lost one is missed.
    pub(super) parts: u32,
    pub(super) complete: bool,
    /// Whether its events were logged: the same for all runs of a folder.
    pub(super) logged: bool,
}

/// One record. New kinds are added at the end: the position is the kind on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Identity(Identity),
    View(ViewRecord),
    /// A commit: these files are live, and the view is closed through the day. All or nothing.
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
}

/// What a part has sealed of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) through: Day,
    /// By day, closing and worker; none after [`PartState::forget_batches`].
    pub(super) batches: BTreeMap<(Day, Day, u32), BatchEntry>,
}

/// What the records of one part add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PartState {
    pub(super) identity: Option<Identity>,
    pub(super) views: BTreeMap<String, ViewRecord>,
    pub(super) sealed: BTreeMap<String, Sealed>,
    pub(super) facts: BTreeMap<String, Vec<u8>>,
    pub(super) run: Option<Run>,
}

/// Batches in one record of a snapshot, so that no record outgrows its bound.
const SNAPSHOT_BATCHES: usize = 4_096;

impl PartState {
    /// Adds a record, or says why it cannot follow the ones before it.
    pub(super) fn apply(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Identity(identity) => {
                if self.identity.as_ref().is_some_and(|known| *known != identity) {
                    return Err("the identity changes");
                }
                self.identity = Some(identity);
            }
            Record::View(view) => {
                if !is_name(&view.name) {
                    return Err("the name of a view is not a name");
                }
                if self.views.get(&view.name).is_some_and(|known| *known != view) {
                    return Err("the definition of a view changes");
                }
                self.views.insert(view.name.clone(), view);
            }
            Record::Live { view, through, batches } => self.commit(view, through, batches)?,
            Record::Fact { name, bytes } => {
                self.facts.insert(name, bytes);
            }
            Record::State(run) => {
                if self.run.is_some_and(|last| run.number < last.number) {
                    return Err("the number of a run falls");
                }
                self.run = Some(run);
            }
        }
        Ok(())
    }

    fn commit(
        &mut self,
        view: String,
        through: Day,
        batches: Vec<BatchEntry>,
    ) -> Result<(), &'static str> {
        if !self.views.contains_key(&view) {
            return Err("a commit names an unknown view");
        }
        if self.through(&view).is_some_and(|known| through < known) {
            return Err("a commit goes back");
        }
        for batch in &batches {
            if batch.closing > through || batch.day > batch.closing {
                return Err("a batch belongs to a later closing than its commit");
            }
            if batch.file != batch_file_name(batch.closing, batch.worker) {
                return Err("a batch has an unexpected file name");
            }
        }
        let empty = || Sealed { through, batches: BTreeMap::new() };
        let sealed = self.sealed.entry(view).or_insert_with(empty);
        sealed.through = through;
        let keyed =
            batches.into_iter().map(|entry| ((entry.day, entry.closing, entry.worker), entry));
        sealed.batches.extend(keyed);
        Ok(())
    }

    /// Forgets the files, of which there are more every day; the manifest remembers them.
    pub(super) fn forget_batches(&mut self) {
        self.sealed.values_mut().for_each(|sealed| sealed.batches = BTreeMap::new());
    }

    /// Up to where this part has committed a view.
    pub(super) fn through(&self, view: &str) -> Option<Day> {
        self.sealed.get(view).map(|sealed| sealed.through)
    }

    /// The fewest records that add up to this state.
    pub(super) fn snapshot(&self) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.identity.clone().map(Record::Identity).into_iter().collect();
        records.extend(self.views.values().cloned().map(Record::View));
        for (view, sealed) in &self.sealed {
            let batches: Vec<BatchEntry> = sealed.batches.values().cloned().collect();
            // At least one record, for a part that has closed days and no batches.
            let chunks =
                batches.chunks(SNAPSHOT_BATCHES).chain(batches.is_empty().then_some(&[][..]));
            records.extend(chunks.map(|chunk| Record::Live {
                view: view.clone(),
                through: sealed.through,
                batches: chunk.to_vec(),
            }));
        }
        let facts = self.facts.iter();
        records.extend(
            facts.map(|(name, bytes)| Record::Fact { name: name.clone(), bytes: bytes.clone() }),
        );
        records.extend(self.run.map(Record::State));
        records
    }
}

/// The name of a batch view in its day's folder.
pub(super) fn batch_file_name(closing: Day, worker: u32) -> String {
    format!("{closing}-w{worker}.batch")
}

/// The closing and the worker in the name of a batch view.
pub(super) fn parse_batch_file_name(name: &str) -> Option<(Day, u32)> {
    let (closing, worker) = name.strip_suffix(".batch")?.rsplit_once("-w")?;
    let parsed = (closing.parse().ok()?, worker.parse().ok()?);
    (batch_file_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// Whether a view may be called so: its name becomes a folder's.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_come_back() {
        let day = "2013-01-02".parse().unwrap();
        assert_eq!(batch_file_name(day, 12), "2013-01-02-w12.batch");
        assert_eq!(parse_batch_file_name("2013-01-02-w12.batch"), Some((day, 12)));
        for other in
            ["2013-01-02-w12.batch.tmp", "2013-01-02-w012.batch", "2013-13-02-w1.batch", "x"]
        {
            assert_eq!(parse_batch_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_views() {
        for good in ["by_carrier", "v1.2-x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
