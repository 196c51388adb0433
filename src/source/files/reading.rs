//! Reads a worker's share of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::find::find;
use super::one::{Coming, File, Stamp, Watching};
use super::plan::{Changed, LOOK, Plan};
use crate::source::error::SourceError;
use crate::source::partitions::{More, Partitions, Start, Taking};
use crate::source::row::Refused;
use crate::source::share::Share;
use crate::time::EventTime;

/// How many files are open at once.
const OPEN_MAX: usize = 64;

pub(super) struct Reading<E> {
    plan: Arc<Plan<E>>,
    share: Share,
    /// Sorted by path when they were found; indices do not change.
    files: Vec<File>,
    by_name: BTreeMap<String, usize>,
    /// The file of a partition.
    of_partition: Vec<usize>,
    /// Files with rows to read, by the clock after their next row.
    waiting: BTreeSet<(EventTime, usize)>,
    /// Open files that are read to their end and may grow.
    following: BTreeSet<usize>,
    open: usize,
    looked: Option<Instant>,
    trouble: Option<String>,
}

impl<E: Send + Sync + 'static> Reading<E> {
    pub(super) fn new(plan: &Arc<Plan<E>>, share: &Share) -> Reading<E> {
        Reading {
            plan: Arc::clone(plan),
            share: share.clone(),
            files: Vec::new(),
            by_name: BTreeMap::new(),
            of_partition: Vec::new(),
            waiting: BTreeSet::new(),
            following: BTreeSet::new(),
            open: 0,
            looked: None,
            trouble: None,
        }
    }

    /// Looks for new and changed files.
    fn look(&mut self, into: &mut Taking<E>) -> Result<(), Failure> {
        let is_due = self.looked.is_none_or(|at| self.plan.watches && at.elapsed() >= LOOK);
        if !is_due {
            return Ok(());
        }
        let (paths, trouble) = find(&self.plan.pattern)?;
        self.trouble = trouble;
        if paths.is_empty() {
            let none = format!("no file is named '{}'", self.plan.pattern);
            if !self.plan.watches {
                return Err(io::Error::new(io::ErrorKind::NotFound, none).into());
            }
            self.trouble.get_or_insert(none);
        }
        for path in &paths {
            let plan = Arc::clone(&self.plan);
            let name = plan.name_of(path);
            match self.by_name.get(name) {
                Some(&at) => self.look_again(at, into)?,
                None if self.share.has_named(name) => {
                    let at = self.files.len();
                    self.by_name.insert(name.to_owned(), at);
                    let committed = self.share.committed(name);
                    let stops = self.share.reread_before(name).to_vec();
                    self.files.push(File::new(path.clone(), name, committed.as_ref(), &stops)?);
                    self.look_again(at, into)?;
                }
                None => {}
            }
        }
        self.looked = Some(Instant::now());
        into.ready();
        Ok(())
    }

    /// Begins with a new or touched file.
    fn look_again(&mut self, at: usize, into: &mut Taking<E>) -> Result<(), Failure> {
        let file = &self.files[at];
        if file.is_open() || matches!(file.coming, Coming::Rows(_)) {
            return Ok(());
        }
        // If the file is gone meanwhile, there is nothing to read.
        let Ok(stamp) = Stamp::of(&file.path) else { return Ok(()) };
        if stamp == file.stamp && (file.is_finished || matches!(file.coming, Coming::CutOff(_))) {
            return Ok(());
        }
        // Reads only the first row; the file is opened again when its turn comes.
        self.peek(at, 1, into)?;
        self.close(at);
        Ok(())
    }

    /// Reads what comes next in a file, and sorts the file into the right set.
    fn peek(&mut self, at: usize, rows: usize, into: &mut Taking<E>) -> Result<(), Failure> {
        let was_open = self.files[at].is_open();
        if !was_open {
            self.make_room();
        }
        let (plan, now) = (Arc::clone(&self.plan), into.now());
        let looked = self.files[at].look(&plan.rows, plan.watching(), now, rows);
        self.count_open(was_open, at);
        match looked {
            Err(error) if is_changed(&error) => self.has_changed(at, error, into)?,
            looked => looked?,
        }
        self.settle(at, into);
        Ok(())
    }

    /// The file with this name is not the one that was read.
    fn has_changed(
        &mut self,
        at: usize,
        error: SourceError,
        into: &mut Taking<E>,
    ) -> Result<(), Failure> {
        self.close(at);
        let file = &mut self.files[at];
        // Removing a file that was read does not change it.
        if matches!(error, SourceError::NotAppended { .. }) && !file.path.exists() {
            tracing::info!(file = file.name, "a file is gone");
            file.coming = Coming::Nothing;
            return Ok(());
        }
        if self.plan.changed == Changed::Stop {
            return Err(Failure::changed(file, &error));
        }
        // Rows taken from it before belong to the old epoch, and must be reported first.
        if file.index.is_some_and(|index| into.has_untold(index)) {
            file.coming = Coming::Nothing;
            self.following.insert(at);
            return Ok(());
        }
        tracing::warn!(%error, "accepted: the file is read from its beginning");
        file.begin_anew();
        let start = Start { epoch: file.epoch, next: 0 };
        file.index.iter().for_each(|index| into.anew(*index, start));
        let looked = file.look(&self.plan.rows, self.plan.watching(), into.now(), 1);
        self.count_open(false, at);
        Ok(looked?)
    }

    fn count_open(&mut self, was_open: bool, at: usize) {
        let is_open = self.files[at].is_open();
        self.open = self.open + usize::from(is_open) - usize::from(was_open);
    }

    fn close(&mut self, at: usize) {
        let was_open = self.files[at].is_open();
        self.files[at].close();
        self.count_open(was_open, at);
        self.following.remove(&at);
    }

    /// Reports what is known of a file now.
    fn settle(&mut self, at: usize, into: &mut Taking<E>) {
        let file = &mut self.files[at];
        let index = file.index.unwrap_or_else(|| {
            self.of_partition.push(at);
            into.add(&file.name, Start { epoch: file.epoch, next: file.position() })
        });
        file.index = Some(index);
        let mut trouble = None;
        match file.coming {
            Coming::Rows(clock) => {
                into.idle(index, clock);
                self.waiting.insert((clock, at));
                into.end(index, file.end(), false);
            }
            Coming::Nothing => {
                into.end(index, file.end(), true);
                // A file that may grow becomes quiet after a while; all others have ended.
                if file.is_open() && self.plan.watches {
                    self.following.insert(at);
                } else if !self.following.contains(&at) {
                    into.ended(index);
                }
            }
            Coming::CutOff(byte) => {
                trouble = Some(format!(
                    "the compressed data is cut off at byte {byte}; it waits for the rest"
                ));
                into.end(index, None, true);
            }
        }
        into.trouble(index, trouble);
    }

    /// Closes a file if too many are open: one at its end, or else the one whose turn comes last.
    fn make_room(&mut self) {
        while self.open >= OPEN_MAX {
            let following = self.following.first().copied();
            let waiting = self.waiting.iter().rev().map(|(_, at)| *at);
            let last = || waiting.into_iter().find(|at| self.files[*at].is_open());
            let Some(at) = following.or_else(last) else { return };
            self.close(at);
        }
    }

    /// Takes the next block of the file whose turn it is. Returns whether there was one.
    fn take_next(&mut self, into: &mut Taking<E>) -> Result<bool, Failure> {
        let Some(&(clock, at)) = self.waiting.first() else { return Ok(false) };
        let index = self.files[at].index.expect("a file that waits was added");
        if into.is_paused(index) {
            // All others come later still.
            for index in self.waiting.iter().filter_map(|(_, at)| self.files[*at].index) {
                into.is_paused(index);
            }
            return Ok(false);
        }
        self.waiting.remove(&(clock, at));
        if !self.files[at].is_open() {
            self.peek(at, File::block_rows(), into)?;
            // Its position in the order may have changed.
            if self.waiting.first().is_none_or(|(_, first)| *first != at) {
                return Ok(true);
            }
            self.waiting.pop_first();
        }
        self.hand_over(at, index, into);
        self.peek(at, File::block_rows(), into)?;
        Ok(true)
    }

    fn hand_over(&mut self, at: usize, index: usize, into: &mut Taking<E>) {
        let Some((mut block, clock)) = self.files[at].take() else { return };
        let mut bytes = 0;
        let mut events = Vec::with_capacity(block.len());
        let mut refused = std::mem::take(&mut block.refused);
        for row in block.iter() {
            match (self.plan.parse)(&row) {
                Ok(event) => {
                    bytes += row.raw().len();
                    events.push(event);
                }
                Err(reason) => refused.push(Refused::new(row, reason)),
            }
        }
        refused.sort_by_key(|refused| refused.line);
        refused.into_iter().for_each(|refused| into.refused_row(index, refused));
        into.rows(index, clock, self.files[at].position(), bytes, events);
    }

    /// Checks whether open files have grown.
    fn follow(&mut self, into: &mut Taking<E>) -> Result<(), Failure> {
        for at in std::mem::take(&mut self.following) {
            self.peek(at, File::block_rows(), into)?;
        }
        Ok(())
    }
}

