//! Messages between the worker that asks and the workers that look up.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::cut::Cut;
use super::{Item, Keys, Query};
use crate::aggregate::Aggregate;
use crate::archive::Sealed;
use crate::key::Key;
use crate::moment::Moment;
use crate::speed::Counts;
use crate::store::Revision;
use crate::time::Day;
use crate::view::KeptFrom;

/// The position of a row in an answer: its day and its encoded key, as far as the shape has them. Ordered as answers
/// are.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RowPosition {
    pub(crate) day: Option<Day>,
    pub(crate) key: Option<Vec<u8>>,
}

/// A query, and which part of its answer is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Question<K: Key> {
    pub(crate) query: Query<K>,
    /// Only items after this position.
    pub(crate) after: Option<RowPosition>,
    /// At most this many items from each worker.
    pub(crate) limit: Option<u64>,
    /// As of a moment that all workers hold.
    pub(crate) snapshot: Option<u64>,
    /// How many pieces each worker may send before it is asked for more.
    pub(crate) credit: u64,
    /// Workers of this process may give sealed periods as files instead of items, in any order.
    pub(crate) files_to: Option<u64>,
}

impl<K: Key> Question<K> {
    /// Whether it reads the newest values of many keys, and of no snapshot, for which they are kept already.
    pub(crate) fn is_of_many_keys_now(&self) -> bool {
        matches!(self.query.keys, Keys::Range(_))
            && self.query.revision == Revision::Now
            && self.snapshot.is_none()
    }

    /// A query of all days, limited to the kept days if some were removed.
    pub(super) fn of_kept(&self, kept: &KeptFrom) -> Option<Question<K>> {
        let from = kept.first_for(|grain| self.query.takes_rollups(grain));
        let is_clipped = from > Day::MIN && self.query.days.lower == Day::MIN;
        is_clipped.then(|| {
            let mut question = self.clone();
            question.query.days.lower = from;
            question
        })
    }

    /// Whether this asks the same as another question; ids and credits do not count.
    pub(super) fn asks_the_same(&self, other: &Question<K>) -> bool {
        let Question { query, after, limit, snapshot, credit: _, files_to } = self;
        let Query { id: _, keys, days, shape, revision, grain, unsealed, last } = query;
        let theirs = &other.query;
        (keys, days, shape) == (&theirs.keys, &theirs.days, &theirs.shape)
            && (revision, grain, last) == (&theirs.revision, &theirs.grain, &theirs.last)
            && *unsealed == theirs.unsealed
            && (after, limit, snapshot) == (&other.after, &other.limit, &other.snapshot)
            && *files_to == other.files_to
    }

    /// All of an answer, as soon as it is there.
    pub(crate) fn whole(query: Query<K>) -> Question<K> {
        let (after, limit, snapshot, files_to) = (None, None, None, None);
        Question { query, after, limit, snapshot, credit: u64::MAX, files_to }
    }
}

/// A number that no other process has, as far as chance goes.
pub(crate) fn this_process() -> u64 {
    static NUMBER: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    *NUMBER
}

/// Messages from an asking worker to those that look up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Call<K: Key> {
    /// A question, with the number that the asking worker gave it.
    Ask(u64, Question<K>),
    /// There is room for one more piece of this answer from this worker.
    More(u64, u64),
    /// This answer is not wanted any more.
    Cancel(u64),
    /// Keep the state as of this moment, for this many milliseconds.
    Hold(u64, u64),
    /// It is not wanted any more.
    Release(u64),
}

/// A call on its way to one of its workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Asked<K: Key> {
    /// The worker that it goes to.
    pub(super) to: u64,
    /// The worker that asked.
    pub(super) from: u64,
    /// How many workers it goes to.
    pub(super) of: u64,
    pub(super) call: Call<K>,
}

/// Some of one worker's part of an answer, in the order of the shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Piece<K: Key, A: Aggregate> {
    /// The worker that asked, and its number for the question.
    pub(crate) from: u64,
    pub(crate) number: u64,
    /// The worker that answers, and of how many.
    pub(crate) by: u64,
    pub(crate) of: u64,
    pub(crate) as_of: Moment,
    pub(crate) sealed_through: Option<Day>,
    pub(crate) kept_from: Option<Day>,
    pub(crate) counts: Counts,
    pub(crate) items: Vec<Item<K, A>>,
    /// Sealed files that have all rows of their periods and partitions. They do not leave the process.
    #[serde(skip)]
    pub(crate) files: Vec<Sealed<K, A>>,
    /// Whether this is the last piece of this worker.
    pub(crate) is_last: bool,
    pub(crate) cut: Option<Cut>,
}
