//! Views that come and go while a folder is open.
//!
//! A view that is added has its definition in the manifest before anything of it is sealed. So an opening after a crash
//! finds a view of which nothing, or only a part, is sealed, and the rest of its past in the log. A view that is
//! removed gets another edition in one record, and then its files go; an opening removes those that a crash has left.

use std::sync::{Arc, PoisonError};

use super::config::StoreConfig;
use super::error::StoreError;
use super::lower_end::first_rollups;
use super::names::parse_period_name;
use super::open::check_config;
use super::opened::Store;
use super::record::{Definition, Record};
use super::view_record::ViewRecord;
use super::zones;
use crate::time::Day;
use crate::view::RollupsFrom;

impl Store {
    /// The program's views as they are now.
    pub(super) fn defined(&self) -> Arc<StoreConfig> {
        Arc::clone(&self.defined.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn define(&self, config: StoreConfig) {
        *self.defined.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Whether the folder has parts of other processes, also of former ones.
    pub(crate) fn has_other_parts(&self) -> bool {
        !self.read().others.is_empty()
    }

    /// Adds the views of `added` to the folder during a run. Nothing of them is sealed then.
    ///
    /// # Errors
    /// [`StoreError::Config`] or [`StoreError::ViewMismatch`] if the folder has such a view already: nothing was
    /// written. [`StoreError::Io`] if it may have been.
    pub(crate) fn add_views(&self, added: &StoreConfig) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        let mut config = (*self.defined()).clone();
        config.removed.retain(|name| added.views.iter().all(|view| view.name != *name));
        config.views.extend(added.views.iter().cloned());
        config.schemas.extend(added.schemas.iter().cloned());
        config.retention.extend(added.retention.clone());
        check_config(&config)?;
        let mut records = Vec::new();
        for view in &added.views {
            records.extend(self.definition(view)?);
            let schema = added.schemas.iter().find(|schema| schema.name == view.name);
            records.extend(schema.cloned().map(Record::Schema));
            let mut from = RollupsFrom::default();
            for (grain, first) in first_rollups(&config, &view.name, Day::MIN) {
                from[grain as usize] = Some(first);
            }
            if from != RollupsFrom::default() {
                records.push(Record::Outliving { view: view.name.clone(), from });
            }
        }
        records.extend(zones::records(added, &self.read().own, |_| Vec::new()));
        let views = self.layout.views(self.process());
        for view in &added.views {
            let dir = views.join(&view.name);
            let made = self.storage.create_dirs(&dir);
            let made = made.and_then(|()| self.storage.sync_dir(&dir));
            let made = made.and_then(|()| self.storage.sync_dir(&views));
            made.map_err(StoreError::harmless("make", &dir))?;
        }
        self.append(&mut manifest, records)?;
        self.define(config);
        Ok(())
    }

    /// The record that defines a view, in an edition of which nothing is sealed; `None` if the part has it already.
    fn definition(&self, view: &ViewRecord) -> Result<Option<Record>, StoreError> {
        let state = self.read();
        let edition = match state.own.views.get(&view.name) {
            None => 0,
            Some(known) if known.view.is_removed() => known.edition + 1,
            Some(known) => match known.view.difference(view) {
                // It was added before, and removed from the engine alone.
                None if state.own.through(&view.name).is_none() => return Ok(None),
                _ => {
                    let what = "a view is added that the folder has already";
                    return Err(StoreError::Config { what, value: view.name.clone() });
                }
            },
        };
        Ok(Some(Record::define(Definition { view: view.clone(), edition })))
    }

    /// Removes a view from the folder during a run. Nobody may be writing files of it; files that are open stay open. A
    /// file that cannot be removed stays until the next opening.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it may not have been recorded: no file was removed.
    pub(crate) fn drop_view(&self, name: &str) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        let Some(edition) = self.read().own.views.get(name).map(|known| known.edition + 1) else {
            return Ok(());
        };
        let record = Record::define(Definition { view: ViewRecord::removed(name), edition });
        self.append(&mut manifest, Some(record))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.prepared.remove(name);
        state.prepared_through.retain(|(view, _), _| view != name);
        drop(state);
        let mut config = (*self.defined()).clone();
        config.views.retain(|view| view.name != name);
        config.schemas.retain(|schema| schema.name != name);
        config.retention.remove(name);
        self.define(config);
        drop(manifest);
        self.remove_files_of(name);
        Ok(())
    }

    fn remove_files_of(&self, name: &str) {
        let periods = self.layout.views(self.process()).join(name);
        let names = self.storage.list(&periods).unwrap_or_default();
        let is_period = |name: &&String| parse_period_name(name).is_some();
        names.iter().filter(is_period).for_each(|name| self.remove_period(&periods.join(name)));
        let rollups = self.layout.rollups(self.process()).join(name);
        for file in self.storage.list(&rollups).unwrap_or_default() {
            let path = rollups.join(file);
            if let Err(error) = self.storage.remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a file is removed with the next opening");
            }
        }
        self.remove_empty_packs(name);
        tracing::info!(view = name, "a view is removed");
    }
}
