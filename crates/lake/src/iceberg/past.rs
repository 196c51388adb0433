//! The newest snapshot of a table that has all that was sealed when its view's sources had been read up to some
//! positions.

use dayfold::time::Day;

use super::avro::{self, Status};
use super::metadata::Metadata;
use super::{CUT, metadata_path, newest_version, read, within, wrong};
use crate::LakeError;
use crate::cut::Cut;
use crate::store::Location;

/// That snapshot.
pub(crate) struct Found {
    pub(crate) cut: Cut,
    /// The last period.
    pub(crate) through: Day,
    /// Files in the order of their periods: each with the name of its object, and the number of its rows.
    pub(crate) files: Vec<(Day, String, u64)>,
}

/// Finds it. `None` if there is no table, or no such snapshot.
pub(crate) async fn past(table: &Location) -> Result<Option<Found>, LakeError> {
    let version = newest_version(table).await?;
    if version == 0 {
        return Ok(None);
    }
    let path = metadata_path(version);
    let metadata: Metadata = serde_json::from_slice(&read(table, &path).await?)
        .map_err(|error| wrong(table, &path, error))?;
    let of_cut = metadata
        .snapshots
        .iter()
        .rev()
        .find_map(|snapshot| Some((snapshot, snapshot.summary.get(CUT)?)));
    let Some((snapshot, cut)) = of_cut else { return Ok(None) };
    let path = within(table, cut)?;
    let (cut, through) =
        Cut::decode(&read(table, &path).await?).map_err(|what| wrong(table, &path, what))?;
    let list = within(table, &snapshot.manifest_list)?;
    let mut files = Vec::new();
    for manifest in avro::read_list(&list, &read(table, &list).await?)? {
        let path = within(table, &manifest.path)?;
        let entries = avro::read_manifest(&path, &read(table, &path).await?)?;
        for entry in entries.iter().filter(|entry| entry.status != Status::Deleted) {
            files.push((entry.day, within(table, &entry.path)?, entry.rows as u64));
        }
    }
    files.sort();
    Ok(Some(Found { cut, through, files }))
}
