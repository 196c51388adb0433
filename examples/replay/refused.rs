//! The file of refused rows, and what is counted of them.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;

use dayfold::source::{Refused, RefusedWriter};

/// Keeps refused rows.
///
/// Each run begins the file again: what earlier ones refused is in the log. The file that was asked for
/// by `--refused` is there even if it has nothing but a header; the other ones are only there if a row
/// was refused.
#[derive(Default)]
pub(crate) struct RefusedRows {
    pub(crate) path: PathBuf,
    writer: Option<RefusedWriter<BufWriter<File>>>,
    /// Rows of the whole file.
    pub(crate) count: u64,
}

impl RefusedRows {
    /// Prepares the file at `path`, which is `asked` for or a default.
    pub(crate) fn open(path: PathBuf, asked: bool) -> io::Result<RefusedRows> {
        let mut rows = RefusedRows { path, writer: None, count: 0 };
        if rows.path.is_file() {
            std::fs::remove_file(&rows.path)?;
        }
        if asked {
            rows.writer()?;
        }
        Ok(rows)
    }

    fn writer(&mut self) -> io::Result<&mut RefusedWriter<BufWriter<File>>> {
        if self.writer.is_none() {
            if let Some(parent) = self.path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let file = File::options().create(true).append(true).open(&self.path)?;
            let writer = RefusedWriter::new(BufWriter::new(file))?;
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("made just now"))
    }

    pub(crate) fn write(&mut self, refused: &Refused) -> io::Result<()> {
        self.count += 1;
        self.writer()?.write(refused)
    }

    /// Hands what was written to the system, for those who watch the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), RefusedWriter::flush)
    }

    /// Writes all of it to the disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.into_inner().into_inner().map_err(|error| error.into_error())?;
        match file.metadata()?.is_file() {
            true => file.sync_all(),
            false => Ok(()),
        }
    }
}
