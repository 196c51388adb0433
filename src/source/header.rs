//! The first record: names of columns, and the positions of the selected ones.

use super::error::{SourceError, printable};
use super::options::{ColumnNames, CsvOptions};
use super::records::{FoundRecord, Records};

/// The header must end within this many bytes of the content.
pub(crate) const HEADER_MAX: usize = 1 << 20;

/// Names of the columns. Only the selected ones have to be there, each once.
pub(super) struct Header {
    names: Vec<Vec<u8>>,
}

impl Header {
    /// Reads the header, if there is one; the bounds of the following records are set later. `None` if the file is
    /// followed and does not have its header yet.
    pub(super) fn read(
        records: &mut Records,
        options: &CsvOptions,
    ) -> Result<Option<Header>, SourceError> {
        if !records.skip_byte_order_mark()? {
            return Ok(None);
        }
        if let ColumnNames::Given(names) = &options.names {
            let names = names.iter().map(|name| name.clone().into_bytes()).collect();
            return Ok(Some(Header { names }));
        }
        let name = records.stream().name().to_owned();
        records.expect_header(HEADER_MAX);
        match records.find()? {
            FoundRecord::Record => {}
            FoundRecord::Later => return Ok(None),
            FoundRecord::End => return Err(SourceError::NoHeader { name }),
        }
        if records.is_too_long() {
            return Err(SourceError::HeaderTooLong { name, limit: HEADER_MAX });
        }
        if let Some(reason) = records.refusal() {
            let is_json = matches!(records.raw().first(), Some(b'{' | b'['));
            let looks = if is_json { "; it looks like JSON" } else { "" };
            let (reason, line) = (format!("{reason}{looks}"), records.line());
            return Err(SourceError::HeaderQuote { name, line, reason });
        }
        let fields = 0..records.fields();
        if options.names == ColumnNames::Numbers {
            // It is a row, and stays the next one.
            let names = fields.map(|i| (i + 1).to_string().into_bytes()).collect();
            return Ok(Some(Header { names }));
        }
        let names = fields.map(|i| records.field(i).to_vec()).collect();
        records.accept();
        if records.position() > HEADER_MAX as u64 {
            return Err(SourceError::HeaderTooLong { name, limit: HEADER_MAX });
        }
        Ok(Some(Header { names }))
    }

    /// The names of all columns.
    pub(super) fn into_names(self) -> Vec<Vec<u8>> {
        self.names
    }
}

/// The positions of the selected columns.
#[derive(Clone)]
pub(super) struct Columns {
    /// Columns of the header.
    pub(super) count: usize,
    /// The event time; unused if times are computed.
    pub(super) time: usize,
    /// The arrival, if it is a column.
    pub(super) arrival: Option<usize>,
    /// The selected ones, in order.
    pub(super) selected: Vec<usize>,
}

impl Columns {
    /// The columns of rows that have only selected fields: the event time, the arrival, the selected ones.
    pub(super) fn named(options: &CsvOptions) -> Columns {
        let first = options.time_columns().count();
        let arrival = (first > 1).then_some(1);
        let count = first + options.fields.len();
        Columns { count, time: 0, arrival, selected: (first..count).collect() }
    }

    /// Looks up the columns of `options`; `name` is the name of the source.
    pub(super) fn find(
        header: &Header,
        options: &CsvOptions,
        name: &str,
    ) -> Result<Columns, SourceError> {
        let position = |column: &String| {
            let (name, column) = (name.to_owned(), column.clone());
            let mut at =
                (0..header.names.len()).filter(|at| header.names[*at] == column.as_bytes());
            match (at.next(), at.next()) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => Err(SourceError::DuplicateColumn { name, column }),
                (None, _) => {
                    let columns = header.names.iter().map(|name| printable(name)).collect();
                    Err(SourceError::MissingColumn { name, column, columns })
                }
            }
        };
        let times = options.time_columns().map(position).collect::<Result<Vec<_>, _>>()?;
        Ok(Columns {
            count: header.names.len(),
            time: times.first().copied().unwrap_or_default(),
            arrival: times.get(1).copied(),
            selected: options.fields.iter().map(position).collect::<Result<_, _>>()?,
        })
    }
}
