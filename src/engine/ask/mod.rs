//! Questions and answers: look-ups, handles, subscriptions.

pub(super) mod asking;
pub(super) mod error;
pub(super) mod handle;
pub(super) mod kept;
pub(super) mod mailbox;
pub(super) mod reply;
pub(super) mod rounds;
pub(super) mod slot;
pub(super) mod snapshots;
pub(super) mod standing;
pub(super) mod subscription;
pub(super) mod views;
