//! Serve: queries joined with the view.
//!
//! A query goes to the worker that owns its key, or to all workers. Each answers from its batch views and its speed
//! view as of the query's moment. The worker that asked combines the parts by the same ⊕ that made them.

mod answer;
mod answering;
mod call;
mod cut;
mod job;
mod lookup;
mod merge;
mod operator;
mod query;
mod rank;
mod reading;
mod window;

pub use answer::{Answer, Certificate, Item, MeasureFn, Parts, QueryError};
pub(crate) use call::{Call, Piece, Question, RowPosition, this_process};
pub(crate) use cut::Cut;
pub(crate) use merge::{Merge, Next};
pub(crate) use operator::{serve, serve_calls, to_asker};
pub use query::{Keys, MeasureId, Query, Shape};
pub(crate) use rank::{Rank, RankFn, by_column, by_measure};

pub use crate::store::Revision;
