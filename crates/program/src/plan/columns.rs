//! The columns of a source: their names, and their types, which are stated or inferred from the first rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dayfold::aggregate::Decimal;
use dayfold::source::{
    AmbiguousTime, ColumnNames, CsvOptions, Input, RawRecord, RawRecords, RowFormat, TimeParser,
    files_of,
};
use dayfold::time::Calendar;

use super::layouts::Layout;
use super::record::{Record, Splitter};
use crate::config::{ColumnType, Config, FileError, FileFormat, SourceConfig, SourceKind, Text};
use crate::expr::{Column, Format, Scope, Type, nearest};

/// The number of rows from which the types of columns are inferred.
pub(crate) const SAMPLED: usize = 10_000;

/// The end of the library's message about a header that begins like JSON, and what to do then.
const LOOKS_LIKE_JSON: &str = "; it looks like JSON";
const WRITE_JSON: &str = ": write format = { type = \"json\" } in the source";

/// What is known of a source before it is read.
#[derive(Debug)]
pub(crate) struct SourceColumns {
    /// The columns, in the order of the header.
    pub(crate) columns: Vec<(String, ColumnType)>,
    /// For columns that were inferred to be text: the first value that is nothing else, and where it is.
    pub(crate) text_since: BTreeMap<String, String>,
    /// For columns of which no value is a time: the first value, and where it is.
    pub(crate) no_time: BTreeMap<String, String>,
    /// Whether rows may have other columns.
    pub(crate) is_open: bool,
    /// The existing files.
    pub(crate) files: Vec<PathBuf>,
    /// The format of times.
    pub(crate) times: TimeParser,
    /// The zone of times without an offset.
    pub(crate) zone: Calendar,
}

impl SourceColumns {
    /// Looks at the first rows of a source.
    pub(crate) fn of(
        config: &Config,
        source: &SourceConfig,
        known: Option<&Layout>,
    ) -> Result<SourceColumns, FileError> {
        let zone = match &source.zone {
            Some(zone) => Calendar::new(&zone.value)
                .map_err(|error| zone.error(&config.document, error.to_string()))?,
            None => Calendar::utc(),
        };
        let times = TimeParser::new().local(&zone, AmbiguousTime::Earlier, AmbiguousTime::Later);
        let mut found = SourceColumns {
            columns: Vec::new(),
            text_since: BTreeMap::new(),
            no_time: BTreeMap::new(),
            is_open: true,
            files: Vec::new(),
            times,
            zone,
        };
        match &source.kind {
            SourceKind::File { path, .. } => {
                found.files = files(config, path)?;
                let error = |message: String| path.error(&config.document, message);
                match found.files.first().cloned() {
                    Some(first) => found.sample(&first, source).map_err(error)?,
                    None => found.without_files(source, known).map_err(error)?,
                }
            }
            SourceKind::Kafka(_) => found.name(&source.format),
            SourceKind::Http => {}
        }
        for (name, kind) in &source.columns {
            found.state(config, name, *kind)?;
        }
        Ok(found)
    }

    /// What is known if the path matches no file: a watched folder may be empty for a while.
    fn without_files(
        &mut self,
        source: &SourceConfig,
        known: Option<&Layout>,
    ) -> Result<(), String> {
        let SourceKind::File { path, follow } = &source.kind else { return Ok(()) };
        let none = match path.value.contains(['*', '?', '[']) {
            true => format!("no file is named like '{}'", path.value),
            false => format!("there is no file '{}'", path.value),
        };
        match (&source.format, known) {
            _ if !follow => Err(none),
            (FileFormat::Csv { names, .. }, _) if !names.is_empty() => {
                self.name(&source.format);
                Ok(())
            }
            (FileFormat::Csv { .. }, Some(known)) => {
                let untyped = known.columns.iter().map(|(name, _)| (name.clone(), untyped()));
                (self.columns, self.is_open) = (untyped.collect(), false);
                Ok(())
            }
            (FileFormat::Csv { .. }, None) => {
                Err(format!("{none}: expected one, whose header names the columns"))
            }
            _ => Ok(()),
        }
    }

    /// The names of columns of records without a header.
    fn name(&mut self, format: &FileFormat) {
        if let FileFormat::Csv { names, .. } = format {
            self.columns = names.iter().map(|name| (name.clone(), untyped())).collect();
            self.is_open = false;
        }
    }

