//! The format of a source's rows.

use super::document::FileError;
use super::features::needs;
use super::kind::SourceKind;
use super::section::{Section, Text};

/// The format of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum FileFormat {
    /// CSV.
    Csv {
        /// The byte between fields.
        delimiter: u8,
        /// Whether the first row has the names of the columns.
        header: bool,
        /// The names of columns if there is no header.
        names: Vec<String>,
        /// Lines that begin with this byte are skipped.
        comment: Option<u8>,
        /// Whether rows may have too few fields.
        ragged: bool,
    },
    /// JSON lines.
    Json,
    /// Parquet files, which have the names and types of their columns.
    Parquet,
    /// Avro records.
    Avro(AvroSchema),
    /// Protobuf messages.
    Protobuf {
        /// A file with the descriptors (`protoc --descriptor_set_out`).
        descriptors: Text,
        /// The full name of the message.
        message: Text,
        /// Whether each message starts with the number of its schema in a registry.
        framed: bool,
    },
}

/// Where the schema of Avro records is.
#[derive(Clone, Debug, PartialEq)]
pub enum AvroSchema {
    /// Each record is an Avro file that contains its schema.
    Embedded,
    /// In a file.
    File(Text),
    /// In a registry, at this URL.
    Registry(Text),
}

const KEYS: [&str; 11] = [
    "type",
    "delimiter",
    "header",
    "names",
    "comment",
    "ragged",
    "schema",
    "registry",
    "descriptors",
    "message",
    "framed",
];

const CSV: [&str; 5] = ["delimiter", "header", "names", "comment", "ragged"];
const AVRO: [&str; 2] = ["schema", "registry"];
const PROTOBUF: [&str; 3] = ["descriptors", "message", "framed"];

/// The format of a source: as it states, or by the name of its files.
pub(super) fn read(section: &Section<'_>, kind: &SourceKind) -> Result<FileFormat, FileError> {
    if *kind == SourceKind::Http && section.section_is_there("format") {
        return Err(section.error(
            "format",
            "each request says with its content type how its events are written: leave it out",
        ));
    }
    let Some(format) = section.section("format", &KEYS)? else {
        return match kind {
            SourceKind::File { path, .. } if path.value.ends_with(".parquet") => {
                parquet(section, "path", kind)
            }
            _ => Ok(if is_json(kind) { FileFormat::Json } else { plain_csv() }),
        };
    };
    let kind_of_format = format.word("type", &["csv", "json", "parquet", "avro", "protobuf"])?;
    let kind_of_format = kind_of_format.unwrap_or("csv");
    for (others, of) in [(&CSV[..], "csv"), (&AVRO, "avro"), (&PROTOBUF, "protobuf")]
        .into_iter()
        .filter(|(_, of)| *of != kind_of_format)
    {
        if let Some(key) = others.iter().find(|key| format.section_is_there(key)) {
            return Err(format.error(key, format_args!("only the format \"{of}\" has it")));
        }
    }
    match kind_of_format {
        "json" => Ok(FileFormat::Json),
        "csv" => csv(&format, kind),
        "parquet" => parquet(&format, "type", kind),
        binary => {
            needs("kafka").map_err(|message| format.error("type", message))?;
            if !matches!(kind, SourceKind::Kafka(_)) {
                let message =
                    format_args!("only records of Kafka are \"{binary}\": expected csv or json");
                return Err(format.error("type", message));
            }
            if binary == "avro" { avro(&format) } else { protobuf(&format) }
        }
    }
}

/// Files of Parquet; `key` is what says that they are.
fn parquet(section: &Section<'_>, key: &str, kind: &SourceKind) -> Result<FileFormat, FileError> {
    needs("parquet").map_err(|message| section.error(key, message))?;
    match kind {
        SourceKind::File { follow: false, .. } => Ok(FileFormat::Parquet),
        SourceKind::File { .. } => {
            let message = "files of Parquet do not grow: leave follow out, and run the program again for new files";
            Err(section.error(key, message))
        }
        _ => Err(section.error(key, "only files are \"parquet\": expected csv or json")),
    }
}

/// CSV in its usual form.
pub(crate) fn plain_csv() -> FileFormat {
    FileFormat::Csv {
        delimiter: b',',
        header: true,
        names: Vec::new(),
        comment: None,
        ragged: false,
    }
}

/// Whether rows are JSON if no format is stated, by the name of the file.
fn is_json(kind: &SourceKind) -> bool {
    let SourceKind::File { path, .. } = kind else { return true };
    // Such as `*.jsonl*`, for files that are compressed when they are rotated.
    let path = path.value.trim_end_matches('*');
    let plain = ["gz", "zst", "xz"].iter().find_map(|end| path.strip_suffix(&format!(".{end}")));
    let plain = plain.unwrap_or(path);
    ["json", "jsonl", "ndjson"].iter().any(|end| plain.ends_with(&format!(".{end}")))
}

fn csv(format: &Section<'_>, kind: &SourceKind) -> Result<FileFormat, FileError> {
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
    if matches!(kind, SourceKind::Kafka(_)) && names.is_empty() {
        let message = "a record of Kafka has no header: expected names = [\"…\"] of its fields";
        return Err(format.error("names", message));
    }
    Ok(FileFormat::Csv {
        delimiter: byte("delimiter")?.unwrap_or(b','),
        header,
        names,
        comment: byte("comment")?,
        ragged: format.boolean("ragged")?,
    })
}

fn avro(format: &Section<'_>) -> Result<FileFormat, FileError> {
    let (schema, registry) = (format.text("schema")?, format.text("registry")?);
    match (schema, registry) {
        (Some(_), Some(_)) => {
            let message = "the schema is in the registry: leave one of the two out";
            Err(format.error("schema", message))
        }
        (Some(file), None) => Ok(FileFormat::Avro(AvroSchema::File(file))),
        (None, Some(url)) => Ok(FileFormat::Avro(AvroSchema::Registry(url))),
        (None, None) => Ok(FileFormat::Avro(AvroSchema::Embedded)),
    }
}

fn protobuf(format: &Section<'_>) -> Result<FileFormat, FileError> {
    Ok(FileFormat::Protobuf {
        descriptors: format
            .needed_text("descriptors", "\"a file of protoc --descriptor_set_out\"")?,
        message: format.needed_text("message", "\"package.Message\"")?,
        framed: format.boolean("framed")?,
    })
}
