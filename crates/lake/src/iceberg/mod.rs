//! A view as an Iceberg table, version 2 of the format: a file for each day, in snapshots of one commit each.
//!
//! ```text
//! URL/VIEW/metadata/v<N>.metadata.json       the table, and its snapshots; N + 1 is made only where there is none
//!                   version-hint.text        N, for readers without a catalogue
//!                   snap-<id>.avro           the manifests of a snapshot
//!                   <id>-m<n>.avro           a manifest: data files
//!          data/<day>_<version>.parquet     the rows of a day
//! ```
//!
//! A view of another grain has its own period column instead of `day`.
//!
//! **A commit** writes manifests, their list, and then the next `vN.metadata.json`, which makes them count. A reader
//! sees the table either before or after a commit: for a day, either the old file or the new one.

mod avro;
mod metadata;
mod past;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dayfold::time::Day;
use futures_util::future::{try_join, try_join_all};

use crate::columns::TableColumn;
use crate::commit::{Commit, Exported, NewFile};
use crate::cut::Cut;
use crate::store::Location;
use crate::{LakeError, period, random};
use avro::{Entry, Manifest, Status};
use metadata::{Metadata, Snapshot};
pub(crate) use past::past;

/// Beyond this many, manifests are merged into one, because a reader opens each of them.
const MANIFESTS: usize = 32;
/// The most new manifests of a commit, and how many files each of them has at least.
const MANIFESTS_AT_ONCE: usize = 4;
const MANIFEST_FILES: usize = 64;
/// How often a commit is repeated if another program has committed in between.
const ATTEMPTS: u32 = 8;
/// How long it waits before it is repeated the first time, at most. This doubles.
const WAIT: Duration = Duration::from_millis(20);
/// Objects that no snapshot names are removed when they are older than this; a younger one may belong to a commit in
/// progress.
const ORPHAN_AGE: Duration = Duration::from_secs(3_600);

/// An open table.
pub(crate) struct Iceberg {
    place: Location,
    columns: Vec<TableColumn>,
    properties: BTreeMap<String, String>,
    snapshots: usize,
    /// The number of the metadata file, 0 before the first one.
    version: u64,
    metadata: Option<Metadata>,
    manifests: Vec<(Manifest, Vec<Entry>)>,
    days: BTreeMap<Day, Exported>,
}

impl Iceberg {
    /// Opens the table at a place; if there is none, the first commit creates it.
    pub(crate) async fn open(
        place: Location,
        columns: Vec<TableColumn>,
        properties: BTreeMap<String, String>,
        snapshots: usize,
    ) -> Result<Iceberg, LakeError> {
        let mut table = Iceberg {
            place,
            columns,
            properties,
            snapshots,
            version: 0,
            metadata: None,
            manifests: Vec::new(),
            days: BTreeMap::new(),
        };
        table.load().await?;
        Ok(table)
    }

    pub(crate) fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    pub(crate) fn days(&self) -> &BTreeMap<Day, Exported> {
        &self.days
    }

    /// Reads the newest state of the table.
    async fn load(&mut self) -> Result<(), LakeError> {
        self.version = newest_version(&self.place).await?;
        (self.metadata, self.manifests) = (None, Vec::new());
        self.days.clear();
        if self.version == 0 {
            return Ok(());
        }
        let path = metadata_path(self.version);
        let bytes = self.read(&path).await?;
        let mut metadata: Metadata =
            serde_json::from_slice(&bytes).map_err(|error| self.wrong(&path, error))?;
        let view = self.properties.get(VIEW);
        if metadata.format_version != 2 || metadata.properties.get(VIEW) != view {
            return Err(self.wrong(&path, "it belongs to another view, or to another program"));
        }
        let partition = metadata.partition_specs.first().and_then(|spec| spec.fields.first());
        let of = partition.map_or("nothing", |field| &field.name);
        if of != self.columns[0].name {
            let what = format!(
                "it is partitioned by {of}, and the view has a row for each {}: export it under another URL",
                self.columns[0].name
            );
            return Err(self.wrong(&path, what));
        }
        metadata.fit(&mut self.columns)?;
        if let Some(snapshot) = metadata.snapshot() {
            let path = self.within(&snapshot.manifest_list)?;
            for manifest in avro::read_list(&path, &self.read(&path).await?)? {
                let path = self.within(&manifest.path)?;
                let entries = avro::read_manifest(&path, &self.read(&path).await?)?;
                self.manifests.push((manifest, entries));
            }
        }
        self.metadata = Some(metadata);
        self.note_days()
    }

