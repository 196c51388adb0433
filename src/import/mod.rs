//! Sealed days in your own dataflow: as a collection, and as an arrangement that differential's operators join in
//! place.
//!
//! The files are mapped and read in place. A join looks up the keys that it needs, and reads only the sections that
//! would hold them; nothing is loaded in advance. The sealed days are at the minimum time of the dataflow and do not
//! change: days that are sealed later can be imported by a later dataflow.
//!
//! Files are sorted by the hash of the key, and the rows of a key belong to one worker. So data to be joined with them
//! must be arranged in the same way, which [`Imported::arrange`] does.
//!
//! `examples/05-import-sealed-days.rs` is a whole program.
//!
//! ```
//! use dayfold::Archive;
//! use dayfold::aggregate::Count;
//! use dayfold::archive::ArchiveError;
//! use dayfold::import::{ImportStatus, Imported, SealedTrace};
//! use dayfold::serve::Revision;
//! use dayfold::time::{Day, DayRange};
//! use differential_dataflow::VecCollection;
//! use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
//! use timely::dataflow::Scope;
//!
//! /// The visits of each day, with the names of the pages.
//! fn named<'scope>(
//!     scope: Scope<'scope, u32>,
//!     archive: &Archive,
//!     names: VecCollection<'scope, u32, (u64, String)>,
//! ) -> Result<(VecCollection<'scope, u32, (Day, String), Count>, ImportStatus), ArchiveError> {
//!     let days = DayRange::ALL;
//!     let visits: Imported<'_, u32, u64, Count> =
//!         archive.import(scope, "visits", days, Revision::Now)?;
//!     let sealed: Arranged<'_, SealedTrace<u32, u64, Count>> = visits.arranged();
//!     let named = sealed.join_core(visits.arrange(names), |_page, day, name| {
//!         [(*day, name.clone())]
//!     });
//!     Ok((named, visits.status()))
//! }
//! ```

mod cursor;
mod key;

use std::rc::Rc;

use differential_dataflow::batcher::merge::MergeBatcher;
use differential_dataflow::batcher::merge::vec::VecMerger;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{ContainerChunker, OffsetList};
use differential_dataflow::trace::{Cursor, Navigable};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::ToStream;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::generic::{OperatorInfo, OutputBuilderSession};
use timely::progress::Timestamp;

pub use cursor::{DaysCursor, SealedDays, SealedTrace};
pub use key::{SealedKey, SealedKeys, StoredKey};

use crate::aggregate::Aggregate;
use crate::archive::{Archive, ArchiveError, LivePart};
use crate::batch::{BatchError, Coverage};
use crate::key::{Key, owner};
use crate::serve::Revision;
use crate::time::{Day, DayRange};
use cursor::SealedFile;

/// Rows that [`Imported::collection`] sends before it lets others run.
const ROWS_AT_ONCE: usize = 10_000;

/// The trace of an arrangement by encoded keys, in the order of sealed files.
///
/// ```
/// use dayfold::import::ByKeySpine;
///
/// // What `Imported::arrange` makes of `(page, name)` pairs that come and go.
/// type Names = ByKeySpine<String, u32, isize>;
/// ```
pub type ByKeySpine<V, T, R> = Spine<Rc<OrdValBatch<ByKey<V, T, R>>>>;
type ByKey<V, T, R> = (SealedKeys, Vec<V>, Vec<T>, Vec<R>, OffsetList);
type ByKeyBatcher<V, T, R> = MergeBatcher<
    ContainerChunker<Vec<((StoredKey, V), T, R)>>,
    VecMerger<(StoredKey, V), T, R>,
    OrdValBuilder<ByKey<V, T, R>, Vec<((StoredKey, V), T, R)>>,
>;

/// The destination of a collection of sealed rows.
type Rows<'a, T, K, A> =
    OutputBuilderSession<'a, T, CapacityContainerBuilder<Vec<((Day, K), T, A)>>>;

/// Sealed days of a view in a scope; see the [module](self).
#[derive(Debug)]
pub struct Imported<'scope, T: Timestamp, K, A> {
    scope: Scope<'scope, T>,
    days: Rc<SealedDays<T, K, A>>,
}

impl Archive {
    /// Imports the sealed days of a view, in a range, at a [`Revision`]. It imports the days that are live when it is
    /// called, on each worker for the keys that it owns. All workers must call it.
    ///
    /// While days are being sealed, workers that call this at different instants may find different days. A range that
    /// ends where the view was sealed before, or a [`Revision::At`], is the same for all. A view that the folder does
    /// not know has no days.
    ///
    /// Cost: one map of a file for each day and writer, and no reading of rows. Not checked here: that the days hold
    /// keys `K` and aggregates `A`. A row of other types is an error when it is read, see [`ImportStatus::error`].
    ///
    /// # Errors
    /// [`ArchiveError::NoFolder`] for an archive in memory; [`ArchiveError::Store`] if a file is missing or
    /// damaged at its frame.
    pub fn import<'scope, T: Timestamp + Lattice, K: Key, A: Aggregate>(
        &self,
        scope: Scope<'scope, T>,
        view: &str,
        days: DayRange,
        revision: Revision,
    ) -> Result<Imported<'scope, T, K, A>, ArchiveError> {
        let store = self.store().ok_or(ArchiveError::NoFolder)?;
        let mine = Coverage::of_owner(scope.index(), scope.peers());
        let mut files = Vec::new();
        let holds = |day, closing| revision.holds(day, closing);
        for live in store.sealed(view, days, holds)? {
            if let Some(LivePart { day, coverage, view, .. }) = LivePart::open(store, &live, mine)?
            {
                files.push(SealedFile { day, coverage, view });
            }
        }
        Ok(Imported { scope, days: Rc::new(SealedDays::new(files)) })
    }
}