    /// Reads names and types from the first rows of a file.
    fn sample(&mut self, path: &Path, source: &SourceConfig) -> Result<(), String> {
        #[cfg(feature = "parquet")]
        if source.format == FileFormat::Parquet {
            (self.columns, self.is_open) = (super::parquet::columns(path)?, false);
            return Ok(());
        }
        let mut records = RawRecords::open(Input::file(path), options(&source.format, ""))
            .map_err(|error| match error.to_string() {
                said if said.ends_with(LOOKS_LIKE_JSON) => format!("{said}{WRITE_JSON}"),
                said => said,
            })?;
        let mut names = Vec::new();
        for name in records.columns().unwrap_or_default() {
            let name = std::str::from_utf8(name)
                .map_err(|_| "the names of the columns are not UTF-8".to_owned())?;
            if names.iter().any(|known| known == name) && !name.is_empty() {
                return Err(format!("the header has the column '{name}' twice"));
            }
            names.push(name.to_owned());
        }
        if names.first().is_some_and(|name| name.starts_with('{')) {
            let path = path.display();
            return Err(format!(
                "the first row of {path} is no header{LOOKS_LIKE_JSON}{WRITE_JSON}"
            ));
        }
        self.is_open = matches!(source.format, FileFormat::Json);
        let splitter = Splitter::new(&source.format);
        let mut guesses: BTreeMap<String, Guess> = BTreeMap::new();
        let times = self.times.clone();
        let mut see = |name: &str, text: &str, is_text: bool, line: u64| {
            let guess = guesses.entry(name.to_owned()).or_default();
            guess.see(text, is_text, line);
            guess.see_time(text, line, &times);
        };
        for _ in 0..SAMPLED {
            let RawRecord::Record { bytes, line } =
                records.read(false).map_err(|error| error.to_string())?
            else {
                break;
            };
            let Ok(record) = splitter.split(bytes) else { continue };
            match &record {
                Record::Fields(fields) => {
                    for (name, field) in
                        names.iter().zip(fields).filter(|(_, field)| !field.is_empty())
                    {
                        see(name, field, false, line);
                    }
                }
                Record::Object(_) => record.walk(&mut |name, text, is_text| {
                    see(name, text, is_text, line);
                }),
            }
        }
        for (name, guess) in &guesses {
            let place = |(value, line): &(String, u64)| {
                (name.clone(), format!("{value} in line {line} of {}", path.display()))
            };
            self.text_since.extend(guess.text_since.as_ref().map(place));
            self.no_time.extend(guess.no_time.as_ref().filter(|_| !guess.has_time).map(place));
        }
        let kind = |name: &String| guesses.get(name).map_or(Type::Untyped, Guess::kind);
        match self.is_open {
            false => {
                self.columns = names
                    .iter()
                    .map(|name| (name.clone(), ColumnType { kind: kind(name), scale: None }))
                    .collect()
            }
            true => {
                self.columns = guesses
                    .keys()
                    .map(|name| (name.clone(), ColumnType { kind: kind(name), scale: None }))
                    .collect()
            }
        }
        Ok(())
    }

    /// Sets a type that the file states.
    fn state(&mut self, config: &Config, name: &Text, kind: ColumnType) -> Result<(), FileError> {
        match self.columns.iter_mut().find(|(column, _)| *column == name.value) {
            Some((_, known)) => {
                *known = kind;
                self.text_since.remove(&name.value);
            }
            None if self.is_open => self.columns.push((name.value.clone(), kind)),
            None => {
                let names = self.columns.iter().map(|(name, _)| name.as_str());
                let near = nearest(&name.value, names)
                    .map_or(String::new(), |near| format!(": did you mean '{near}'?"));
                return Err(name.error(
                    &config.document,
                    format!("the source has no column '{}'{near}", name.value),
                ));
            }
        }
        Ok(())
    }

    /// Keeps the types that were inferred when the source was first read, unless the file states others.
    pub(crate) fn keep(&mut self, known: &Layout, source: &SourceConfig) {
        for (name, kind) in &known.columns {
            let is_stated = source.columns.iter().any(|(stated, _)| stated.value == *name);
            let kind = Type::of_name(kind).filter(|_| !is_stated);
            if let (Some(kind), Some((_, column))) =
                (kind, self.columns.iter_mut().find(|(column, _)| column == name))
            {
                column.kind = kind;
            }
        }
    }

    /// The columns that expressions may name.
    pub(crate) fn scope(&self) -> Scope {
        // A column without a name cannot be named.
        let named = self.columns.iter().filter(|(name, _)| !name.is_empty());
        let columns = named
            .map(|(name, kind)| Column {
                name: name.clone(),
                kind: kind.kind,
                digits: kind.scale,
                text_since: self.text_since.get(name).filter(|_| kind.kind == Type::Text).cloned(),
            })
            .collect();
        if self.is_open {
            Scope::open(columns, self.zone.clone())
        } else {
            Scope::new(columns, self.zone.clone())
        }
    }

    /// The format of a column's values.
    pub(crate) fn format(&self, name: &str) -> Format {
        let kind = self.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
        let kind = kind.unwrap_or_else(untyped);
        Format { kind: kind.kind, scale: kind.scale, times: self.times.clone() }
    }
}

fn untyped() -> ColumnType {
    ColumnType { kind: Type::Untyped, scale: None }
}

