//! Request bodies: how much of them is read, and for how long.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;
use crate::places::Reserved;

/// A body of unknown length reserves its bytes in steps of this many.
const PIECE: usize = 64 << 10;

/// How long the rest of a refused body is read and dropped. Otherwise a client that is still sending would not read the
/// answer.
const DISCARD_WITHIN: Duration = Duration::from_secs(2);

/// A whole body. Its bytes count until it is dropped.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) reserved: Reserved,
}

/// Reads a body within a time limit and within the bytes for all bodies, unless the server is stopping.
///
/// # Errors
/// 408, 413, 503, and 400 for a body that ends before it should.
pub(crate) async fn receive(app: &App, request: Request) -> Result<Received, ApiError> {
    let mut body = Reading::new(app, request);
    let mut stopping = app.stopping.clone();
    let read = tokio::select! {
        biased;
        read = timeout(app.limits.read_body, body.read()) => read,
        _ = stopping.wait_for(|stopping| *stopping) => {
            let message = "the server stops; nothing of the request has entered";
            return Err(ApiError::unavailable("stopping", message));
        }
    };
    match read {
        Ok(Ok(())) => Ok(Received { bytes: body.bytes.into(), reserved: body.reserved }),
        Ok(Err(error)) => {
            let discard = discard(body.stream, body.most);
            drop(tokio::spawn(timeout(DISCARD_WITHIN, discard)));
            Err(error)
        }
        Err(_) => {
            let within = app.limits.read_body;
            let message = format!("expected the whole body within {within:?}");
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message))
        }
    }
}

/// A body that is being read.
struct Reading {
    stream: BodyDataStream,
    /// The least length that it states.
    declared: u64,
    most: usize,
    bytes: Vec<u8>,
    reserved: Reserved,
}

impl Reading {
    fn new(app: &App, request: Request) -> Reading {
        let body = request.into_body();
        Reading {
            declared: body.size_hint().lower(),
            stream: body.into_data_stream(),
            // A length that can never be reserved is too large.
            most: app.limits.body.min(app.limits.bodies),
            bytes: Vec::new(),
            reserved: Reserved::nothing(&app.places.bodies),
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        let declared = usize::try_from(self.declared).unwrap_or(usize::MAX);
        self.make_room(declared, declared)?;
        while let Some(piece) = self.stream.next().await {
            let piece = piece.map_err(|_| {
                let message = "the body could not be read";
                ApiError::new(StatusCode::BAD_REQUEST, "bad_body", message)
            })?;
            self.make_room(piece.len(), PIECE)?;
            // Copied, because each small piece would otherwise hold a whole buffer.
            self.bytes.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Reserves room for `more` bytes before they are taken, in large steps so that this is rare.
    fn make_room(&mut self, more: usize, at_once: usize) -> Result<(), ApiError> {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.most {
            let message = format!("expected a body of at most {} bytes", self.most);
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
        }
        let reserved = self.reserved.bytes();
        if needed <= reserved {
            return Ok(());
        }
        let room = needed.max(reserved + at_once).min(self.most);
        if !self.reserved.extend(room - reserved) {
            let message = "other bodies take all bytes that this server has for them: try again; nothing of \
                           the request has entered";
            return Err(ApiError::unavailable("busy", message));
        }
        self.bytes.reserve_exact(room - self.bytes.len());
        Ok(())
    }
}

async fn discard(mut stream: BodyDataStream, most: usize) {
    let mut left = most;
    while let Some(Ok(piece)) = stream.next().await {
        let Some(less) = left.checked_sub(piece.len()) else { return };
        left = less;
    }
}
