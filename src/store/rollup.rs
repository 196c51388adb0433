//! Files of rollups. No manifest names them: each run makes them anew from sealed files, and does not use those of
//! earlier runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch_file::map_batch;
use super::error::StoreError;
use super::layout::Layout;
use super::opened::Store;
use super::record::period_name;
use super::storage::Storage;
use super::whole::write_whole;
use crate::aggregate::Aggregate;
use crate::batch::{BatchMeta, BatchView, RawBatch, write_rows};
use crate::key::Key;
use crate::time::Grain;

impl Store {
    /// Writes a file of a rollup, and opens it. Its name has the grain, the first period, the worker and a number.
    pub(crate) fn write_rollup<K: Key, A: Aggregate>(
        &self,
        (grain, worker, number): (Grain, usize, u64),
        meta: BatchMeta,
        expected_rows: u64,
        rows: impl IntoIterator<Item = (u64, K, A)>,
    ) -> Result<(PathBuf, BatchView<K, A>), StoreError> {
        self.check_view(&meta.view)?;
        let dir = self.layout.rollups(self.config.process as u32).join(&meta.view);
        self.storage.create_dirs(&dir).map_err(StoreError::harmless("make", &dir))?;
        let path = dir.join(format!("{grain}-{}-w{worker}-{number}", period_name(meta.day)));
        write_whole(&*self.storage, &path, |sink| {
            let buffered = io::BufWriter::with_capacity(1 << 16, sink);
            let (mut buffered, _) = write_rows(buffered, meta, expected_rows, rows)?;
            io::Write::flush(&mut buffered)
        })?;
        let raw = RawBatch::open(map_batch(&*self.storage, &path)?, &path.display().to_string())?;
        Ok((path, BatchView::from_raw(Arc::new(raw))))
    }

    /// Removes files of rollups; readers that have one open go on. What cannot be removed stays until the next opening.
    pub(crate) fn discard_rollups(&self, stale: &[PathBuf]) {
        for path in stale {
            if let Err(error) = self.storage.remove(path) {
                tracing::debug!(path = %path.display(), %error, "a rollup is removed later");
            }
        }
    }
}

/// Removes the rollups that earlier runs left in a part.
pub(super) fn sweep(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
) -> Result<(), StoreError> {
    let rollups = layout.rollups(process);
    for view in list(storage, &rollups)? {
        let files = rollups.join(view);
        for file in list(storage, &files)? {
            let path = files.join(file);
            storage.remove(&path).map_err(StoreError::perhaps("remove", &path))?;
        }
    }
    Ok(())
}

fn list(storage: &dyn Storage, dir: &Path) -> Result<Vec<String>, StoreError> {
    match storage.list(dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::harmless("list", dir)(error)),
    }
}
