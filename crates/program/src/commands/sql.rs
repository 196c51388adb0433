//! `dayfold query` with full SQL.

use std::io::{self, Read, Write};
use std::path::Path;

use dayfold_sql::arrow::array::RecordBatch;
use dayfold_sql::arrow::datatypes::Schema;
use dayfold_sql::arrow::ipc::reader::StreamReader;
use dayfold_sql::{Format, Limits, Sql, SqlError, Writer};
use serde::Deserialize;

use super::output::{Output, width};
use super::program::Program;
use super::table;
use crate::config::Config;
use crate::error::ProgramError;
use crate::plan::add_tables;

/// The end of a stream in Arrow's IPC format.
const END: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// The number of rows that a table may have; they are kept in memory to compute the widths of its columns.
const ROWS_MAX: usize = 5_000_000;

/// Prints the rows of a statement. The program that has the folder open answers it, or the folder is read. Returns
/// false, and prints nothing, if that program has no SQL.
pub(super) fn answer(
    config: &Config,
    (program, folder): (Option<&Program>, &Path),
    sql: &str,
    output: Output,
    out: &mut dyn Write,
) -> Result<bool, ProgramError> {
    let asked = program.map_or(Ok(Asked::Nobody), |program| ask(program, sql))?;
    match asked {
        Asked::Answer(reader) => {
            let schema = reader.schema();
            let cut_off = |error: &dyn std::fmt::Display| {
                ProgramError::Failed(format!("the program stopped the answer: {error}"))
            };
            print(
                &schema,
                reader.map(|batch| batch.map_err(|error| cut_off(&error))),
                output,
                out,
            )?;
            Ok(true)
        }
        Asked::WithoutSql => Ok(false),
        Asked::Nobody => {
            if !folder.join("part-0").is_dir() {
                return Err(ProgramError::Input(format!(
                    "{} is no data folder: run the file first",
                    folder.display()
                )));
            }
            let tables = Sql::of_folder(folder, Limits::default()).map_err(wrong)?;
            add_tables(config, &tables)?;
            let batches = tables.query_blocking(sql).map_err(wrong)?;
            let schema = batches.schema().clone();
            print(&schema, batches.map(|batch| batch.map_err(wrong)), output, out)?;
            Ok(true)
        }
    }
}

/// A wrong statement is an input error; an error while it runs is not.
fn wrong(error: SqlError) -> ProgramError {
    let at = error.position();
    let at =
        at.map_or_else(String::new, |(line, column)| format!(" (line {line}, column {column})"));
    match &error {
        SqlError::Plan(_) | SqlError::ReadOnly { .. } | SqlError::NotOne { .. } => {
            ProgramError::Input(format!("{error}{at}"))
        }
        _ => ProgramError::Failed(error.to_string()),
    }
}

