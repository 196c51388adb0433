//! The program `dayfold`: views of event streams, written down in a file.
//!
//! - [`expr`]: the expressions of the file
//! - [`config`]: the file
//! - [`plan`]: what the file means, checked against its sources
//! - [`commands`]: what the program does beside running
//! - [`run`]: the file, running
//! - [`RunOptions`]: how it runs
//! - [`ProgramError`]: why the program ends, and its exit codes

pub mod commands;
pub mod config;
mod error;
pub mod expr;
mod next;
mod options;
pub mod plan;
pub mod run;

pub use error::ProgramError;
pub use options::RunOptions;
