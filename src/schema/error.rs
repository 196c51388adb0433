//! Errors in the columns of a view.

/// Errors in the columns of a view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The id of a type is not valid.
    #[error(
        "'{id}' is not an id of a type: expected letters, digits, '_', '-' and '.', and other ids in parentheses"
    )]
    Id {
        /// The id.
        id: String,
    },
    /// The number of names differs from the number of key columns.
    #[error("{found} names for the columns of a key that has {expected}: name each of them")]
    Key {
        /// How many names there are.
        found: usize,
        /// How many columns the key has.
        expected: usize,
    },
    /// The number of lists of names differs from the number of parts of the aggregate.
    #[error(
        "names for {found} parts of an aggregate that has {expected}: give a list of names for each part"
    )]
    Parts {
        /// How many lists of names there are.
        found: usize,
        /// How many parts the aggregate has.
        expected: usize,
    },
    /// A part of an aggregate has neither one name nor a name for each of its measures.
    #[error("{found} names for part {part} of an aggregate: expected one name, or {expected}")]
    Names {
        /// The part, from 1.
        part: usize,
        /// How many names there are.
        found: usize,
        /// How many aggregates are in the part.
        expected: usize,
    },
    /// Two columns have the same name.
    #[error("two columns are called '{name}': choose another name for one of them")]
    Twice {
        /// The name.
        name: String,
    },
    /// A state has a vector with more elements than there are names.
    #[error(
        "view '{view}' has a vector with more elements than the view has names for: name all of them"
    )]
    List {
        /// The view.
        view: String,
    },
}