    fn note_days(&mut self) -> Result<(), LakeError> {
        self.days.clear();
        for entry in self.manifests.iter().flat_map(|(_, entries)| entries) {
            if entry.status == Status::Deleted {
                continue;
            }
            let path = self.within(&entry.path)?;
            let version = version_in(&path, entry.day).to_owned();
            let exported =
                Exported { version, path, bytes: entry.bytes as u64, rows: entry.rows as u64 };
            if self.days.insert(entry.day, exported).is_some() {
                let what = format!("{} has two files", entry.day);
                return Err(self.wrong(&metadata_path(self.version), what));
            }
        }
        Ok(())
    }

    /// Whether the newest snapshot is not that of this cut.
    pub(crate) fn is_behind(&self, cut: &Cut) -> bool {
        let snapshot = self.metadata.as_ref().and_then(Metadata::snapshot);
        snapshot.and_then(|snapshot| snapshot.summary.get(CUT_NAME)) != Some(&cut.name())
    }

    /// Commits files as the rows of their days, and removes days.
    pub(crate) async fn commit(&mut self, commit: &Commit) -> Result<(), LakeError> {
        for attempt in 0..ATTEMPTS {
            if self.try_commit(commit).await? {
                return self.expire().await;
            }
            // Another program was first: this commit starts again from its version, after a random wait, so that one
            // with slow requests has its turn as well.
            let wait = WAIT.saturating_mul(1 << attempt);
            tokio::time::sleep(wait.mul_f64(random::share())).await;
            let columns = self.columns.clone();
            self.load().await?;
            if self.columns != columns {
                // The files have types of columns that the table of the other program does not have.
                break;
            }
        }
        Err(LakeError::Conflict { table: self.place.url().to_owned() })
    }

    async fn try_commit(&mut self, commit: &Commit) -> Result<bool, LakeError> {
        let mut metadata = match &self.metadata {
            Some(metadata) => metadata.clone(),
            None => Metadata::new(
                self.place.url(),
                random::uuid(),
                &self.columns,
                self.properties.clone(),
                now_ms(),
            ),
        };
        metadata.properties.extend(self.properties.clone());
        let parent = metadata.snapshot().map(|snapshot| snapshot.snapshot_id);
        let (snapshot, sequence) = (random::positive(), metadata.last_sequence_number + 1);
        // The data files become durable while the manifests are made.
        let manifests = async {
            let changed = self.manifests_after(commit, (snapshot, sequence));
            self.write_manifests(changed, &metadata, (snapshot, sequence)).await
        };
        let ((), manifests) = try_join(self.place.settle(), manifests).await?;

        let list_path = format!("metadata/snap-{snapshot}.avro");
        let listed: Vec<Manifest> =
            manifests.iter().map(|(manifest, _)| manifest.clone()).collect();
        let list = avro::write_list(&listed, (snapshot, parent, sequence))?;
        self.place.put(&list_path, list).await?;
        let now = now_ms().max(metadata.last_updated_ms + 1);
        let outdated = match self.version {
            0 => Vec::new(),
            version => metadata.replaces(self.place.url_of(&metadata_path(version))),
        };
        let mut summary = summary(commit, &manifests, &self.days);
        summary.extend(commit.certificate.clone());
        if let Some(cut) = &commit.cut {
            let path = format!("metadata/{snapshot}-cut.json");
            self.place.put(&path, cut.encode()).await?;
            summary.insert(CUT.to_owned(), self.place.url_of(&path));
            summary.insert(CUT_NAME.to_owned(), cut.name());
        }
        metadata.add(Snapshot {
            snapshot_id: snapshot,
            parent_snapshot_id: parent,
            sequence_number: sequence,
            timestamp_ms: now,
            manifest_list: self.place.url_of(&list_path),
            summary,
            schema_id: metadata.current_schema_id,
        });
        // Nothing may count before the files that it names are durable, manifests too.
        self.place.settle().await?;
        if !self.write_metadata(&metadata).await? {
            return Ok(false);
        }
        for path in outdated {
            self.place.delete(&self.within(&path)?).await?;
        }
        (self.metadata, self.manifests) = (Some(metadata), manifests);
        self.note_days()?;
        Ok(true)
    }

