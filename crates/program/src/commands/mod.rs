//! What the program does beside running a file: `demo`, `init`, `sample`, `query`, `inspect`.

mod demo;
mod init;
mod inspect;
mod query;
mod sample;
mod select;

pub use demo::{Demo, demo};
pub use init::init;
pub use inspect::inspect;
pub use query::{Output, query};
pub use sample::sample;
