//! What several tests share.

use std::io::{self, Read};
use std::sync::mpsc;

/// A reader that waits for bytes from a sender, and ends when the sender is gone.
pub(crate) struct Feed {
    reader: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Feed {
    pub(crate) fn new() -> (mpsc::Sender<Vec<u8>>, Feed) {
        let (sender, reader) = mpsc::channel();
        (sender, Feed { reader, rest: Vec::new() })
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.reader.recv() {
                Ok(bytes) => self.rest = bytes,
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let length = into.len().min(self.rest.len());
        into[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}
