//! What the program does beside running: `init`, `sample`, `query`, `inspect`.

mod init;
mod inspect;
mod query;
mod sample;
mod select;

pub use init::init;
pub use inspect::inspect;
pub use query::{Output, query};
pub use sample::sample;