    /// Writes the next metadata file. Returns `false` if there is one already; then nothing has changed.
    async fn write_metadata(&mut self, metadata: &Metadata) -> Result<bool, LakeError> {
        let next = self.version + 1;
        let bytes = serde_json::to_vec_pretty(metadata).expect("texts and numbers are JSON");
        if !self.place.create(&metadata_path(next), bytes).await? {
            return Ok(false);
        }
        self.version = next;
        self.place.put(HINT, next.to_string().into_bytes()).await?;
        Ok(true)
    }

    /// The manifests after a commit: untouched ones as they are, the others to be written.
    fn manifests_after(
        &self,
        commit: &Commit,
        (snapshot, sequence): (i64, i64),
    ) -> Vec<(Option<Manifest>, Vec<Entry>)> {
        let gone: BTreeSet<Day> = commit
            .added
            .iter()
            .map(|file| file.day)
            .chain(commit.removed.iter().copied())
            .collect();
        let is_merged = self.manifests.len() >= MANIFESTS;
        let mut after = Vec::new();
        let mut merged = Vec::new();
        for (manifest, entries) in &self.manifests {
            let alive = || entries.iter().filter(|entry| entry.status != Status::Deleted);
            if alive().next().is_none() {
                // Everything in it was deleted before.
                continue;
            }
            if !is_merged && !alive().any(|entry| gone.contains(&entry.day)) {
                after.push((Some(manifest.clone()), entries.clone()));
                continue;
            }
            let entries = alive().map(|entry| match gone.contains(&entry.day) {
                true => Entry { status: Status::Deleted, snapshot, ..entry.clone() },
                false => Entry { status: Status::Existing, ..entry.clone() },
            });
            match is_merged {
                true => merged.extend(entries),
                false => after.push((None, entries.collect())),
            }
        }
        let added = commit.added.iter().map(|file| self.added(file, (snapshot, sequence)));
        merged.extend(added);
        // Several, of many files: they are made side by side, and readers skip those of other days.
        let each = merged.len().div_ceil(MANIFESTS_AT_ONCE).max(MANIFEST_FILES);
        while !merged.is_empty() {
            let rest = merged.split_off(merged.len().min(each));
            after.push((None, std::mem::replace(&mut merged, rest)));
        }
        after
    }

    fn added(&self, file: &NewFile, (snapshot, sequence): (i64, i64)) -> Entry {
        let mut entry = Entry {
            status: Status::Added,
            snapshot,
            sequence,
            day: file.day,
            path: self.place.url_of(&file.path),
            rows: file.rows as i64,
            bytes: file.bytes as i64,
            nulls: Vec::new(),
            least: Vec::new(),
            greatest: Vec::new(),
        };
        avro::statistics(&self.columns, &file.bounds, &mut entry);
        entry
    }

    async fn write_manifests(
        &self,
        changed: Vec<(Option<Manifest>, Vec<Entry>)>,
        metadata: &Metadata,
        snapshot: (i64, i64),
    ) -> Result<Vec<(Manifest, Vec<Entry>)>, LakeError> {
        let json = |value: serde_json::Result<String>| value.expect("texts and numbers are JSON");
        let schema = json(serde_json::to_string(&metadata.schema()));
        let fields = metadata.partition_specs.first().map(|spec| &spec.fields);
        let spec = json(serde_json::to_string(&fields));
        let about = Arc::new((metadata.current_schema_id, schema, spec));
        let written = changed.into_iter().enumerate().map(|(number, (manifest, entries))| {
            let (period, about) = (self.columns[0].clone(), Arc::clone(&about));
            async move {
                if let Some(manifest) = manifest {
                    return Ok((manifest, entries));
                }
                let made = tokio::task::spawn_blocking(move || {
                    let (schema_id, schema, spec) = &*about;
                    let bytes = avro::write_manifest(&entries, &period, (*schema_id, schema, spec));
                    (bytes, entries)
                });
                let (bytes, entries) = match made.await {
                    Ok(made) => made,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                };
                let bytes = bytes?;
                let path = format!("metadata/{}-m{number}.avro", snapshot.0);
                let manifest =
                    Manifest::of(self.place.url_of(&path), bytes.len(), snapshot, &entries);
                self.place.put(&path, bytes).await?;
                Ok((manifest, entries))
            }
        });
        try_join_all(written).await
    }

