//! Where a source continues that earlier runs have read: which of it is in the log, and which is not.

use bincode::Options;
use serde::de::DeserializeOwned;

use crate::engine::error::EngineError;
use crate::log::{Extents, SourceRange};
use crate::source::{Consumed, OwnPlace, Refused, SourceError, SourcePosition, Tail};
use crate::store::Store;

/// What is known about a source when it is opened: what earlier runs have committed of it.
///
/// Workers commit the blocks that were dealt to them, each in its own log. An interrupted run may leave holes: a block
/// that its worker had not committed, before one that another worker had. The source is opened behind the part without
/// holes; in what follows, committed blocks are read and not entered.
///
/// `P` is the type of the position: the [`Position`](crate::source::Source::Position) of a source of your own.
///
/// ```
/// use dayfold::Engine;
/// use dayfold::engine::{EngineError, Resume};
/// use dayfold::source::{CsvOptions, CsvSource, Input};
/// use dayfold::time::EventTime;
///
/// /// Opens the file behind the rows that the log has.
/// fn open(resume: &Resume<'_>) -> Result<Option<CsvSource>, EngineError> {
///     let (input, options) = (Input::file("visits.csv"), CsvOptions::new("at"));
///     Ok(Some(match resume.consumed() {
///         Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
///         None => CsvSource::open(input, options)?,
///     }))
/// }
///
/// let engine = Engine::<EventTime>::new().csv(open, |row| Ok(row.time()));
/// # let _ = engine;
/// ```
#[derive(Debug)]
pub struct Resume<'a, P = Consumed> {
    store: Option<&'a Store>,
    known: &'a Known,
    prefix: Option<P>,
}

impl<'a, P> Resume<'a, P> {
    /// # Errors
    /// The error of `position` for the end of the part without holes.
    pub(crate) fn new(
        store: Option<&'a Store>,
        known: &'a Known,
        position: impl FnOnce(&SourcePosition) -> Result<P, SourceError>,
    ) -> Result<Resume<'a, P>, SourceError> {
        let prefix = known.prefix.as_ref().map(position).transpose()?;
        Ok(Resume { store, known, prefix })
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&'a Store> {
        self.store
    }

    /// The end of the part that the log has without a hole. Open the source behind it, with
    /// [`CsvSource::resume_after`](crate::source::CsvSource::resume_after). `None`: open it from its beginning.
    ///
    /// For a source of your own, this is the position at which it has to be opened.
    pub fn consumed(&self) -> Option<P>
    where
        P: Clone,
    {
        self.prefix.clone()
    }

    /// Whether the log has nothing of the source.
    pub fn is_fresh(&self) -> bool {
        self.prefix.is_none() && self.known.committed.is_empty()
    }

    /// The rows refused up to there, in the order of the source. Rows behind it are passed to
    /// [`Engine::refused`](crate::Engine::refused) again, even if the log has them.
    pub fn refused(&self) -> &'a [Refused] {
        &self.known.refused[..self.known.refused_in_prefix]
    }
}

/// What the logs of all workers have of the source.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The end of the part without a hole from the beginning.
    pub(crate) prefix: Option<SourcePosition>,
    /// The parts that are committed behind a hole, in order.
    pub(crate) committed: Vec<Committed>,
    /// All committed refusals, in the order of the source.
    pub(crate) refused: Vec<Refused>,
    /// The number of refusals in the prefix.
    pub(crate) refused_in_prefix: usize,
}

/// A committed part of a source behind a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Its beginning, in the numbers of [`SourcePosition::at`].
    pub(crate) from: u64,
    /// The position of the source at its end.
    pub(crate) to: SourcePosition,
}

/// The name under which a folder without a log stores how far its source was read.
pub(crate) const POSITION: &str = "source position";

impl Known {
    /// What a folder without a log knows of the source: everything up to where a complete run has read it.
    ///
    /// # Errors
    /// [`EngineError::NoPosition`] if it has sealed days, and no position.
    pub(crate) fn of_folder(store: &Store) -> Result<Known, EngineError> {
        let position = match store.fact(POSITION) {
            Some(position) if !position.is_empty() => position,
            // An empty position means that a run was finished early, with holes in what had entered.
            position if position.is_some() || store.is_sealed() => {
                return Err(EngineError::NoPosition { folder: store.part_path() });
            }
            _ => return Ok(Known::default()),
        };
        let prefix = SourcePosition::decode(&position).map_err(|error| EngineError::Failed {
            message: format!("the data folder's position of the source cannot be read: {error}"),
        })?;
        Ok(Known { prefix: Some(prefix), ..Known::default() })
    }

    /// Checks that earlier runs have read nothing.
    ///
    /// # Errors
    /// [`EngineError::FormerSource`] with how far they have read.
    pub(crate) fn check_none(&self) -> Result<(), EngineError> {
        let read = self.committed.last().map(|committed| &committed.to).or(self.prefix.as_ref());
        let place = match read {
            None => return Ok(()),
            Some(SourcePosition::Text(consumed)) => {
                format!("one source in order, up to {} bytes", consumed.bytes)
            }
            Some(SourcePosition::Own(own)) => {
                format!("one source in order, up to {} records", own.records)
            }
        };
        Err(EngineError::FormerSource { place })
    }

