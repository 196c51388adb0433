//! The views of a running engine, without their types.

use std::sync::Arc;

use crate::scan::ErasedView;

/// The views of a running engine, to be read by whoever knows nothing of their types. Clones read the same ones; they do
/// not keep the engine from being finished.
#[derive(Clone)]
pub struct Views {
    all: Arc<[Arc<dyn ErasedView>]>,
}

impl Views {
    pub(crate) fn new(all: impl IntoIterator<Item = Arc<dyn ErasedView>>) -> Views {
        Views { all: all.into_iter().collect() }
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<dyn ErasedView>> {
        self.all.iter()
    }

    /// The view of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn ErasedView>> {
        self.all.iter().find(|view| view.name() == name)
    }
}
