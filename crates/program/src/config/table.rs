//! `[tables.NAME]`: files that statements of SQL join views with.

use super::document::FileError;
use super::features::needs;
use super::format;
use super::kind::SourceKind;
use super::section::{Section, Text};
use super::source::{SourceConfig, check_name, columns, zone};
use super::view::ViewConfig;
use super::{FileFormat, format::plain_csv};

/// A file that is a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableConfig {
    /// Its name.
    pub name: Text,
    /// The file.
    pub file: Text,
    /// How its rows are written.
    pub rows: TableRows,
}

/// How the rows of a table are written.
#[derive(Clone, Debug, PartialEq)]
pub enum TableRows {
    /// As those of a source of CSV.
    Csv(Box<SourceConfig>),
    /// Parquet.
    Parquet,
}

/// The tables of a file.
pub(super) fn read(
    root: &Section<'_>,
    views: &[ViewConfig],
) -> Result<Vec<TableConfig>, FileError> {
    let sections = root.sections("tables", &["file", "format", "zone", "columns"])?;
    sections.into_iter().map(|(name, section)| table(name, &section, views)).collect()
}

fn table(
    name: Text,
    section: &Section<'_>,
    views: &[ViewConfig],
) -> Result<TableConfig, FileError> {
    check_name(section, &name)?;
    needs("sql").map_err(|message| name.error(section.document, message))?;
    if views.iter().any(|view| view.name.value == name.value) {
        let message = format!("there is a view '{}': expected another name", name.value);
        return Err(name.error(section.document, message));
    }
    let file = section.needed_text("file", "\"carriers.csv\"")?;
    if file.value.ends_with(".parquet") {
        let of_csv = ["format", "zone", "columns"];
        return match of_csv.into_iter().find(|key| section.section_is_there(key)) {
            Some(key) => Err(section.error(key, "Parquet says it by itself: leave it out")),
            None => Ok(TableConfig { name, file, rows: TableRows::Parquet }),
        };
    }
    let kind = SourceKind::File { path: file.clone(), follow: false };
    let format = match section.section_is_there("format") {
        true => format::read(section, &kind)?,
        false => plain_csv(),
    };
    if !matches!(format, FileFormat::Csv { .. }) {
        return Err(
            section.error("format", "expected csv, or a file whose name ends with .parquet")
        );
    }
    let source = SourceConfig {
        name: name.clone(),
        kind,
        format,
        // Rows of a table have no time.
        event_time: file.clone(),
        arrival: None,
        max_ahead: None,
        max_behind: None,
        zone: zone(section)?,
        columns: columns(section)?,
    };
    Ok(TableConfig { name, file, rows: TableRows::Csv(Box::new(source)) })
}
