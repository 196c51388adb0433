//! What can be wrong with an expression, and with a row.

/// What is wrong with the text of an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// The byte of the text at which it is.
    pub at: usize,
    /// What was found, and what was expected.
    pub message: String,
}

impl ExprError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> ExprError {
        ExprError { at, message: message.into() }
    }
}

/// Why an expression has no value for a row. The row is refused for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A number is larger than can be kept.
    #[error(
        "the result of {operation} is too large: expected less than 1.7e38, and less than 1.7e29 for decimals"
    )]
    Overflow {
        /// What was calculated.
        operation: &'static str,
    },
    /// A number was divided by zero.
    #[error("division by zero: write NULLIF(divisor, 0) for null in its place")]
    DivisionByZero,
    /// A text is not of the type that it is read as.
    #[error("'{text}' is not {expected}")]
    Read {
        /// The text, its beginning if it is long.
        text: String,
        /// The type, and how it is written.
        expected: &'static str,
    },
    /// A number has more digits than its type.
    #[error("{number} does not fit decimal({precision}, {scale})")]
    Digits {
        /// The number.
        number: String,
        /// The digits that it may have.
        precision: u8,
        /// How many of them may stand after the point.
        scale: u8,
    },
    /// A time that cannot be written as a date.
    #[error("{what} is beyond the years that a calendar can place")]
    OutOfRange {
        /// What is.
        what: &'static str,
    },
    /// A number of digits or characters that makes no sense.
    #[error("{what} is {found}: expected {expected}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What it is.
        found: i128,
        /// What it may be.
        expected: &'static str,
    },
}

impl RowError {
    /// A text that is none of these.
    #[cold]
    pub(crate) fn read(text: &str, expected: &'static str) -> RowError {
        const SHOWN: usize = 60;
        let text = match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        RowError::Read { text: text.replace(['\r', '\n'], " "), expected }
    }
}
