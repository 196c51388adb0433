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
use crate::engine::{Pusher, WaitError};

/// Where events go whose type has been forgotten.
pub(super) trait Sink: Send + Sync {
    /// Makes events of their JSON forms, with the number of their line, and pushes all of them, or none.
    /// Returns how many there were, and whether they are durable.
    ///
    /// # Errors
    /// 400 with the line if one is no good; 503 if the engine has stopped, or the time is over.
    fn push(&self, lines: &[(usize, Value)], limit: Duration) -> Result<(usize, bool), ApiError>;
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
    fn push(&self, lines: &[(usize, Value)], limit: Duration) -> Result<(usize, bool), ApiError> {
        let mut events = Vec::with_capacity(lines.len());
        for (line, json) in lines {
            let event = (self.of_json)(json).map_err(|reason| bad_line(*line, &reason))?;
            if !self.pusher.believes(&event) {
                let reason = "the event is too far ahead of the wall clock";
                return Err(bad_line(*line, reason));
            }
            events.push(event);
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
        Ok((count, durable))
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
    body: Result<Bytes, BytesRejection>,
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
        sink.push(&lines, limit)
    };
    let (accepted, durable) = app.blocking(push).await?;
    app.metrics.accepted(accepted);
    let answer = json!({ "accepted": accepted, "durable": durable, "repeated": false });
    Ok(routes::json(answer.to_string().into_bytes()))
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
