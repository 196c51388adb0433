//! Why an answer may end before it is complete.

use serde::{Deserialize, Serialize};

use crate::time::Day;

/// Why an answer is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cut {
    /// Its moment could not be kept any longer.
    Expired,
    /// No more of it is wanted.
    Stopped,
    /// It begins before this day, which is the first kept one.
    Removed { kept_from: Day },
    /// For this day, states before the state after closing `since` are not known any more.
    Superseded { day: Day, since: Day },
}
