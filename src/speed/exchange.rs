//! The way of rows to the owners of their keys.

use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::progress::Stamp;

use super::delta::Row;
use crate::aggregate::Aggregate;
use crate::key::{Key, owner, partition};

/// Sends each row to the worker that owns its partition.
///
/// Timely's own exchange cuts what it sends into messages of 8 kB, each allocated here and freed by
/// another worker. Rows come combined, a tick at a time, so here each owner gets one message for each.
pub(crate) fn to_owner() -> DistributorPact<impl FnOnce(usize) -> ToOwner> {
    DistributorPact(|_peers| ToOwner)
}

pub(crate) struct ToOwner;

impl<K: Key, A: Aggregate> Distributor<Vec<Row<K, A>>> for ToOwner {
    fn partition<T: Clone, P: Push<Message<T, Vec<Row<K, A>>>>>(
        &mut self,
        rows: &mut Vec<Row<K, A>>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let peers = pushers.len();
        // Keys spread evenly: an eighth more than the share is rarely exceeded.
        let share = rows.len().div_ceil(peers);
        let with_capacity = |_| Vec::with_capacity(share + share / 8);
        let mut shares: Vec<Vec<Row<K, A>>> = (0..peers).map(with_capacity).collect();
        for row in rows.drain(..) {
            shares[owner(partition(row.hash), peers)].push(row);
        }
        for (share, pusher) in shares.iter_mut().zip(pushers) {
            if !share.is_empty() {
                Message::push_at(share, stamp.clone(), pusher);
            }
        }
    }

    /// Nothing waits here.
    fn flush<T: Clone, P: Push<Message<T, Vec<Row<K, A>>>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
