//! Sources: where the rows of a replay come from.
//!
//! One worker reads the file. It alone decides what depends on the order of rows: the event time of
//! each, which of them are refused by time, and how far the source's clock has come. What it reads it
//! cuts into blocks of rows, which are dealt to all workers; these parse the fields in parallel. So the
//! same rows are accepted, and days close at the same row, whatever the number of workers.
//!
//! - [`parse_time`]: the times that a cell may hold

mod time;

pub use time::{TimeRefusal, parse_time};
