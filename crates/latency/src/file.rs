//! Files of a report, not yet written.

/// A file of a report; the caller writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl File {
    pub(super) fn new(name: &str, bytes: impl Into<Vec<u8>>) -> File {
        File { name: name.to_owned(), bytes: bytes.into() }
    }
}

/// A name for use in a file name.
pub(super) fn file_name(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}
