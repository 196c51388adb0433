//! The way of rows to the owners of their keys, and of what every worker is to hear to all of them.

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

/// Sends each container of rows to the worker that owns the partitions of them all.
///
/// Timely's own exchange copies rows and cuts them into messages of 8 kB. Combine has written those of each owner
/// to a container of their own, so here nothing is left to do but to hand it on.
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

    /// Nothing waits here.
    fn flush<T: Clone, P: Push<Message<T, Vec<TableRow<K, A>>>>>(
        &mut self,
        _: &Stamp<T>,
        _: &mut [P],
    ) {
    }
}

/// A record, and the worker that it goes to.
pub(crate) type Addressed<T> = (u64, T);

/// Addresses a record to each of so many workers.
///
/// Timely's broadcast does this in three operators of its own, which have their part in the cost of each tick.
pub(crate) fn to_each<T: Clone>(peers: usize, record: T) -> impl Iterator<Item = Addressed<T>> {
    (0..peers as u64).map(move |to| (to, record.clone()))
}

/// Sends records to the workers that they are addressed to.
pub(crate) fn addressed<T: ExchangeData>() -> impl ParallelizationContract<Moment, Vec<Addressed<T>>>
{
    Exchange::new(|(to, _): &Addressed<T>| *to)
}
