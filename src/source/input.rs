//! Inputs: a plain or compressed file, standard input, or any reader.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::counted::Counted;
use super::error::SourceError;
use super::follow::Followed;
use super::unpack::{Packing, Unpacked};
use super::utf16::Utf16;

/// What to read. The first bytes tell whether it is compressed (gzip, zstd or xz, of one or several members, with zeros
/// between and after them) and whether it is UTF-16, which is read as UTF-8.
pub struct Input {
    name: String,
    kind: InputKind,
}

enum InputKind {
    File(PathBuf),
    Follow { path: PathBuf, rotates: bool },
    Stdin,
    Reader(Box<dyn Read + Send>),
}

impl Input {
    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        Input { name: path.display().to_string(), kind: InputKind::File(path) }
    }

    /// A plain file that grows: at its end, the engine waits for more. The source has no end; the reader decides when
    /// to stop. A row is read once the end of its line is there.
    ///
    /// The file may only be appended to. It is an error if the file became shorter, was renamed, replaced or removed
    /// (as log rotation does), or if its last bytes changed. Content read long before is compared when the source is
    /// opened again, and not meanwhile.
    pub fn follow(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        let name = path.display().to_string();
        Input { name, kind: InputKind::Follow { path, rotates: false } }
    }

    /// The same, for a file that may be renamed while it is read: it is read to its end before the new file with its
    /// name is reported.
    pub(super) fn follow_rotated(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        let name = path.display().to_string();
        Input { name, kind: InputKind::Follow { path, rotates: true } }
    }

    /// Standard input.
    pub fn stdin() -> Input {
        Input { name: "standard input".to_owned(), kind: InputKind::Stdin }
    }

    /// An argument of a command line: `-` is standard input, everything else is a file.
    pub fn argument(argument: &str) -> Input {
        if argument == "-" { Input::stdin() } else { Input::file(argument) }
    }

    /// Any reader, with a name for messages.
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Input {
        Input { name: name.into(), kind: InputKind::Reader(Box::new(reader)) }
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it and begins to read, at least the first bytes, to detect compression.
    pub(super) fn open(self) -> Result<Stream, SourceError> {
        let Input { name, kind } = self;
        let (mut reader, total): (Box<dyn Read + Send>, _) = match kind {
            InputKind::File(path) => match open_file(&path) {
                Ok((file, total)) => (Box::new(file), total),
                Err(source) => return Err(SourceError::Io { name, source }),
            },
            InputKind::Follow { path, rotates } => {
                let mut begins = Vec::new();
                // An unreadable file is reported when it is opened.
                let _ = File::open(&path).map(|file| file.take(8).read_to_end(&mut begins));
                let is_named = name.to_ascii_lowercase().ends_with(".gz");
                let named = is_named.then_some("gzip data");
                if let Some(what) = no_plain_text(&begins).or(named) {
                    return Err(SourceError::CannotFollow { name, what });
                }
                let followed = Followed::open(&name, path, rotates)?;
                let decoder = Decoder::Followed(followed);
                return Ok(Stream { name, total: None, decoder, text: Text::default() });
            }
            InputKind::Stdin => (Box::new(io::stdin()), None),
            InputKind::Reader(reader) => (reader, None),
        };
        let begins = match beginning(&mut reader) {
            Ok(begins) => begins,
            Err(source) => return Err(SourceError::Io { name, source }),
        };
        // A damaged beginning has no magic number; then the name tells what the file should be, unless it is text.
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
        let is_named = name.to_ascii_lowercase().ends_with(".gz");
        let packing = Packing::of(&begins)
            .or((is_named && begins.first().is_some_and(|byte| !is_text(byte)))
                .then_some(Packing::Gzip));
        let counted = Counted::new(Box::new(io::Cursor::new(begins).chain(reader)));
        let decoder = match packing {
            Some(packing) => Decoder::Unpacked(Box::new(Unpacked::new(packing, counted))),
            None => Decoder::Plain(counted),
        };
        let mut stream = Stream { name, total, decoder, text: Text::default() };
        stream.look_at_text()?;
        Ok(stream)
    }
}

/// The first bytes, enough to tell whether it is compressed.
fn beginning(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut begins = Vec::new();
    while Packing::may_begin_with(&begins) {
        let mut byte = [0];
        match reader.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => begins.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(begins)
}

/// The format of a followed file, if that cannot grow line by line.
fn no_plain_text(begins: &[u8]) -> Option<&'static str> {
    match Packing::of(begins) {
        Some(Packing::Gzip) => Some("gzip data"),
        Some(Packing::Zstd) => Some("zstd data"),
        Some(Packing::Xz) => Some("xz data"),
        None if Utf16::of(begins).is_some() => Some("UTF-16"),
        None => looks_like(begins),
    }
}

/// The kind of content that is not text, by its first bytes.
fn looks_like(begins: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"PAR1", "a Parquet file"),
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        (b"BZh", "bzip2 data, which is not read here"),
        (b"%PDF", "a PDF document"),
        (b"SQLite f", "a SQLite database"),
        (b"Obj\x01", "an Avro file"),
        (b"ORC\x0A", "an ORC file"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| begins.starts_with(magic)).map(|(_, what)| *what);
    let is_utf16 = matches!(begins, [0, 1..=127, 0, 1..=127, ..] | [1..=127, 0, 1..=127, 0, ..]);
    known.or(is_utf16.then_some("UTF-16 without a byte order mark"))
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

