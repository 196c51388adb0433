//! The record that is being read or was found, and what is remembered of refused ones.

use serde::{Deserialize, Serialize};

/// How the consumed part of a source ends; it decides what may follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Tail {
    /// With the end of a line (or the part is empty). Anything may follow.
    #[default]
    Line,
    /// With a record that ended at the end of the file. Only the end of its line may follow.
    Open,
    /// With a CR that may be half a CRLF. Whatever follows counts as a change of the last record.
    Unfinished,
}

impl Tail {
    /// Whether the last record is unchanged, given the `next` two bytes; `None` if that is not known yet.
    pub(super) fn goes_on_with(self, next: &[u8], followed: bool) -> Option<bool> {
        match (self, next) {
            (Tail::Line, _) => Some(true),
            (_, []) => (!followed).then_some(true),
            (Tail::Open, [b'\r']) if followed => None,
            (Tail::Open, next) => Some(matches!(next, [b'\n', ..] | [b'\r', b'\n'])),
            (Tail::Unfinished, _) => Some(false),
        }
    }
}

/// A record that is being read.
#[derive(Default)]
pub(super) struct Partial {
    /// Bytes that were read.
    pub(super) length: usize,
    /// Line feeds among them.
    pub(super) lines: u64,
    /// Bytes up to the first line feed, and up to the last.
    pub(super) first_line: Option<usize>,
    pub(super) last_line: usize,
    /// Why its first line will be refused, if only its end is still to be found.
    pub(super) refusal: Option<String>,
    pub(super) is_comment: bool,
    /// Whether it jumped along an [`OpenQuote`], where fields are not read.
    pub(super) jumped: bool,
}

/// A record whose first line was refused although the line had an end: its quote was open at each line feed from there
/// on.
#[derive(Clone, Copy)]
pub(super) struct OpenQuote {
    /// Where the error was found; or the last of these line feeds, after which the quote may have closed.
    pub(super) to: u64,
    /// Line feeds of the content before that.
    pub(super) lines: u64,
    /// Whether the quote was closed there and something illegal followed; otherwise it is open.
    pub(super) stray: bool,
}

/// A line that is longer than the longest record, and leaves the buffer while it is read.
pub(super) struct Skipped {
    /// Its beginning, and the digest of the content before.
    pub(super) position: u64,
    pub(super) digest: u128,
    pub(super) kept: Vec<u8>,
}

/// What follows the bytes of a record that were read.
pub(super) enum Follows {
    /// More bytes that may belong to it.
    More,
    /// More bytes than a record may have.
    TooMuch,
    /// Nothing yet, in a followed file.
    Later,
    /// Nothing: the content ends, or did so when it was read before.
    Nothing,
}

/// The record that lies at `consumed`, or was skipped.
#[derive(Default)]
pub(super) struct Pending {
    /// Bytes with the end of the line.
    pub(super) length: usize,
    /// Bytes without it.
    pub(super) raw: usize,
    /// Line feeds.
    pub(super) lines: u64,
    pub(super) fields: usize,
    pub(super) tail: Tail,
    /// Why it is not a row.
    pub(super) refusal: Option<String>,
    pub(super) is_comment: bool,
    /// Whether it is a header that is too long.
    pub(super) is_too_long: bool,
}
