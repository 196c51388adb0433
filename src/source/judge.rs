//! What makes a record a row: as many fields as there are columns, and valid times.

use super::cells::Cells;
use super::clock::Reading;
use super::header::Columns;
use super::options::{ColumnNames, CsvOptions, SELECTED_BYTES};
use super::row_times::UntimedRow;
use crate::time::EventTime;

/// Judges each record by its own content only.
pub(super) struct Judge {
    options: CsvOptions,
    pub(super) columns: Columns,
}

impl Judge {
    pub(super) fn new(options: CsvOptions, columns: Columns) -> Judge {
        Judge { options, columns }
    }

    /// The event time and the arrival of a record, or why it is not a row.
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
        if let Some(times) = &self.options.row_times {
            let row = UntimedRow { cells: record, selected: &self.columns.selected };
            let (time, arrival) = times.of(&row)?;
            let has_arrival = times.has_arrival;
            return Ok((
                time,
                if has_arrival { Reading::Arrival(arrival) } else { Reading::Event },
            ));
        }
        let time = self.options.times.parse(record.cell(self.columns.time));
        let time = time.map_err(|refusal| format!("'{}': {refusal}", self.options.time))?;
        Ok((time, self.arrival(record)?))
    }

    /// Whether rows have arrivals.
    pub(super) fn has_arrivals(&self) -> bool {
        let computed = self.options.row_times.as_ref();
        computed.map_or(self.columns.arrival.is_some(), |times| times.has_arrival)
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

    /// The arrival of a record. If the cell is not empty and not a time, the row is more likely damaged than without an
    /// arrival.
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
