//! Exact statistics over event streams, with days that close.
pub mod aggregate;
pub mod archive;
pub mod batch;
pub mod cluster;
mod dataflow;
pub mod engine;
pub mod key;
mod moment;
pub mod serve;
pub mod source;
mod speed;
pub mod store;
pub mod time;
pub mod view;

pub use archive::Archive;
pub use cluster::Cluster;
pub use dataflow::{DayView, FoldDays, ViewNumbers, ViewStatus};
pub use engine::Engine;
pub use moment::Moment;
