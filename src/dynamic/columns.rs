//! Named, typed columns of events.

use super::error::DefinitionError;
use crate::aggregate::UNIT_DIGITS;
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
            of.push(Column::new(&name, kind).nullable());
        }
        Ok(Columns(of))
    }

    /// The same, whose column of decimals with this name has values with at most so many digits after the point, 9 at
    /// most. Tables of the view say so in their types. A row with a value that has more is wrong.
    ///
    /// ```
    /// use dayfold::dynamic::Columns;
    /// use dayfold::schema::Kind;
    ///
    /// let columns = Columns::new([("price", Kind::Decimal)]).unwrap().scaled("price", 2);
    /// assert_eq!(columns.iter().next().unwrap().scale, Some(2));
    /// ```
    #[must_use]
    pub fn scaled(mut self, name: &str, digits: u8) -> Columns {
        let named = self.0.iter_mut().find(|column| column.name == name);
        if let Some(column) = named.filter(|column| column.kind == Kind::Decimal) {
            column.scale = Some(digits).filter(|digits| *digits < UNIT_DIGITS);
        }
        self
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
    pub(super) fn get(&self, at: usize) -> Option<&Column> {
        self.0.get(at)
    }

    #[inline]
    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.0.get(at).map(|column| column.kind)
    }

    #[inline]
    pub(super) fn scale(&self, at: usize) -> Option<u8> {
        self.0.get(at)?.scale
    }

    pub(super) fn name(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |column| column.name.as_str())
    }
}
