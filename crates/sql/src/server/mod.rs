//! PostgreSQL's protocol, for psql, drivers, and everything that uses them.
//!
//! A server speaks the simple and the extended protocol, with prepared statements, parameters, cursors, cancellation
//! and `COPY … TO STDOUT`, in text and binary. It is read-only. Clients on other machines need a password
//! (SCRAM-SHA-256) and, if the program has a certificate, TLS.

mod auth;
mod command;
mod copy;
mod cursor;
mod encode;
mod error;
mod handler;
mod parameters;
mod serving;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgwire::api::cancel::DefaultCancelHandler;
use pgwire::api::{ConnectionManager, PgWireServerHandlers};
use pgwire::tokio::{TlsAcceptor, process_socket};
use tokio::net::TcpListener;

pub use auth::{Users, UsersError};
pub use error::ServerError;
pub use serving::Serving;

use crate::Sql;
use auth::Startup;
use handler::Queries;

/// The maximum number of connections; further ones are refused with the reason.
const CONNECTIONS_MAX: usize = 200;

/// Who may connect to a server, and how.
#[derive(Clone, Default)]
pub struct Access {
    users: Option<Arc<Users>>,
    tls: Option<TlsAcceptor>,
}

impl Access {
    /// Accepts any user name without a password, on loopback addresses only.
    pub fn open() -> Access {
        Access::default()
    }

    /// Accepts users with passwords.
    pub fn users(users: Users) -> Access {
        Access { users: Some(Arc::new(users)), tls: None }
    }

    /// Adds TLS for clients that want it, with a certificate (and its chain) and its key, both as PEM. Clients on other
    /// machines have to use it.
    ///
    /// # Errors
    /// [`ServerError::Certificate`].
    pub fn tls(self, certificates: &[u8], key: &[u8]) -> Result<Access, ServerError> {
        Ok(Access { tls: Some(auth::acceptor(certificates, key)?), ..self })
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("users", &self.users)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// The state that its connections share.
struct Shared {
    sql: Sql,
    access: Access,
    connections: Arc<ConnectionManager>,
    open: AtomicUsize,
}

impl Server {
    /// Listens on an address; port 0 is any free one.
    ///
    /// # Errors
    /// [`ServerError::Open`]: the address is not loopback, and there are no users. [`ServerError::Listen`].
    pub async fn bind(
        sql: Sql,
        address: SocketAddr,
        access: Access,
    ) -> Result<Server, ServerError> {
        if access.users.is_none() && !address.ip().is_loopback() {
            return Err(ServerError::Open { address });
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| ServerError::Listen { address, error })?;
        let connections = Arc::new(ConnectionManager::new());
        let shared = Shared { sql, access, connections, open: AtomicUsize::new(0) };
        Ok(Server { listener, shared: Arc::new(shared) })
    }

    /// The address.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped. Statements of open connections are then stopped.
    pub async fn run(self) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        let shared = Arc::clone(&self.shared);
                        connections.spawn(async move {
                            let connection = Connection::new(&shared);
                            let tls = shared.access.tls.clone();
                            if let Err(error) = process_socket(socket, tls, connection).await {
                                tracing::debug!("a connection of PostgreSQL's protocol ended: {error}");
                            }
                        });
                    }
                    // For example, there are too many open files; connections that end make room.
                    Err(error) => {
                        tracing::warn!("a connection could not be accepted: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// The handlers of a connection.
struct Connection {
    shared: Arc<Shared>,
    startup: Arc<Startup>,
    queries: Arc<Queries>,
    cancel: Arc<DefaultCancelHandler>,
}

impl Connection {
    fn new(shared: &Arc<Shared>) -> Connection {
        let is_full = shared.open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX;
        let connections = &shared.connections;
        let must_use_tls = shared.access.tls.is_some();
        let startup = Startup::new(shared.access.users.clone(), connections, is_full, must_use_tls);
        Connection {
            shared: Arc::clone(shared),
            startup: Arc::new(startup),
            queries: Arc::new(Queries::new(shared.sql.clone())),
            cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(connections))),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl pgwire::api::query::SimpleQueryHandler> {
        Arc::clone(&self.queries)
    }

    fn extended_query_handler(&self) -> Arc<impl pgwire::api::query::ExtendedQueryHandler> {
        Arc::clone(&self.queries)
    }

    fn startup_handler(&self) -> Arc<impl pgwire::api::auth::StartupHandler> {
        Arc::clone(&self.startup)
    }

    fn cancel_handler(&self) -> Arc<impl pgwire::api::cancel::CancelHandler> {
        Arc::clone(&self.cancel)
    }
}
