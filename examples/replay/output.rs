//! The output: written whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, SpooledTempFile};

/// Up to this many bytes of output for standard output wait in memory; more wait in a temporary file.
const SPOOLED: usize = 32 << 20;

/// Where the output goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Stdout,
    /// A file that appears whole or not at all.
    File(PathBuf),
    /// Something existing that is not a file, such as `/dev/null` or a pipe.
    Device(PathBuf),
}

impl Target {
    /// The meaning of `--out`.
    pub(crate) fn new(out: Option<&PathBuf>) -> Target {
        let Some(path) = out else { return Target::Stdout };
        // A link is followed: renaming over it would replace it.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Target::Device(path),
            _ => Target::File(path),
        }
    }

    /// Checks whether a file can be created there, long before it is needed.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Target::File(path) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Target::File(path) => temporary(path).map(drop),
            Target::Stdout | Target::Device(_) => Ok(()),
        }
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Target::Stdout => "standard output".to_owned(),
            Target::File(path) | Target::Device(path) => path.display().to_string(),
        }
    }

    /// Begins to write; nothing is visible before [`Output::publish`].
    pub(crate) fn create(&self) -> io::Result<Output> {
        Ok(match self {
            Target::File(path) => {
                Output::File(BufWriter::with_capacity(1 << 16, temporary(path)?), path.clone())
            }
            Target::Stdout => Output::Spool(tempfile::spooled_tempfile(SPOOLED), None),
            Target::Device(path) => {
                Output::Spool(tempfile::spooled_tempfile(SPOOLED), Some(path.clone()))
            }
        })
    }
}

/// A file next to its final name.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // As for any file that a program creates, the user's umask decides who may read it.
    builder.prefix(".replay-").permissions(Permissions::from_mode(0o666));
    builder.tempfile_in(folder(path))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Unpublished output. Dropping it leaves nothing behind.
pub(crate) enum Output {
    File(BufWriter<NamedTempFile>, PathBuf),
    Spool(SpooledTempFile, Option<PathBuf>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file, _) => file.write(bytes),
            Output::Spool(spool, _) => spool.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file, _) => file.flush(),
            Output::Spool(spool, _) => spool.flush(),
        }
    }
}

impl Output {
    /// Makes all of it visible. A file survives a crash from here on.
    pub(crate) fn publish(self) -> io::Result<()> {
        match self {
            Output::File(file, path) => {
                let file = file.into_inner()?;
                file.as_file().sync_all()?;
                file.persist(&path)?;
                File::open(folder(&path))?.sync_all()
            }
            Output::Spool(mut spool, path) => {
                spool.seek(SeekFrom::Start(0))?;
                match path {
                    None => copy(&mut spool, &mut io::stdout().lock()),
                    Some(path) => copy(&mut spool, &mut File::options().write(true).open(path)?),
                }
            }
        }
    }
}

fn copy(from: &mut impl io::Read, to: &mut impl Write) -> io::Result<()> {
    io::copy(from, to)?;
    to.flush()
}

/// Appends a cell as it is, even if it is not UTF-8; it is quoted only if it contains a comma, a quote, CR or LF.
pub(crate) fn push_cell(line: &mut Vec<u8>, cell: &[u8]) {
    if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        line.extend_from_slice(cell);
        return;
    }
    line.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}
