//! What a view can be started from: how far its sources had been read when the periods in its table were sealed.

use std::collections::BTreeMap;

use dayfold::time::Day;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

/// A state of a table that is all that was sealed of a view when its sources had been read so far. It is an object
/// beside the metadata, which a snapshot names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    format: u32,
    /// The view, and its definition.
    pub(crate) about: BTreeMap<String, String>,
    /// The last period that is sealed.
    pub(crate) through: String,
    /// The next record of each partition, by the names of its source and its own.
    pub(crate) positions: BTreeMap<String, u64>,
}

impl Cut {
    pub(crate) fn new(
        about: BTreeMap<String, String>,
        through: Day,
        positions: BTreeMap<String, u64>,
    ) -> Cut {
        Cut { format: FORMAT, about, through: through.to_string(), positions }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads what [`Cut::encode`] has written, and the period in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Cut, Day), String> {
        let cut: Cut = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if cut.format != FORMAT {
            return Err(format!("its format is {}, expected {FORMAT}", cut.format));
        }
        let through = Day::parse_period(&cut.through);
        let through = through.map_err(|_| format!("'{}' is no period", cut.through))?;
        Ok((cut, through))
    }

    /// What a snapshot says of it, so that one can be told from another.
    pub(crate) fn name(&self) -> String {
        let read: u64 = self.positions.values().fold(0, |sum, next| sum.wrapping_add(*next));
        format!("{}, {read} of {}", self.through, self.positions.len())
    }
}
