//! Exact statistics over event streams, with days that close.
pub mod aggregate;
pub mod key;
mod moment;
pub mod source;
pub mod time;

pub use moment::Moment;