/// The decompressed bytes of an [`Input`], as UTF-8 if they are UTF-16.
pub(super) struct Stream {
    name: String,
    total: Option<u64>,
    decoder: Decoder,
    text: Text,
}

/// Content that was read but not handed out.
#[derive(Default)]
struct Text {
    utf16: Option<Utf16>,
    ahead: Vec<u8>,
    /// How much of it was handed out.
    taken: usize,
    ended: bool,
}

enum Decoder {
    Plain(Counted),
    Followed(Followed),
    Unpacked(Box<Unpacked>),
}

impl Stream {
    /// Bytes in memory, unchanged.
    pub(super) fn memory(name: &str, bytes: Vec<u8>) -> Stream {
        let decoder = Decoder::Plain(Counted::new(Box::new(io::Cursor::new(bytes))));
        Stream { name: name.to_owned(), total: None, decoder, text: Text::default() }
    }

    /// Checks the first bytes of the content for UTF-16, and for content that is not text.
    fn look_at_text(&mut self) -> Result<(), SourceError> {
        // Reads only as much as needed to decide: more may come later, and this must not wait for it.
        let mut begins = Vec::new();
        while begins.len() < 8 && is_open(&begins) {
            let mut byte = [0];
            if self.read_bytes(&mut byte)? == 0 {
                break;
            }
            begins.extend_from_slice(&byte);
        }
        if let Some(what) = looks_like(&begins) {
            return Err(SourceError::NoText { name: self.name.clone(), what });
        }
        if let Some(mut utf16) = Utf16::of(&begins) {
            utf16.push(&begins[2..], &mut self.text.ahead);
            self.text.utf16 = Some(utf16);
        } else {
            self.text.ahead = begins;
        }
        Ok(())
    }

    /// The name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether more may follow an end.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.decoder, Decoder::Followed(_))
    }

    #[cfg(test)]
    pub(super) fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Whether a read may wait for a writer.
    pub(super) fn may_wait(&self) -> bool {
        self.total.is_none() && !self.is_followed()
    }

    /// Bytes taken from the file; compressed bytes, if it is compressed.
    pub(super) fn position(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(counted) => counted.position,
            Decoder::Followed(followed) => followed.position(),
            Decoder::Unpacked(unpacked) => unpacked.input().position,
        }
    }

    /// The size when it was opened, if it is a file.
    pub(super) fn total(&self) -> Option<u64> {
        match &self.decoder {
            Decoder::Followed(followed) => Some(followed.total()),
            _ => self.total,
        }
    }

    /// Reads some bytes. If `into` has room, 0 is the end, or the present end of a followed file. Must not be called
    /// again after an error: a decoder that has failed once reports an ordinary end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        loop {
            let ahead = &self.text.ahead[self.text.taken..];
            if !ahead.is_empty() {
                let read = ahead.len().min(into.len());
                into[..read].copy_from_slice(&ahead[..read]);
                self.text.taken += read;
                return Ok(read);
            }
            if self.text.utf16.is_none() || self.text.ended {
                return if self.text.ended { Ok(0) } else { self.read_bytes(into) };
            }
            let mut bytes = vec![0; 1 << 14];
            let read = self.read_bytes(&mut bytes)?;
            let Text { utf16, ahead, taken, ended } = &mut self.text;
            (*taken, *ended) = (0, read == 0);
            ahead.clear();
            if let Some(utf16) = utf16 {
                utf16.push(&bytes[..read], ahead);
                if read == 0 {
                    utf16.finish(ahead);
                }
            }
        }
    }

    /// Reads some bytes of the content, unchanged.
    fn read_bytes(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        let read = match &mut self.decoder {
            Decoder::Plain(counted) => counted.read(into),
            Decoder::Followed(followed) => return followed.read(&self.name, into),
            Decoder::Unpacked(unpacked) => unpacked.read(into),
        };
        read.map_err(|source| {
            let name = self.name.clone();
            match &self.decoder {
                Decoder::Unpacked(unpacked) if !unpacked.input().failed => {
                    SourceError::Compressed {
                        name,
                        format: unpacked.packing().name(),
                        offset: unpacked.input().position,
                        cut_off: source.kind() == io::ErrorKind::UnexpectedEof,
                        source,
                    }
                }
                _ => SourceError::Io { name, source },
            }
        })
    }
}

/// Whether more bytes are needed to tell the kind of content that begins with these.
fn is_open(begins: &[u8]) -> bool {
    let is_begun = |known: &[u8]| known.len() > begins.len() && known.starts_with(begins);
    const KNOWN: [&[u8]; 9] = [
        b"PAR1",
        b"PK\x03\x04",
        b"BZh",
        b"%PDF",
        b"SQLite f",
        b"Obj\x01",
        b"ORC\x0A",
        b"\xFF\xFE",
        b"\xFE\xFF",
    ];
    // The zeros of UTF-16 come with the second byte.
    begins.len() < 2
        || (begins.len() < 4 && begins.contains(&0))
        || KNOWN.iter().any(|known| is_begun(known))
}
