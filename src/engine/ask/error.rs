//! Why a question has no answer.

use std::sync::Arc;
use std::time::Duration;

use crate::serve::MeasureId;
use crate::time::{Day, Grain};

/// What went wrong with a view.
pub(crate) type ViewError = Arc<dyn std::error::Error + Send + Sync>;

/// Why a query has no answer, or a subscription does not begin or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// [`Engine::start`](crate::engine::Engine::start) has not been called yet, so nobody would answer.
    #[error("the engine has not started")]
    NotStarted,
    /// The engine has stopped, or it stopped before it could answer.
    #[error("the engine has stopped")]
    Stopped,
    /// The view has no measure of this number to rank keys by; [`ViewHandle::measure`](crate::engine::ViewHandle::measure) finds one by its name.
    #[error(
        "view '{view}' has no measure {measure}: it has {measures}, and the first one is number 0"
    )]
    NoMeasure {
        /// The view.
        view: String,
        /// The number that the query has.
        measure: MeasureId,
        /// How many measures the view has.
        measures: usize,
    },
    /// Days that were removed, as [`View::keep`](crate::view::View::keep) has it.
    #[error(
        "view '{view}' keeps days from {kept_from} on: ask from there on, or without a beginning for all that is kept"
    )]
    Removed {
        /// The view.
        view: String,
        /// The first day that is kept.
        kept_from: Day,
    },
    /// A revision that was removed, as [`View::keep_revisions`](crate::view::View::keep_revisions) has it.
    #[error(
        "of {day}, what it was before the closing of {since} was removed: ask for a later revision"
    )]
    Superseded {
        /// The day.
        day: Day,
        /// The closing after which its state is known.
        since: Day,
    },
    /// Periods that are not made of those of the view.
    #[error("view '{view}' by {asked}: it is kept by {grain}, of which a {asked} is not made")]
    Grain {
        /// The view.
        view: String,
        /// What was asked for.
        asked: Grain,
        /// What the view is kept by.
        grain: Grain,
    },
    /// Too many queries wait. Ask again later.
    #[error("{limit} queries are waiting already")]
    Full {
        /// How many may wait.
        limit: usize,
    },
    /// The snapshot that it was asked of is not kept any longer.
    #[error("the snapshot has expired: ask again as of a new one")]
    Expired,
    /// Rows that nobody has taken yet take too much memory. Ask again later.
    #[error("answers of more than {limit} bytes wait to be taken already")]
    FullOfRows {
        /// How many bytes may wait.
        limit: usize,
    },
    /// Too many subscriptions.
    #[error("there are {limit} subscriptions already")]
    TooManySubscribers {
        /// How many there may be.
        limit: usize,
    },
    /// The answer did not come in time.
    #[error("no answer within {limit:?}")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
}
