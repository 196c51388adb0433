//! Events from programs that push.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use crate::app::{self, App, Shared};
use crate::body::{Received, receive};
use crate::error::ApiError;
use crate::guard::{check_may_push, check_token};
use crate::sink::{Accepted, IdempotencyKey, Media, Sink};
use dayfold::engine::{EngineState, Observer};

/// `POST /api/events`.
pub(crate) async fn post(
    State(app): Shared,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    check_may_push(&app)?;
    check_token(&app, &headers)?;
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
    check_token(&app, &headers)?;
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
    let path = request.uri().path().to_owned();
    let key = idempotency_key(headers)?.map(|key| IdempotencyKey { key, path });
    let media = media(headers, &*sink)?;
    // Its bytes count until the request is answered, because the events are in memory until then.
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
    Ok(app::json(answer.to_string().into_bytes()))
}

/// The format of the events.
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

/// The key of a request, with or without the quotation marks of the IETF draft.
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
