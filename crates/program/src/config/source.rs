//! `[sources.NAME]`: where events come from.

use super::document::FileError;
use super::format::{self, FileFormat};
use super::kafka;
use super::kind::SourceKind;
use super::section::{Section, Text};
use crate::expr::Type;
use std::time::Duration;

/// A source of events.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Its name.
    pub name: Text,
    /// The kind of the source.
    pub kind: SourceKind,
    /// The format of its rows.
    pub format: FileFormat,
    /// The expression of the event time.
    pub event_time: Text,
    /// The expression of the source's clock.
    pub arrival: Option<Text>,
    /// How far an event may be ahead, in milliseconds.
    pub max_ahead: Option<Duration>,
    /// How far an event may be behind, in milliseconds.
    pub max_behind: Option<Duration>,
    /// The zone of times without an offset, and of dates; UTC if it is not set.
    pub zone: Option<Text>,
    /// The stated types of columns.
    pub columns: Vec<(Text, ColumnType)>,
}

/// The stated type of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnType {
    /// The type.
    pub kind: Type,
    /// The number of digits after the point of a decimal.
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

/// Reads the sources of a file.
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
        Some(_) => SourceKind::Kafka(Box::new(kafka::read(section)?)),
        None => {
            section.needed_text("type", "\"file\"")?;
            unreachable!("a missing type is an error")
        }
    };
    let is_kafka = matches!(kind, SourceKind::Kafka(_));
    let given = |key: &&str| section.section_is_there(key);
    if let Some(key) = kafka::KEYS.into_iter().filter(|_| !is_kafka).find(given) {
        return Err(section.error(key, "only a source of the type \"kafka\" has it"));
    }
    let is_file = matches!(kind, SourceKind::File { .. });
    let of_files = ["path", "follow", "arrival"];
    if let Some(key) = of_files.into_iter().filter(|_| !is_file).find(given) {
        return Err(section.error(key, "only a source of the type \"file\" has it"));
    }
    Ok(SourceConfig {
        format: format::read(section, &kind)?,
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

/// Names are parts of paths and URLs.
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

/// Types of columns that are stated.
pub(super) fn columns(section: &Section<'_>) -> Result<Vec<(Text, ColumnType)>, FileError> {
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
