//! What can be wrong with the definition of a dynamic view.

use crate::aggregate::Decimal;
use crate::schema::Kind;
use crate::view::ViewError;

/// What can be wrong with the definition of a dynamic view.
///
/// ```
/// use dayfold::dynamic::{Columns, DefinitionError};
/// use dayfold::schema::Kind;
///
/// let error = Columns::new([("site", Kind::Text), ("site", Kind::Text)]).unwrap_err();
/// assert_eq!(error, DefinitionError::Twice { name: "site".to_owned() });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// There is no such column.
    #[error("there is no column '{name}' in the events of the view")]
    NoColumn {
        /// The name.
        name: String,
    },
    /// Two columns have the same name.
    #[error("two columns are called '{name}': choose another name for one of them")]
    Twice {
        /// The name.
        name: String,
    },
    /// A measure does not take values of this kind.
    #[error("measure '{name}' is of {expected}, and column '{column}' is {found}")]
    Kind {
        /// The measure.
        name: String,
        /// The column.
        column: String,
        /// The kinds that the measure takes.
        expected: &'static str,
        /// The kind of the column.
        found: Kind,
    },
    /// An invalid quantile.
    #[error("a quantile of {of}: expected 0 to 1")]
    Quantile {
        /// What was given.
        of: Decimal,
    },
    /// A top list of this length is not supported.
    #[error("the {n} most frequent values: expected 1 to 1,000")]
    Top {
        /// What was given.
        n: u32,
    },
    /// Values that are not a key of the view.
    #[error("the values of a key are of the kinds {found}: expected {expected}")]
    Values {
        /// The columns of the key.
        expected: String,
        /// The kinds of the values.
        found: String,
    },
    /// The name of a column, or something else of the view.
    #[error(transparent)]
    View(#[from] ViewError),
}
