//! Why a question has no answer.

use std::sync::Arc;
use std::time::Duration;

use crate::serve::MeasureId;
use crate::time::{Day, Grain};

/// An error of a view.
pub(crate) type ViewError = Arc<dyn std::error::Error + Send + Sync>;

/// Why a query has no answer, or a subscription does not begin or continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// [`Engine::start`](crate::engine::Engine::start) has not been called yet.
    #[error("the engine has not started")]
    NotStarted,
    /// The engine has stopped, perhaps before it could answer.
    #[error("the engine has stopped")]
    Stopped,
    /// The view has no measure of this number to rank keys by;
    /// [`ViewHandle::measure`](crate::engine::ViewHandle::measure) finds a measure by its name.
    #[error(
        "view '{view}' has no measure {measure}: it has {measures}, and the first one is number 0"
    )]
    NoMeasure {
        /// The view.
        view: String,
        /// The number in the query.
        measure: MeasureId,
        /// The number of measures of the view.
        measures: usize,
    },
    /// The query asks for days that were removed; see [`View::keep`](crate::view::View::keep).
    #[error(
        "view '{view}' keeps days from {kept_from} on: ask from there on, or without a beginning for all that is kept"
    )]
    Removed {
        /// The view.
        view: String,
        /// The first day that is kept.
        kept_from: Day,
    },
    /// The query asks for a revision that was removed; see [`View::keep_revisions`](crate::view::View::keep_revisions).
    #[error(
        "the revisions of {day} before the closing of {since} were removed: ask for a later revision"
    )]
    Superseded {
        /// The day.
        day: Day,
        /// The first closing after which the day's state is known.
        since: Day,
    },
    /// The requested periods do not consist of whole periods of the view.
    #[error("view '{view}' by {asked}: it is kept by {grain}, of which a {asked} is not made")]
    Grain {
        /// The view.
        view: String,
        /// The requested grain.
        asked: Grain,
        /// The grain of the view.
        grain: Grain,
    },
    /// Too many queries wait. Ask again later.
    #[error("{limit} queries are waiting already")]
    Full {
        /// The maximum number of waiting queries.
        limit: usize,
    },
    /// The snapshot of the question is no longer kept.
    #[error("the snapshot has expired: ask again as of a new one")]
    Expired,
    /// Rows that were not taken yet use too much memory. Ask again later.
    #[error("answers of more than {limit} bytes wait to be taken already")]
    FullOfRows {
        /// The maximum number of waiting bytes.
        limit: usize,
    },
    /// There are too many subscriptions.
    #[error("there are {limit} subscriptions already")]
    TooManySubscribers {
        /// The maximum number of subscriptions.
        limit: usize,
    },
    /// The answer did not come in time.
    #[error("no answer within {limit:?}")]
    TimedOut {
        /// How long the call waited.
        limit: Duration,
    },
}
