//! The content of a source: a window of bytes that moves over it, with the digest of the bytes before the window.
//!
//! ```text
//! buffer:  | hashed | consumed, to be hashed | unread: what is read ahead | free |
//!                   ^ hashed                 ^ consumed                   ^ filled
//! ```

use xxhash_rust::xxh3::Xxh3;

use super::error::SourceError;
use super::input::Stream;

/// The most consumed bytes that are hashed at once.
const HASHED_AT_ONCE: usize = 32 << 10;

/// The bytes of a stream, which are consumed from its beginning on.
pub(super) struct Content {
    stream: Stream,
    buffer: Vec<u8>,
    hashed: usize,
    consumed: usize,
    filled: usize,
    /// Whether the stream has ended.
    ended: bool,
    /// Why nothing more can be read; reported when everything before it was consumed.
    failed: Option<SourceError>,
    hasher: Xxh3,
    /// The position of `buffer[0]` in the content.
    offset: u64,
}

impl Content {
    /// The content of `stream`, with an initial buffer of `size` bytes.
    pub(super) fn new(stream: Stream, size: usize) -> Content {
        Content {
            stream,
            buffer: vec![0; size.max(1)],
            hashed: 0,
            consumed: 0,
            filled: 0,
            ended: false,
            failed: None,
            hasher: Xxh3::new(),
            offset: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn buffer_len(&self) -> usize {
        self.buffer.len()
    }

    /// The stream below.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// How many bytes are consumed.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.consumed as u64
    }

    /// XXH3-128 of these.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer[self.hashed..self.consumed]);
        hasher.digest128()
    }

    /// Bytes that were read and not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.consumed..self.filled]
    }

    /// The next `count` bytes, unconsumed; fewer at the end.
    pub(super) fn ahead(&mut self, count: usize) -> Result<&[u8], SourceError> {
        while self.unread().len() < count {
            if !self.fill()? {
                break;
            }
        }
        let unread = self.unread();
        Ok(&unread[..count.min(unread.len())])
    }

    /// Consumes this many of the bytes that were read.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.unread().len(), "only what was read is consumed");
        self.consumed += count;
        if self.consumed - self.hashed >= HASHED_AT_ONCE {
            self.hash();
        }
    }

    fn hash(&mut self) {
        self.hasher.update(&self.buffer[self.hashed..self.consumed]);
        self.hashed = self.consumed;
    }

    /// Consumes content up to the position `until`, or the end. Returns the first bytes, at most `keep`.
    pub(super) fn skip_to(&mut self, until: u64, keep: usize) -> Result<Vec<u8>, SourceError> {
        let mut kept = Vec::new();
        while self.position() < until {
            if self.unread().is_empty() && !self.fill()? {
                break;
            }
            let left = usize::try_from(until - self.position()).unwrap_or(usize::MAX);
            let skipped = left.min(self.unread().len());
            kept.extend_from_slice(&self.unread()[..skipped.min(keep - kept.len())]);
            self.consume(skipped);
        }
        Ok(kept)
    }

    /// Reads until this many bytes are unread, or there are no more for now; or else only once. An error is reported
    /// when [`Content::fill`] reaches it.
    pub(super) fn read_ahead(&mut self, count: usize, once: bool) {
        while self.failed.is_none() && self.unread().len() < count {
            match self.fill() {
                Ok(true) if once => break,
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Reads more bytes; `false` at the end, or, if the stream is followed, at its present end.
    pub(super) fn fill(&mut self) -> Result<bool, SourceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.ended {
            return Ok(false);
        }
        if self.filled == self.buffer.len() {
            self.forget_consumed();
            if self.filled > self.buffer.len() / 2 {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        self.ended = read == 0 && !self.stream.is_followed();
        Ok(read > 0)
    }

    fn forget_consumed(&mut self) {
        self.hash();
        self.buffer.copy_within(self.consumed..self.filled, 0);
        self.offset += self.consumed as u64;
        self.filled -= self.consumed;
        self.consumed = 0;
        self.hashed = 0;
    }
}
