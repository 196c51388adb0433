//! Named, typed columns of events.

use super::error::DefinitionError;
use crate::schema::{Column, Kind};

/// The columns of the rows of a view's events: names and kinds, each name once. Any value may be null.
///
/// ```
/// use dayfold::dynamic::Columns;
/// use dayfold::schema::Kind;
///
/// let columns = Columns::new([("carrier", Kind::Text), ("distance", Kind::Integer)]).unwrap();
/// assert_eq!(columns.position("distance"), Some(1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// Columns with these names and kinds.
    ///
    /// # Errors
    /// [`DefinitionError::Twice`](super::DefinitionError::Twice) if two have one name.
    pub fn new<N: Into<String>>(
        columns: impl IntoIterator<Item = (N, Kind)>,
    ) -> Result<Columns, DefinitionError> {
        let mut of: Vec<Column> = Vec::new();
        for (name, kind) in columns {
            let name = name.into();
            if of.iter().any(|column| column.name == name) {
                return Err(DefinitionError::Twice { name });
            }
            of.push(Column { name, kind, nullable: true });
        }
        Ok(Columns(of))
    }

    /// The number of them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of the column with this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column.name == name)
    }

    /// The columns, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Column> {
        self.0.iter()
    }

    #[inline]
    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.0.get(at).map(|column| column.kind)
    }

    pub(super) fn name(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |column| column.name.as_str())
    }
}
