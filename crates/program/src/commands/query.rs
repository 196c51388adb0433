//! `dayfold query`: rows of a view.

use std::io::Write;
use std::path::Path;

use dayfold::rows::{Format, RowOptions, SealedRows, Writer};
use dayfold::schema::{Column, Kind, Value};
use dayfold::source::{CsvOptions, Input, RawRecord, RawRecords, RowFormat};
use dayfold::store::{self, Disk};
use serde::Deserialize;

use super::output::{Output, width};
use super::program::Program;
use super::select::Select;
use super::table;
use crate::config::Config;
use crate::error::ProgramError;
use crate::expr::Type;
use crate::plan::{Record, Splitter};

/// Prints the rows of a question.
///
/// # Errors
/// [`ProgramError::Input`] if the question cannot be answered, [`ProgramError::Failed`] if the folder is damaged.
pub fn query(
    config: &Config,
    sql: &str,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), ProgramError> {
    let Some(folder) = &config.data else {
        let message =
            "the file has no [engine] data: nothing of it is left when the program does not run";
        return Err(ProgramError::Input(message.to_owned()));
    };
    let program = Program::of(config, folder)?;
    #[cfg(feature = "sql")]
    if super::sql::answer(config, (program.as_ref(), folder), sql, output, out)? {
        return Ok(());
    }
    // The rest reads the rows of a view, and uses only the API of the program.
    let select = Select::parse(sql).map_err(ProgramError::Input)?;
    let answer = program.map_or(Ok(None), |program| running(&program, &select))?;
    let (columns, rows) = match answer {
        Some(answer) => answer,
        None => sealed(folder, &select)?,
    };
    write(&columns, &rows, output, out)
}

type Rows = (Vec<String>, Vec<Vec<Value>>);

/// The answer of the running program, if it answers.
fn running(program: &Program, select: &Select) -> Result<Option<Rows>, ProgramError> {
    let Program { address, agent, authorization } = program;
    let failed =
        |error: &dyn std::fmt::Display| ProgramError::Failed(format!("{address}: {error}"));
    let get = |url: String| match authorization {
        Some(token) => agent.get(url).header("authorization", token),
        None => agent.get(url),
    };
    let mut answer = match get(format!("{address}/api/views")).call() {
        // The program was killed: the folder has what it left.
        Err(ureq::Error::Io(_) | ureq::Error::ConnectionFailed) => return Ok(None),
        answer => answer.map_err(|error| failed(&error))?,
    };
    let views = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
    let Listed { views } = serde_json::from_str(&views).map_err(|error| failed(&error))?;
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    let view = views.iter().find(|view| view.name == select.view);
    let view = view.ok_or_else(|| ProgramError::Input(select.no_view(&names)))?;
    let columns = &view.schema.table;
    // Rows have no sketches.
    let is_sketch = |shown: &&ListedColumn| {
        kind(&shown.kind) == Kind::Bytes && view.schema.key.iter().all(|key| key.name != shown.name)
    };
    let columns: Vec<Column> = columns
        .iter()
        .filter(|shown| !is_sketch(shown))
        .map(|shown| {
            let mut column = Column::new(&shown.name, kind(&shown.kind));
            column.nullable = shown.nullable;
            column
        })
        .collect();
    let mut answering = select.on(&columns).map_err(ProgramError::Input)?;
    let url = format!("{address}/api/views/{}/rows", select.view);
    let answer = get(url).header("accept", "application/x-ndjson").call();
    let answer = answer.map_err(|error| failed(&error))?;
    let input = Input::reader(select.view.clone(), answer.into_body().into_reader());
    let options = CsvOptions::new(&columns[0].name).format(RowFormat::JsonLines);
    let mut records = RawRecords::open(input, options).map_err(|error| failed(&error))?;
    loop {
        let record = match records.read(false).map_err(|error| failed(&error))? {
            RawRecord::Record { bytes, .. } => bytes,
            RawRecord::Refused { reason, .. } => return Err(failed(&reason)),
            _ => break,
        };
        let row = row_of(record, &columns).ok_or_else(|| {
            let record = String::from_utf8_lossy(record);
            failed(&format_args!("'{record}' is no row of the view"))
        })?;
        if answering.see(&row).is_err() {
            break;
        }
    }
    answering.finish().map(Some).map_err(ProgramError::Input)
}

/// A row of JSON, which tells an empty text from null.
fn row_of(record: &[u8], columns: &[Column]) -> Option<Vec<Value>> {
    let Ok(Record::Object(object)) = Splitter::Json.split(record) else { return None };
    let value = |column: &Column| match object.text(&column.name).ok()? {
        None => Some(Value::Null),
        Some(text) => Value::of_text(column.kind, &text).ok(),
    };
    columns.iter().map(value).collect()
}

/// A view, as the running program lists it.
#[derive(Deserialize)]
struct Listed {
    views: Vec<ListedView>,
}

#[derive(Deserialize)]
struct ListedView {
    name: String,
    schema: ListedSchema,
}

#[derive(Deserialize)]
struct ListedSchema {
    key: Vec<ListedColumn>,
    table: Vec<ListedColumn>,
}

#[derive(Deserialize)]
struct ListedColumn {
    name: String,
    kind: String,
    nullable: bool,
}

fn kind(name: &str) -> Kind {
    Type::of_name(name).map_or(Kind::Bytes, Type::kind)
}

/// The answer from the sealed days of a folder.
fn sealed(folder: &Path, select: &Select) -> Result<Rows, ProgramError> {
    if !folder.join("part-0").is_dir() {
        return Err(ProgramError::Input(format!(
            "{} is no data folder: run the file first",
            folder.display()
        )));
    }
    let failed = |error: &dyn std::fmt::Display| ProgramError::Failed(error.to_string());
    let report = store::inspect(&Disk, folder).map_err(|error| failed(&error))?;
    let names: Vec<&str> = report.views.iter().map(|view| view.record.name.as_str()).collect();
    let view = report.views.iter().find(|view| view.record.name == select.view);
    let view = view.ok_or_else(|| ProgramError::Input(select.no_view(&names)))?;
    let rows = SealedRows::new(&Disk, view, RowOptions::default());
    let mut answer = select.on(&rows.columns()).map_err(ProgramError::Input)?;
    rows.each(&mut |row| answer.see(row)).map_err(|error| failed(&error))?;
    answer.finish().map_err(ProgramError::Input)
}

fn write(
    columns: &[String],
    rows: &[Vec<Value>],
    output: Output,
    out: &mut dyn Write,
) -> Result<(), ProgramError> {
    let format = match output {
        Output::Csv => Format::Csv,
        Output::Json => Format::JsonLines,
        Output::Table => {
            let texts = rows.iter().map(|row| row.iter().map(Value::to_string).collect());
            let texts: Vec<Vec<String>> = texts.collect();
            let is_number = |at: usize| {
                rows.iter().any(|row| matches!(row[at], Value::Integer(_) | Value::Decimal(_)))
            };
            let is_number: Vec<bool> = (0..columns.len()).map(is_number).collect();
            return Ok(table::write(columns, &is_number, &texts, width(), out)?);
        }
    };
    // These formats do not show kinds.
    let columns: Vec<Column> = columns.iter().map(|name| Column::new(name, Kind::Text)).collect();
    let mut writer = Writer::new(format, &columns, out);
    writer.begin()?;
    rows.iter().try_for_each(|row| writer.row(row))?;
    Ok(writer.end()?)
}
