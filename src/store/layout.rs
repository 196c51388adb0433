//! The paths inside a data folder.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::names::{pack_name, period_name};
use crate::time::Day;

/// The paths of a data folder; the module's documentation shows them.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Layout {
        Layout { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn part(&self, process: u32) -> PathBuf {
        self.root.join(format!("part-{process}"))
    }

    pub(super) fn manifest(&self, process: u32) -> PathBuf {
        self.part(process).join("manifest")
    }

    pub(super) fn lock(&self, process: u32) -> PathBuf {
        self.part(process).join("lock")
    }

    pub(super) fn views(&self, process: u32) -> PathBuf {
        self.part(process).join("views")
    }

    pub(super) fn rollups(&self, process: u32) -> PathBuf {
        self.part(process).join("rollups")
    }

    pub(super) fn day(&self, process: u32, view: &str, day: Day) -> PathBuf {
        self.views(process).join(view).join(period_name(day))
    }

    pub(super) fn packs(&self, process: u32) -> PathBuf {
        self.part(process).join("packs")
    }

    pub(super) fn pack(&self, process: u32, view: &str, pack: NonZeroU32) -> PathBuf {
        self.packs(process).join(view).join(pack_name(pack))
    }

    pub(super) fn rejected(&self, process: u32) -> PathBuf {
        self.part(process).join("rejected").join("rows.csv")
    }
}

/// The process of the part with this folder name.
pub(super) fn parse_part(name: &str) -> Option<u32> {
    let process = name.strip_prefix("part-")?.parse().ok()?;
    (format!("part-{process}") == name).then_some(process)
}

/// The name of a file until it is complete and renamed to `path`.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// The suffix of names of unfinished files.
pub(super) const TEMPORARY: &str = ".tmp";
