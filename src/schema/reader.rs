//! Reads rows of a view from their encodings, by the ids and the schema of a folder.

use super::id::TypeId;
use super::key_codec::KeyCodec;
use super::state::StateShape;
use super::{Column, Measure, Presented, Row, ViewSchema};

/// Reads rows of a view whose Rust types are not known.
#[derive(Clone, Debug)]
pub(crate) struct RowReader {
    schema: ViewSchema,
    key: KeyCodec,
    /// `None` if the aggregates are not known.
    state: Option<StateShape>,
    /// The measures that are read.
    wanted: Vec<bool>,
}

/// The part of a row that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Key,
    State,
}

impl RowReader {
    /// A reader for rows with these ids of keys and aggregates; it reads the `wanted` columns only.
    pub(crate) fn new(
        schema: ViewSchema,
        (key, aggregate): (&str, &str),
        wanted: impl Fn(&Measure) -> bool,
    ) -> RowReader {
        let state = TypeId::parse(aggregate).and_then(|id| StateShape::of(&id));
        let key = KeyCodec::new(key, &schema.key);
        let mut reader = RowReader { key, state, wanted: Vec::new(), schema };
        reader.wanted = reader.schema.measures.iter().map(wanted).collect();
        reader
    }

    /// Does not read these measures.
    pub(crate) fn leave_out(&mut self, names: &[&str]) {
        for (measure, wanted) in self.schema.measures.iter().zip(&mut self.wanted) {
            *wanted &= !names.contains(&&measure.name[..]);
        }
    }

    /// The column of periods.
    pub(crate) fn period(&self) -> Column {
        self.schema.period()
    }

    /// The columns of the key.
    pub(crate) fn key_columns(&self) -> &[Column] {
        &self.schema.key
    }

    /// The measures that are read; `None` if the type of the aggregates is not known here.
    pub(crate) fn measures(&self) -> Option<impl Iterator<Item = &Measure>> {
        let wanted = self.schema.measures.iter().zip(&self.wanted).filter(|(_, wanted)| **wanted);
        self.state.as_ref().map(|_| wanted.map(|(measure, _)| measure))
    }

    /// Appends the values of a row: first the key, then the measures.
    pub(crate) fn read(&self, key: &[u8], state: &[u8], out: &mut Row) -> Result<(), Unread> {
        self.key.read(key, out).ok_or(Unread::Key)?;
        let Some(shape) = &self.state else { return Ok(()) };
        let mut rest = state;
        let mut presented = Presented::onto(out, &self.schema.lists, &self.wanted);
        let read = shape.read(Some(&mut rest), &mut presented);
        let is_whole = presented.are_all(self.wanted.len());
        *out = presented.into_row();
        match read.is_ok() && is_whole && rest.is_empty() {
            true => Ok(()),
            false => Err(Unread::State),
        }
    }
}
