//! Errors that prevent a server from starting, and how errors are sent to clients.

use std::net::SocketAddr;

use datafusion::error::DataFusionError;
use dayfold::scan::ScanError;
use pgwire::error::{ErrorInfo, PgWireError};

use crate::SqlError;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Anybody could read everything.
    #[error(
        "{address} can be reached from other machines, and there are no users: give a users file, or listen on 127.0.0.1"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The server cannot listen on the address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The system has no threads for it.
    #[error("no threads to serve on: {error}")]
    Threads {
        /// The error of the system.
        error: std::io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("the certificate or its key cannot be used: {why}")]
    Certificate {
        /// The reason.
        why: String,
    },
}

/// An error with one of PostgreSQL's codes.
pub(super) fn of_code(code: &str, message: impl Into<String>) -> PgWireError {
    let info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into());
    PgWireError::UserError(Box::new(info))
}

/// An error that ends the connection.
pub(super) fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    let info = ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into());
    PgWireError::UserError(Box::new(info))
}

impl From<SqlError> for PgWireError {
    fn from(error: SqlError) -> PgWireError {
        let code = match &error {
            SqlError::Plan(inner) => match inner.find_root() {
                DataFusionError::SQL(..) => "42601",
                DataFusionError::SchemaError(..) => "42703",
                DataFusionError::NotImplemented(_) => "0A000",
                DataFusionError::Plan(message) if message.contains("table") => "42P01",
                _ => "42000",
            },
            SqlError::ReadOnly { .. } => "25006",
            SqlError::NotOne { .. } => "42601",
            SqlError::Parameters { .. } => "08P01",
            SqlError::Failed(inner) => match inner.find_root() {
                DataFusionError::ResourcesExhausted(_) => "53200",
                DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => "22000",
                DataFusionError::NotImplemented(_) => "0A000",
                _ => "XX000",
            },
            SqlError::View(ScanError::Busy { .. }) | SqlError::Busy { .. } => "53400",
            SqlError::View(_) | SqlError::Folder(_) | SqlError::Threads { .. } => "57P03",
            SqlError::TimedOut { .. } => "57014",
            SqlError::TooManyRows { .. } => "54000",
            SqlError::Taken { .. } => "42P07",
        };
        of_code(code, error.to_string())
    }
}
