//! Events from programs that push.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::ApiError;
use super::guard::check_token;
use super::routes::{self, App, Shared};
use crate::engine::{EngineState, Observer, Pusher, WaitError};

/// Where events go whose type has been forgotten.
pub(super) trait Sink: Send + Sync {
    /// Makes events of their JSON forms and pushes all of them, or none. Returns how many there were, and
    /// whether they are durable.
    ///
    /// # Errors
    /// 400 with the line if one is no good; 503 if the engine has stopped, or the time is over.
    fn push(self: Arc<Self>, body: Bytes, in_lines: bool, limit: Duration) -> Accepting;
}

/// Events on their way.
pub(super) type Accepting = BoxFuture<'static, Result<(usize, bool), ApiError>>;

pub(super) struct TypedSink<E, F> {
    pusher: Pusher<E>,
    of_json: F,
}

impl<E, F> TypedSink<E, F>
where
    E: Send + 'static,
    F: Fn(&Value) -> Result<E, String>,
{
    pub(super) fn new(pusher: Pusher<E>, of_json: F) -> TypedSink<E, F> {
        TypedSink { pusher, of_json }
    }

    fn events(&self, body: &[u8], in_lines: bool) -> Result<Vec<E>, ApiError> {
        let event = |(line, json): (usize, Value)| {
            let event = (self.of_json)(&json).map_err(|reason| bad_line(line, &reason))?;
            match self.pusher.believes(&event) {
                true => Ok(event),
                false => Err(bad_line(line, "the event is too far ahead of the wall clock")),
            }
        };
        read(body, in_lines)?.into_iter().map(event).collect()
    }

    async fn enter(&self, events: Vec<E>, limit: Duration) -> Result<(usize, bool), ApiError> {
        let (count, until) = (events.len(), Instant::now() + limit);
        let Ok(pushed) = timeout_at(until, self.pusher.push_async(events)).await else {
            let message = format!(
                "the engine has had no room for {limit:?}; nothing of the request has entered"
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
        Ok((count, durable))
    }
}

impl<E, F> Sink for TypedSink<E, F>
where
    E: Send + 'static,
    F: Fn(&Value) -> Result<E, String> + Send + Sync + 'static,
{
    fn push(self: Arc<Self>, body: Bytes, in_lines: bool, limit: Duration) -> Accepting {
        Box::pin(async move {
            // A large body takes a while to read, and `of_json` is the program's.
            let reader = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || reader.events(&body, in_lines));
            let events = read.await.unwrap_or_else(|_| Err(ApiError::panicked()))?;
            self.enter(events, limit).await
        })
    }
}

fn bad_line(line: usize, reason: &str) -> ApiError {
    let message = format!("line {line}: {reason}; nothing of the request has entered");
    ApiError::new(StatusCode::BAD_REQUEST, "bad_event", message).with("line", json!(line))
}

/// `POST /api/events`.
pub(super) async fn post(
    State(app): Shared,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    check_token(app.token.as_deref(), &headers)?;
    let Some(sink) = app.events.clone() else {
        let message = "this server takes no events";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_events", message));
    };
    if headers.contains_key("idempotency-key") {
        let message = "idempotency keys are not supported: send the request without one";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "idempotency_unsupported", message));
    }
    let in_lines = in_lines(&headers)?;
    let body = body(&app, request).await?;
    if app.observer.as_ref().map(Observer::state) == Some(EngineState::Recovering) {
        let message = "what was before the program started is not all in yet; nothing of the \
                       request has entered";
        return Err(ApiError::unavailable("recovering", message));
    }
    let (_permit, limit) = (app.place()?, app.limits.patience);
    let (accepted, durable) = sink.push(body, in_lines, limit).await?;
    app.metrics.accepted(accepted);
    let answer = json!({ "accepted": accepted, "durable": durable, "repeated": false });
    Ok(routes::json(answer.to_string().into_bytes()))
}

/// Whether there is an event on each line.
fn in_lines(headers: &HeaderMap) -> Result<bool, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("application/json") {
        return Ok(false);
    }
    if is("application/x-ndjson") || is("application/jsonl") {
        return Ok(true);
    }
    let message = "expected the content type application/json for one event, or \
                   application/x-ndjson for one on each line";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiError::new(status, "unsupported_media_type", message))
}

/// Reads a body: within a time, and not while the server stops.
async fn body(app: &App, request: Request) -> Result<Bytes, ApiError> {
    let mut stopping = app.stopping.clone();
    let read = tokio::select! {
        biased;
        read = timeout(app.limits.read_body, Bytes::from_request(request, &())) => read,
        _ = stopping.wait_for(|stopping| *stopping) => {
            let message = "the server stops; nothing of the request has entered";
            return Err(ApiError::unavailable("stopping", message));
        }
    };
    let Ok(read) = read else {
        let within = app.limits.read_body;
        let message = format!("expected the whole body within {within:?}");
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message));
    };
    read.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("expected a body of at most {} bytes", app.limits.body);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        }
        _ => ApiError::new(StatusCode::BAD_REQUEST, "bad_body", "the body could not be read"),
    })
}

/// The JSON values of a body, each with the number of its line.
fn read(body: &[u8], in_lines: bool) -> Result<Vec<(usize, Value)>, ApiError> {
    let value = |line: usize, text: &[u8]| {
        let value = serde_json::from_slice::<Value>(text);
        value.map(|value| (line, value)).map_err(|error| {
            bad_line(line, &format!("expected an event in JSON, found something else ({error})"))
        })
    };
    let values: Vec<(usize, Value)> = match in_lines {
        false => vec![value(1, body)?],
        true => {
            let lines = body.split(|byte| *byte == b'\n').enumerate();
            let lines = lines.filter(|(_, text)| !text.trim_ascii().is_empty());
            lines.map(|(at, text)| value(at + 1, text)).collect::<Result<_, _>>()?
        }
    };
    if values.is_empty() {
        return Err(bad_line(1, "expected at least one event"));
    }
    Ok(values)
}
