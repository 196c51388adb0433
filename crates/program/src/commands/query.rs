//! `dayfold query`: rows of a view.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use dayfold::rows::{RowOptions, SealedRows};
use dayfold::schema::{Column, Kind, Value};
use dayfold::source::{CsvOptions, Input, RawRecord, RawRecords};
use dayfold::store::{self, Disk};
use serde::Deserialize;

use super::output::{Output, width};
use super::program::Program;
use super::select::Select;
use super::table;
use crate::config::Config;
use crate::error::ProgramError;
use crate::expr::Type;
use crate::plan::fields;

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
    let answer = get(url).header("accept", "text/csv").call().map_err(|error| failed(&error))?;
    let input = Input::reader(select.view.clone(), answer.into_body().into_reader());
    let mut records = RawRecords::open(input, CsvOptions::new(&columns[0].name))
        .map_err(|error| failed(&error))?;
    loop {
        let record = match records.read(false).map_err(|error| failed(&error))? {
            RawRecord::Record { bytes, .. } => String::from_utf8_lossy(bytes),
            RawRecord::Refused { reason, .. } => return Err(failed(&reason)),
            _ => break,
        };
        let cells = fields(&record, b',');
        let value =
            |(cell, column): (&Cow<'_, str>, &Column)| match cell.is_empty() && column.nullable {
                true => Some(Value::Null),
                false => Value::of_text(column.kind, cell).ok(),
            };
        let row: Option<Vec<Value>> = cells.iter().zip(&columns).map(value).collect();
        let row = row.ok_or_else(|| failed(&format_args!("'{record}' is no row of the view")))?;
        if answering.see(&row).is_err() {
            break;
        }
    }
    answering.finish().map(Some).map_err(ProgramError::Input)
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
    match output {
        Output::Csv => {
            write_csv(columns.iter().map(String::as_str), out)?;
            for row in rows {
                let cells: Vec<String> = row.iter().map(Value::to_string).collect();
                write_csv(cells.iter().map(String::as_str), out)?;
            }
        }
        Output::Json => {
            for row in rows {
                let object: serde_json::Map<String, serde_json::Value> = columns
                    .iter()
                    .zip(row)
                    .map(|(name, value)| (name.clone(), json(value)))
                    .collect();
                writeln!(out, "{}", serde_json::Value::Object(object))?;
            }
        }
        Output::Table => {
            let texts = rows.iter().map(|row| row.iter().map(Value::to_string).collect());
            let texts: Vec<Vec<String>> = texts.collect();
            let is_number = |at: usize| {
                rows.iter().any(|row| matches!(row[at], Value::Integer(_) | Value::Decimal(_)))
            };
            let is_number: Vec<bool> = (0..columns.len()).map(is_number).collect();
            table::write(columns, &is_number, &texts, width(), out)?;
        }
    }
    Ok(())
}

fn write_csv<'a>(cells: impl Iterator<Item = &'a str>, out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            line.push(b',');
        }
        dayfold::source::push_cell(&mut line, cell.as_bytes());
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// A number that a double holds exactly is a JSON number; any other is a string, so that no reader rounds it.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(is_so) => (*is_so).into(),
        Value::Integer(number) if number.unsigned_abs() <= 1 << 53 => (*number as i64).into(),
        other => other.to_string().into(),
    }
}
