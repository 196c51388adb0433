//! Without the feature `abomonation`, nothing takes its place.

use super::Contender;

/// What items have to be for abomonation.
pub(crate) trait Plain {}
impl<T> Plain for T {}

pub(crate) fn abomonation_of<T: Plain>(_items: Vec<T>) -> Option<Box<dyn Contender>> {
    None
}