    /// Drops old snapshots when there are twice as many as should be kept, and removes objects that no other snapshot
    /// names.
    async fn expire(&mut self) -> Result<(), LakeError> {
        let Some(metadata) = &self.metadata else { return Ok(()) };
        if metadata.snapshots.len() < self.snapshots.saturating_mul(2).max(2) {
            return Ok(());
        }
        let mut metadata = metadata.clone();
        metadata.expire(self.snapshots, CUT);
        metadata.last_updated_ms += 1;
        metadata.replaces(self.place.url_of(&metadata_path(self.version)));
        if !self.write_metadata(&metadata).await? {
            // Another program writes; the next commit sees its version.
            return Ok(());
        }
        let named = self.named(&metadata).await?;
        self.metadata = Some(metadata);
        for folder in ["metadata", "data"] {
            for (name, age) in self.place.list_with_age(folder).await? {
                let path = format!("{folder}/{name}");
                let is_ours = name.ends_with(".avro") || name.ends_with("-cut.json");
                if (folder == "data" || is_ours) && !named.contains(&path) && age > ORPHAN_AGE {
                    self.place.delete(&path).await?;
                }
            }
        }
        Ok(())
    }

    /// Everything that the snapshots of a table name.
    async fn named(&self, metadata: &Metadata) -> Result<HashSet<String>, LakeError> {
        let mut named = HashSet::new();
        for snapshot in &metadata.snapshots {
            if let Some(cut) = snapshot.summary.get(CUT) {
                named.insert(self.within(cut)?);
            }
            let list = self.within(&snapshot.manifest_list)?;
            for manifest in avro::read_list(&list, &self.read(&list).await?)? {
                let path = self.within(&manifest.path)?;
                if named.contains(&path) {
                    continue;
                }
                let entries = avro::read_manifest(&path, &self.read(&path).await?)?;
                named.insert(path);
                for entry in entries.iter().filter(|entry| entry.status != Status::Deleted) {
                    named.insert(self.within(&entry.path)?);
                }
            }
            named.insert(list);
        }
        Ok(named)
    }

    async fn read(&self, path: &str) -> Result<bytes::Bytes, LakeError> {
        read(&self.place, path).await
    }

    fn within(&self, url: &str) -> Result<String, LakeError> {
        within(&self.place, url)
    }

    fn wrong(&self, path: &str, what: impl ToString) -> LakeError {
        wrong(&self.place, path, what)
    }
}

async fn read(table: &Location, path: &str) -> Result<bytes::Bytes, LakeError> {
    table.get(path).await?.ok_or_else(|| wrong(table, path, "it is gone"))
}

/// The name of an object within a table.
fn within(table: &Location, url: &str) -> Result<String, LakeError> {
    let path = url.strip_prefix(table.url()).and_then(|path| path.strip_prefix('/'));
    let path = path.ok_or_else(|| {
        wrong(table, url, format!("expected a name below {}: was the table moved?", table.url()))
    })?;
    Ok(table.decoded(path))
}

fn wrong(table: &Location, path: &str, what: impl ToString) -> LakeError {
    LakeError::Table { path: table.url_of(path), what: what.to_string() }
}

/// What a snapshot says of the state of its sources, if it has all that was sealed then: an object, and a name of its
/// content.
const CUT: &str = "dayfold.cut";
const CUT_NAME: &str = "dayfold.cut-name";

/// The property of a table that names its owner.
pub(crate) const VIEW: &str = "dayfold.view";

