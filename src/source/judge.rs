//! What makes a record a row: as many fields as there are columns, and times that are some.

use super::cells::Cells;
use super::clock::Reading;
use super::header::Columns;
use super::options::{ColumnNames, CsvOptions, SELECTED_BYTES};
use super::row_times::UntimedRow;
use crate::time::EventTime;

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

    /// Whether each row says when it came, or that it does not.
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
