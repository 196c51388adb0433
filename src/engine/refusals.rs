//! Refused rows in the definition of an engine.

use super::{Engine, EngineError};
use crate::source::Refused;

impl<E: Send + Sync + 'static> Engine<E> {
    /// On worker 0 of process 0, passes each refused row of the source that is read to `keep`, in the order of the
    /// source. An error of `keep` stops the engine.
    #[must_use]
    pub fn refused(
        mut self,
        keep: impl FnMut(&Refused) -> Result<(), EngineError> + Send + 'static,
    ) -> Self {
        self.refused = Some(Box::new(keep));
        self
    }

    /// Passes the refused rows of partitions that earlier runs have logged to `keep`, once, on process 0, before
    /// anything is read. This is for programs that keep a copy of these rows, which a killed run may have left
    /// incomplete. Rows that are passed to [`Engine::refused`] after that are new. For a source that is dealt to all
    /// workers, [`Resume::refused`] has them. If `keep` returns an error, the engine does not start.
    ///
    /// [`Resume::refused`]: super::Resume::refused
    #[must_use]
    pub fn refused_before(
        mut self,
        keep: impl FnOnce(&[Refused]) -> Result<(), EngineError> + Send + 'static,
    ) -> Self {
        self.refused_before = Some(Box::new(keep));
        self
    }
}
