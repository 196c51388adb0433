//! Opens the file of a batch view and compares it with its entry in the manifest.

use std::io;
use std::path::Path;

use super::error::StoreError;
use super::live::LiveBatch;
use super::packed::{Packed, part_of};
use super::storage::Storage;
use crate::batch::{Bytes, RawBatch};
use crate::time::Day;

/// The bytes of a sealed file.
pub(super) fn map_batch(storage: &dyn Storage, path: &Path) -> Result<Bytes, StoreError> {
    storage.map(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => {
            StoreError::NoBatch { path: path.to_owned(), source }
        }
        _ => StoreError::harmless("open", path)(source),
    })
}

/// The bytes of a sealed file that may be in a pack, at this path.
pub(super) fn bytes_of(
    storage: &dyn Storage,
    path: &Path,
    packed: Option<Packed>,
) -> Result<Bytes, StoreError> {
    let bytes = map_batch(storage, path)?;
    match packed {
        Some(packed) => part_of(&bytes, packed, path),
        None => Ok(bytes),
    }
}

/// Opens a file and compares it with its entry in the manifest.
pub(crate) fn open_raw(storage: &dyn Storage, batch: &LiveBatch) -> Result<RawBatch, StoreError> {
    check_raw(bytes_of(storage, &batch.path, batch.packed)?, batch)
}

/// Files up to this size are read by [`open_once`]: to map and unmap them takes longer.
const READ_BYTES: u64 = 256 << 10;

/// The same, for a file that is read once, from its beginning to its end.
pub(crate) fn open_once(storage: &dyn Storage, batch: &LiveBatch) -> Result<RawBatch, StoreError> {
    if batch.packed.is_some() || batch.bytes > READ_BYTES {
        return open_raw(storage, batch);
    }
    match storage.read(&batch.path) {
        Ok(bytes) => check_raw(bytes.into(), batch),
        // It says what is wrong.
        Err(_) => open_raw(storage, batch),
    }
}

/// Compares the bytes of a file with its entry in the manifest.
pub(super) fn check_raw(bytes: Bytes, batch: &LiveBatch) -> Result<RawBatch, StoreError> {
    let path = &batch.path;
    let raw = RawBatch::open(bytes, &shown(path, (batch.day, batch.packed)))?;
    match difference(&raw, batch) {
        Some((field, found, expected)) => {
            Err(StoreError::WrongBatch { path: path.clone(), field, found, expected })
        }
        None => Ok(raw),
    }
}

/// How a file is called in errors.
pub(super) fn shown(path: &Path, (day, packed): (Day, Option<Packed>)) -> String {
    match packed {
        Some(_) => format!("{day} in {}", path.display()),
        None => path.display().to_string(),
    }
}

/// The first field in which a file differs from its entry in the manifest, with both values as text.
fn difference(raw: &RawBatch, batch: &LiveBatch) -> Option<(&'static str, String, String)> {
    let (meta, summary) = (raw.meta(), raw.summary());
    let found = (&meta.view, meta.day, meta.closing, meta.coverage);
    let expected = (&batch.view, batch.day, batch.closing, batch.file_coverage);
    if found != expected {
        return Some(("revision", format!("{found:?}"), format!("{expected:?}")));
    }
    let found = (summary.rows, summary.bytes, summary.digest);
    let expected = (batch.rows, batch.bytes, batch.digest);
    let differ = found != expected;
    differ.then(|| ("rows, length and digest", format!("{found:?}"), format!("{expected:?}")))
}
