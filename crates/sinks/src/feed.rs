//! Changes of a view for programs that subscribe: what would be written to a store, one change after the other.
//!
//! A feed is a sink whose store is a journal of the last changes in memory. A subscriber that continues after a change
//! that the journal still has gets the changes after it. Any other subscriber first gets all rows of one moment, and
//! then the changes after that moment.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dayfold::engine::{Observer, Views};
use dayfold::scan::{Batches, ErasedView, Scan, ScanError, Snapshot};
use dayfold::time::Day;

use crate::row::{Reader, period_as_json};
use crate::sealed::SealedPeriods;
use crate::stores::Notes;
use crate::{Opened, Row, Sink, SinkError, SinkOptions, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "the feed";

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A row, which replaces the one with the same period and key.
    Row,
    /// The rows of `period` with a smaller `as_of` are gone.
    Removed,
    /// The rows with a smaller `as_of` are gone, except those of `periods`. After this, all rows of a moment are
    /// complete.
    RemovedAllBut,
}

impl ChangeKind {
    /// The name of the kind: `row`, `removed`, `removed_all_but`.
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::Row => "row",
            ChangeKind::Removed => "removed",
            ChangeKind::RemovedAllBut => "removed_all_but",
        }
    }
}

/// A change of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The kind.
    pub kind: ChangeKind,
    /// An object: the row, or the description of what is gone.
    pub json: Arc<str>,
    /// A subscriber that has received this change can continue after it with this id. Rows of the first moment have
    /// none until they are complete.
    pub id: Option<String>,
}

/// Why there are no more changes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The subscriber took longer to read all rows of a moment than the moment is kept.
    #[error(
        "the rows of a moment were not taken for as long as it is kept: subscribe again, and take them faster"
    )]
    TooSlow,
    /// The engine does not answer.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// The changes of a view of a running engine, for any number of subscribers.
///
/// ```no_run
/// use std::path::Path;
/// use std::time::Duration;
///
/// use dayfold::engine::Running;
/// use dayfold_sinks::{Change, ChangeKind, Changes, Feed, FeedError, SinkError, SinkOptions};
///
/// /// Follows a view from where this program has come to.
/// fn follow(running: &Running, data: &Path) -> Result<Feed, SinkError> {
///     Feed::start(&running.views(), &running.observer(), data, "sales", SinkOptions::default())
/// }
///
/// /// Takes what there is; says how far it has come.
/// fn take(feed: &Feed, after: Option<String>) -> Result<Option<String>, FeedError> {
///     let (mut changes, mut after): (Changes, _) = (feed.changes(after.as_deref()), after);
///     while let Some(Change { kind, json, id, .. }) = changes.next_timeout(Duration::from_secs(1))? {
///         println!("{}{json}", if kind == ChangeKind::Row { "" } else { "gone: " });
///         after = id.or(after);
///     }
///     Ok(after)
/// }
/// ```
pub struct Feed {
    journal: Arc<Journal>,
    reader: Arc<Reader>,
    sink: Arc<Sink>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("view", &self.reader.table.view).finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts to follow a view of an engine that keeps its data in `data`.
    ///
    /// # Errors
    /// [`SinkError`], as for [`Sink::start`].
    pub fn start(
        views: &Views,
        observer: &Observer,
        data: &Path,
        view: &str,
        options: SinkOptions,
    ) -> Result<Feed, SinkError> {
        let folder = data.join("sinks/changes");
        // No subscriber has received anything in this run: what is sealed now comes with the first rows of each.
        let sealed = SealedPeriods::of(data).look(view).map_err(std::io::Error::other)?;
        let marks = sealed.into_iter().map(|(day, version)| (day, version.name)).collect();
        let journal = Arc::new(Journal {
            state: Mutex::default(),
            has_more: Condvar::new(),
            bytes_max: options.journal_bytes,
        });
        let store = FeedStore {
            journal: Arc::clone(&journal),
            notes: folder.join(format!("{view}.sink")),
            marks,
        };
        let sink = Sink::of(
            views,
            observer.clone(),
            data,
            &folder,
            &[view.to_owned()],
            Box::new(store),
            options,
        )?;
        let found = views.get(view).map(Arc::clone);
        let found: Arc<dyn ErasedView> = found.ok_or_else(|| SinkError::no_view(views, view))?;
        Ok(Feed { journal, reader: Arc::new(Reader::of(found)), sink: Arc::new(sink) })
    }

