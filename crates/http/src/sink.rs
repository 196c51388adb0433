//! The destination of pushed events, without their type.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::Xxh3Default;

use crate::error::ApiError;
use crate::places::Threads;
use dayfold::engine::{OnceError, Pusher, WaitError};

/// A destination of events with erased types.
pub(crate) trait Sink: Send + Sync {
    /// Makes events of their JSON forms and pushes all of them, or none. With a key, they count once, however often
    /// they are sent with it.
    ///
    /// # Errors
    /// 400 with the line if an event is wrong; 422 if the key came with another body; 503 if the engine has stopped, or
    /// the time is over.
    fn push(
        self: Arc<Self>,
        body: Bytes,
        media: Media,
        key: Option<IdempotencyKey>,
        limit: Duration,
    ) -> Accepting;

    /// Whether it reads events in this format.
    fn reads(&self, media: Media) -> bool;
}

/// The key of a request that counts once, and where the request goes.
pub(crate) struct IdempotencyKey {
    pub(crate) key: String,
    pub(crate) path: String,
}

impl IdempotencyKey {
    /// A digest by which the request is known when it comes again. Its events are not compared: which columns they have
    /// depends on the views, which may have changed since.
    fn digest(&self, media: Media, body: &[u8]) -> u128 {
        let mut hasher = Xxh3Default::new();
        hasher.update(self.path.as_bytes());
        hasher.update(&[0, media as u8]);
        hasher.update(body);
        hasher.digest128()
    }
}

/// The format of a request's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Media {
    /// One event in JSON: `application/json`.
    Json,
    /// An event on each line: `application/x-ndjson`.
    JsonLines,
    /// CSV with a header: `text/csv`.
    Csv,
}

/// Events of a body, each with the number of its line; or the error of a line.
///
/// ```
/// use dayfold_http::{Lines, Media};
///
/// /// Reads a body of numbers, one a line, or says which line is wrong.
/// fn numbers(body: &[u8], media: Media) -> Lines<u64> {
///     if matches!(media, Media::Json) {
///         return Err((1, "expected lines".to_owned()));
///     }
///     let text = std::str::from_utf8(body).map_err(|error| (1, error.to_string()))?;
///     let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
///     lines.map(|(at, line)| match line.parse() {
///         Ok(number) => Ok((at, number)),
///         Err(error) => Err((at, format!("{error}"))),
///     }).collect()
/// }
/// assert_eq!(numbers(b"4\n5\n", Media::JsonLines), Ok(vec![(1, 4), (2, 5)]));
/// assert!(numbers(b"4\nfive\n", Media::JsonLines).is_err_and(|(line, _)| line == 2));
/// ```
pub type Lines<E> = Result<Vec<(usize, E)>, (usize, String)>;

/// The result of a request.
pub(crate) struct Accepted {
    pub(crate) events: u64,
    pub(crate) durable: bool,
    /// Its events had been accepted before.
    pub(crate) repeated: bool,
}

/// Events that are being pushed.
pub(crate) type Accepting = BoxFuture<'static, Result<Accepted, ApiError>>;

pub(crate) struct TypedSink<E, F> {
    pusher: Pusher<E>,
    read: F,
    reads_csv: bool,
    threads: Arc<Threads>,
}

/// Reads bodies of JSON with a function of one event.
pub(crate) fn of_json<E>(
    of_json: impl Fn(&Value) -> Result<E, String>,
) -> impl Fn(&[u8], Media) -> Lines<E> {
    move |body, media| {
        let event = |(line, json): (usize, Value)| match of_json(&json) {
            Ok(event) => Ok((line, event)),
            Err(reason) => Err((line, reason)),
        };
        read(body, media == Media::JsonLines)?.into_iter().map(event).collect()
    }
}

impl<E, F> TypedSink<E, F>
where
    E: Send + 'static,
    F: Fn(&[u8], Media) -> Lines<E>,
{
    pub(crate) fn new(
        pusher: Pusher<E>,
        read: F,
        reads_csv: bool,
        threads: Arc<Threads>,
    ) -> TypedSink<E, F> {
        TypedSink { pusher, read, reads_csv, threads }
    }

    fn events(&self, body: &[u8], media: Media) -> Result<Vec<(usize, E)>, ApiError> {
        let bad = |(line, reason): (usize, String)| bad_line(line, &reason);
        let events = (self.read)(body, media).map_err(bad)?;
        if events.is_empty() {
            return Err(bad_line(1, "expected at least one event"));
        }
        for (line, event) in &events {
            self.pusher.check(event).map_err(|refusal| bad_line(*line, &refusal.to_string()))?;
        }
        Ok(events)
    }

    async fn enter(&self, events: Vec<E>, limit: Duration) -> Result<Accepted, ApiError> {
        let (count, until) = (events.len(), Instant::now() + limit);
        let Ok(pushed) = timeout_at(until, self.pusher.push_async(events)).await else {
            let message = format!(
                "the engine has had no room for {limit:?}, because it is behind or a view is near its bounds; \
                 nothing of the request has entered"
            );
            return Err(ApiError::unavailable("busy", message));
        };
        let pushed = pushed.map_err(|error| ApiError::unavailable("stopped", error.to_string()))?;
        let receipt = pushed.receipt;
        let entered = async {
            match receipt.both().await {
                Ok(()) => Ok(true),
                Err(WaitError::NotPromised) => receipt.visible().await.map(|()| false),
                Err(error) => Err(error),
            }
        };
        let entered = timeout_at(until, entered).await;
        let entered = entered.unwrap_or(Err(WaitError::TimedOut { limit }));
        let durable = entered.map_err(|error| {
            let message =
                format!("{count} events were taken, and what became of them is not known: {error}");
            ApiError::unavailable("not_known", message)
        })?;
        Ok(Accepted { events: count as u64, durable, repeated: false })
    }
}

