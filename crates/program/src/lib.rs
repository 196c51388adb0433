//! The program `dayfold`: views of event streams, written down in a file.
//!
//! - [`expr`]: the expressions of the file
//! - [`config`]: the file

pub mod config;
pub mod expr;
