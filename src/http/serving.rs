//! A server on a thread of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::http::StatusCode;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Server;
use super::routes::{App, router};

/// How long a server that stops waits for those who do not take their answers.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("{address} cannot be bound ({error}): name another port")]
    Bind {
        /// The address, as far as it is known.
        address: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The system gives no thread, or no way to wait for connections.
    #[error("the server cannot be started: {error}")]
    Start {
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl ServeError {
    /// Whether somebody else has the address.
    pub fn is_in_use(&self) -> bool {
        matches!(self, ServeError::Bind { error, .. } if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// A server at work. Dropped, it stops as with [`Serving::stop`].
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends live answers, answers what was asked, and returns when that is
    /// done. Those who do not take their answers within five seconds are cut off. To be called before the
    /// engine is finished, which has to answer.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
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

pub(super) fn serve(server: Server, address: impl ToSocketAddrs) -> Result<Serving, ServeError> {
    let resolve = |error| ServeError::Bind { address: "the address".to_owned(), error };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(resolve)?.collect();
    let named = || addresses.first().map_or_else(|| "no address".to_owned(), ToString::to_string);
    let bind = |error| ServeError::Bind { address: named(), error };
    let listener = TcpListener::bind(addresses.as_slice()).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let start = |error| ServeError::Start { error };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Whoever waits for the engine sits on one of these.
        .max_blocking_threads(server.limits.waiting.max(1))
        .thread_name("dayfold:http:ask")
        .build()
        .map_err(start)?;
    let (stop, stopping) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(server.limits.connections));
    let app = App::new(server, stopping, address.ip().is_loopback());
    let run = move || {
        if let Err(error) = runtime.block_on(listen(listener, app, connections)) {
            tracing::error!(%error, "the server has ended");
        }
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("dayfold:http".to_owned()).spawn(run);
    Ok(Serving { address, stop, thread: Some(thread.map_err(start)?) })
}

async fn listen(listener: TcpListener, app: Arc<App>, room: Arc<Semaphore>) -> io::Result<()> {
    let listener = Bounded { listener: tokio::net::TcpListener::from_std(listener)?, room };
    let (mut stopping, mut late) = (app.stopping.clone(), app.stopping.clone());
    let stopped = async move {
        // An error is a sender that is gone, and means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let serve = axum::serve(listener, router(app)).with_graceful_shutdown(stopped);
    tokio::select! {
        served = serve => served,
        () = async {
            let _ = late.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(LEAVE_WITHIN).await;
        } => Ok(()),
    }
}

/// Accepts so many connections, and refuses others in words.
struct Bounded {
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // Answers are whole when they are sent; waiting for more would only make them late.
            let _ = stream.set_nodelay(true);
            match Arc::clone(&self.room).try_acquire_owned() {
                Ok(permit) => return (Connection { stream, _permit: permit }, address),
                Err(_) => drop(tokio::spawn(refuse(stream))),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
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
    // Who is gone already needs no answer.
    let _ = tokio::time::timeout(LEAVE_WITHIN, stream.write_all(text.as_bytes())).await;
}

/// A connection that counts as long as it is open.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
