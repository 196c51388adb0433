//! Sends rows to the owners of their keys, and sends what every worker needs to all workers.

use timely::ExchangeData;
use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, Exchange, ParallelizationContract};
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::progress::Stamp;

use crate::aggregate::Aggregate;
use crate::key::{Key, owner, partition};
use crate::moment::Moment;
use crate::table::TableRow;

/// Sends each container of rows to the worker that owns the partitions of all its rows.
///
/// Timely's own exchange copies rows and cuts them into messages of 8 kB. Combine has already written the rows of each
/// owner to their own container, so this only passes it on.
pub(crate) fn to_owner() -> DistributorPact<impl FnOnce(usize) -> ToOwner> {
    DistributorPact(|_peers| ToOwner)
}

pub(crate) struct ToOwner;

impl<K: Key, A: Aggregate> Distributor<Vec<TableRow<K, A>>> for ToOwner {
    fn partition<T: Clone, P: Push<Message<T, Vec<TableRow<K, A>>>>>(
        &mut self,
        rows: &mut Vec<TableRow<K, A>>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let peers = pushers.len();
        let to = |row: &TableRow<K, A>| owner(partition(row.hash), peers);
        if let Some(to_all) = rows.first().map(to) {
            debug_assert!(
                rows.iter().all(|row| to(row) == to_all),
                "rows of one owner travel together"
            );
            Message::push_at(rows, stamp.clone(), &mut pushers[to_all]);
        }
    }

    /// Nothing is buffered here.
    fn flush<T: Clone, P: Push<Message<T, Vec<TableRow<K, A>>>>>(
        &mut self,
        _: &Stamp<T>,
        _: &mut [P],
    ) {
    }
}

/// A record and the worker to which it goes.
pub(crate) type Addressed<T> = (u64, T);

/// Addresses a record to each of `peers` workers.
///
/// Timely's broadcast uses three operators of its own for this, each of which adds to the cost of a tick.
pub(crate) fn to_each<T: Clone>(peers: usize, record: T) -> impl Iterator<Item = Addressed<T>> {
    (0..peers as u64).map(move |to| (to, record.clone()))
}

/// Sends records to the workers to which they are addressed.
pub(crate) fn addressed<T: ExchangeData>() -> impl ParallelizationContract<Moment, Vec<Addressed<T>>>
{
    Exchange::new(|(to, _): &Addressed<T>| *to)
}
