//! Events from programs that push.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::body::{Received, receive};
use crate::error::ApiError;
use crate::guard::{check_may_push, check_token};
use crate::places::Threads;
use crate::routes::{self, App, Shared};
use dayfold::engine::{EngineState, Observer, OnceError, Pusher, WaitError};

/// Where events go whose type has been forgotten.
pub(crate) trait Sink: Send + Sync {
    /// Makes events of their JSON forms and pushes all of them, or none. With a key, they count once however
    /// often they come with it.
    ///
    /// # Errors
    /// 400 with the line if one is no good; 422 if the key came with other events; 503 if the engine has
    /// stopped, or the time is over.
    fn push(
        self: Arc<Self>,
        body: Bytes,
        media: Media,
        key: Option<String>,
        limit: Duration,
    ) -> Accepting;

    /// Whether it reads events that are written so.
    fn reads(&self, media: Media) -> bool;
}

/// How the events of a request are written.
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

/// Events of a body, each with the number of its line; or what is wrong with a line.
pub type Lines<E> = Result<Vec<(usize, E)>, (usize, String)>;

/// What became of a request.
pub(crate) struct Accepted {
    events: u64,
    durable: bool,
    /// Its events were in before.
    repeated: bool,
}

/// Events on their way.
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
        key: Option<String>,
        limit: Duration,
    ) -> Accepting {
        Box::pin(async move {
            let until = Instant::now() + limit;
            // A large body takes a while to read, and `read` is the program's.
            let thread = timeout_at(until, Arc::clone(&self.threads.readers).acquire_owned()).await;
            let Ok(Ok(thread)) = thread else { return Err(no_room(limit)) };
            let reader = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || {
                let _thread = thread;
                reader.events(&body, media)
            });
            let events = read.await.unwrap_or_else(|_| Err(ApiError::panicked()))?;
            let (lines, events): (Vec<usize>, Vec<E>) = events.into_iter().unzip();
            let Some(key) = key else { return self.enter(events, limit).await };
            let thread = timeout_at(until, Arc::clone(&self.threads.keyed).acquire_owned()).await;
            let Ok(Ok(thread)) = thread else { return Err(no_room(limit)) };
            let pusher = self.pusher.clone();
            let push = move || {
                // Held for as long as the thread is, whether somebody still waits or not.
                let _thread = thread;
                let left = until.saturating_duration_since(Instant::now());
                pusher.push_once(&key, events, left)
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
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
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

/// `POST /api/events`.
pub(crate) async fn post(
    State(app): Shared,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    check_may_push(&app)?;
    check_token(app.token.as_deref(), &headers)?;
    let Some(sink) = app.events.clone() else {
        let message = "this server takes no events";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_events", message));
    };
    take(&app, sink, &headers, request).await
}

/// `POST /api/sources/{name}/events`.
pub(crate) async fn post_to(
    State(app): Shared,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    check_may_push(&app)?;
    check_token(app.token.as_deref(), &headers)?;
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let found = app.sources.iter().find(|(known, _)| *known == name);
    let Some((_, sink)) = found else {
        let names = app.sources.iter().map(|(known, _)| known.as_str());
        let message = format!("there is no source '{name}' that takes events");
        return Err(ApiError::missing("no_such_source", message, names));
    };
    take(&app, Arc::clone(sink), &headers, request).await
}

/// Takes the events of a request.
async fn take(
    app: &Arc<App>,
    sink: Arc<dyn Sink>,
    headers: &HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency_key(headers)?;
    let media = media(headers, &*sink)?;
    // Its bytes are counted until the request is answered: the events are somewhere until then.
    let Received { bytes, reserved: _reserved } = receive(app, request).await?;
    if app.observer.as_ref().map(Observer::state) == Some(EngineState::Recovering) {
        let message = "what was before the program started is not all in yet; nothing of the \
                       request has entered";
        return Err(ApiError::unavailable("recovering", message));
    }
    let (_place, limit) = (app.places.push()?, app.limits.patience);
    let Accepted { events, durable, repeated } = sink.push(bytes, media, key, limit).await?;
    app.metrics.accepted(if repeated { 0 } else { events as usize });
    let answer = json!({ "accepted": events, "durable": durable, "repeated": repeated });
    Ok(routes::json(answer.to_string().into_bytes()))
}

/// How the events are written.
fn media(headers: &HeaderMap, sink: &dyn Sink) -> Result<Media, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("application/json") {
        return Ok(Media::Json);
    }
    if is("application/x-ndjson") || is("application/jsonl") {
        return Ok(Media::JsonLines);
    }
    if is("text/csv") && sink.reads(Media::Csv) {
        return Ok(Media::Csv);
    }
    let csv = if sink.reads(Media::Csv) { ", or text/csv with a header" } else { "" };
    let message = format!(
        "expected the content type application/json for one event, or application/x-ndjson for one on each line{csv}"
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiError::new(status, "unsupported_media_type", message))
}

/// The key of a request, with or without the quotation marks that the draft of the IETF asks for.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(|| {
        let message = "expected one idempotency key, of ASCII characters; nothing has entered";
        ApiError::new(StatusCode::BAD_REQUEST, "bad_idempotency_key", message)
    })?;
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Ok(Some(quoted.unwrap_or(key).to_owned()))
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
