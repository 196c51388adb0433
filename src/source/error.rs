//! What can go wrong with a source as a whole; what is wrong with one row is a refusal.

use std::io;

/// Why a source cannot be read, or not any further. Rows handed out before stay good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system said no.
    #[error("cannot read '{name}'")]
    Io {
        /// The source.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// Compressed data that ends too early or does not decompress.
    #[error(
        "'{name}': gzip data {} at byte {offset} of the compressed file",
        if *.cut_off { "cut off" } else { "corrupt" }
    )]
    Gzip {
        /// The source.
        name: String,
        /// How far the compressed data was good.
        offset: u64,
        /// Whether the data ends too early, rather than being wrong.
        cut_off: bool,
        /// What the decompressor said.
        source: io::Error,
    },
    /// No bytes at all, or nothing but blank lines.
    #[error("no header")]
    NoHeader {
        /// The source.
        name: String,
    },
    /// The header does not end where a header should.
    #[error("'{name}': the header does not end within the first {limit} bytes")]
    HeaderTooLong {
        /// The source.
        name: String,
        /// The bound, in bytes.
        limit: usize,
    },
    /// A quote of the header is still open at the end of the file.
    #[error("'{name}': a quote in the header is not closed")]
    HeaderQuote {
        /// The source.
        name: String,
    },
    /// A column's name is not text.
    #[error("'{name}': the name of column {column} is not valid UTF-8")]
    HeaderNotUtf8 {
        /// The source.
        name: String,
        /// The column's number, from 1.
        column: usize,
    },
    /// Two columns of one name.
    #[error("'{name}': the header has the column '{column}' twice")]
    DuplicateColumn {
        /// The source.
        name: String,
        /// The name that occurs twice.
        column: String,
    },
    /// A column that was asked for is not there.
    #[error("'{name}': no column '{column}' in the header, which has {}", list(.columns))]
    MissingColumn {
        /// The source.
        name: String,
        /// The column that was asked for.
        column: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// One record is longer than memory should hold.
    #[error(
        "'{name}': the record at line {line} is longer than {limit} bytes; is a quote left open?"
    )]
    RecordTooLong {
        /// The source.
        name: String,
        /// The physical line where the record begins.
        line: u64,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The content read before is not the beginning of what is there now.
    #[error("'{name}' has changed: read before were {expected}, now there are {found}")]
    Changed {
        /// The source.
        name: String,
        /// What was read before.
        expected: String,
        /// What is there now.
        found: String,
    },
    /// Only the content of a plain file can be followed.
    #[error("'{name}' cannot be followed: it is {what}, and only a plain file can grow")]
    CannotFollow {
        /// The source.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A followed file was cut, replaced or written anew.
    #[error(
        "'{name}' is followed and may only grow, but {found}; \
         read a rotated file on its own, after its end"
    )]
    NotAppended {
        /// The source.
        name: String,
        /// What was found of it instead.
        found: String,
    },
    /// The source has failed in an earlier call.
    #[error("'{name}' could not be read earlier and is not read any further")]
    Failed {
        /// The source.
        name: String,
    },
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| format!("'{column}'")).collect();
    quoted.join(", ")
}
