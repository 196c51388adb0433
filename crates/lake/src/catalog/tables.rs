//! The tables of a lake, as its store has them now.

use serde_json::Value;

use crate::LakeError;
use crate::iceberg::{HINT, newest_metadata};
use crate::store::Location;

/// The folders of a lake that are Iceberg tables.
pub(super) async fn names_of(lake: &Location) -> Result<Vec<String>, LakeError> {
    let mut names = Vec::new();
    for folder in lake.folders().await? {
        if lake.within(&folder).head(HINT).await?.is_some() {
            names.push(folder);
        }
    }
    Ok(names)
}

/// The newest metadata of a table, and its name for readers; `None` if there is no such table.
pub(super) async fn metadata_of(
    lake: &Location,
    table: &str,
) -> Result<Option<(String, Value)>, LakeError> {
    let table = lake.within(table);
    let Some((path, bytes)) = newest_metadata(&table).await? else { return Ok(None) };
    let url = table.url_of(&path);
    match serde_json::from_slice(&bytes) {
        Ok(metadata) => Ok(Some((url, metadata))),
        Err(error) => Err(LakeError::Table { path: url, what: error.to_string() }),
    }
}