    /// The changes after the one with this id. Without an id, or if the journal no longer has it, all rows come first.
    pub fn changes(&self, after: Option<&str>) -> Changes {
        let state = match after.and_then(|id| self.journal.find(id)) {
            Some(next) => State::Following { next },
            None => State::Begins { asked: None },
        };
        let (journal, reader) = (Arc::clone(&self.journal), Arc::clone(&self.reader));
        Changes { journal, reader, sink: Arc::clone(&self.sink), state }
    }
}

/// The last changes.
struct Journal {
    state: Mutex<Kept>,
    has_more: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    /// The first opening of this feed, which is part of each id: numbers of another run have no meaning here.
    run: i64,
    /// The number of the first change that is kept.
    first: u64,
    changes: VecDeque<(ChangeKind, Arc<str>)>,
    bytes: usize,
    /// The number of subscribers that wait for a moment, and the number of moments made for subscribers.
    wanted: usize,
    moments: u64,
    moment: Option<Moment>,
}

/// All rows of a look, and the number of the first change after it.
#[derive(Clone)]
struct Moment {
    snapshot: Snapshot,
    as_of: i64,
    next: u64,
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn id(&self, number: u64) -> String {
        format!("{}.{number}", self.run)
    }
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the change after the one with this id, if all from there on are kept.
    fn find(&self, id: &str) -> Option<u64> {
        let kept = self.lock();
        let (run, number) = id.split_once('.')?;
        let next = number.parse::<u64>().ok()?.checked_add(1)?;
        let is_kept = run.parse() == Ok(kept.run) && (kept.first..=kept.next()).contains(&next);
        is_kept.then_some(next)
    }

    fn push(&self, kind: ChangeKind, json: String) {
        let mut kept = self.lock();
        kept.bytes += cost(&json);
        kept.changes.push_back((kind, json.into()));
        while kept.bytes > self.bytes_max
            && let Some((_, oldest)) = kept.changes.pop_front()
        {
            kept.bytes -= cost(&oldest);
            kept.first += 1;
        }
        self.has_more.notify_all();
    }
}

/// The bytes that a change takes in memory.
fn cost(json: &str) -> usize {
    json.len() + size_of::<(ChangeKind, Arc<str>)>() + 2 * size_of::<usize>()
}

/// The journal as a store.
struct FeedStore {
    journal: Arc<Journal>,
    /// The file that has the epoch, so that `as_of` rises across restarts.
    notes: PathBuf,
    marks: BTreeMap<Day, String>,
}

fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable { store: NAME, why: error.to_string() }
}

impl Store for FeedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, _: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let open = || {
            if let Some(folder) = self.notes.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let epoch = (Notes::read(&self.notes)?.epoch + 1).max(at_least);
            Notes { epoch, marks: BTreeMap::new() }.write(&self.notes)?;
            Ok(epoch)
        };
        let epoch = open().map_err(unavailable)?;
        let mut kept = self.journal.lock();
        if kept.run == 0 {
            (kept.run, kept.first) = (epoch, 1);
        }
        Ok(Opened::new(epoch, self.marks.clone()))
    }

    fn ping(&mut self, _: &Table, _: Stamp) -> Result<(), StoreError> {
        Ok(())
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        rows.iter()
            .for_each(|row| self.journal.push(ChangeKind::Row, row.json(table, stamp.as_of)));
        Ok(())
    }

    fn sweep(&mut self, _: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let (kind, json) = match sweep {
            Sweep::Period(day) => {
                (ChangeKind::Removed, removed("period", &period_as_json(*day), stamp.as_of))
            }
            Sweep::AllBut(kept) => {
                let kept = kept.iter().copied().map(period_as_json).collect::<Vec<_>>().join(",");
                (ChangeKind::RemovedAllBut, removed("periods", &format!("[{kept}]"), stamp.as_of))
            }
        };
        self.journal.push(kind, json);
        Ok(0)
    }

    fn mark(
        &mut self,
        _: &Table,
        _: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        for (day, version) in marks {
            match version {
                Some(version) => self.marks.insert(*day, version.clone()),
                None => self.marks.remove(day),
            };
        }
        Ok(())
    }

    fn looked(&mut self, stamp: Stamp, snapshot: &Snapshot) {
        let mut kept = self.journal.lock();
        // A snapshot costs memory as long as it is held.
        kept.moment = None;
        if kept.wanted > 0 {
            let next = kept.next();
            kept.moment = Some(Moment { snapshot: snapshot.clone(), as_of: stamp.as_of, next });
            kept.moments += 1;
            self.journal.has_more.notify_all();
        }
    }

    fn check(&mut self, _: &Table) -> Result<(), StoreError> {
        Ok(())
    }
}

