//! Messages between workers: a row of one day and key.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::closing::Closing;
use crate::key::Key;
use crate::time::{Day, EventTime};

/// A row from combine to the speed view: the combined events of one tick, worker, day, closing and key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct TableRow<K: Key, A: Aggregate> {
    pub(crate) hash: u64,
    pub(crate) day: Day,
    /// The day and the floor of the closing, in separate fields so that a row is smaller.
    closing: Day,
    floor: EventTime,
    pub(crate) key: K,
    pub(crate) aggregate: A,
}

impl<K: Key, A: Aggregate> TableRow<K, A> {
    #[inline]
    pub(crate) fn new(hash: u64, day: Day, closing: Closing, key: K, aggregate: A) -> Self {
        let floor = closing.floor().unwrap_or(EventTime::MAX);
        TableRow { hash, day, closing: closing.day, floor, key, aggregate }
    }

    #[inline]
    pub(crate) fn closing(&self) -> Closing {
        match self.floor {
            EventTime::MAX => Closing::of(self.closing),
            floor => Closing::late(self.closing, floor),
        }
    }
}
