//! `[sources.NAME]`: where events come from.

use super::document::FileError;
use super::not_built;
use super::section::{Section, Text};
use crate::expr::Type;

/// A source of events.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Its name.
    pub name: Text,
    /// What it is.
    pub kind: SourceKind,
    /// How rows are written.
    pub format: FileFormat,
    /// The expression of the event time.
    pub event_time: Text,
    /// The expression of the source's clock.
    pub arrival: Option<Text>,
    /// How far an event may be ahead, in milliseconds.
    pub max_ahead: Option<i64>,
    /// How old an event may be, in milliseconds.
    pub max_behind: Option<i64>,
    /// The zone of times without an offset, and of dates; UTC, if nothing is said.
    pub zone: Option<Text>,
    /// Types of columns that are stated.
    pub columns: Vec<(Text, ColumnType)>,
}

/// Where the events of a source are.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// In files.
    File {
        /// The path, with `*` and `?` for many.
        path: Text,
        /// Whether the file grows, and is read on.
        follow: bool,
    },
    /// Pushed by programs.
    Http,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq)]
pub enum FileFormat {
    /// CSV.
    Csv {
        /// The byte between fields.
        delimiter: u8,
        /// Whether the first row has the names of the columns.
        header: bool,
        /// The names, if there is no header.
        names: Vec<String>,
        /// What a line begins with that is skipped.
        comment: Option<u8>,
        /// Whether rows may have too few fields.
        ragged: bool,
    },
    /// Lines of JSON.
    Json,
}

/// The type of a column, as it is stated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnType {
    /// The type.
    pub kind: Type,
    /// Digits after the point of a decimal.
    pub scale: Option<u8>,
}

const KEYS: [&str; 16] = [
    "type",
    "path",
    "follow",
    "format",
    "event_time",
    "arrival",
    "max_ahead",
    "max_behind",
    "zone",
    "columns",
    "brokers",
    "topics",
    "start",
    "auth",
    "idle_partition",
    "group",
];

/// The sources of a file.
pub(super) fn read(root: &Section<'_>) -> Result<Vec<SourceConfig>, FileError> {
    let sections = root.sections("sources", &KEYS)?;
    if sections.is_empty() {
        let message =
            "the file has no [sources.NAME]: expected a source, and its path and event_time";
        return Err(root.document.error_of_file(message));
    }
    sections.into_iter().map(|(name, section)| source(name, &section)).collect()
}

fn source(name: Text, section: &Section<'_>) -> Result<SourceConfig, FileError> {
    check_name(section, &name)?;
    let kind = match section.word("type", &["file", "kafka", "http"])? {
        Some("file") => SourceKind::File {
            path: section.needed_text("path", "\"events.csv\"")?,
            follow: section.boolean("follow")?,
        },
        Some("http") => SourceKind::Http,
        Some(_) => return Err(section.error("type", not_built("kafka"))),
        None => {
            section.needed_text("type", "\"file\"")?;
            unreachable!("a missing type is an error")
        }
    };
    let is_file = matches!(kind, SourceKind::File { .. });
    for key in ["brokers", "topics", "start", "auth", "idle_partition", "group"] {
        if section.section_is_there(key) {
            return Err(section.error(key, "only a source of the type \"kafka\" has it"));
        }
    }
    for key in ["path", "follow", "arrival"] {
        if !is_file && section.section_is_there(key) {
            return Err(section.error(key, "a source of the type \"http\" has none"));
        }
    }
    Ok(SourceConfig {
        format: format(section, &kind)?,
        event_time: section
            .needed_text("event_time", "\"the column or expression of the event time\"")?,
        arrival: section.text("arrival")?,
        max_ahead: section.duration("max_ahead")?,
        max_behind: section.duration("max_behind")?,
        zone: zone(section)?,
        columns: columns(section)?,
        name,
        kind,
    })
}

/// The zone of a table, if it names one.
pub(super) fn zone(section: &Section<'_>) -> Result<Option<Text>, FileError> {
    let zone = section.text("zone")?;
    if let Some(zone) = &zone {
        dayfold::time::Calendar::new(&zone.value).map_err(|error| section.error("zone", error))?;
    }
    Ok(zone)
}