impl<E: Send + Sync + 'static> Partitions<E> for Reading<E> {
    fn take(&mut self, into: &mut Taking<E>, wait: Duration) -> io::Result<More> {
        self.look(into)?;
        self.follow(into)?;
        let mut has_taken = false;
        while !into.is_full() && self.take_next(into)? {
            has_taken = true;
        }
        if !has_taken && self.waiting.is_empty() && !self.plan.watches {
            return Ok(More::Ended);
        }
        if !has_taken {
            // Woken earlier when days close, since a paused file may then go on.
            std::thread::park_timeout(wait);
        }
        Ok(More::Later)
    }

    fn mark(&self, partition: usize) -> Vec<u8> {
        self.files[self.of_partition[partition]].mark()
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

/// Compares the files of a share with what was read of them.
///
/// # Errors
/// That of the first file, by name, that has changed or cannot be read.
pub(super) fn check<E>(plan: &Plan<E>, share: &Share) -> io::Result<()> {
    if plan.changed != Changed::Stop {
        return Ok(());
    }
    for path in find(&plan.pattern)?.0 {
        let name = plan.name_of(&path).to_owned();
        let Some(committed) = share.committed(&name).filter(|_| share.has_named(&name)) else {
            continue;
        };
        let mut file = File::new(path, &name, Some(&committed), &[]).map_err(Failure::from)?;
        let is_same = file.is_finished && Stamp::of(&file.path)? == file.stamp;
        let looked = if is_same { Ok(()) } else { file.open(&plan.rows, Watching::No).map(drop) };
        looked.map_err(|error| match is_changed(&error) {
            true => Failure::changed(&file, &error),
            false => error.into(),
        })?;
    }
    Ok(())
}

/// Whether the error says that a file is no longer the one that was read.
fn is_changed(error: &SourceError) -> bool {
    matches!(error, SourceError::Changed { .. } | SourceError::NotAppended { .. })
}

/// Why the reading ends.
struct Failure(io::Error);

impl Failure {
    fn changed(file: &File, error: &SourceError) -> Failure {
        let (name, position) = (&file.name, file.position());
        Failure(io::Error::other(format!(
            "{error}; '{name}' counts up to byte {position}: put its former content back, or begin with a new data folder to read \
             everything again; under another name the new content would count in addition to what was read (in Rust, \
             Files::changed(Changed::ReadAnew) accepts that)"
        )))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure(error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure(io::Error::other(error))
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        failure.0
    }
}
