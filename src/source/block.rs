//! Blocks of rows, which travel from the reader to the workers that make events of them.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::row::{Refused, Row, Rows};
use crate::time::EventTime;

/// Some rows of a source, in its order, and the rows between them that the reader refused.
///
/// Blocks may be parts of the same [`Rows`]. Only what is in a block travels to another process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(crate) struct RowBlock {
    rows: Arc<Rows>,
    picked: Picked,
    /// Rows that the reader refused, in order; they are not among the rows of the block.
    pub(crate) refused: Vec<Refused>,
}

/// The rows of a block.
#[derive(Clone, Debug)]
enum Picked {
    Range(Range<usize>),
    /// Rows between them were refused.
    Some(Vec<usize>),
}

impl Default for Picked {
    fn default() -> Picked {
        Picked::Range(0..0)
    }
}

impl RowBlock {
    /// All of these rows.
    pub(super) fn of(rows: Rows, refused: Vec<Refused>) -> RowBlock {
        let picked = Picked::Range(0..rows.len());
        RowBlock { rows: Arc::new(rows), picked, refused }
    }

    /// The rows in a range, without the refused ones, which are in order.
    pub(super) fn part(
        rows: &Arc<Rows>,
        range: Range<usize>,
        except: &[usize],
        refused: Vec<Refused>,
    ) -> RowBlock {
        let picked = match except {
            [] => Picked::Range(range),
            _ => Picked::Some(range.filter(|at| except.binary_search(at).is_err()).collect()),
        };
        RowBlock { rows: Arc::clone(rows), picked, refused }
    }

    /// The number of rows, without the refused ones.
    pub(crate) fn len(&self) -> usize {
        match &self.picked {
            Picked::Range(range) => range.len(),
            Picked::Some(rows) => rows.len(),
        }
    }

    /// Whether the block has no rows. It may still have refused ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in the order of the source.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> + '_ {
        (0..self.len()).map(|at| {
            let index = match &self.picked {
                Picked::Range(range) => range.start + at,
                Picked::Some(rows) => rows[at],
            };
            self.rows.row(index)
        })
    }
}

/// Compares the rows only, not unused bytes.
impl PartialEq for RowBlock {
    fn eq(&self, other: &RowBlock) -> bool {
        let fields = |row: Row<'_>| (0..row.width()).map(|i| row.field(i).to_vec()).collect();
        let of = |row: Row<'_>| -> (u64, EventTime, Vec<u8>, Vec<Vec<u8>>) {
            (row.line(), row.time(), row.raw().to_vec(), fields(row))
        };
        self.refused == other.refused && self.iter().map(of).eq(other.iter().map(of))
    }
}

impl Eq for RowBlock {}

/// A block as it travels to another process: its rows alone.
#[derive(Serialize, Deserialize)]
struct Packed {
    rows: Rows,
    refused: Vec<Refused>,
}

impl From<RowBlock> for Packed {
    fn from(block: RowBlock) -> Packed {
        let mut rows = Rows::new(block.rows.width());
        rows.reserve(block.len());
        for row in block.iter() {
            let fields = (0..row.width()).map(|i| row.field(i));
            rows.push(row.line(), row.time(), row.raw(), fields);
        }
        Packed { rows, refused: block.refused }
    }
}

impl From<Packed> for RowBlock {
    fn from(packed: Packed) -> RowBlock {
        RowBlock::of(packed.rows, packed.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_travel() {
        let mut rows = Rows::new(2);
        rows.push(2, -5, b"a,\"b\"", [&b"a"[..], b"b"].into_iter());
        rows.push(3, 6, b"c,d", [&b"c"[..], b"d"].into_iter());
        rows.push(4, 7, b",", [&b""[..], b""].into_iter());
        let rows = Arc::new(rows);
        let refusal = Refused::new(rows.row(1), "no");
        let block = RowBlock::part(&rows, 0..3, &[1], vec![refusal]);
        let bytes = bincode::serialize(&block).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert_eq!(back, block);
        assert_eq!(back.rows.bytes.len(), 8, "what is not in the block does not travel");
        assert_eq!(back.refused[0], Refused { line: 3, reason: "no".into(), row: b"c,d".into() });
        let rows: Vec<_> = back.iter().collect();
        assert_eq!((rows[0].line(), rows[0].time(), rows[0].raw()), (2, -5, &b"a,\"b\""[..]));
        assert_eq!((rows[0].field(0), rows[0].field(1)), (&b"a"[..], &b"b"[..]));
        assert_eq!((rows[1].field(0), rows[1].field(1)), (&b""[..], &b""[..]));
        assert_eq!(rows[1].line(), 4);
    }

    #[test]
    fn an_empty_block_travels() {
        let bytes = bincode::serialize(&RowBlock::default()).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert!(back.is_empty() && back.iter().next().is_none());
    }
}
