//! Answers that come again when they have changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::error::ApiError;
use super::routes::{App, Shared, live_ask};

/// How often an answer comes at most, unless the request says so.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// How often somebody who hears nothing is told that the server lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /api/views/{view}/live`.
pub(super) async fn live(
    State(app): Shared,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (view, ask, every) = live_ask(&app, path, query.as_deref(), uri)?;
    let place = Place::take(&app)?;
    // What is wrong with the question is said with a status, before there is a stream.
    let answers = view.subscribe(ask, every)?;
    let answers = answers.map(|json| event("answer", &String::from_utf8_lossy(&json)));
    let mut stopping = app.stopping.clone();
    let stopped = async move {
        // An error is a sender that is gone, and means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let end = futures_util::stream::once(async { event("end", "{}") });
    let events = answers.take_until(stopped).chain(end).map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("the server lives");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn event(name: &str, data: &str) -> Event {
    Event::default().event(name).data(data)
}

/// A subscriber's place; given back when it goes.
struct Place(Arc<App>);

impl Place {
    fn take(app: &Arc<App>) -> Result<Place, ApiError> {
        let place = Place(Arc::clone(app));
        let limit = app.limits.subscribers;
        if app.subscribers.fetch_add(1, Ordering::AcqRel) < limit {
            return Ok(place);
        }
        let message = format!("{limit} live answers are subscribed to already: try again");
        Err(ApiError::too_many_subscribers(message))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::AcqRel);
    }
}
