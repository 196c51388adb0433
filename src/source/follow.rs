//! A file that grows: its end is not the end of the source.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::error::SourceError;

/// How many of the last bytes read are compared before more is read.
const WITNESS: usize = 4 << 10;

/// Reads a file to its present end, again and again.
///
/// The file may only grow. At each end it is checked: whether its name still refers to it, and whether it is as long as
/// the content read; and, before more is read, whether the last bytes are unchanged. So a file that was emptied and
/// rewritten is noticed, even if it has become longer.
pub(super) struct Followed {
    path: PathBuf,
    /// Whether it may be renamed. Then it is read to its end, until the new file with its name has content.
    rotates: bool,
    file: File,
    opened: Metadata,
    /// Bytes that were read.
    position: u64,
    /// The last of them.
    witness: Vec<u8>,
    /// Whether the last read has found the end.
    at_end: bool,
}

impl Followed {
    /// Opens a file.
    pub(super) fn open(name: &str, path: PathBuf, rotates: bool) -> Result<Followed, SourceError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (opened, file) =
            opened.map_err(|source| SourceError::Io { name: name.to_owned(), source })?;
        if !opened.is_file() {
            let (name, what) = (name.to_owned(), "no regular file");
            return Err(SourceError::CannotFollow { name, what });
        }
        let witness = Vec::new();
        Ok(Followed { path, rotates, file, opened, position: 0, witness, at_end: false })
    }

    /// Bytes that were read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The size of the file when it was opened, or the bytes read since if they are more.
    pub(super) fn total(&self) -> u64 {
        self.opened.len().max(self.position)
    }

    /// Reads some bytes; 0 is the present end.
    pub(super) fn read(&mut self, name: &str, into: &mut [u8]) -> Result<usize, SourceError> {
        let broken = |source| SourceError::Io { name: name.to_owned(), source };
        if self.at_end
            && let Some(found) = self.look().map_err(broken)?
        {
            return Err(SourceError::NotAppended { name: name.to_owned(), found });
        }
        let read = uninterrupted(|| self.file.read(into)).map_err(broken)?;
        self.position += read as u64;
        self.at_end = read == 0;
        self.remember(&into[..read]);
        Ok(read)
    }

    /// Checks whether more can be read; the error says what prevents it.
    fn look(&mut self) -> io::Result<Option<String>> {
        let (length, position) = (self.file.metadata()?.len(), self.position);
        // A writer may go on writing to a file for a while after it was renamed.
        let has_more = self.rotates && length > position;
        match fs::metadata(&self.path) {
            Ok(named) if is_same(&self.opened, &named) || has_more => {}
            Ok(named) if self.rotates && named.len() == 0 => {}
            Ok(_) => return Ok(Some("another file has its name now".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A removed file is not held open.
                if !self.rotates || is_removed(&self.file.metadata()?) && !has_more {
                    return Ok(Some("it was removed or renamed".to_owned()));
                }
            }
            Err(error) => return Err(error),
        }
        if length < position {
            return Ok(Some(format!("it has {length} bytes, of which {position} were read")));
        }
        if length == position {
            return Ok(None);
        }
        let count = self.witness.len();
        let mut there = vec![0; count];
        self.file.seek(SeekFrom::Start(position - count as u64))?;
        // This leaves the file where it was.
        self.file.read_exact(&mut there)?;
        let changed = there != self.witness;
        Ok(changed
            .then(|| format!("the last {count} of the {position} bytes that were read changed")))
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.witness.extend_from_slice(&bytes[bytes.len().saturating_sub(WITNESS)..]);
        let more = self.witness.len().saturating_sub(WITNESS);
        self.witness.drain(..more);
    }
}

/// Repeats what a signal has interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether a file has no name any more.
#[cfg(unix)]
fn is_removed(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) == 0
}

#[cfg(not(unix))]
fn is_removed(_file: &Metadata) -> bool {
    true
}

/// Without file numbers, only the last bytes tell one file from another.
#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}
