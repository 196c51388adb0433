//! A server on its own thread.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::http::StatusCode;
use axum::serve::Listener;
use dayfold::engine::Views;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::{App, Carried};
use crate::connection;
use crate::current::{Current, Replacing};
use crate::limits::Limits;
use crate::places::THREADS;
use crate::routes::router;
use crate::server::Server;

/// How long a stopping server waits for clients that do not take their answers.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// About how many unread bytes the system buffers for a client. Otherwise it would buffer megabytes for each client
/// that takes nothing, and answers would be made only to fill the buffers.
const UNTAKEN_BYTES: u32 = 64 << 10;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("{address} cannot be bound ({error}): name another port")]
    Bind {
        /// The address, if it is known.
        address: String,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// The system provides no thread, or no way to wait for connections.
    #[error("the server cannot be started: {error}")]
    Start {
        /// The error.
        #[source]
        error: io::Error,
    },
}

impl ServeError {
    /// Whether the address is in use.
    pub fn is_in_use(&self) -> bool {
        matches!(self, ServeError::Bind { error, .. } if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// A running server. Dropping it stops it as [`Serving::stop`] does.
///
/// ```
/// use dayfold_http::{ServeError, Server, Serving};
///
/// # fn main() -> Result<(), ServeError> {
/// let serving: Serving = Server::new("empty").serve("127.0.0.1:0")?;
/// let again = Server::new("another").serve(serving.address());
/// assert!(again.is_err_and(|error| error.is_in_use()));
/// serving.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    replacing: Replacing,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends live answers, answers waiting requests, and returns when that is done. Clients
    /// with an incomplete request are disconnected; so are those that do not take their answers within
    /// [`Limits::patience`](crate::Limits::patience) and five seconds. Call it before the engine is finished, because
    /// the engine has to answer.
    pub fn stop(mut self) {
        self.end();
    }

    /// Makes new requests wait until [`Serving::replace`], ends live answers, and returns when all other answers are
    /// given, at most after [`Limits::patience`](crate::Limits::patience) and five seconds. A request waits at most for
    /// that patience, and is then answered with 503 and `Retry-After`; nothing of it has entered. `/healthz` answers
    /// meanwhile. Call this before an engine is finished that another one is to replace.
    pub fn pause(&self) {
        self.replacing.pause(self.patience + LEAVE_WITHIN);
    }

    /// Serves something else from now on, at the same address: the views of another engine, other tokens, another
    /// certificate. Requests in progress are answered by the earlier one; live answers end, and clients request them
    /// again. The server's counters continue. Limits of connections do not change.
    ///
    /// ```
    /// use dayfold_http::Server;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let serving = Server::new("before").serve("127.0.0.1:0")?;
    /// serving.pause();
    /// // Here one engine is finished, and another one started.
    /// serving.replace(Server::new("after"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace(&self, server: Server) {
        self.replacing.replace(server);
    }

    /// Serves these views from now on, when a running engine has added or removed some: see
    /// [`ViewChanger`](dayfold::engine::ViewChanger). Requests, live answers and snapshots of the views that stay go on,
    /// and so does everything else. `units` has view, measure and unit, for the views that are new.
    ///
    /// ```
    /// use dayfold::engine::Running;
    /// use dayfold_http::Serving;
    ///
    /// fn changed(serving: &Serving, running: &Running) {
    ///     serving.change_views(&running.views(), &[("by-carrier", "mean_delay", "min")]);
    /// }
    /// ```
    pub fn change_views(&self, views: &Views, units: &[(&str, &str, &str)]) {
        self.replacing.change_views(views, &|served| {
            for (view, measure, unit) in units {
                if served.name() == *view {
                    served.set_unit(measure, unit);
                }
            }
        });
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        self.replacing.end();
        if let Some(thread) = self.thread.take() {
            // It has no result; a panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) fn serve(server: Server, address: impl ToSocketAddrs) -> Result<Serving, ServeError> {
    let resolve = |error| ServeError::Bind { address: "the address".to_owned(), error };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(resolve)?.collect();
    let named = || addresses.first().map_or_else(|| "no address".to_owned(), ToString::to_string);
    let bind = |error| ServeError::Bind { address: named(), error };
    let start = |error| ServeError::Start { error };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // These threads read requests and write large answers. Requests that wait for the engine need none, except
        // pushes with a key.
        .max_blocking_threads(THREADS)
        .thread_name("dayfold:http:write")
        .build()
        .map_err(start)?;
    let listener = {
        let _runtime = runtime.enter();
        bind_first(&addresses).map_err(bind)?
    };
    let address = listener.local_addr().map_err(bind)?;
    let (stop, stopping) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(server.limits.connections));
    let limits = server.limits.clone();
    let patience = limits.patience;
    let replacing = Replacing::new(server, address.ip().is_loopback());
    let current = replacing.current();
    let run = move || {
        let listening = listen(listener, current, stopping, limits, connections);
        if let Err(error) = runtime.block_on(listening) {
            tracing::error!(%error, "the server has ended");
        }
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("dayfold:http".to_owned()).spawn(run);
    Ok(Serving { address, stop, replacing, patience, thread: Some(thread.map_err(start)?) })
}

/// Listens on the first address that can be bound.
fn bind_first(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let bound = socket.and_then(|socket| {
            // As the standard library does: another program's connections that linger are not in the way.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            // Accepted connections inherit it.
            socket.set_send_buffer_size(UNTAKEN_BYTES)?;
            socket.bind(*address)?;
            socket.listen(BACKLOG)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn listen(
    mut listener: TcpListener,
    current: watch::Receiver<Current>,
    mut stopping: watch::Receiver<bool>,
    limits: Limits,
    room: Arc<Semaphore>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            // An error is a sender that is gone, and means the same.
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = Listener::accept(&mut listener) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // Answers are whole when they are sent; waiting for more would only make them late.
        let _ = stream.set_nodelay(true);
        match Arc::clone(&room).try_acquire_owned() {
            Ok(permit) => {
                let (current, stopping) = (current.clone(), stopping.clone());
                let times = (limits.read_head, limits.take);
                connections.spawn(async move {
                    connection::serve(stream, current, times, stopping).await;
                    drop(permit);
                });
            }
            Err(_) => drop(tokio::spawn(refuse(stream))),
        }
    }
    drop(listener);
    // First waiting requests get their time, and then clients that do not take their answers get theirs.
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.patience + LEAVE_WITHIN, all).await;
    Ok(())
}

async fn refuse(mut stream: TcpStream) {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = "{\"error\":{\"code\":\"too_many_connections\",\"message\":\"too many connections are \
                open already: try again\"}}";
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that is gone needs no answer.
    let _ = tokio::time::timeout(LEAVE_WITHIN, stream.write_all(text.as_bytes())).await;
}

impl Server {
    /// Binds an address and serves it on its own thread, until [`Serving::stop`].
    ///
    /// # Errors
    /// [`ServeError`] if the address is invalid or in use, or the system provides no thread.
    pub fn serve(self, address: impl ToSocketAddrs) -> Result<Serving, ServeError> {
        serve(self, address)
    }

    /// The routes, for a program with its own axum server. The program decides about connections. Everything else is as
    /// with [`Server::serve`] on an interface other than loopback: names must be set with [`Server::host`], and events
    /// need a [`Server::token`]. Live answers go on until the engine stops.
    pub fn router(self) -> axum::Router {
        let (stop, stopping) = tokio::sync::watch::channel(false);
        // Not stopped here: the program stops its own server.
        std::mem::forget(stop);
        router(App::new(self, stopping, false, Carried::default()))
    }
}
