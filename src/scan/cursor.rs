//! Where a scan continues: after a row.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ScanError;
use crate::serve::{Revision, RowPosition};
use crate::time::Grain;

/// The position of a row in the order of a scan's shape. Its text is opaque. It names its view, revision and shape, and
/// other scans refuse it.
///
/// It names a row, not a moment: a page that is asked for later is of a later moment, unless both are of one
/// [`Snapshot`](super::Snapshot). No row comes twice. New keys that sort before the row do not come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    pub(super) view: String,
    pub(super) revision: Revision,
    pub(super) order: Order,
    /// The grain of the question, if it is not that of the view.
    pub(super) grain: Option<Grain>,
    pub(super) place: RowPosition,
}

/// The order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Order {
    PeriodAndKey,
    Period,
    Key,
}

/// The version of the text's format.
const VERSION: u8 = 2;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bincode::serialize_into(&mut bytes, self).expect("a cursor can always be encoded");
        let check = crc32fast::hash(&bytes).to_le_bytes();
        bytes.iter().chain(&check).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = ScanError;

    fn from_str(text: &str) -> Result<Cursor, ScanError> {
        parse(text).ok_or(ScanError::Cursor {
            why: "it is no cursor of a scan: give one back as it came".to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
    let (content, check) = bytes.split_last_chunk::<4>()?;
    let is_whole = rest.is_empty() && crc32fast::hash(content) == u32::from_le_bytes(*check);
    match content.split_first() {
        Some((&VERSION, encoded)) if is_whole => bincode::deserialize(encoded).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Day;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nothing_else_does() {
        let place = RowPosition { day: Some(Day(-3)), key: Some(vec![0, 255, 7]) };
        let (view, revision) = ("trips".to_owned(), Revision::At(Day(9)));
        let cursor = Cursor { view, revision, order: Order::PeriodAndKey, grain: None, place };
        let text = cursor.to_string();
        assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(String::from_utf8(other).unwrap().parse::<Cursor>().is_err(), "{at}");
            assert!(text[..at].parse::<Cursor>().is_err(), "{at}");
        }
        assert!("é1".parse::<Cursor>().is_err());
    }
}
