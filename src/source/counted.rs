//! Counting what is read.

use std::io::{self, BufRead, BufReader, Read};

/// Counts the bytes taken from a reader, and tells its errors from those of a decoder above it.
pub(super) struct Counted {
    pub(super) inner: BufReader<Box<dyn Read + Send>>,
    pub(super) position: u64,
    pub(super) failed: bool,
}

impl Counted {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Counted {
        Counted { inner: BufReader::with_capacity(1 << 16, reader), position: 0, failed: false }
    }

    /// Repeats a call that a signal has interrupted; flate2 would give up in the header of a member.
    fn uninterrupted<T>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(self) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
                Ok(value) => return Ok(value),
            }
        }
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.uninterrupted(|counted| counted.inner.read(into))?;
        self.position += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.uninterrupted(|counted| counted.inner.fill_buf().map(|_| ()))?;
        Ok(self.inner.buffer())
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.position += amount as u64;
    }
}
