//! Whole lines of a source, cut into rows. Any thread can do it, because it depends on nothing before or after them.
//!
//! A chunk begins where a record does, as far as its quotes tell, and ends with the end of a line. The thread that puts
//! chunks in order checks this guess. A chunk is used up to the point where a quote stays open, or where the chunk
//! alone is not clear; [`Records`](super::records::Records) reads what follows, and decides.

mod csv;
mod json;
pub(super) mod pool;
mod sheet;

use std::sync::Arc;

use super::judge::Judge;
use super::options::{CsvOptions, RowFormat};
pub(super) use sheet::{Parsed, RefusedAt};

use csv::Dialect;
use json::Names;
use sheet::Sheet;

/// Whole lines of a source.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Line feeds.
    pub(super) lines: usize,
    pub(super) has_quotes: bool,
}

/// Cuts the chunks of a source.
pub(super) struct Parser {
    judge: Arc<Judge>,
    form: Form,
}

enum Form {
    Csv(Dialect),
    JsonLines { names: Names, comment: Option<u8> },
}

impl Parser {
    pub(super) fn new(options: &CsvOptions, judge: Arc<Judge>) -> Parser {
        let form = match options.format {
            RowFormat::Csv => Form::Csv(Dialect::new(options)),
            RowFormat::JsonLines => {
                Form::JsonLines { names: Names::new(options), comment: options.comment }
            }
        };
        Parser { judge, form }
    }

    pub(super) fn parse(&self, chunk: Chunk) -> Parsed {
        let Chunk { bytes, lines, has_quotes } = chunk;
        let mut sheet = Sheet::new(&self.judge, lines);
        match &self.form {
            Form::Csv(dialect) => csv::cut(dialect, &bytes, has_quotes, &mut sheet),
            Form::JsonLines { names, comment } => json::cut(names, *comment, &bytes, &mut sheet),
        }
        sheet.end(bytes)
    }
}
