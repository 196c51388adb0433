//! Answers that are sent again when they have changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};

use crate::answer::event;
use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::question::live_ask;

/// How often a listener without new answers gets a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /api/views/{view}/live`.
pub(crate) async fn live(
    State(app): Shared,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (view, ask, every) = live_ask(&app, path, query.as_deref(), uri)?;
    let place = Subscriber::take(&app)?;
    // A wrong question is answered with a status, before the stream begins.
    let answers = view.subscribe(ask, every)?;
    let events = answers.map(move |event| {
        place.0.metrics.delivered();
        event
    });
    Ok(event_stream(&app, events))
}

/// Server-sent events, followed by `end` when the server stops.
pub(crate) fn event_stream(
    app: &Arc<App>,
    events: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let mut stopping = app.stopping.clone();
    let stopped = async move {
        // An error means that the sender is gone, which is handled in the same way.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let end = futures_util::stream::once(async { event("end", b"{}") });
    let events = Box::pin(events.take_until(stopped).chain(end));
    let kept_alive = futures_util::stream::unfold(events, |mut events| async {
        let next = tokio::time::timeout(KEEP_ALIVE, events.next()).await;
        let next = next.unwrap_or_else(|_| Some(Bytes::from_static(b": the server lives\n\n")));
        Some((Ok::<_, Infallible>(next?), events))
    });
    let kind = HeaderValue::from_static("text/event-stream");
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(kept_alive)).into_response()
}

/// A subscriber's place; released when it goes.
struct Subscriber(Arc<App>);

impl Subscriber {
    fn take(app: &Arc<App>) -> Result<Subscriber, ApiError> {
        let place = Subscriber(Arc::clone(app));
        let limit = app.limits.subscribers;
        if app.subscribers.fetch_add(1, Ordering::AcqRel) < limit {
            return Ok(place);
        }
        let message = format!("{limit} live answers are subscribed to already: try again");
        Err(ApiError::too_many_subscribers(message))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::AcqRel);
    }
}