/// The number of the newest metadata file, for readers without a catalogue.
pub(crate) const HINT: &str = "metadata/version-hint.text";

/// The number of the newest metadata file of a table, 0 if there is none.
async fn newest_version(table: &Location) -> Result<u64, LakeError> {
    let names = table.list("metadata").await?;
    let version = |name: &str| name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse().ok();
    Ok(names.iter().filter_map(|(name, _)| version(name)).max().unwrap_or(0))
}

/// The newest metadata file of the table at a location, and its name there.
#[cfg(feature = "catalog")]
pub(crate) async fn newest_metadata(
    table: &Location,
) -> Result<Option<(String, bytes::Bytes)>, LakeError> {
    match newest_version(table).await? {
        0 => Ok(None),
        version => {
            let path = metadata_path(version);
            Ok(table.get(&path).await?.map(|bytes| (path, bytes)))
        }
    }
}

/// The path of a version of a day. There is no folder for each day: the metadata have the days of files, and a folder takes
/// as long to make as a small file.
pub(crate) fn data_path(day: Day, version: &str) -> String {
    format!("data/{}_{version}.parquet", period::in_path(day))
}

/// The version of a day in a path. Tables of earlier versions of this crate have a folder for each day instead, and do not
/// repeat its name in that of the file.
fn version_in(path: &str, day: Day) -> &str {
    let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".parquet"));
    let name = name.unwrap_or_default();
    let behind_day =
        name.strip_prefix(&period::in_path(day)).and_then(|rest| rest.strip_prefix('_'));
    behind_day.unwrap_or(name)
}

fn metadata_path(version: u64) -> String {
    format!("metadata/v{version}.metadata.json")
}

/// The operation of a snapshot, as readers of its summary expect it.
fn summary(
    commit: &Commit,
    manifests: &[(Manifest, Vec<Entry>)],
    before: &BTreeMap<Day, Exported>,
) -> BTreeMap<String, String> {
    let added = &commit.added;
    let replaced = added.iter().map(|file| &file.day).chain(&commit.removed);
    let gone: Vec<&Exported> = replaced.filter_map(|day| before.get(day)).collect();
    let operation = match (added.is_empty(), gone.is_empty()) {
        (_, true) => "append",
        (true, false) => "delete",
        (false, false) => "overwrite",
    };
    let entries = manifests.iter().flat_map(|(_, entries)| entries);
    let alive = || entries.clone().filter(|entry| entry.status != Status::Deleted);
    let days: BTreeSet<Day> =
        added.iter().map(|file| file.day).chain(commit.removed.iter().copied()).collect();
    let numbers = [
        ("added-data-files", added.len() as u64),
        ("added-records", added.iter().map(|file| file.rows).sum()),
        ("added-files-size", added.iter().map(|file| file.bytes).sum()),
        ("deleted-data-files", gone.len() as u64),
        ("deleted-records", gone.iter().map(|file| file.rows).sum()),
        ("removed-files-size", gone.iter().map(|file| file.bytes).sum()),
        ("changed-partition-count", days.len() as u64),
        ("total-data-files", alive().count() as u64),
        ("total-records", alive().map(|entry| entry.rows as u64).sum()),
        ("total-files-size", alive().map(|entry| entry.bytes as u64).sum()),
    ];
    let mut summary: BTreeMap<String, String> =
        numbers.iter().map(|(name, number)| ((*name).to_owned(), number.to_string())).collect();
    summary.insert("operation".to_owned(), operation.to_owned());
    summary
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_day_and_its_version() {
        let date: Day = "2024-05-01".parse().expect("a date");
        let hour = Day::parse_period("2024-05-01T13:30:00Z").expect("an hour");
        for day in [date, hour] {
            for version in ["r2024-05-02", "r2024-05-02-f17"] {
                let path = data_path(day, version);
                assert_eq!(version_in(&path, day), version, "{path}");
                let earlier = format!("data/day={}/{version}.parquet", period::in_path(day));
                assert_eq!(version_in(&earlier, day), version, "{earlier}");
            }
        }
        assert_eq!(data_path(hour, "r"), "data/2024-05-01T133000Z_r.parquet");
    }
}
