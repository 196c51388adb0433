//! What makes a record a row: as many fields as there are columns, and times that are some.

use super::clock::Reading;
use super::header::Columns;
use super::options::{ColumnNames, CsvOptions, SELECTED_BYTES};
use crate::time::EventTime;

/// The fields of a record.
pub(super) trait Cells {
    /// How many there are.
    fn count(&self) -> usize;
    /// Whether those behind the first `count` are all empty.
    fn is_empty_behind(&self, count: usize) -> bool;
    /// The `i`-th of those that can be asked for, quotes resolved; an empty one, if there are fewer.
    fn cell(&self, i: usize) -> &[u8];
}

/// Judges records by what each of them says, and nothing else.
pub(super) struct Judge {
    options: CsvOptions,
    pub(super) columns: Columns,
}

impl Judge {
    pub(super) fn new(options: CsvOptions, columns: Columns) -> Judge {
        Judge { options, columns }
    }

    /// The event time of a record and what it says about the clock, or why it is no row.
    pub(super) fn judge(&self, record: &impl Cells) -> Result<(EventTime, Reading), String> {
        let (fields, expected) = (record.count(), self.columns.count);
        let fits = fields == expected
            || self.options.ragged && (fields < expected || record.is_empty_behind(expected));
        if !fits {
            return Err(self.misfit(fields));
        }
        let selected = self.columns.selected.iter().map(|i| record.cell(*i).len());
        if selected.sum::<usize>() > SELECTED_BYTES {
            return Err(format!("selected fields of more than {SELECTED_BYTES} bytes"));
        }
        let time = self.options.times.parse(record.cell(self.columns.time));
        let time = time.map_err(|refusal| format!("'{}': {refusal}", self.options.time))?;
        Ok((time, self.arrival(record)?))
    }

    #[cold]
    fn misfit(&self, fields: usize) -> String {
        let place = match self.options.names {
            ColumnNames::Header => "the header has",
            ColumnNames::Numbers => "the first row has",
            ColumnNames::Given(_) => "the columns are",
        };
        format!("{fields} fields where {place} {}", self.columns.count)
    }

    /// What a record says about the clock. An arrival that is there and is no time is more
    /// likely a damaged row than one without arrival.
    fn arrival(&self, record: &impl Cells) -> Result<Reading, String> {
        let (Some(column), Some(name)) = (self.columns.arrival, &self.options.arrival) else {
            return Ok(Reading::Event);
        };
        match record.cell(column) {
            [] => Ok(Reading::Arrival(None)),
            cell => (self.options.times)
                .parse(cell)
                .map(|arrival| Reading::Arrival(Some(arrival)))
                .map_err(|refusal| format!("'{name}': {refusal}")),
        }
    }
}
