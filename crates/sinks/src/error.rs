//! Errors between an engine and a store.

use std::time::Duration;

use dayfold::engine::Views;
use dayfold::scan::ScanError;

/// Why a store did not accept something. It may or may not have been written, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, or cannot write now: a later try may succeed.
    #[error("{store} cannot be used now: {why}")]
    Unavailable {
        /// The name of the store.
        store: &'static str,
        /// The store's error.
        why: String,
    },
    /// Another writer has taken over the view. Nothing was written.
    #[error("another writer has taken over view '{view}' in {store}")]
    Fenced {
        /// The name of the store.
        store: &'static str,
        /// The view.
        view: String,
    },
    /// The store never accepts the content of these rows, however often it is tried. None of them counts.
    #[error("{store} refuses rows: {why}")]
    Refused {
        /// The name of the store.
        store: &'static str,
        /// The store's error.
        why: String,
    },
    /// Something else has the name of the view in the store.
    #[error("{store}: {found}; expected {expected}")]
    Mismatch {
        /// The name of the store.
        store: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
}

/// Why a sink could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The URL of a store is not valid.
    #[error("'{url}': {why}; expected {expected}")]
    Url {
        /// The URL, without a password.
        url: String,
        /// What is wrong with it.
        why: String,
        /// The valid form.
        expected: String,
    },
    /// The store is not built in.
    #[error("a sink to {scheme} needs the feature '{feature}', which is not built in")]
    NotBuilt {
        /// The scheme of the URL.
        scheme: String,
        /// The feature that it needs.
        feature: &'static str,
    },
    /// No view has this name.
    #[error("no view '{view}': there are {known}")]
    NoView {
        /// The requested name.
        view: String,
        /// The names of the views.
        known: String,
    },
    /// A column of a view has the name of one that each row of a sink has.
    #[error(
        "view '{view}' has a column '{column}', and so has each row of a sink, of its own: expected another name in the view"
    )]
    Column {
        /// The view.
        view: String,
        /// The name.
        column: String,
    },
    /// An error of the system, for a thread or a folder.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl SinkError {
    pub(crate) fn no_view(views: &Views, view: &str) -> SinkError {
        let known = views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ");
        SinkError::NoView { view: view.to_owned(), known }
    }
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("the data folder cannot be read: {0}")]
    Folder(#[from] dayfold::store::StoreError),
    #[error("the log is not durable up to the moment after {0:?}")]
    Log(Duration),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the sink is stopped")]
    Stopped,
}
