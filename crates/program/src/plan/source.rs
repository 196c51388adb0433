//! Turns the records of a source into events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dayfold::dynamic::{Event, RowValue};
use dayfold::source::{Row as FileRow, TimeParser, UntimedRow};
use dayfold::time::EventTime;

use super::columns::SourceColumns;
use super::record::{NO_UTF8, Object, Record, Splitter};
use super::values::{fitting, value};
use super::view::Derived;
use crate::config::{Config, FileError, FileFormat, SourceConfig, Text};
use crate::expr::{Cell, ExprError, Expression, Format, Row, Scope, Type, read};

/// A column that is read: its position in a record, and its format.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    /// Its position among the fields of CSV.
    position: Option<usize>,
    format: Format,
}

/// Reads some columns of a source's records.
#[derive(Debug)]
pub(crate) struct Reader {
    splitter: Splitter,
    /// The number of fields of a CSV record; a ragged record may have fewer.
    fields: Option<(usize, bool)>,
    pub(crate) slots: Vec<Slot>,
}

impl Reader {
    /// A reader of the columns that a scope's expressions have named.
    pub(crate) fn new(config: &SourceConfig, columns: &SourceColumns, scope: &Scope) -> Reader {
        let fields = match &config.format {
            FileFormat::Csv { ragged, .. } => Some((columns.columns.len(), *ragged)),
            _ => None,
        };
        let slot = |column: &crate::expr::Column| Slot {
            name: column.name.clone(),
            position: columns.columns.iter().position(|(name, _)| *name == column.name),
            format: columns.format(&column.name),
        };
        Reader {
            splitter: Splitter::new(&config.format),
            fields,
            slots: scope.used().map(slot).collect(),
        }
    }

    /// The columns of a record. An empty CSV field is null.
    pub(crate) fn cells<'r>(&self, record: &'r [u8]) -> Result<Vec<Cell<'r>>, String> {
        match self.splitter.split(record)? {
            Record::Fields(fields) => self.of_fields(fields),
            Record::Object(object) => {
                self.slots.iter().map(|slot| slot.of_object(&object)).collect()
            }
        }
    }

    /// The same, for CSV fields that were found by the names of the slots.
    fn of_named<'r>(&self, field: impl Fn(usize) -> &'r [u8]) -> Result<Vec<Cell<'r>>, String> {
        let cell = |(at, slot): (usize, &Slot)| match field(at) {
            [] => Ok(Cell::Null),
            bytes => match std::str::from_utf8(bytes) {
                Ok(text) => slot.read(Cow::Borrowed(text)),
                Err(_) => Err(format!("column '{}': {NO_UTF8}", slot.name)),
            },
        };
        let mut cells = Vec::with_capacity(self.slots.len());
        for slot in self.slots.iter().enumerate() {
            cells.push(cell(slot)?);
        }
        Ok(cells)
    }

    fn of_fields<'r>(&self, mut fields: Vec<Cow<'r, str>>) -> Result<Vec<Cell<'r>>, String> {
        if let Some((expected, is_ragged)) = self.fields
            && fields.len() != expected
        {
            let behind = fields.get(expected..).unwrap_or_default();
            let is_fine = is_ragged && behind.iter().all(|field| field.is_empty());
            if !is_fine {
                return Err(format!("{} fields where there are {expected} columns", fields.len()));
            }
        }
        let cell = |slot: &Slot| match slot.position.and_then(|position| fields.get_mut(position)) {
            None => Ok(Cell::Null),
            Some(field) if field.is_empty() => Ok(Cell::Null),
            // Each column has one slot.
            Some(field) => slot.read(std::mem::take(field)),
        };
        self.slots.iter().map(cell).collect()
    }
}

impl Slot {
    /// The type of the column.
    pub(crate) fn kind(&self) -> Type {
        self.format.kind
    }