impl<'scope, T: Timestamp + Lattice, K: Key, A: Aggregate> Imported<'scope, T, K, A> {
    /// The days as an arrangement: for each key, its days, with the aggregate as the difference.
    ///
    /// Join it with an arrangement from [`Imported::arrange`]. `join_core` multiplies the aggregate by the other side's
    /// difference. If there is no such product, join from the other side with
    /// [`Present`](differential_dataflow::difference::Present) as its difference, or use
    /// [`join_traces`](differential_dataflow::operators::join::join_traces).
    pub fn arranged(&self) -> Arranged<'scope, SealedTrace<T, K, A>> {
        let trace = SealedTrace::new(Rc::clone(&self.days));
        Arranged { stream: Some(trace.span.clone()).to_stream(self.scope), trace }
    }

    /// Arranges a collection in the order of sealed days, on the workers that own its keys.
    pub fn arrange<V: ExchangeData, R: ExchangeData + Semigroup>(
        &self,
        collection: VecCollection<'scope, T, (K, V), R>,
    ) -> Arranged<'scope, TraceAgent<ByKeySpine<V, T, R>>> {
        let peers = self.scope.peers();
        let keyed = collection.map(|(key, value)| (StoredKey::of(&key), value));
        let to_owner = Exchange::new(move |update: &((StoredKey, V), T, R)| {
            owner(update.0.0.partition(), peers) as u64
        });
        arrange_core(keyed.inner, to_owner, "Arrange as sealed", ByKeyBatcher::<V, T, R>::new)
    }

    /// The days as a collection of `(day, key)` whose differences are aggregates, as
    /// [`DayView::changes`](crate::DayView::changes) has them. Each row is on the worker that owns it.
    ///
    /// Rows are read while they are sent, some thousands at a time. If a file is damaged, the stream is held back at
    /// the minimum time, and [`ImportStatus::error`] says why.
    pub fn collection(&self) -> VecCollection<'scope, T, (Day, K), A> {
        let (days, scope) = (Rc::clone(&self.days), self.scope);
        let build = move |capability, info: OperatorInfo| {
            let activator = scope.activator_for(info.address);
            let (mut cursor, mut capability) = (days.cursor(), Some(capability));
            move |output: &mut Rows<'_, T, K, A>| {
                let Some(held) = &capability else { return };
                let mut session = output.session(held);
                for _ in 0..ROWS_AT_ONCE {
                    let Some(key) = cursor.get_key(&days) else { break };
                    let key: K = key.decode().expect("the key was decoded when it was found");
                    while let Some(&day) = cursor.get_val(&days) {
                        cursor.map_times(&days, |time, aggregate: &A| {
                            session.give(((day, key.clone()), time.clone(), aggregate.clone()));
                        });
                        cursor.step_val(&days);
                    }
                    cursor.step_key(&days);
                }
                if cursor.key_valid(&days) {
                    activator.activate();
                } else if days.error.borrow().is_none() {
                    drop(session);
                    capability = None;
                }
            }
        };
        source(self.scope, "Sealed days", build).as_collection()
    }

    /// A handle to the import's state on this worker; it may leave the dataflow's scope.
    pub fn status(&self) -> ImportStatus {
        ImportStatus { days: Rc::clone(&self.days) as Rc<dyn Inspect> }
    }
}

/// The reading state of an import on one worker.
#[derive(Clone)]
pub struct ImportStatus {
    days: Rc<dyn Inspect>,
}

impl ImportStatus {
    /// The first damage that was found. Later joins may lack rows, so check this before you trust results. (A cursor of
    /// differential cannot return an error.)
    pub fn error(&self) -> Option<BatchError> {
        self.days.error()
    }

    /// How many sections of files have been read. A file has 1 to 256, by its size.
    pub fn sections_read(&self) -> usize {
        self.days.sections_read()
    }
}

impl std::fmt::Debug for ImportStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportStatus").field("error", &self.error()).finish_non_exhaustive()
    }
}

trait Inspect {
    fn error(&self) -> Option<BatchError>;
    fn sections_read(&self) -> usize;
}

impl<T, K: Key, A: Aggregate> Inspect for SealedDays<T, K, A> {
    fn error(&self) -> Option<BatchError> {
        self.error.borrow().clone()
    }
    fn sections_read(&self) -> usize {
        self.files.iter().map(|file| file.view.touched()).sum()
    }
}
