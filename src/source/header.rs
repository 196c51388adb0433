//! The first record: names of columns, and where the ones asked for are.

use std::collections::HashSet;

use super::csv::CsvOptions;
use super::error::SourceError;
use super::records::{Found, RECORD_MAX, Records};

/// Within so many bytes of the content the header has to end.
pub(crate) const HEADER_MAX: usize = 1 << 20;

/// Names of the columns, no two alike.
pub(super) struct Header {
    names: Vec<String>,
}

impl Header {
    /// Reads the header; the records that follow are still to be bounded. `None`: the file is followed,
    /// and does not have it yet.
    pub(super) fn read(records: &mut Records) -> Result<Option<Header>, SourceError> {
        let name = records.stream().name().to_owned();
        records.set_bounds(HEADER_MAX, usize::MAX);
        if !records.skip_byte_order_mark()? {
            return Ok(None);
        }
        let too_long = |name| SourceError::HeaderTooLong { name, limit: HEADER_MAX };
        match records.find() {
            Ok(Found::Record) => {}
            Ok(Found::Later) => return Ok(None),
            Ok(Found::End) => return Err(SourceError::NoHeader { name }),
            Err(SourceError::RecordTooLong { name, .. }) => return Err(too_long(name)),
            Err(error) => return Err(error),
        }
        if records.open_quote() {
            return Err(SourceError::HeaderQuote { name });
        }
        let names = read_names(records, &name)?;
        records.accept();
        if records.position() > HEADER_MAX as u64 {
            return Err(too_long(name));
        }
        let mut seen = HashSet::new();
        if let Some(column) = names.iter().find(|column| !seen.insert(column.as_str())) {
            return Err(SourceError::DuplicateColumn { name, column: column.clone() });
        }
        Ok(Some(Header { names }))
    }

    /// Sets the bounds of `records` to those of rows under this header.
    pub(super) fn bound(&self, records: &mut Records) {
        records.set_bounds(RECORD_MAX, self.names.len());
    }
}

fn read_names(records: &Records, name: &str) -> Result<Vec<String>, SourceError> {
    (0..records.fields())
        .map(|i| match std::str::from_utf8(records.field(i)) {
            Ok(column) => Ok(column.to_owned()),
            Err(_) => Err(SourceError::HeaderNotUtf8 { name: name.to_owned(), column: i + 1 }),
        })
        .collect()
}

/// The positions of the columns that are asked for.
#[derive(Clone)]
pub(super) struct Columns {
    /// Columns of the header.
    pub(super) count: usize,
    /// The event time.
    pub(super) time: usize,
    /// The arrival.
    pub(super) arrival: Option<usize>,
    /// The selected ones, in the order asked for.
    pub(super) selected: Vec<usize>,
}

impl Columns {
    /// Those of rows that have just what is asked for: the event time, the arrival, the selected ones.
    #[cfg(feature = "json")]
    pub(super) fn named(options: &CsvOptions) -> Columns {
        let arrival = options.arrival.as_ref().map(|_| 1);
        let first = 1 + arrival.iter().len();
        let count = first + options.fields.len();
        Columns { count, time: 0, arrival, selected: (first..count).collect() }
    }

    /// Looks up the columns of `options`; `name` is that of the source.
    pub(super) fn find(
        header: &Header,
        options: &CsvOptions,
        name: &str,
    ) -> Result<Columns, SourceError> {
        let position = |column: &String| {
            header.names.iter().position(|name| name == column).ok_or_else(|| {
                SourceError::MissingColumn {
                    name: name.to_owned(),
                    column: column.clone(),
                    columns: header.names.clone(),
                }
            })
        };
        Ok(Columns {
            count: header.names.len(),
            time: position(&options.time)?,
            arrival: options.arrival.as_ref().map(position).transpose()?,
            selected: options.fields.iter().map(position).collect::<Result<_, _>>()?,
        })
    }
}
