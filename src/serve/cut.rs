//! What may end an answer before it is whole.

use serde::{Deserialize, Serialize};

use crate::time::Day;

/// Why an answer is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cut {
    /// Its moment was kept for as long as it may be.
    Expired,
    /// Nobody asks for more of it any more.
    Stopped,
    /// For this day, states before the state after closing `since` are not known any more.
    Superseded { day: Day, since: Day },
}
