//! Where refused rows go, in the definition of an engine.

use super::{Engine, EngineError};
use crate::source::Refused;

impl<E: Send + Sync + 'static> Engine<E> {
    /// Hands each refused row of the source that is read to `keep`, in the order of the source, on worker 0 of
    /// process 0. An error of `keep` stops the engine.
    #[must_use]
    pub fn refused(
        mut self,
        keep: impl FnMut(&Refused) -> Result<(), EngineError> + Send + 'static,
    ) -> Self {
        self.refused = Some(Box::new(keep));
        self
    }

    /// Hands the refused rows of partitions that earlier runs have logged to `keep`, once, on process 0, before anything is read:
    /// for whoever keeps a copy of them, which a run that was killed has left behind or not. What comes to
    /// [`Engine::refused`] then is new. Those of a source that is dealt to all workers, [`Resume::refused`] has. An
    /// error of `keep` keeps the engine from starting.
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
