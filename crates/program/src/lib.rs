//! The program `dayfold`: views of event streams, written down in a file.
//!
//! - [`expr`]: the expressions of the file

pub mod expr;