/// Names are part of paths and of URLs.
pub(super) fn check_name(section: &Section<'_>, name: &Text) -> Result<(), FileError> {
    let is_good = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    match !name.value.is_empty() && name.value.len() <= 100 && name.value.chars().all(is_good) {
        true => Ok(()),
        false => Err(name.error(
            section.document,
            format!("'{}' is no name: expected letters, digits, '_' and '-'", name.value),
        )),
    }
}

fn format(section: &Section<'_>, kind: &SourceKind) -> Result<FileFormat, FileError> {
    const KEYS: [&str; 6] = ["type", "delimiter", "header", "names", "comment", "ragged"];
    let csv = FileFormat::Csv {
        delimiter: b',',
        header: true,
        names: Vec::new(),
        comment: None,
        ragged: false,
    };
    if *kind == SourceKind::Http && section.section_is_there("format") {
        return Err(section.error(
            "format",
            "each request says with its content type how its events are written: leave it out",
        ));
    }
    let Some(format) = section.section("format", &KEYS)? else {
        // The name tells, as it does elsewhere.
        let is_json = match kind {
            SourceKind::File { path, .. } => {
                let plain = ["gz", "zst", "xz"]
                    .iter()
                    .find_map(|end| path.value.strip_suffix(&format!(".{end}")));
                let plain = plain.unwrap_or(&path.value);
                ["json", "jsonl", "ndjson"].iter().any(|end| plain.ends_with(&format!(".{end}")))
            }
            SourceKind::Http => true,
        };
        return Ok(if is_json { FileFormat::Json } else { csv });
    };
    match format.word("type", &["csv", "json", "avro", "protobuf"])? {
        Some("json") => return Ok(FileFormat::Json),
        Some("csv") | None => {}
        Some(_) => return Err(format.error("type", not_built("kafka"))),
    }
    let byte = |key: &str| -> Result<Option<u8>, FileError> {
        let Some(text) = format.text(key)? else { return Ok(None) };
        match text.value.as_bytes() {
            b"tab" => Ok(Some(b'\t')),
            [byte] if byte.is_ascii() => Ok(Some(*byte)),
            _ => Err(format.error(key, "expected one character, or tab")),
        }
    };
    let names: Vec<String> =
        format.texts("names")?.unwrap_or_default().into_iter().map(|text| text.value).collect();
    let header = if format.section_is_there("header") {
        format.boolean("header")?
    } else {
        names.is_empty()
    };
    if header && !names.is_empty() {
        return Err(format.error(
            "names",
            "the names are those of the header: leave them out, or say header = false",
        ));
    }
    Ok(FileFormat::Csv {
        delimiter: byte("delimiter")?.unwrap_or(b','),
        header,
        names,
        comment: byte("comment")?,
        ragged: format.boolean("ragged")?,
    })
}

fn columns(section: &Section<'_>) -> Result<Vec<(Text, ColumnType)>, FileError> {
    let stated = section.named_texts("columns")?.unwrap_or_default();
    let column = |(name, kind): (Text, Text)| {
        let kind =
            column_type(&kind.value).map_err(|message| kind.error(section.document, message))?;
        Ok((name, kind))
    };
    stated.into_iter().map(column).collect()
}

/// `text`, `integer`, `decimal`, `decimal(2)`, …
fn column_type(text: &str) -> Result<ColumnType, String> {
    let plain = |kind| Ok(ColumnType { kind, scale: None });
    match text.to_ascii_lowercase().as_str() {
        "text" | "string" | "varchar" => plain(Type::Text),
        "integer" | "int" | "bigint" => plain(Type::Integer),
        "decimal" | "numeric" | "number" => plain(Type::Decimal),
        "boolean" | "bool" => plain(Type::Boolean),
        "date" => plain(Type::Date),
        "timestamp" | "timestamptz" => plain(Type::Timestamp),
        other => {
            let scale = other.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
            let scale = scale.and_then(|scale| scale.rsplit(',').next()?.trim().parse().ok());
            match scale.filter(|scale| *scale <= 9) {
                Some(scale) => Ok(ColumnType { kind: Type::Decimal, scale: Some(scale) }),
                None => Err(format!(
                    "'{text}' is no type: expected text, integer, decimal, decimal(digits after the point, 9 at most), boolean, \
                     date or timestamp"
                )),
            }
        }
    }
}
