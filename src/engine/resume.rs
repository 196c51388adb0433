//! Where a source goes on that earlier runs have read: what of it is in the log, and what is not.

use crate::log::SourceRange;
use crate::source::{Consumed, Refused, Tail};
use crate::store::Store;

/// What is known of a source when it is opened: what earlier runs have committed of it.
///
/// Workers commit the blocks that were dealt to them, each in its own log. A run that was cut short may
/// leave holes: a block whose worker had not committed it, before one whose worker had. The source is
/// opened behind the part without holes; of what follows, committed blocks are read and not entered.
#[derive(Debug, Default)]
pub struct Resume<'a> {
    store: Option<&'a Store>,
    committed: &'a [Committed],
    prefix: Option<Consumed>,
    refused: &'a [Refused],
}

impl<'a> Resume<'a> {
    pub(super) fn new(store: Option<&'a Store>, known: &'a Known) -> Resume<'a> {
        Resume {
            store,
            committed: &known.committed,
            prefix: known.prefix,
            refused: &known.refused[..known.refused_in_prefix],
        }
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&'a Store> {
        self.store
    }

    /// What the log has of the source without a hole: open it behind that, with
    /// [`CsvSource::resume_after`](crate::source::CsvSource::resume_after). `None`: open it from its
    /// beginning.
    pub fn consumed(&self) -> Option<Consumed> {
        self.prefix
    }

    /// Whether the log has anything of the source.
    pub fn is_fresh(&self) -> bool {
        self.prefix.is_none() && self.committed.is_empty()
    }

    /// The rows refused up to there, in the order of the source. Those behind come to
    /// [`Engine::refused`](crate::Engine::refused) again, also those that the log has.
    pub fn refused(&self) -> &'a [Refused] {
        self.refused
    }
}

/// What the logs of all workers have of the source.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Without a hole from the beginning up to here.
    pub(super) prefix: Option<Consumed>,
    /// What is committed behind a hole, in order.
    pub(super) committed: Vec<Committed>,
    /// All committed refusals, in the order of the source.
    pub(super) refused: Vec<Refused>,
    /// How many of them are in the prefix.
    pub(super) refused_in_prefix: usize,
}

/// A committed part of a source behind a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// Where it begins, in bytes of content.
    pub(super) from: u64,
    /// How the source stood at its end.
    pub(super) to: Consumed,
}

impl Known {
    /// Adds up the ranges of one source, and the rows of it that were refused.
    ///
    /// # Errors
    /// If a mark is not what a source leaves.
    pub(crate) fn new(ranges: &[SourceRange], refused: Vec<Refused>) -> Result<Known, String> {
        let mut known = Known { refused, ..Known::default() };
        let mut end = 0;
        let mut ranges: Vec<&SourceRange> = ranges.iter().collect();
        ranges.sort_by_key(|range| (range.from, range.to));
        for range in ranges {
            let to: Consumed = bincode::deserialize(&range.mark)
                .map_err(|error| format!("the log's mark of a source cannot be read: {error}"))?;
            if range.from <= end {
                if range.to >= end {
                    (known.prefix, end) = (Some(to), range.to);
                }
            } else {
                known.committed.push(Committed { from: range.from, to });
            }
        }
        known.refused.sort_by_key(|refused| refused.line);
        known.refused_in_prefix = match known.prefix {
            Some(prefix) => known.refused.partition_point(|row| is_before(row, &prefix)),
            None => 0,
        };
        Ok(known)
    }
}

/// Whether a refused row is in what was consumed.
pub(super) fn is_before(refused: &Refused, consumed: &Consumed) -> bool {
    match consumed.tail {
        // The next record begins on this line.
        Tail::Line => refused.line < consumed.line,
        // The last record goes up to the end of the file, on this line.
        Tail::Open | Tail::Unfinished => refused.line <= consumed.line,
    }
}

/// The range that a block takes up, for the log.
pub(super) fn range(source: usize, from: u64, to: &Consumed) -> SourceRange {
    let mark = bincode::serialize(to).expect("a mark holds nothing that cannot be encoded");
    SourceRange { source: source as u32, from, to: to.bytes, mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumed(bytes: u64, line: u64) -> Consumed {
        Consumed { bytes, digest: u128::from(bytes), line, clock: 0, tail: Tail::Line }
    }

    fn refusal(line: u64) -> Refused {
        Refused { line, reason: "no".to_owned(), row: Vec::new() }
    }

    #[test]
    fn holes_end_the_prefix() {
        let of = |from, bytes, line| range(0, from, &consumed(bytes, line));
        let ranges = [of(50, 60, 6), of(0, 20, 3), of(80, 90, 9), of(20, 40, 5)];
        let known = Known::new(&ranges, [7, 2, 4, 5].map(refusal).to_vec()).unwrap();
        assert_eq!(known.prefix, Some(consumed(40, 5)));
        let behind: Vec<_> = known.committed.iter().map(|c| (c.from, c.to.bytes)).collect();
        assert_eq!(behind, [(50, 60), (80, 90)]);
        assert_eq!(known.refused_in_prefix, 2, "those on lines 2 and 4");
        let resume = Resume::new(None, &known);
        assert_eq!(resume.refused().iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
        assert!(!resume.is_fresh() && Resume::new(None, &Known::default()).is_fresh());
    }

    #[test]
    fn a_hole_at_the_beginning_leaves_no_prefix() {
        let known = Known::new(&[range(0, 20, &consumed(40, 5))], vec![refusal(3)]).unwrap();
        assert_eq!((known.prefix, known.refused_in_prefix, known.committed.len()), (None, 0, 1));
        let mark = Vec::new();
        assert!(Known::new(&[SourceRange { source: 0, from: 0, to: 1, mark }], vec![]).is_err());
    }
}