    /// A value that was read when the column had another type.
    ///
    /// # Errors
    /// If it is not of the type.
    pub(crate) fn retyped<'t>(&self, cell: Cell<'t>) -> Result<Cell<'t>, String> {
        match cell {
            Cell::Null => Ok(Cell::Null),
            Cell::Text(text) => self.read(text),
            other => self.read(Cow::Owned(other.to_string())),
        }
    }

    /// The value of an object.
    ///
    /// # Errors
    /// If it is not of the type.
    pub(crate) fn of_object<'t>(&self, object: &Object<'t>) -> Result<Cell<'t>, String> {
        object.text(&self.name)?.map_or(Ok(Cell::Null), |text| self.read(text))
    }

    fn read<'t>(&self, text: Cow<'t, str>) -> Result<Cell<'t>, String> {
        let cell = read(text, &self.format).and_then(fitting);
        cell.map_err(|error| format!("column '{}': {error}", self.name))
    }
}

/// The event time of a record, and its arrival.
#[derive(Debug)]
pub(crate) struct Times {
    reader: Reader,
    event_time: Expression,
    arrival: Option<Expression>,
}

impl Times {
    pub(crate) fn new(
        config: &Config,
        source: &SourceConfig,
        columns: &SourceColumns,
    ) -> Result<Times, FileError> {
        let mut scope = columns.scope();
        let no_time = &columns.no_time;
        let event_time = time(config, &source.event_time, &mut scope, no_time)?;
        let arrival = source.arrival.as_ref();
        let arrival = arrival.map(|text| time(config, text, &mut scope, no_time)).transpose()?;
        let mut reader = Reader::new(source, columns, &scope);
        // A plain column that is a time is read as one, whatever else it is: numbers count since 1970.
        for slot in [Some(&event_time), arrival.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(Expression::column)
        {
            reader.slots[slot].format = Format::new(Type::Timestamp, columns.times.clone());
        }
        Ok(Times { reader, event_time, arrival })
    }

    /// The time of a record, and its arrival if it has one.
    pub(crate) fn of(&self, record: &[u8]) -> Result<(EventTime, Option<EventTime>), String> {
        self.of_cells(&self.reader.cells(record)?)
    }

    fn of_cells(&self, cells: &[Cell<'_>]) -> Result<(EventTime, Option<EventTime>), String> {
        let row = Row { cells };
        let at = |expression: &Expression, what: &str| match expression.eval(row) {
            Ok(Cell::Timestamp(time)) => Ok(Some(time)),
            Ok(_) => Ok(None),
            Err(error) => Err(format!("{what}: {error}")),
        };
        let arrival = match &self.arrival {
            Some(expression) => at(expression, "arrival")?,
            None => None,
        };
        let time =
            at(&self.event_time, "event_time")?.ok_or("event_time: empty; expected a time")?;
        Ok((time, arrival))
    }

    pub(crate) fn has_arrival(&self) -> bool {
        self.arrival.is_some()
    }

    /// The columns of the event time and of the arrival, if both are plain columns.
    pub(crate) fn columns(&self) -> Option<(&str, Option<&str>)> {
        let name = |expression: &Expression| {
            expression.column().map(|slot| self.reader.slots[slot].name.as_str())
        };
        let arrival = match &self.arrival {
            Some(expression) => Some(name(expression)?),
            None => None,
        };
        Some((name(&self.event_time)?, arrival))
    }
}

/// The expression of a time: a plain column, a timestamp or a date. `no_time` are columns that have none.
fn time(
    config: &Config,
    text: &Text,
    scope: &mut Scope,
    no_time: &BTreeMap<String, String>,
) -> Result<Expression, FileError> {
    let fail = |error: ExprError| text.error_at(&config.document, error.at, error.message);
    let found = Expression::compile(&text.value, scope).map_err(fail)?;
    let name = found.column().and_then(|slot| Some(&scope.used().nth(slot)?.name));
    if let Some((name, value)) = name.and_then(|name| no_time.get_key_value(name)) {
        let message = format!(
            "column '{name}' has no time, but {value}: expected RFC 3339, such as 2024-05-01T10:59:00Z, or a number since \
             1970; parse_timestamp({name}, '%d/%m/%Y %H:%M') reads other texts"
        );
        return Err(text.error_at(&config.document, 0, message));
    }
    if found.column().is_some() || found.kind() == Type::Timestamp {
        return Ok(found);
    }
    let hint = if found.kind().is_number() {
        ": use timestamp_seconds(…) or timestamp_millis(…)"
    } else {
        ""
    };
    let expected =
        |error: ExprError| fail(ExprError { message: format!("{}{hint}", error.message), ..error });
    found.read_as(Type::Timestamp, 0, scope).map_err(expected)
}

/// A view that each row of a source has to be usable for.
#[derive(Debug)]
pub(crate) struct Check {
    view: String,
    derived: Arc<Derived>,
    /// The view was removed from the running program.
    is_gone: AtomicBool,
}

impl Check {
    pub(crate) fn new(view: String, derived: Arc<Derived>) -> Check {
        Check { view, derived, is_gone: AtomicBool::new(false) }
    }
}

/// A source, ready to be read.
#[derive(Debug)]
pub(crate) struct SourcePlan {
    pub(crate) config: SourceConfig,
    pub(crate) columns: SourceColumns,
    pub(crate) times: Times,
    pub(crate) reader: Reader,
    /// The number of the layout of its events.
    pub(crate) layout: usize,
    /// Whether events also keep the record: views that are added later may need other JSON fields.
    pub(crate) keeps_record: bool,
    /// The views that each row has to be usable for.
    pub(crate) checks: Vec<Check>,
}

impl SourcePlan {
    /// The event of a record whose time is known.
    ///
    /// # Errors
    /// The reason why it is refused, on one line: a column does not have its type, or an expression of a view has no
    /// value.
    pub(crate) fn event(&self, time: EventTime, record: &[u8]) -> Result<Event, String> {
        self.event_of_cells(time, self.reader.cells(record)?, record)
    }

    /// The event of a row of a file.
    ///
    /// # Errors
    /// As [`SourcePlan::event`].
    pub(crate) fn event_of_row(&self, row: &FileRow<'_>) -> Result<Event, String> {
        let cells = match self.config.format {
            FileFormat::Csv { .. } => self.reader.of_named(|slot| row.field(slot))?,
            _ => self.reader.cells(row.raw())?,
        };
        self.event_of_cells(row.time(), cells, row.raw())
    }

    /// The time of a row of a file, and its arrival if it has one.
    ///
    /// # Errors
    /// Why it has no time.
    pub(crate) fn times_of_row(
        &self,
        row: &UntimedRow<'_>,
    ) -> Result<(EventTime, Option<EventTime>), String> {
        match self.config.format {
            FileFormat::Csv { .. } => {
                let first = self.reader.slots.len();
                let cells = self.times.reader.of_named(|slot| row.field(first + slot))?;
                self.times.of_cells(&cells)
            }
            _ => self.times.of(row.raw()),
        }
    }

    /// The CSV fields that are read from files, by name, because files may have them in any order. First come the
    /// columns of events, then those of times that are computed.
    pub(crate) fn selected(&self) -> Vec<String> {
        let FileFormat::Csv { .. } = self.config.format else { return Vec::new() };
        let computed = self.times.columns().is_none().then_some(&self.times.reader.slots);
        let slots = self.reader.slots.iter().chain(computed.into_iter().flatten());
        slots.map(|slot| slot.name.clone()).collect()
    }

    fn event_of_cells(
        &self,
        time: EventTime,
        cells: Vec<Cell<'_>>,
        record: &[u8],
    ) -> Result<Event, String> {
        self.check(&cells)?;
        let mut event = Event::builder(time);
        event.push(self.layout as i128);
        cells.into_iter().for_each(|cell| event.push(value(cell)));
        if self.keeps_record {
            event.push(RowValue::Text(String::from_utf8_lossy(record)));
        }
        Ok(event.finish())
    }

    /// Checks that each view can use a row, or leaves it out.
    pub(crate) fn check(&self, cells: &[Cell<'_>]) -> Result<(), String> {
        let mut checks = self.checks.iter().filter(|check| !check.is_gone.load(Ordering::Relaxed));
        checks.try_for_each(|Check { view, derived, .. }| {
            derived.check(Row { cells }).map_err(|reason| format!("view '{view}': {reason}"))
        })
    }

    /// Refuses no more rows because of these views.
    pub(crate) fn forget(&self, views: &[String]) {
        let gone = self.checks.iter().filter(|check| views.contains(&check.view));
        gone.for_each(|check| check.is_gone.store(true, Ordering::Relaxed));
    }

    /// The format of times that the library reads.
    pub(crate) fn time_parser(&self) -> TimeParser {
        self.columns.times.clone()
    }
}
