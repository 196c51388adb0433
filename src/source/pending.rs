//! The record that is being read or was found, and what is remembered of those that were none.

use serde::{Deserialize, Serialize};

/// How the consumed part of a source ends, which decides how it may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Tail {
    /// With the end of a line (or with nothing at all). Anything may follow.
    #[default]
    Line,
    /// With a record that the end of the file has ended. Only the end of its line may follow.
    Open,
    /// With what may be half a CRLF. Whatever follows counts as a change of the last record.
    Unfinished,
}

impl Tail {
    /// Whether the `next` two bytes leave the last record as it was; `None` if that is not known yet.
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
    /// Bytes up to the first of these, and up to the last.
    pub(super) first_line: Option<usize>,
    pub(super) last_line: usize,
    /// Why its first line will be refused, if only the end of it is still to be found.
    pub(super) refusal: Option<String>,
    pub(super) is_comment: bool,
    /// Whether it took the way of an [`OpenQuote`], where fields are not read.
    pub(super) jumped: bool,
}

/// A record whose first line was refused, although that line had an end: its quote was open at each line feed
/// from there on.
#[derive(Clone, Copy)]
pub(super) struct OpenQuote {
    /// Where it was found to be wrong; or the last of these line feeds, behind which the quote may have closed.
    pub(super) to: u64,
    /// Line feeds of the content before that.
    pub(super) lines: u64,
    /// Whether the quote was closed there, and something followed that may not; if not, it is open.
    pub(super) stray: bool,
}

/// A line that is longer than a record may be, and leaves the buffer while it is read.
pub(super) struct Skipped {
    /// Where it begins, and the digest of the content before.
    pub(super) position: u64,
    pub(super) digest: u128,
    pub(super) kept: Vec<u8>,
}

/// What follows the bytes of a record that were read.
pub(super) enum Follows {
    /// More that may be of it.
    More,
    /// More, beyond what a record may have.
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
    /// Why it is no row.
    pub(super) refusal: Option<String>,
    pub(super) is_comment: bool,
    /// Whether it is a header that is too long.
    pub(super) is_too_long: bool,
}