/// The library's options for reading rows of a format, with times in this column.
pub(crate) fn options(format: &FileFormat, time: &str) -> CsvOptions {
    let options = CsvOptions::new(time);
    match format {
        FileFormat::Json
        | FileFormat::Parquet
        | FileFormat::Avro(_)
        | FileFormat::Protobuf { .. } => options.format(RowFormat::JsonLines),
        FileFormat::Csv { delimiter, header, names, comment, ragged } => {
            let names = match (header, names.is_empty()) {
                (true, _) => ColumnNames::Header,
                (false, true) => ColumnNames::Numbers,
                (false, false) => ColumnNames::Given(names.clone()),
            };
            let options = options.delimiter(*delimiter).names(names).ragged(*ragged);
            match comment {
                Some(byte) => options.comment(*byte),
                None => options,
            }
        }
    }
}

/// The files that a path matches, in the order of their names.
pub(crate) fn files(config: &Config, path: &Text) -> Result<Vec<PathBuf>, FileError> {
    let error = |message: String| path.error(&config.document, message);
    let whole = config.path(&path.value);
    let pattern = whole.to_str().ok_or_else(|| error("the path is not UTF-8".to_owned()))?;
    files_of(pattern).map_err(|problem| error(format!("'{}' is no pattern: {problem}", path.value)))
}

/// The possible types of a column, from its values so far.
#[derive(Clone, Debug, Default)]
struct Guess {
    seen: u64,
    /// Whether any value was not of the type, in the order of [`ORDER`].
    fails: [bool; 5],
    /// The first value since which only text is possible, as messages show it, and its line.
    text_since: Option<(String, u64)>,
    /// Whether any value was a time, and the first one that was not.
    has_time: bool,
    no_time: Option<(String, u64)>,
}

/// The narrowest type comes first.
const ORDER: [Type; 5] = [Type::Integer, Type::Decimal, Type::Boolean, Type::Date, Type::Timestamp];

impl Guess {
    fn see(&mut self, text: &str, is_text: bool, line: u64) {
        self.seen += 1;
        for (fails, kind) in self.fails.iter_mut().zip(ORDER) {
            *fails = *fails || !is_of(text, kind, is_text);
        }
        if self.text_since.is_none() && self.kind() == Type::Text {
            self.text_since = Some((quoted(text), line));
        }
    }

    fn see_time(&mut self, text: &str, line: u64, times: &TimeParser) {
        self.has_time = self.has_time || times.parse(text.as_bytes()).is_ok();
        if !self.has_time && self.no_time.is_none() {
            self.no_time = Some((quoted(text), line));
        }
    }

    fn kind(&self) -> Type {
        let found = ORDER.iter().zip(self.fails).find(|(_, fails)| !fails);
        found.map_or(Type::Text, |(kind, _)| *kind)
    }
}

/// A value as messages show it: on one line, and only its beginning if it is long.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    let shown: String = text.chars().take(SHOWN).collect();
    format!("'{}{more}'", shown.replace(['\r', '\n'], " "))
}

/// Whether reading a value as a type loses nothing: `007` is a text. A quoted value of JSON is neither a number nor a
/// boolean.
fn is_of(text: &str, kind: Type, is_text: bool) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = !is_text
        && (digits == "0"
            || digits.starts_with("0.")
            || digits.starts_with(|c: char| matches!(c, '1'..='9')));
    match kind {
        // The integers of a stated type may have up to 64 bits, too.
        Type::Integer => is_plain && text.parse::<i64>().is_ok(),
        Type::Decimal => is_plain && Decimal::parse_rounded(text.as_bytes()).is_ok(),
        Type::Boolean => {
            !is_text && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"))
        }
        Type::Date => text.parse::<dayfold::time::Day>().is_ok(),
        Type::Timestamp => {
            let is_dated = text.len() >= 19 && text.as_bytes()[4] == b'-' && text.is_ascii();
            let utc = || {
                TimeParser::new().local(
                    &Calendar::utc(),
                    AmbiguousTime::Earlier,
                    AmbiguousTime::Later,
                )
            };
            is_dated && utc().parse(text.as_bytes()).is_ok()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_columns() {
        let check = |texts: &[&str], is_text: bool, expect: Type| {
            let mut guess = Guess::default();
            texts.iter().for_each(|text| guess.see(text, is_text, 2));
            assert_eq!(guess.kind(), expect, "{texts:?}");
        };
        check(&["1", "-12", "0"], false, Type::Integer);
        check(&["1", "2.50"], false, Type::Decimal);
        check(&["1e5"], false, Type::Decimal);
        check(&["007", "1"], false, Type::Text);
        check(&["-0"], false, Type::Integer);
        check(&["1", "x"], false, Type::Text);
        check(&["true", "FALSE"], false, Type::Boolean);
        check(&["1"], true, Type::Text);
        check(&["2024-05-01"], true, Type::Date);
        check(&["2024-05-01", "2024-05-01T10:00:00Z"], true, Type::Text);
        check(&["2024-05-01 10:00:00", "2024-05-01T10:00:00+02:00"], true, Type::Timestamp);
        check(&["9223372036854775807", "-9223372036854775808"], false, Type::Integer);
        check(&["9223372036854775808"], false, Type::Text);
        check(&["99999999999999999999"], false, Type::Text);
    }
}