    /// The end of the part without holes, in a source of the program's own.
    pub(crate) fn own(&self) -> Option<&OwnPlace> {
        match &self.prefix {
            Some(SourcePosition::Own(own)) => Some(own),
            Some(SourcePosition::Text(_)) | None => None,
        }
    }

    /// Combines the ranges of one source, and its refused rows.
    ///
    /// # Errors
    /// If a mark is not one that a source leaves.
    pub(crate) fn new(ranges: &[SourceRange], refused: Vec<Refused>) -> Result<Known, String> {
        let mut known = Known { refused, ..Known::default() };
        let mut end = 0;
        let mut ranges: Vec<&SourceRange> = ranges.iter().collect();
        ranges.sort_by_key(|range| (range.from, range.to));
        for range in ranges {
            let to = SourcePosition::decode(&range.mark)
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
        known.refused_in_prefix = match &known.prefix {
            Some(prefix) => known.refused.partition_point(|row| is_before(row, prefix)),
            None => 0,
        };
        Ok(known)
    }
}

/// Checks that earlier runs have read no partition.
///
/// # Errors
/// [`EngineError::FormerSource`] that names one.
pub(crate) fn check_no_partitions(extents: &Extents) -> Result<(), EngineError> {
    extents.keys().next().map_or(Ok(()), |name| {
        Err(EngineError::FormerSource { place: format!("partitions, such as {name}") })
    })
}

/// How far a [`CsvSource`](crate::source::CsvSource) was read.
pub(crate) fn of_text(place: &SourcePosition) -> Result<Consumed, SourceError> {
    match place {
        SourcePosition::Text(consumed) => Ok(*consumed),
        SourcePosition::Own(_) => Err(of_another_kind(place, "rows of text")),
    }
}

/// The position at which a source of the program's own continues.
pub(crate) fn of_own<P: DeserializeOwned>(place: &SourcePosition) -> Result<P, SourceError> {
    let position = match place {
        SourcePosition::Own(own) => {
            bincode::options().with_fixint_encoding().deserialize(&own.position).ok()
        }
        SourcePosition::Text(_) => None,
    };
    let what = || format!("a source with positions of the type {}", std::any::type_name::<P>());
    position.ok_or_else(|| of_another_kind(place, &what()))
}

/// The error that the log has another source than the program.
fn of_another_kind(place: &SourcePosition, found: &str) -> SourceError {
    let name = "the source".to_owned();
    SourceError::Changed { name, expected: place.to_string(), found: found.to_owned() }
}

/// Whether a refused row is in the consumed part.
pub(crate) fn is_before(refused: &Refused, place: &SourcePosition) -> bool {
    match place {
        SourcePosition::Text(consumed) => match consumed.tail {
            // The next record begins on this line.
            Tail::Line => refused.line < consumed.line,
            // The last record goes up to the end of the file, on this line.
            Tail::Open | Tail::Unfinished => refused.line <= consumed.line,
        },
        SourcePosition::Own(own) => refused.line <= own.records,
    }
}

/// The range of a block, for the log.
pub(crate) fn range(source: usize, from: u64, to: &SourcePosition) -> SourceRange {
    SourceRange { source: source as u32, from, to: to.at(), mark: to.encode() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumed(bytes: u64, line: u64) -> SourcePosition {
        let digest = u128::from(bytes);
        SourcePosition::Text(Consumed { bytes, digest, line, clock: 0, tail: Tail::Line })
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
        let behind: Vec<_> = known.committed.iter().map(|c| (c.from, c.to.at())).collect();
        assert_eq!(behind, [(50, 60), (80, 90)]);
        assert_eq!(known.refused_in_prefix, 2, "those on lines 2 and 4");
        let resume = Resume::new(None, &known, of_text).unwrap();
        assert_eq!(resume.refused().iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
        assert!(!resume.is_fresh());
        let none = Known::default();
        assert!(Resume::new(None, &none, of_text).unwrap().is_fresh());
    }

    #[test]
    fn a_hole_at_the_beginning_leaves_no_prefix() {
        let known = Known::new(&[range(0, 20, &consumed(40, 5))], vec![refusal(3)]).unwrap();
        assert_eq!((known.prefix, known.refused_in_prefix, known.committed.len()), (None, 0, 1));
        let mark = Vec::new();
        assert!(Known::new(&[SourceRange { source: 0, from: 0, to: 1, mark }], vec![]).is_err());
    }

    #[test]
    fn a_source_of_another_kind_is_refused() {
        let position = bincode::serialize(&(7u64, 8u64)).unwrap();
        let own = SourcePosition::Own(OwnPlace { records: 3, clock: 0, position });
        let known = Known::new(&[range(0, 0, &own)], [3, 4].map(refusal).to_vec()).unwrap();
        assert_eq!(known.refused_in_prefix, 1, "the third record");
        let resume = Resume::new(None, &known, of_own::<(u64, u64)>).unwrap();
        assert_eq!(resume.consumed(), Some((7, 8)));
        let error = Resume::new(None, &known, of_text).unwrap_err().to_string();
        assert!(error.ends_with("now there are rows of text"), "{error}");
        let error = Resume::new(None, &known, of_own::<u64>).unwrap_err().to_string();
        assert!(error.contains("3 records") && error.ends_with("of the type u64"), "{error}");
        let text = Known::new(&[range(0, 0, &consumed(40, 5))], vec![]).unwrap();
        assert!(Resume::new(None, &text, of_own::<u64>).is_err());
    }
}
