//! The file of refused rows: `line,reason,row`.

use std::io::{self, Write};

use super::row::Refused;

/// Writes refused rows as CSV: a header, then one row each, with LF.
///
/// Cells are quoted only where a comma, a quote, CR or LF is inside. Bytes that are not UTF-8 are written as `\xNN`, in
/// lower case; a backslash in the row itself is left as it is.
///
/// Each call ends in one `write_all`; use a buffered writer if that matters.
///
/// ```
/// use dayfold::Engine;
/// use dayfold::engine::EngineError;
/// use dayfold::source::{Refused, RefusedWriter};
/// use dayfold::time::EventTime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("refused.csv");
/// let mut kept = RefusedWriter::new(std::fs::File::create(path)?)?;
/// let engine = Engine::<EventTime>::new().refused(move |row: &Refused| {
///     let failed = |error: std::io::Error| EngineError::Failed { message: error.to_string() };
///     kept.write(row).and_then(|()| kept.flush()).map_err(failed)
/// });
/// # let _ = engine;
/// # Ok(())
/// # }
/// ```
///
/// The header is there from the beginning:
///
/// ```
/// use dayfold::source::RefusedWriter;
///
/// let kept = RefusedWriter::new(Vec::new())?;
/// assert_eq!(kept.into_inner(), b"line,reason,row\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct RefusedWriter<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> RefusedWriter<W> {
    /// A writer that begins with the header.
    ///
    /// # Errors
    /// The error of `out`.
    pub fn new(mut out: W) -> io::Result<RefusedWriter<W>> {
        out.write_all(b"line,reason,row\n")?;
        Ok(RefusedWriter::continuing(out))
    }

    /// A writer that continues where another one has stopped: the header is there already.
    pub fn continuing(out: W) -> RefusedWriter<W> {
        RefusedWriter { out, line: Vec::new() }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// The error of the underlying writer; part of the row may have been written.
    pub fn write(&mut self, refused: &Refused) -> io::Result<()> {
        self.line.clear();
        push_cell(&mut self.line, refused.line.to_string().as_bytes());
        self.line.push(b',');
        push_cell(&mut self.line, refused.reason.as_bytes());
        self.line.push(b',');
        push_cell(&mut self.line, &refused.row);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// The error of the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The underlying writer, not flushed.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Appends one cell of a CSV file: quoted only where a comma, a quote, CR or LF is inside, with bytes
/// that are not UTF-8 as `\xNN`.
pub fn push_cell(out: &mut Vec<u8>, cell: &[u8]) {
    let quoted = cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if quoted {
        out.push(b'"');
    }
    for chunk in cell.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: &[u8], expect: &str) {
        let mut out = Vec::new();
        push_cell(&mut out, cell);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn cells() {
        check(b"", "");
        check(b"a b", "a b");
        check(b"a,b", "\"a,b\"");
        check(b"a\"b", "\"a\"\"b\"");
        check(b"a\nb", "\"a\nb\"");
        check(b"a\rb", "\"a\rb\"");
        check("é\u{10FFFF}".as_bytes(), "é\u{10FFFF}");
        check(b"a\xFFb\xC3", "a\\xffb\\xc3");
        check(b"\xED\xA0\x80,", "\"\\xed\\xa0\\x80,\"");
        check(b"\\xff", "\\xff");
    }

    #[test]
    fn files() {
        let refused = Refused { line: 7, reason: "3 fields, not 2".into(), row: b"a,b,c".into() };
        let mut writer = RefusedWriter::new(Vec::new()).unwrap();
        writer.write(&refused).unwrap();
        let mut writer = RefusedWriter::continuing(writer.into_inner());
        writer.write(&Refused { line: 8, reason: "no".into(), row: b"x\xFE".into() }).unwrap();
        writer.flush().unwrap();
        let text = String::from_utf8(writer.into_inner()).unwrap();
        assert_eq!(text, "line,reason,row\n7,\"3 fields, not 2\",\"a,b,c\"\n8,no,x\\xfe\n");
        assert_eq!(RefusedWriter::new(Vec::new()).unwrap().into_inner(), b"line,reason,row\n");
    }
}
