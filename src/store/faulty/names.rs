//! The names in folders: the visible ones, the durable ones, and the changes between them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::random::{Extent, Random};

/// What a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    /// A file, by its number.
    File(usize),
}

/// The names of all files and folders. The top folder always exists and has no name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    /// The changes from the durable names to the live ones, in order.
    pending: Vec<Change>,
}

/// A name is removed, or added, or both in one step.
#[derive(Clone, Debug)]
struct Change {
    from: Option<PathBuf>,
    to: Option<(PathBuf, Node)>,
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, node)) = &self.to {
            names.insert(to.clone(), *node);
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.from.iter().chain(self.to.iter().map(|(to, _)| to))
    }
}

impl Names {
    /// The names of folders and files in a folder.
    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check_dir(dir)?;
        let below = self.live.range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded));
        let below = below.map(|(path, _)| path).take_while(|path| path.starts_with(dir));
        let inside = below.filter(|path| path.parent() == Some(dir));
        let names =
            inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    pub(super) fn check_dir(&self, dir: &Path) -> io::Result<()> {
        match self.live.get(dir) {
            _ if dir.parent().is_none() => Ok(()),
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(at(io::ErrorKind::NotADirectory, dir)),
            None => Err(at(io::ErrorKind::NotFound, dir)),
        }
    }

    /// The number of an existing file.
    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        self.file_or_none(path)?.ok_or_else(|| at(io::ErrorKind::NotFound, path))
    }

    /// The number of an existing file, or `None` if a file may be created there.
    pub(super) fn file_or_none(&self, path: &Path) -> io::Result<Option<usize>> {
        let Some(dir) = path.parent() else { return Err(at(io::ErrorKind::IsADirectory, path)) };
        self.check_dir(dir)?;
        match self.live.get(path) {
            Some(Node::File(file)) => Ok(Some(*file)),
            Some(Node::Dir) => Err(at(io::ErrorKind::IsADirectory, path)),
            None => Ok(None),
        }
    }

    /// The missing folders on the path to `dir`, `dir` included, from the top.
    pub(super) fn missing_dirs(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for dir in dir.ancestors() {
            match self.check_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.insert(0, dir.to_owned());
                }
                result => result?,
            }
        }
        Ok(missing)
    }

    /// Creates folders from the top. Each is durable before the next one is created. The last one is durable only if
    /// all went well.
    pub(super) fn make_dirs(&mut self, dirs: &[PathBuf], went_well: bool) {
        for (number, dir) in (1..).zip(dirs) {
            self.change(None, Some((dir.clone(), Node::Dir)));
            if (number < dirs.len() || went_well)
                && let Some(made) = self.pending.pop()
            {
                made.apply(&mut self.durable);
            }
        }
    }

    pub(super) fn change(&mut self, from: Option<PathBuf>, to: Option<(PathBuf, Node)>) {
        let change = Change { from, to };
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync(&mut self, dir: &Path, extent: Extent, random: &mut Random) {
        let (inside, outside) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.paths().any(|path| path.parent() == Some(dir)));
        let share = match extent {
            Extent::Nothing => 0,
            Extent::Part => 2,
            Extent::All => 4,
        };
        // Changes that are not durable yet keep their order within a folder; there is no order between folders.
        self.pending = survive(inside, &mut self.durable, share, random);
        self.pending.extend(outside);
    }

    /// A state in which the names may be found after a power loss, if `share` of four changes survive. In it, all
    /// visible names are durable.
    pub(super) fn after_power_loss(&self, share: usize, random: &mut Random) -> Names {
        let mut found = self.durable.clone();
        survive(self.pending.clone(), &mut found, share, random);
        // A path comes after the path of its folder.
        let mut reached = BTreeMap::<PathBuf, Node>::new();
        for (path, node) in found {
            let dir = path.parent().unwrap_or(Path::new(""));
            if dir.parent().is_none() || reached.get(dir) == Some(&Node::Dir) {
                reached.insert(path, node);
            }
        }
        Names { live: reached.clone(), durable: reached, pending: Vec::new() }
    }
}

/// Applies a random `share` of four changes and returns the others. A change is lost if an earlier lost change touches
/// the same name: so a renamed file keeps one of its names.
fn survive(
    changes: Vec<Change>,
    names: &mut BTreeMap<PathBuf, Node>,
    share: usize,
    random: &mut Random,
) -> Vec<Change> {
    let mut lost: Vec<Change> = Vec::new();
    for change in changes {
        let follows =
            |earlier: &Change| earlier.paths().any(|path| change.paths().any(|p| p == path));
        if lost.iter().any(follows) || !random.quarters(share) {
            lost.push(change);
        } else {
            change.apply(names);
        }
    }
    lost
}

fn at(kind: io::ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{kind}: {}", path.display()))
}
