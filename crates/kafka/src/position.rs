//! Where a partition continues, and whether it is still the one that was read: pure decisions.

use dayfold::source::{Committed, Start};
use xxhash_rust::xxh3::Xxh3;

use crate::error::KafkaError;
use crate::record::Record;

/// What the log keeps with a position: the last record read, so that a recreated topic is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) offset: u64,
    pub(crate) digest: u64,
}

impl Last {
    pub(crate) fn of(record: &Record<'_>) -> Last {
        let mut digest = Xxh3::new();
        digest.update(&record.timestamp().millis().unwrap_or(i64::MIN).to_le_bytes());
        for part in [record.key(), record.payload()] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            digest.update(&length.to_le_bytes());
            digest.update(part.unwrap_or_default());
        }
        Last { offset: record.offset(), digest: digest.digest() }
    }

    fn push(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.digest.to_le_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Last> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        Some(Last { offset: u64::from_le_bytes(*offset), digest: u64::from_le_bytes(*digest) })
    }
}

/// What the log keeps with a position: the last record read, and an earlier one that was last found unchanged (see
/// [`crate::watch`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) last: Last,
    pub(crate) anchor: Last,
}

impl Mark {
    /// A version, and both records.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![2];
        self.last.push(&mut bytes);
        self.anchor.push(&mut bytes);
        bytes
    }

    /// Reads such bytes; `None` if there are none, or if they are from an unknown program. Version 1 has only the last
    /// record.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
        let (version, mut rest) = bytes.split_first()?;
        let last = Last::take(&mut rest)?;
        let anchor = match version {
            1 => last,
            2 => Last::take(&mut rest)?,
            _ => return None,
        };
        rest.is_empty().then_some(Mark { last, anchor })
    }
}

/// The offsets of a partition that the broker has: `[first, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) first: u64,
    pub(crate) end: u64,
}

/// What to do when records are lost or have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The engine stops, and reports the error.
    #[default]
    Stop,
    /// Reading restarts at the first record that the broker has. Records read before still count.
    BeginAnew,
}

/// Where reading begins if the log has no position of a partition that exists when the engine starts. A partition that
/// is found later is always read from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum From {
    /// At the first record that the broker has.
    #[default]
    Beginning,
    /// After the last one.
    End,
}

/// How a partition is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) start: Start,
    /// The record that must be found unchanged first; reading begins at it.
    pub(crate) check: Option<Last>,
    /// See [`Mark::anchor`].
    pub(crate) anchor: Option<Last>,
}

impl Opening {
    /// The position at which the client begins to read.
    pub(crate) fn offset(&self) -> u64 {
        self.check.map_or(self.start.next, |last| last.offset)
    }

    /// Reading restarts at the first record.
    pub(crate) fn anew(epoch: u32, held: Held) -> Opening {
        Opening { start: Start::new(epoch + 1, held.first), check: None, anchor: None }
    }
}

/// Decides where a partition is opened.
pub(crate) fn open(
    (topic, partition): (&str, i32),
    committed: Option<&Committed>,
    held: Held,
    from: From,
    lost: Lost,
) -> Result<Opening, KafkaError> {
    let Some(committed) = committed else {
        let next = match from {
            From::Beginning => held.first,
            From::End => held.end,
        };
        return Ok(Opening { start: Start::new(0, next), check: None, anchor: None });
    };
    let Held { first, end } = held;
    let (topic, committed_at) = (topic.to_owned(), committed.next);
    let error = if committed_at < first {
        KafkaError::Gone { topic, partition, committed: committed_at, first }
    } else if committed_at > end {
        KafkaError::Truncated { topic, partition, committed: committed_at, end, first }
    } else {
        let start = Start::new(committed.epoch, committed_at);
        let mark = Mark::decode(&committed.mark);
        let check = mark.map(|mark| mark.last).filter(|last| last.offset >= first);
        return Ok(Opening { start, check, anchor: mark.map(|mark| mark.anchor) });
    };
    match lost {
        Lost::Stop => Err(error),
        Lost::BeginAnew => {
            tracing::warn!(%error, "accepted: reading begins anew");
            Ok(Opening::anew(committed.epoch, held))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Held = Held { first: 10, end: 90 };

    fn committed(next: u64) -> Committed {
        let last = Last { offset: next - 2, digest: 7 };
        let mark = Mark { last, anchor: Last { offset: next - 9, digest: 8 } }.encode();
        Committed::new(3, next, mark)
    }

    fn opened(next: u64, lost: Lost) -> Result<Opening, KafkaError> {
        open(("t", 1), Some(&committed(next)), HELD, From::End, lost)
    }

    #[test]
    fn a_partition_goes_on_where_the_log_is_and_first_looks_at_the_last_record() {
        let opening = opened(50, Lost::Stop).unwrap();
        assert_eq!(opening.start, Start::new(3, 50));
        assert_eq!((opening.check, opening.offset()), (Some(Last { offset: 48, digest: 7 }), 48));
        assert_eq!(opening.anchor, Some(Last { offset: 41, digest: 8 }));
        // The last record is gone, and nothing follows it.
        let opening = opened(11, Lost::Stop).unwrap();
        assert_eq!((opening.check, opening.offset()), (None, 11));
        assert_eq!(opened(10, Lost::Stop).unwrap().start.next, 10);
        assert_eq!(opened(90, Lost::Stop).unwrap().start.next, 90);
    }

    #[test]
    fn what_is_gone_or_truncated_is_named_with_both_offsets() {
        let gone = opened(9, Lost::Stop).unwrap_err().to_string();
        assert!(gone.contains("'t', partition 1") && gone.contains("at offset 9"), "{gone}");
        assert!(gone.contains("is 10") && gone.contains("BeginAnew"), "{gone}");
        let short = opened(91, Lost::Stop).unwrap_err().to_string();
        assert!(short.contains("at offset 91") && short.contains("ends at 90"), "{short}");
        for next in [9, 91] {
            let opening = opened(next, Lost::BeginAnew).unwrap();
            assert_eq!(opening, Opening::anew(3, HELD));
        }
    }

    #[test]
    fn a_new_partition_begins_where_it_is_told() {
        for (from, next) in [(From::Beginning, 10), (From::End, 90)] {
            let opening = open(("t", 1), None, HELD, from, Lost::Stop).unwrap();
            assert_eq!(opening, Opening { start: Start::new(0, next), check: None, anchor: None });
        }
    }

    #[test]
    fn marks_are_kept() {
        let (last, anchor) =
            (Last { offset: u64::MAX - 1, digest: 8 }, Last { offset: 3, digest: 9 });
        let mark = Mark { last, anchor };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        for end in 0..bytes.len() {
            assert_eq!(Mark::decode(&bytes[..end]), None);
        }
        assert_eq!(
            Mark::decode(&[&[1], &bytes[1..17]].concat()),
            Some(Mark { last, anchor: last })
        );
        assert_eq!(Mark::decode(&[&[3], &bytes[1..]].concat()), None, "of a later version");
    }
}
