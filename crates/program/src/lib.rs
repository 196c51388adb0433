//! The program `dayfold`: views of event streams, defined in a file.
//!
//! - [`expr`]: the expressions of the file
//! - [`config`]: the file
//! - [`plan`]: the file, checked against its sources
//! - [`commands`]: the commands other than `run`
//! - [`run`]: runs the file
//! - [`RunOptions`]: options of a run
//! - [`ProgramError`]: why the program ends, and its exit codes

pub mod commands;
pub mod config;
mod error;
pub mod expr;
mod next;
mod options;
pub mod plan;
mod replace;
pub mod run;

pub use error::ProgramError;
pub use options::RunOptions;
