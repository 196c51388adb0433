//! One connection: its requests, one after the other, until it or the server ends.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::StreamExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::current::{Current, Turn};

/// The bytes of a connection in memory, besides bodies: a longer head is answered with 431, and the next piece of an
/// answer is not made while this much of it waits to be taken.
const BUFFERED_BYTES: usize = 16 << 10;

/// Serves a connection, with TLS if configured. When the server stops, complete requests are still answered; it does
/// not wait for incomplete ones.
pub(crate) async fn serve(
    #[cfg_attr(not(feature = "tls"), expect(unused_mut))] mut stream: TcpStream,
    current: watch::Receiver<Current>,
    (read_head, take): (Duration, Duration),
    #[cfg_attr(not(feature = "tls"), expect(unused_mut))] mut stopping: watch::Receiver<bool>,
) {
    let work = Arc::new(Work::default());
    let security = current.borrow().security.clone();
    // TLS is above this layer: bytes that it buffers for a client that takes nothing are treated like ours.
    let watched = |stream| Watched { stream, work: Arc::clone(&work), take, untaken: None };
    #[cfg(feature = "tls")]
    if let Some(tls) = security.tls {
        let begin = async {
            if !tls.is_begun(&mut stream, read_head).await {
                return None;
            }
            tls.accept(watched(stream), read_head).await
        };
        let begun = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => None,
            begun = begin => begun,
        };
        if let Some(stream) = begun {
            serve_stream(stream, &work, current, read_head, stopping).await;
        }
        return;
    }
    #[cfg(not(feature = "tls"))]
    let crate::current::Security {} = security;
    serve_stream(watched(stream), &work, current, read_head, stopping).await;
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    work: &Arc<Work>,
    current: watch::Receiver<Current>,
    read_head: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let at_work = Arc::clone(work);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (begun, mut current) = (Request::begin(&at_work), current.clone());
        async move {
            let Turn { router, going } = Current::turn(&mut current, request.uri().path()).await;
            let response = TowerToHyperService::new(router).call(request).await;
            response.map(|response| begun.with(response, going))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read_head)
        .max_buf_size(BUFFERED_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // How a connection ends is its client's affair.
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => connection.as_mut().graceful_shutdown(),
    }
    // It is polled once more, because a request may be there already.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = std::future::ready(()), if !work.is_any() => {}
    }
    if work.is_any() {
        let _ = connection.await;
    }
}

/// Why a connection is not closed.
#[derive(Default)]
struct Work {
    requests: AtomicUsize,
    /// Whether written bytes still wait to be taken by the client.
    is_untaken: AtomicBool,
}

impl Work {
    fn is_any(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0 || self.is_untaken.load(Ordering::Relaxed)
    }
}

/// A request that is being answered.
struct Request(Arc<Work>);

impl Request {
    fn begin(work: &Arc<Work>) -> Request {
        work.requests.fetch_add(1, Ordering::Relaxed);
        Request(Arc::clone(work))
    }

    /// Continues for as long as the response does, and so does `going`. A response of known length is written at once.
    fn with(self, response: Response, going: Arc<()>) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |data| {
                let _going_on = (&self, &going);
                data
            }))
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes whether the client takes the written bytes.
struct Watched {
    stream: TcpStream,
    work: Arc<Work>,
    take: Duration,
    /// Runs while the client takes nothing.
    untaken: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn note<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.work.is_untaken.store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_ready() {
            self.untaken = None;
            return polled;
        }
        let take = self.take;
        let untaken = self.untaken.get_or_insert_with(|| Box::pin(tokio::time::sleep(take)));
        // This wakes the connection when the time is over.
        match untaken.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(context, polled)
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
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
