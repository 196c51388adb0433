//! The speed view: what is not in batch views yet.
//!
//! It is maintained incrementally. There is one hash table for each pair of an unsealed day and the closing that its
//! events belong to. A table holds what is complete up to `since`, the least moment that a query can still ask for.
//! Later ticks wait as small *deltas* in order of moment, so that a query sees exactly the ticks up to its own. When
//! `since` passes a tick, its delta is folded into the tables.
//!
//! A closed table is frozen, stays readable, and is passed to the [seal](crate::archive). Once its revision is live on
//! all workers, the file replaces the table in one step.

mod captured;
mod combine;
mod delta;
mod exchange;
mod numbers;
mod operator;
mod report;
mod room;
mod seal;
mod state;
mod term;

use crate::table;

pub(crate) use captured::{Captured, Lease, OUTLIVED_MAX};
pub(crate) use combine::{Combiner, Counts, combine};
pub(crate) use exchange::to_owner;
pub use numbers::ViewNumbers;
pub(crate) use operator::speed_view;
pub(crate) use room::Room;
pub(crate) use state::{Layer, SharedSpeed, Speed, speed_layer};
pub(crate) use term::{StateOfOne, Term};
