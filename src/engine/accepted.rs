//! Data folders that an engine would refuse to start from, and accepts when it is told to.

use super::Engine;
use super::recover::joining::LostLog;

impl<E: Send + Sync + 'static> Engine<E> {
    /// Accepts a data folder that is closed up to a time in the future, as a run with a wrong system clock leaves it:
    /// all events before that time are late. Without this, such a folder is refused.
    #[must_use]
    pub fn accept_floor_ahead(mut self) -> Self {
        self.floor_ahead = true;
        self
    }

    /// Accepts that the log of the data folder is damaged, or has lost events of sealed days
    /// ([`LogError`](crate::log::LogError)). [`Engine::start`] then sets the folder aside, in parts with names like
    /// `set-aside-1-part-0`, and the source is read from its beginning, so every answer is right. If the log is
    /// complete, nothing happens. Events that were pushed cannot be read again, so this is refused with a live source.
    /// In a cluster, all processes have to accept it.
    #[must_use]
    pub fn accept_lost_log(mut self) -> Self {
        self.lost = LostLog::SetAside;
        self
    }
}
