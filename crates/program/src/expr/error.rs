//! The errors of expressions and of rows.

/// An error in the text of an expression, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// The byte of the text at which the error is.
    pub at: usize,
    /// What was found, and what was expected.
    pub message: String,
}

impl ExprError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> ExprError {
        ExprError { at, message: message.into() }
    }
}

/// Why an expression has no value for a row, which is then refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A number exceeds the limit.
    #[error(
        "the result of {operation} is too large: expected less than 1.7e38, and less than 1.7e29 for decimals"
    )]
    Overflow {
        /// The calculation.
        operation: &'static str,
    },
    /// A number exceeds what a view can keep.
    #[error(
        "a number of the view is too large: expected an integer between -18446744073709551615 and 18446744073709551615, or a \
         decimal between -3.9e19 and 3.9e19"
    )]
    TooLarge,
    /// A number was divided by zero.
    #[error("division by zero: write NULLIF(divisor, 0) for null in its place")]
    DivisionByZero,
    /// A text does not have the expected type.
    #[error("'{text}' is not {expected}")]
    Read {
        /// The text, or its beginning if it is long.
        text: String,
        /// The type, and its format.
        expected: &'static str,
    },
    /// A number has more digits than its type.
    #[error("{number} does not fit decimal({precision}, {scale})")]
    Digits {
        /// The number.
        number: String,
        /// The number of digits that it may have.
        precision: u8,
        /// The number of them that may be after the point.
        scale: u8,
    },
    /// A text has become longer than texts may be.
    #[error("the result of {function} is longer than {bytes} bytes")]
    TooLong {
        /// The function.
        function: &'static str,
        /// The number of bytes that it may have.
        bytes: usize,
    },
    /// A time that has no date.
    #[error("{what} is beyond the years that a calendar can place")]
    OutOfRange {
        /// The value.
        what: &'static str,
    },
    /// A number of digits or characters that is not valid.
    #[error("{what} is {found}: expected {expected}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// Its value.
        found: i128,
        /// The valid values.
        expected: &'static str,
    },
}

impl RowError {
    /// The error for a text that does not have the type.
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
