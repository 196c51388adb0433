//! The commands of the program other than `run`: `demo`, `init`, `check`, `sample`, `reload`, `query`, `sink`, `audit`,
//! `inspect`.

mod audit;
mod check;
mod client;
mod demo;
#[cfg(feature = "tls")]
mod https;
mod init;
mod inspect;
mod output;
mod program;
mod query;
mod reload;
mod sample;
mod select;
mod sink;
#[cfg(feature = "sql")]
mod sql;
mod table;

pub use audit::audit;
pub use check::check;
pub use demo::{Demo, demo};
pub use init::init;
pub use inspect::inspect;
pub use output::Output;
pub use query::query;
pub use reload::reload;
pub use sample::sample;
pub use sink::sink_sync;
