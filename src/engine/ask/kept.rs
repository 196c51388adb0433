//! A snapshot that is held.

use std::sync::Arc;

use crate::engine::shared::Shared;

/// A snapshot that is held on all workers. Dropping the last clone releases it.
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.shared.desk.release(self.id) {
            self.shared.wake();
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("id", &self.id).finish_non_exhaustive()
    }
}