fn removed(name: &str, what: &str, as_of: i64) -> String {
    format!("{{\"{name}\":{what},\"as_of\":{as_of}}}")
}

/// A subscriber's changes, one after the other.
#[must_use = "dropped, it subscribes to nothing"]
pub struct Changes {
    journal: Arc<Journal>,
    reader: Arc<Reader>,
    sink: Arc<Sink>,
    state: State,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("view", &self.reader.table.view).finish_non_exhaustive()
    }
}

enum State {
    /// It waits for a moment later than the one with this number.
    Begins {
        asked: Option<u64>,
    },
    /// It gets all rows of a moment.
    Filling {
        batches: Batches,
        rows: VecDeque<Row>,
        as_of: i64,
        next: u64,
    },
    Following {
        next: u64,
    },
}

impl Changes {
    /// The next change; `None` if there is none within `limit`.
    ///
    /// # Errors
    /// [`FeedError`]; the program may subscribe again.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Change>, FeedError> {
        let until = Instant::now() + limit;
        loop {
            let step = match &mut self.state {
                State::Begins { asked } => {
                    let asked = *asked;
                    self.begin(asked, until)?
                }
                State::Filling { .. } => self.fill(until)?,
                State::Following { next } => {
                    let next = *next;
                    self.follow(next, until)
                }
            };
            match step {
                Step::Change(change) => return Ok(Some(change)),
                Step::Again => {}
                Step::Nothing => return Ok(None),
            }
        }
    }

    fn begin(&mut self, asked: Option<u64>, until: Instant) -> Result<Step, FeedError> {
        let mut kept = self.journal.lock();
        let after = match asked {
            Some(after) => after,
            None => {
                kept.wanted += 1;
                let after = kept.moments;
                self.state = State::Begins { asked: Some(after) };
                drop(kept);
                // This makes a look even if nothing has changed.
                self.sink.look_soon();
                kept = self.journal.lock();
                after
            }
        };
        while kept.moments <= after {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Step::Nothing);
            }
            kept = self
                .journal
                .has_more
                .wait_timeout(kept, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        kept.wanted -= 1;
        let moment = kept.moment.clone();
        drop(kept);
        self.state = State::Begins { asked: None };
        if let Some(Moment { snapshot, as_of, next }) = moment {
            let batches =
                self.reader.view.scan(&self.reader.scan(Scan::rows()), Some(&snapshot))?;
            self.state = State::Filling { batches, rows: VecDeque::new(), as_of, next };
        }
        Ok(Step::Again)
    }

    fn fill(&mut self, until: Instant) -> Result<Step, FeedError> {
        let State::Filling { batches, rows, as_of, next } = &mut self.state else {
            return Ok(Step::Again);
        };
        if let Some(row) = rows.pop_front() {
            let json = row.json(&self.reader.table, *as_of).into();
            return Ok(Step::Change(Change { kind: ChangeKind::Row, json, id: None }));
        }
        match batches.next_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Some(batch)) => {
                rows.extend((0..batch.rows()).filter_map(|at| self.reader.row(&batch, at)));
                Ok(Step::Again)
            }
            Ok(None) => {
                // Rows that it had before, and that are not among these, are gone.
                let (next, json) = (*next, removed("periods", "[]", *as_of).into());
                self.state = State::Following { next };
                let id = self.journal.lock().id(next - 1);
                Ok(Step::Change(Change { kind: ChangeKind::RemovedAllBut, json, id: Some(id) }))
            }
            Err(ScanError::TimedOut { .. }) => Ok(Step::Nothing),
            Err(ScanError::Expired { .. }) => Err(FeedError::TooSlow),
            Err(error) => Err(error.into()),
        }
    }

    fn follow(&mut self, next: u64, until: Instant) -> Step {
        let mut kept = self.journal.lock();
        loop {
            if next < kept.first {
                // It is too far behind, so it gets all rows again.
                self.state = State::Begins { asked: None };
                return Step::Again;
            }
            if let Some((kind, json)) = kept.changes.get((next - kept.first) as usize) {
                let id = Some(kept.id(next));
                self.state = State::Following { next: next + 1 };
                return Step::Change(Change { kind: *kind, json: Arc::clone(json), id });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Step::Nothing;
            }
            kept = self
                .journal
                .has_more
                .wait_timeout(kept, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if matches!(self.state, State::Begins { asked: Some(_) }) {
            self.journal.lock().wanted -= 1;
        }
    }
}

enum Step {
    Change(Change),
    Again,
    Nothing,
}
