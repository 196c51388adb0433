//! Tables of the file, with the keys that they may have.

use std::ops::Range;
use std::time::Duration;

use dayfold::time::parse_duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, FileError};
use crate::expr::nearest;

/// A text of the file, with its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The text.
    pub value: String,
    /// Its position in the file, including quotes.
    pub span: Range<usize>,
}

impl Text {
    /// An error at this text.
    pub fn error(&self, document: &Document, message: impl Into<String>) -> FileError {
        document.error(self.span.start, message)
    }

    /// An error at a byte of its value.
    pub fn error_at(
        &self,
        document: &Document,
        at: usize,
        message: impl Into<String>,
    ) -> FileError {
        document.error(document.within(&self.span, at), message)
    }
}

/// A table that was checked for unknown keys.
pub(crate) struct Section<'a> {
    pub(crate) document: &'a Document,
    path: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

impl<'a> Section<'a> {
    /// A table at a path such as `sources.flights`.
    pub(crate) fn new(
        document: &'a Document,
        path: &str,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        known: &[&str],
    ) -> Result<Section<'a>, FileError> {
        let section = Section { document, path: path.to_owned(), table, span };
        for (key, _) in section.in_order() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let place = if path.is_empty() { String::new() } else { format!(" in [{path}]") };
            let message = match nearest(name, known.iter().copied()) {
                Some(near) => format!("unknown key '{name}'{place}: did you mean '{near}'?"),
                None => {
                    format!("unknown key '{name}'{place}: expected one of {}", known.join(", "))
                }
            };
            return Err(document.error(key.span().start, message));
        }
        Ok(section)
    }

    /// The position of its beginning.
    pub(crate) fn at(&self) -> usize {
        self.span.start
    }

    /// Keys and values in the order of the file.
    fn in_order(&self) -> Vec<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Whether the table has this key.
    pub(crate) fn section_is_there(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error at the value of a key, or at the table if it has no such key.
    pub(crate) fn error(&self, key: &str, message: impl std::fmt::Display) -> FileError {
        let at = self.get(key).map_or(self.span.start, |value| value.span().start);
        self.document.error(at, format!("{}: {message}", self.name(key)))
    }

    /// An error at a text within the value of a key.
    pub(crate) fn error_in(
        &self,
        key: &str,
        text: &Text,
        message: impl std::fmt::Display,
    ) -> FileError {
        text.error(self.document, format!("{}: {message}", self.name(key)))
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> FileError {
        let found = value.get_ref().type_str();
        self.document.error(
            value.span().start,
            format!("{}: expected {expected}, found {found}", self.name(key)),
        )
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<Text>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(Text { value: text.to_string(), span: value.span() })),
            _ => Err(self.wrong(key, value, "a text")),
        }
    }

    pub(crate) fn needed_text(&self, key: &str, example: &str) -> Result<Text, FileError> {
        self.text(key)?.ok_or_else(|| self.missing(key, example))
    }

    /// The error that a required key is missing.
    pub(crate) fn missing(&self, key: &str, example: &str) -> FileError {
        let message = format!("[{}] has no '{key}': expected {key} = {example}", self.path);
        self.document.error(self.span.start, message)
    }

    /// One of these words.
    pub(crate) fn word(
        &self,
        key: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, FileError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = words.iter().find(|word| **word == text.value);
        let error = || {
            self.error(
                key,
                format_args!("'{}' is not known: expected one of {}", text.value, words.join(", ")),
            )
        };
        found.copied().map(Some).ok_or_else(error)
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<bool, FileError> {
        match self.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(false),
            Some((_, DeValue::Boolean(is_so))) => Ok(*is_so),
            Some((value, _)) => Err(self.wrong(key, value, "true or false")),
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(number.as_str(), number.radix());
                read.map(Some).map_err(|_| self.wrong(key, value, "an integer of 64 bits"))
            }
            _ => Err(self.wrong(key, value, "an integer")),
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Result<Option<Duration>, FileError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        parse_duration(&text.value).map(Some).map_err(|error| self.error(key, error))
    }

    /// A text, or a list of them.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<Text>>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => {
                Ok(Some(vec![Text { value: text.to_string(), span: value.span() }]))
            }
            DeValue::Array(list) => {
                let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                    DeValue::String(text) => {
                        Ok(Text { value: text.to_string(), span: item.span() })
                    }
                    _ => Err(self.wrong(key, item, "a text")),
                };
                list.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            _ => Err(self.wrong(key, value, "a text or a list of texts")),
        }
    }

    /// Whether the value of a key is a text.
    pub(crate) fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// Whether the value of a key is a table.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// A table of texts, with their names, in the order of the file.
    pub(crate) fn named_texts(&self, key: &str) -> Result<Option<Vec<(Text, Text)>>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(key, value, "a table such as { name = \"expression\" }"));
        };
        let mut texts = Vec::new();
        for (name, value) in table {
            let DeValue::String(text) = value.get_ref() else {
                return Err(self.wrong(&format!("{key}.{}", name.get_ref()), value, "a text"));
            };
            let name = Text { value: name.get_ref().to_string(), span: name.span() };
            texts.push((name, Text { value: text.to_string(), span: value.span() }));
        }
        texts.sort_by_key(|(name, _)| name.span.start);
        Ok(Some(texts))
    }

    /// A table in this one.
    pub(crate) fn section(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Option<Section<'a>>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(key, value, "a table"));
        };
        Section::new(self.document, &self.name(key), table, value.span(), known).map(Some)
    }

    /// The tables in this one, with their names, in the order of the file.
    pub(crate) fn sections(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Vec<(Text, Section<'a>)>, FileError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(key, value, "tables"));
        };
        let all: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        let outer = Section::new(self.document, &self.name(key), table, value.span(), &all)?;
        let named = outer.in_order().into_iter().map(|(name, value)| {
            let DeValue::Table(table) = value.get_ref() else {
                return Err(outer.wrong(name.get_ref(), value, "a table"));
            };
            let path = outer.name(name.get_ref());
            // The table's own span may be that of its first key, so the error is placed at its name.
            let section = Section::new(self.document, &path, table, name.span(), known)?;
            Ok((Text { value: name.get_ref().to_string(), span: name.span() }, section))
        });
        named.collect()
    }
}
