//! Aggregates: what a view keeps for each day and key.
//!
//! An aggregate is a *state* that is prepared from one event, combined with other states by ⊕
//! ([`Semigroup::plus_equals`]), and presented to people. States live in the diff position of
//! differential collections, so the speed view, the batch views and any differential operator combine
//! them by the same ⊕. Tuples of up to four aggregates, and vectors of them, are aggregates.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use differential_dataflow::difference::{IsZero, Semigroup};

/// A state with an exact ⊕.
///
/// # Laws
/// ⊕ is associative and commutative *to the bit*, and never fails midway: one worker, two workers and
/// a recomputation combine the same events in different orders and must get the same state. So a state
/// is a function of the multiset of what was added; there are no floating-point sums in it.
/// `laws::check_laws` tests this, for your own aggregates too.
pub trait Aggregate:
    Semigroup + Ord + std::fmt::Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Bytes of heap that the state holds, for bounds on memory.
    fn heap_bytes(&self) -> usize {
        0
    }
}
