//! A server on threads of its own, for programs without a runtime.

use std::net::SocketAddr;

use tokio::runtime::{Builder, Runtime};

use super::{Access, Server, ServerError};
use crate::Sql;

/// Threads that run statements and plan them.
const THREADS: usize = 2;

/// A server that runs until this is dropped.
#[must_use = "dropped, it stops the server"]
pub struct Serving {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Serving {
    /// Listens on an address, and serves on threads of its own; port 0 is any free one.
    ///
    /// # Errors
    /// As [`Server::bind`], or [`ServerError::Threads`].
    pub fn start(sql: Sql, address: SocketAddr, access: Access) -> Result<Serving, ServerError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("dayfold-sql")
            .enable_all()
            .build()
            .map_err(|error| ServerError::Threads { error })?;
        let server = runtime.block_on(Server::bind(sql, address, access))?;
        let bound = server.address().map_err(|error| ServerError::Listen { address, error })?;
        runtime.spawn(server.run());
        Ok(Serving { address: bound, runtime: Some(runtime) })
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

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Statements that run are stopped where they wait next.
            runtime.shutdown_background();
        }
    }
}
