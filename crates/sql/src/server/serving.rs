//! A server on its own threads, for programs without a runtime.

use std::net::SocketAddr;

use super::{Access, Server, ServerError};
use crate::Sql;
use crate::threads::Threads;

/// A server that runs until this is dropped.
#[must_use = "dropped, it stops the server"]
pub struct Serving {
    address: SocketAddr,
    _threads: Threads,
}

impl Serving {
    /// Listens on an address, and serves on its own threads; port 0 is any free one.
    ///
    /// # Errors
    /// As [`Server::bind`], or [`ServerError::Threads`].
    pub fn start(sql: Sql, address: SocketAddr, access: Access) -> Result<Serving, ServerError> {
        let threads = Threads::start().map_err(|error| ServerError::Threads { error })?;
        let server = threads.block_on(Server::bind(sql, address, access))?;
        let bound = server.address().map_err(|error| ServerError::Listen { address, error })?;
        threads.spawn(server.run());
        Ok(Serving { address: bound, _threads: threads })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("address", &self.address).finish_non_exhaustive()
    }
}
