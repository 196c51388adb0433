//! Between runs, a sealed day is damaged and the folder is repaired, sometimes with a crash in between.

use std::path::{Path, PathBuf};

use dayfold::archive::Finding;
use dayfold::engine::EngineError;
use dayfold::store::{Storage, StoreError};

use crate::world::World;

impl World {
    /// Damages one of the files that count after a complete run, or none, and repairs the folder.
    pub(crate) fn mend(&mut self) {
        let mut files = std::mem::take(&mut self.sealed_files);
        // Some may have been removed since.
        files.retain(|path| self.storage.read(path).is_ok());
        let damaged = (!files.is_empty()).then(|| self.random.pick(&files));
        if let Some(path) = &damaged {
            self.damage(path);
            self.damaged = true;
        }
        let found = loop {
            let number = 1 + self.random.below(60);
            self.faulty_from = self.storage.operations() + number;
            if self.random.one_in(2) {
                self.storage.crash_at(self.faulty_from);
            }
            match self.repair() {
                Ok(found) => break found,
                Err(error) => self.judge(&error),
            }
            let seed = self.random.next();
            let lost = self.random.one_in(2);
            self.storage = match lost {
                true => self.storage.after_power_loss(seed),
                false => self.storage.after_kill(),
            };
        };
        self.storage.crash();
        self.storage = self.storage.after_power_loss(0);
        self.note(format!("repaired {found:?}, power lost"));
        let found: Vec<_> = found.iter().map(|finding| finding.view.as_str()).collect();
        // The header of a pack is that of all its periods.
        let is_pack =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pack");
        let most = damaged.as_ref().map_or(0, |path| if is_pack(path) { usize::MAX } else { 1 });
        assert!(found.len() <= most, "{found:?}");
        self.faulty_from = u64::MAX;
    }

    fn repair(&self) -> Result<Vec<Finding>, EngineError> {
        loop {
            match self.program.build(&self.storage, &self.content).engine.repair() {
                // See `World::start`.
                Err(EngineError::Store(StoreError::InUse { .. })) => std::thread::yield_now(),
                result => return result,
            }
        }
    }

    /// Flips a byte.
    fn damage(&mut self, path: &Path) {
        let mut bytes = self.storage.read(path).unwrap();
        let at = self.random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 0x55;
        let mut file = self.storage.create(path).unwrap();
        file.write_all(&bytes).and_then(|()| file.sync()).unwrap();
        self.note(format!("damaged {} at {at}", path.display()));
    }
}
