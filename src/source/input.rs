//! Where bytes come from: a plain or compressed file, standard input, or any reader.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::error::SourceError;
use super::follow::Followed;

/// What to read. A name that ends in `.gz` says that the bytes are gzip, of one member or several.
pub struct Input {
    name: String,
    kind: Kind,
}

enum Kind {
    File(PathBuf),
    Follow(PathBuf),
    Stdin,
    Reader(Box<dyn Read + Send>),
}

impl Input {
    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        Input { name: path.display().to_string(), kind: Kind::File(path) }
    }

    /// A plain file that grows: at its end, the engine waits for more.
    /// The source has no end; whoever reads it ends. A row is read when the end of its line is there.
    ///
    /// The file may only be appended to. A file that became shorter, or whose name was given to another
    /// or to none (as a rotation of logs does), is an error, and so is one whose last bytes changed. What was
    /// read long before is compared when the source is opened again, and not meanwhile.
    pub fn follow(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        Input { name: path.display().to_string(), kind: Kind::Follow(path) }
    }

    /// Standard input, uncompressed.
    pub fn stdin() -> Input {
        Input { name: "standard input".to_owned(), kind: Kind::Stdin }
    }

    /// What a command line names: `-` is standard input, all else a file.
    pub fn argument(argument: &str) -> Input {
        if argument == "-" { Input::stdin() } else { Input::file(argument) }
    }

    /// Any reader, under a name for messages (and for `.gz`).
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Input {
        Input { name: name.into(), kind: Kind::Reader(Box::new(reader)) }
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it and begins to read, if only the first bytes of compressed data.
    pub(super) fn open(self) -> Result<Stream, SourceError> {
        let Input { name, kind } = self;
        let gzip =
            name.len() >= 3 && name.as_bytes()[name.len() - 3..].eq_ignore_ascii_case(b".gz");
        let (reader, total): (Box<dyn Read + Send>, _) = match kind {
            Kind::File(path) => match open_file(&path) {
                Ok((file, total)) => (Box::new(file), total),
                Err(source) => return Err(SourceError::Io { name, source }),
            },
            Kind::Follow(_) if gzip => {
                return Err(SourceError::CannotFollow { name, what: "gzip data" });
            }
            Kind::Follow(path) => {
                let followed = Followed::open(&name, path)?;
                return Ok(Stream { name, total: None, decoder: Decoder::Followed(followed) });
            }
            Kind::Stdin => (Box::new(io::stdin()), None),
            Kind::Reader(reader) => (reader, None),
        };
        let mut counted = Counted::new(reader);
        if !gzip {
            return Ok(Stream { name, total, decoder: Decoder::Plain(counted) });
        }
        match counted.fill_buf() {
            // No gzip, but an empty file; it has no header, which is what will be said.
            Ok([]) => Ok(Stream { name, total, decoder: Decoder::Plain(counted) }),
            Ok(_) => {
                let decoder = Decoder::Gzip(Box::new(MultiGzDecoder::new(counted)));
                Ok(Stream { name, total, decoder })
            }
            Err(source) => Err(SourceError::Io { name, source }),
        }
    }
}

/// A file, as [`Input::file`].
impl From<&str> for Input {
    fn from(path: &str) -> Input {
        Input::file(path)
    }
}

/// A file, as [`Input::file`].
impl From<&Path> for Input {
    fn from(path: &Path) -> Input {
        Input::file(path)
    }
}

/// A file, as [`Input::file`].
impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Input {
        Input::file(path)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Input").field(&self.name).finish()
    }
}

fn open_file(path: &PathBuf) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

/// The decompressed bytes of an [`Input`].
pub(super) struct Stream {
    name: String,
    total: Option<u64>,
    decoder: Decoder,
}

enum Decoder {
    Plain(Counted),
    Followed(Followed),
    Gzip(Box<MultiGzDecoder<Counted>>),
}

impl Stream {
    /// Bytes in memory, never decompressed.
    pub(super) fn memory(name: &str, bytes: Vec<u8>) -> Stream {
        let counted = Counted::new(Box::new(io::Cursor::new(bytes)));
        Stream { name: name.to_owned(), total: None, decoder: Decoder::Plain(counted) }
    }

    /// The name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether more may follow an end.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.decoder, Decoder::Followed(_))
    }

    /// Bytes of the file, compressed if it is, that have been taken.
    pub(super) fn position(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(counted) => counted.position,
            Decoder::Followed(followed) => followed.position(),
            Decoder::Gzip(gzip) => gzip.get_ref().position,
        }
    }

    /// The size of the file when it was opened, if it is a file.
    pub(super) fn total(&self) -> Option<u64> {
        match &self.decoder {
            Decoder::Followed(followed) => Some(followed.total()),
            _ => self.total,
        }
    }

    /// Reads some bytes; 0 is the end, if `into` has room, for now if it is followed. After an error it must not be called again:
    /// a decoder that has failed once reports an ordinary end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        let read = match &mut self.decoder {
            Decoder::Plain(counted) => counted.read(into),
            Decoder::Followed(followed) => return followed.read(&self.name, into),
            Decoder::Gzip(gzip) => gzip.read(into),
        };
        read.map_err(|source| {
            let name = self.name.clone();
            match &self.decoder {
                Decoder::Gzip(gzip) if !gzip.get_ref().failed => SourceError::Gzip {
                    name,
                    offset: gzip.get_ref().position,
                    cut_off: source.kind() == io::ErrorKind::UnexpectedEof,
                    source,
                },
                _ => SourceError::Io { name, source },
            }
        })
    }
}

/// Counts the bytes taken from a reader, and knows its errors from those of a decoder above it.
struct Counted {
    inner: BufReader<Box<dyn Read + Send>>,
    position: u64,
    failed: bool,
}

impl Counted {
    fn new(reader: Box<dyn Read + Send>) -> Counted {
        Counted { inner: BufReader::with_capacity(1 << 16, reader), position: 0, failed: false }
    }

    /// Repeats what a signal has interrupted; flate2 would give up in the header of a member.
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
