//! Answers that come again when they have changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::error::ApiError;
use super::routes::{App, Shared, live_ask};
use super::views::{Ask, Reply, Served};

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
    let (view, ask, every) = live_ask(&app, path, query.as_deref(), uri).await?;
    let limit = app.limits.subscribers;
    if app.subscribers.fetch_add(1, Ordering::AcqRel) >= limit {
        app.subscribers.fetch_sub(1, Ordering::AcqRel);
        let message = format!("{limit} live answers are subscribed to already: try again");
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_subscribers", message));
    }
    let stopping = app.stopping.clone();
    let live = Live { app, view, ask, every, last: None, due: Instant::now(), stopping };
    // What is wrong with the question is said with a status, before there is a stream.
    let first = Box::pin(live.first()).await?;
    let stream = futures_util::stream::unfold(Some(first), |state| async {
        let (event, state) = match state? {
            (Some(event), live) => (event, Some((None, live))),
            (None, live) => live.next().await,
        };
        Some((Ok::<_, Infallible>(event), state))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("the server lives");
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// A subscriber. Its next answer is asked when it has taken the last one, so that one who is slow gets the
/// latest and holds nothing up.
struct Live {
    app: Arc<App>,
    view: Arc<dyn Served>,
    ask: Ask,
    every: Duration,
    last: Option<Reply>,
    due: Instant,
    stopping: watch::Receiver<bool>,
}

type Told = (Event, Option<(Option<Event>, Live)>);

impl Live {
    async fn first(mut self) -> Result<(Option<Event>, Live), ApiError> {
        let reply = self.app.ask(Arc::clone(&self.view), self.ask.clone()).await?;
        self.due = Instant::now() + self.every;
        Ok((Some(self.told(reply)), self))
    }

    async fn next(mut self) -> Told {
        loop {
            tokio::select! {
                _ = self.stopping.wait_for(|stopping| *stopping) => return end(),
                () = sleep_until(self.due) => {}
            }
            self.due = Instant::now() + self.every;
            match self.app.ask(Arc::clone(&self.view), self.ask.clone()).await {
                Err(error) if error.is_end() => return end(),
                // The engine is busy, or not yet there: the next time may be better.
                Err(_) => {}
                Ok(reply) if self.last.as_ref().is_none_or(|last| reply.differs(last)) => {
                    return (self.told(reply), Some((None, self)));
                }
                Ok(_) => {}
            }
        }
    }

    fn told(&mut self, reply: Reply) -> Event {
        let event = Event::default().event("answer");
        let event = event.data(String::from_utf8_lossy(&reply.json));
        self.last = Some(reply);
        event
    }
}

fn end() -> Told {
    (Event::default().event("end").data("{}"), None)
}

impl Drop for Live {
    fn drop(&mut self) {
        self.app.subscribers.fetch_sub(1, Ordering::AcqRel);
    }
}