impl<E, F> Sink for TypedSink<E, F>
where
    E: Send + Sync + 'static,
    F: Fn(&[u8], Media) -> Lines<E> + Send + Sync + 'static,
{
    fn push(
        self: Arc<Self>,
        body: Bytes,
        media: Media,
        key: Option<IdempotencyKey>,
        limit: Duration,
    ) -> Accepting {
        Box::pin(async move {
            let until = Instant::now() + limit;
            // A large body takes a while to read, and `read` is the program's function.
            let thread = timeout_at(until, Arc::clone(&self.threads.readers).acquire_owned()).await;
            let Ok(Ok(thread)) = thread else { return Err(no_room(limit)) };
            let reader = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || {
                let _thread = thread;
                let keyed = key.map(|key| (key.digest(media, &body), key.key));
                reader.events(&body, media).map(|events| (events, keyed))
            });
            let (events, keyed) = read.await.unwrap_or_else(|_| Err(ApiError::panicked()))?;
            let (lines, events): (Vec<usize>, Vec<E>) = events.into_iter().unzip();
            let Some((digest, key)) = keyed else { return self.enter(events, limit).await };
            let thread = timeout_at(until, Arc::clone(&self.threads.keyed).acquire_owned()).await;
            let Ok(Ok(thread)) = thread else { return Err(no_room(limit)) };
            let pusher = self.pusher.clone();
            let push = move || {
                // Held for as long as the thread is, even if nobody waits any more.
                let _thread = thread;
                let left = until.saturating_duration_since(Instant::now());
                pusher.push_request_once(&key, digest, events, left)
            };
            let pushed = tokio::task::spawn_blocking(push).await;
            let once = pushed.map_err(|_| ApiError::panicked())?;
            let once = once.map_err(|error| once_error(&error, &lines))?;
            Ok(Accepted { events: once.events, durable: true, repeated: once.repeated })
        })
    }

    fn reads(&self, media: Media) -> bool {
        media != Media::Csv || self.reads_csv
    }
}

fn no_room(limit: Duration) -> ApiError {
    let message = format!("there was no room within {limit:?}; nothing has entered");
    ApiError::unavailable("busy", message)
}

/// A refusal of a request with a key.
fn once_error<E>(error: &OnceError<E>, lines: &[usize]) -> ApiError {
    let message = error.to_string();
    let bad = |code, message| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    match error {
        OnceError::Key { .. } => bad("bad_idempotency_key", message),
        OnceError::NotPromised { .. } => {
            let message = "idempotency keys need a log that promises that events are durable, which this \
                           server has not: send the request without one";
            bad("idempotency_unsupported", message.to_owned())
        }
        OnceError::Refused { at, reason, .. } => bad_line(lines[*at], &reason.to_string()),
        OnceError::Encode { .. } => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "not_encoded", message)
        }
        OnceError::Reused => {
            let message = "the key has come before with another path, content type or body; nothing of this request has \
                           entered";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            ApiError::new(status, "idempotency_key_reused", message.to_owned())
        }
        OnceError::Full { .. } => ApiError::unavailable("busy", message),
        OnceError::Stopped { .. } => ApiError::unavailable("stopped", message),
        _ => ApiError::unavailable("not_known", message),
    }
}

fn bad_line(line: usize, reason: &str) -> ApiError {
    let message = format!("line {line}: {reason}; nothing of the request has entered");
    ApiError::new(StatusCode::BAD_REQUEST, "bad_event", message).with("line", json!(line))
}

/// The JSON values of a body, each with the number of its line.
fn read(body: &[u8], in_lines: bool) -> Lines<Value> {
    let value = |line: usize, text: &[u8]| {
        let value = serde_json::from_slice::<Value>(text);
        value.map(|value| (line, value)).map_err(|error| {
            (line, format!("expected an event in JSON, found something else ({error})"))
        })
    };
    if !in_lines {
        return Ok(vec![value(1, body)?]);
    }
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, text)| !text.trim_ascii().is_empty());
    lines.map(|(at, text)| value(at + 1, text)).collect()
}
