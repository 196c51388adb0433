//! The position of a source in the log, to continue from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pending::Tail;
use crate::time::EventTime;

/// The consumed part of a file: all that is needed to continue after it when the file has grown.
///
/// ```
/// use dayfold::source::{Consumed, Tail};
///
/// /// How far a file was read.
/// fn show(consumed: &Consumed) -> String {
///     let tail = if consumed.tail == Tail::Line { "" } else { ", in the middle of a line" };
///     format!("{} bytes, up to line {}{tail}", consumed.bytes, consumed.line)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Consumed {
    /// Bytes of decompressed content, the header included.
    pub bytes: u64,
    /// XXH3-128 (seed 0) of these.
    pub digest: u128,
    /// The physical line that they end on.
    pub line: u64,
    /// The clock after their last row.
    pub clock: EventTime,
    /// How they end.
    pub tail: Tail,
}

/// How far a source was handed out: the log keeps this, to continue from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourcePosition {
    /// In rows of text.
    Text(Consumed),
    /// In a [`Source`](super::Source).
    Own(OwnPlace),
}

/// How far a [`Source`](super::Source) was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnPlace {
    /// Records since its beginning, refused ones included.
    pub(crate) records: u64,
    /// The clock after the last of them.
    pub(crate) clock: EventTime,
    /// Its position after them, encoded with bincode.
    pub(crate) position: Vec<u8>,
}

/// The first number of the encoded position of a [`Source`](super::Source); no text has this many bytes.
const OWN: u64 = u64::MAX;

impl SourcePosition {
    /// Orders the positions of a source: bytes of text, or records.
    pub(crate) fn at(&self) -> u64 {
        match self {
            SourcePosition::Text(consumed) => consumed.bytes,
            SourcePosition::Own(own) => own.records,
        }
    }

    /// Whether the content may continue in the middle of a line.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self, SourcePosition::Text(consumed) if consumed.tail != Tail::Line)
    }

    /// The clock after the last row.
    pub(crate) fn clock(&self) -> EventTime {
        match self {
            SourcePosition::Text(consumed) => consumed.clock,
            SourcePosition::Own(own) => own.clock,
        }
    }

    /// The bytes that the log keeps.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            SourcePosition::Text(consumed) => bincode::serialize(consumed),
            SourcePosition::Own(own) => bincode::serialize(&(OWN, own)),
        }
        .expect("a place holds nothing that cannot be encoded")
    }

    /// # Errors
    /// If the bytes are not a position.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SourcePosition, bincode::Error> {
        if bytes.starts_with(&OWN.to_le_bytes()) {
            let (_, own): (u64, OwnPlace) = bincode::deserialize(bytes)?;
            return Ok(SourcePosition::Own(own));
        }
        bincode::deserialize(bytes).map(SourcePosition::Text)
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourcePosition::Text(Consumed { bytes, digest, .. }) => {
                write!(f, "{bytes} bytes with XXH3-128 {digest:032x}")
            }
            SourcePosition::Own(OwnPlace { records, position, .. }) => {
                write!(f, "{records} records up to the position ")?;
                position.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_told_apart() {
        let text = Consumed { bytes: 7, digest: 8, line: 9, clock: -1, tail: Tail::Open };
        let own = OwnPlace { records: 7, clock: -1, position: vec![1, 0xAB] };
        for place in [SourcePosition::Text(text), SourcePosition::Own(own.clone())] {
            assert_eq!(SourcePosition::decode(&place.encode()).unwrap(), place);
            assert_eq!((place.at(), place.clock()), (7, -1));
            let cut = &place.encode()[..10];
            assert!(SourcePosition::decode(cut).is_err());
        }
        assert_eq!(bincode::serialize(&text).unwrap(), SourcePosition::Text(text).encode());
        assert_eq!(SourcePosition::Own(own).to_string(), "7 records up to the position 01ab");
    }
}
