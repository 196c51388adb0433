//! Events from programs that push.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::error::ApiError;
use super::guard::check_token;
use super::routes::{self, Shared};
use crate::engine::{OnceError, Pusher, WaitError};

/// Where events go whose type has been forgotten.
pub(super) trait Sink: Send + Sync {
    /// Makes events of their JSON forms, with the number of their line, and pushes all of them, or none.
    /// With a key, they count once however often they come with it.
    ///
    /// # Errors
    /// 400 with the line if one is no good; 422 if the key came with other events; 503 if the engine has
    /// stopped, or the time is over.
    fn push(
        &self,
        lines: &[(usize, Value)],
        key: Option<&str>,
        limit: Duration,
    ) -> Result<Accepted, ApiError>;
}

/// What became of a request.
pub(super) struct Accepted {
    events: u64,
    durable: bool,
    /// Its events were in before.
    repeated: bool,
}

pub(super) struct TypedSink<E, F> {
    pusher: Pusher<E>,
    of_json: F,
}

impl<E, F> TypedSink<E, F> {
    pub(super) fn new(pusher: Pusher<E>, of_json: F) -> TypedSink<E, F> {
        TypedSink { pusher, of_json }
    }
}

impl<E, F> Sink for TypedSink<E, F>
where
    E: Send + Sync + 'static,
    F: Fn(&Value) -> Result<E, String> + Send + Sync,
{
    fn push(
        &self,
        lines: &[(usize, Value)],
        key: Option<&str>,
        limit: Duration,
    ) -> Result<Accepted, ApiError> {
        let mut events = Vec::with_capacity(lines.len());
        for (line, json) in lines {
            let event = (self.of_json)(json).map_err(|reason| bad_line(*line, &reason))?;
            if !self.pusher.believes(&event) {
                return Err(bad_line(*line, TOO_FAR_AHEAD));
            }
            events.push(event);
        }
        if let Some(key) = key {
            let once = self.pusher.push_once(key, events, limit);
            let once = once.map_err(|error| once_error(&error, lines))?;
            return Ok(Accepted { events: once.events, durable: true, repeated: once.repeated });
        }
        let count = events.len();
        let pushed = self.pusher.push(events);
        let pushed = pushed.map_err(|error| ApiError::unavailable("stopped", error.to_string()))?;
        let durable = match pushed.receipt.wait_both(limit) {
            Ok(()) => Ok(true),
            Err(WaitError::NotPromised) => pushed.receipt.wait_visible(limit).map(|()| false),
            Err(error) => Err(error),
        };
        let durable = durable.map_err(|error| {
            let message =
                format!("{count} events were taken, and what became of them is not known: {error}");
            ApiError::unavailable("not_known", message)
        })?;
        Ok(Accepted { events: count as u64, durable, repeated: false })
    }
}

/// A refusal of a request with a key.
fn once_error<E>(error: &OnceError<E>, lines: &[(usize, Value)]) -> ApiError {
    let message = error.to_string();
    let bad = |code, message| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    match error {
        OnceError::Key { .. } => bad("bad_idempotency_key", message),
        OnceError::NotPromised { .. } => {
            let message = "idempotency keys need a log that promises that events are durable, which this \
                           server has not: send the request without one";
            bad("idempotency_unsupported", message.to_owned())
        }
        OnceError::Refused { at, .. } => bad_line(lines[*at].0, TOO_FAR_AHEAD),
        OnceError::Encode { .. } => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "not_encoded", message)
        }
        OnceError::Reused => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
        }
        OnceError::Full { .. } => ApiError::unavailable("busy", message),
        OnceError::Stopped { .. } => ApiError::unavailable("stopped", message),
        OnceError::Unknown { .. } => ApiError::unavailable("not_known", message),
    }
}

const TOO_FAR_AHEAD: &str = "the event is too far ahead of the wall clock";

fn bad_line(line: usize, reason: &str) -> ApiError {
    let message = format!("line {line}: {reason}; nothing of the request has entered");
    ApiError::new(StatusCode::BAD_REQUEST, "bad_event", message).with("line", json!(line))
}

/// `POST /api/events`.
pub(super) async fn post(
    State(app): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    check_token(app.token.as_deref(), &headers)?;
    let Some(sink) = app.events.clone() else {
        let message = "this server takes no events";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_events", message));
    };
    let key = idempotency_key(&headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let in_lines = match kind {
        Some("application/json") => false,
        Some("application/x-ndjson" | "application/jsonl") => true,
        _ => {
            let message = "expected the content type application/json for one event, or \
                           application/x-ndjson for one on each line";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::new(status, "unsupported_media_type", message));
        }
    };
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("expected a body of at most {} bytes", app.limits.body);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        }
        _ => ApiError::new(StatusCode::BAD_REQUEST, "bad_body", "the body could not be read"),
    })?;
    let limit = app.limits.patience;
    let push = move || {
        let lines = read(&body, in_lines)?;
        sink.push(&lines, key.as_deref(), limit)
    };
    let Accepted { events, durable, repeated } = app.blocking(push).await?;
    app.metrics.accepted(if repeated { 0 } else { events as usize });
    let answer = json!({ "accepted": events, "durable": durable, "repeated": repeated });
    Ok(routes::json(answer.to_string().into_bytes()))
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
