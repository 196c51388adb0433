//! Sends the changes of a view to programs: all rows first, and then each changed row.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use dayfold_sinks::Change;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::answer::event;
use crate::app::{Shared, nothing_at};
use crate::error::ApiError;
use crate::feeds::Feeds;
use crate::live::event_stream;
use crate::parameters::Parameters;

/// The number of texts that wait for a slow follower.
const TEXTS: usize = 4;

/// Available changes are combined into texts of this many bytes.
const TEXT_BYTES: usize = 32 << 10;

/// How often the server checks whether an idle follower is still connected.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `GET /api/views/{view}/changes`.
pub(crate) async fn changes(
    State(app): Shared,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Ok(Path(view)) = path else { return Err(nothing_at(&uri)) };
    let view = app.view(&view)?.name().to_owned();
    let given = Parameters::read(query.as_deref(), &["after"])?;
    // A browser that reconnects sends it in a header.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.or(given.get("after")).map(str::to_owned);
    let Some(feeds) = app.feeds.clone() else {
        let message = "this server follows no changes: that needs an engine with a data folder";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no_changes", message));
    };
    let place = app.places.follower()?;
    let (sender, texts) = channel(TEXTS);
    let thread = std::thread::Builder::new().name("dayfold:changes".to_owned());
    let follow = move || {
        let _place = place;
        if let Err(error) = follow(&feeds, &view, after.as_deref(), &sender) {
            let error = serde_json::json!({ "message": error }).to_string();
            // A follower that has disconnected needs no reason.
            let _ = sender.blocking_send(event("error", error.as_bytes()));
        }
    };
    thread.spawn(follow).map_err(|error| ApiError::internal("no_thread", error.to_string()))?;
    let next = |mut texts: Receiver<Bytes>| async { texts.recv().await.map(|text| (text, texts)) };
    Ok(event_stream(&app, futures_util::stream::unfold(texts, next)))
}

/// Sends changes until the follower has disconnected, or returns why there are no more.
fn follow(
    feeds: &Feeds,
    view: &str,
    after: Option<&str>,
    out: &Sender<Bytes>,
) -> Result<(), String> {
    let feed = feeds.of(view).map_err(|error| error.to_string())?;
    let mut changes = feed.changes(after);
    let mut next = |limit| changes.next_timeout(limit).map_err(|error| error.to_string());
    loop {
        let Some(change) = next(LOOK_EVERY)? else {
            if out.is_closed() {
                return Ok(());
            }
            continue;
        };
        let mut text = Vec::new();
        push(&mut text, &change);
        while text.len() < TEXT_BYTES
            && let Some(change) = next(Duration::ZERO)?
        {
            push(&mut text, &change);
        }
        if out.blocking_send(text.into()).is_err() {
            return Ok(());
        }
    }
}

/// A change as a server-sent event.
fn push(text: &mut Vec<u8>, change: &Change) {
    if let Some(id) = &change.id {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    text.extend_from_slice(&event(change.kind.name(), change.json.as_bytes()));
}
