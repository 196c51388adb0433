//! What goes wrong between an engine and a store.

use std::time::Duration;

use dayfold::engine::Views;
use dayfold::scan::ScanError;

/// Why a store did not take something. What was sent may have been written or not, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or cannot write now: trying again later may help.
    #[error("{store} cannot be used now: {why}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it says.
        why: String,
    },
    /// Another writer has taken the view over. Nothing was written.
    #[error("another writer has taken over view '{view}' in {store}")]
    Fenced {
        /// Which store.
        store: &'static str,
        /// The view.
        view: String,
    },
    /// It does not take what these rows hold, however often it is tried. Nothing of them counts.
    #[error("{store} refuses rows: {why}")]
    Refused {
        /// Which store.
        store: &'static str,
        /// What it says.
        why: String,
    },
    /// What is there under the name of the view is something else.
    #[error("{store}: {found}; expected {expected}")]
    Mismatch {
        /// Which store.
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
    /// The URL of a store is none.
    #[error("'{url}': {why}; expected {expected}")]
    Url {
        /// What was said, without a password.
        url: String,
        /// What is wrong with it.
        why: String,
        /// What would be right.
        expected: String,
    },
    /// The store is not built in.
    #[error("a sink to {scheme} needs the feature '{feature}', which is not built in")]
    NotBuilt {
        /// Of the URL.
        scheme: String,
        /// The feature.
        feature: &'static str,
    },
    /// No view has this name.
    #[error("no view '{view}': there are {known}")]
    NoView {
        /// What was asked for.
        view: String,
        /// Which views there are.
        known: String,
    },
    /// A column has the name of one that each row of a sink has.
    #[error(
        "view '{view}' has a column '{column}', and so has each row of a sink, of its own: expected another name in the view"
    )]
    Column {
        /// The view.
        view: String,
        /// The name.
        column: String,
    },
    /// From the system: no thread, no folder.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl SinkError {
    pub(crate) fn no_view(views: &Views, view: &str) -> SinkError {
        let known = views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ");
        SinkError::NoView { view: view.to_owned(), known }
    }
}

/// Why a look ended before it was through.
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
