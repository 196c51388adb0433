//! Which version of which period is sealed, by the manifests of a data folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dayfold::store::{self, Disk, Manifests, SealedPeriod, StoreError, ViewReport};
use dayfold::time::Day;

/// The present version of a sealed period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The name of the version: other files have another name.
    pub(crate) name: String,
    /// Whether it was rebuilt: the files of a rebuild are in the manifest a moment before queries use them.
    pub(crate) is_rebuilt: bool,
}

/// The sealed periods of the views of a folder.
pub(crate) struct SealedPeriods {
    folder: PathBuf,
    seen: Option<Manifests>,
    views: BTreeMap<String, BTreeMap<Day, Version>>,
}

impl SealedPeriods {
    pub(crate) fn of(folder: &Path) -> SealedPeriods {
        SealedPeriods { folder: folder.to_owned(), seen: None, views: BTreeMap::new() }
    }

    /// The sealed periods of a view now. While no manifest has changed, nothing is read.
    pub(crate) fn look(&mut self, view: &str) -> Result<BTreeMap<Day, Version>, StoreError> {
        let manifests = Manifests::of(&self.folder);
        if self.seen.as_ref() != Some(&manifests) {
            let report = store::inspect(&Disk, &self.folder)?;
            let views = report.views.iter();
            self.views = views.map(|view| (view.record.name.clone(), versions(view))).collect();
            self.seen = Some(manifests);
        }
        Ok(self.views.get(view).cloned().unwrap_or_default())
    }
}

fn versions(view: &ViewReport) -> BTreeMap<Day, Version> {
    let version = |period: SealedPeriod<'_>| Version {
        name: format!("{:016x}-e{}", period.fingerprint, view.redefined),
        is_rebuilt: period.files.iter().any(|file| file.generation > 0),
    };
    view.periods().into_iter().map(|(day, period)| (day, version(period))).collect()
}
