//! What a view looks like to those that do not know its Rust types.

pub(crate) mod former;
pub(crate) mod id;