/// A program's response to a statement.
enum Asked {
    Answer(StreamReader<Whole<ureq::BodyReader<'static>>>),
    WithoutSql,
    /// The program was killed: the folder has what it left.
    Nobody,
}

fn ask(program: &Program, sql: &str) -> Result<Asked, ProgramError> {
    let Program { address, agent, authorization } = program;
    let failed =
        |error: &dyn std::fmt::Display| ProgramError::Failed(format!("{address}: {error}"));
    let request = agent.post(format!("{address}/api/sql"));
    let request = request.config().http_status_as_error(false).build();
    let accept = Some(("accept", "application/vnd.apache.arrow.stream"));
    let authorization = authorization.as_ref().map(|shown| ("authorization", &shown[..]));
    let headers = [accept, authorization].into_iter().flatten();
    let request = headers
        .fold(request.content_type("application/json"), |request, (name, value)| {
            request.header(name, value)
        });
    let mut answer = match request.send(serde_json::json!({ "sql": sql }).to_string()) {
        Err(ureq::Error::Io(_) | ureq::Error::ConnectionFailed) => return Ok(Asked::Nobody),
        answer => answer.map_err(|error| failed(&error))?,
    };
    let status = answer.status().as_u16();
    if status == 200 {
        let body = Whole { reader: answer.into_body().into_reader(), last: [0; END.len()] };
        return Ok(Asked::Answer(
            StreamReader::try_new(body, None).map_err(|error| failed(&error))?,
        ));
    }
    let body = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
    let Refused { error } = serde_json::from_str(&body)
        .map_err(|_| failed(&format_args!("status {status}, and no reason")))?;
    match (status, &error.code[..]) {
        // A program of another version has no such path.
        (404, _) => Ok(Asked::WithoutSql),
        (400, _) => {
            let at = error.position.map_or_else(String::new, |Position { line, column }| {
                format!(" (line {line}, column {column})")
            });
            Err(ProgramError::Input(format!("{}{at}", error.message)))
        }
        _ => Err(failed(&error.message)),
    }
}

#[derive(Deserialize)]
struct Refused {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
    position: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    line: u64,
    column: u64,
}

/// A stream of Arrow's IPC format that fails if it ends too early. Without this, readers of the format take the end of
/// the connection for the end of the stream.
struct Whole<R> {
    reader: R,
    last: [u8; END.len()],
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let cut_off = || io::Error::other("it ended before its last row");
        let read = match self.reader.read(buffer) {
            // This is not the end of the stream, whatever a reader makes of it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(cut_off()),
            read => read?,
        };
        if read == 0 && !buffer.is_empty() && self.last != END {
            return Err(cut_off());
        }
        let all = [&self.last[..], &buffer[..read]].concat();
        self.last.copy_from_slice(&all[all.len() - END.len()..]);
        Ok(read)
    }
}

fn print(
    schema: &Schema,
    batches: impl Iterator<Item = Result<RecordBatch, ProgramError>>,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), ProgramError> {
    let failed = |error: SqlError| ProgramError::Failed(error.to_string());
    let format = match output {
        Output::Csv => Format::Csv,
        Output::Json => Format::JsonLines,
        Output::Table => return print_table(schema, batches, out),
    };
    let (mut writer, mut piece) = (Writer::new(format, schema), Vec::new());
    writer.begin(&mut piece).map_err(failed)?;
    for batch in batches {
        writer.batch(&batch?, &mut piece).map_err(failed)?;
        out.write_all(&piece)?;
        piece.clear();
    }
    writer.end(&mut piece).map_err(failed)?;
    Ok(out.write_all(&piece)?)
}

fn print_table(
    schema: &Schema,
    batches: impl Iterator<Item = Result<RecordBatch, ProgramError>>,
    out: &mut dyn Write,
) -> Result<(), ProgramError> {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let is_number = |kind| matches!(kind, "integer" | "decimal" | "float");
    let fields = schema.fields().iter();
    let is_number: Vec<bool> =
        fields.map(|field| is_number(dayfold_sql::kind(field.data_type()))).collect();
    let mut rows = Vec::new();
    for batch in batches {
        let texts = dayfold_sql::texts(&batch?);
        let texts = texts.map_err(|error| ProgramError::Failed(error.to_string()))?;
        let row = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default);
        rows.extend(texts.into_iter().map(|texts| row(texts).collect::<Vec<String>>()));
        if rows.len() > ROWS_MAX {
            let message = format!(
                "more than {ROWS_MAX} rows: use --format csv, or give the question a LIMIT"
            );
            return Err(ProgramError::Input(message));
        }
    }
    Ok(table::write(&names, &is_number, &rows, width(), out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_off_is_told() {
        let mut whole = b"rows".to_vec();
        whole.extend_from_slice(&END);
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            // Reads byte by byte, so that the end comes in pieces.
            let mut whole = Whole { reader: bytes, last: [0; END.len()] };
            let mut byte = [0];
            while whole.read(&mut byte)? == 1 {
                out.push(byte[0]);
            }
            Ok::<_, io::Error>(out)
        };
        assert_eq!(read(&whole).unwrap(), whole);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len} bytes");
        }
    }
}
