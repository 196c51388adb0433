//! Snapshots over HTTP: how a client takes and releases one.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::app::{self, Shared, nothing_at};
use crate::error::ApiError;
use crate::json::Text;

/// `POST /api/snapshots`.
pub(crate) async fn take(State(app): Shared) -> Result<Response, ApiError> {
    let (name, snapshot) = app.waiting(app.snapshots.take()).await?;
    let mut text = Text::default();
    text.raw("{\"snapshot\":").string(&name).raw(",").as_of(snapshot.moment());
    text.raw(",\"keeps_ms\":").integer(app.snapshots.keep.as_millis() as u64).raw("}");
    Ok(app::json(text.into_bytes()))
}

/// `DELETE /api/snapshots/{snapshot}`.
pub(crate) async fn release(
    State(app): Shared,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Ok(Path(name)) = path else { return Err(nothing_at(&uri)) };
    app.snapshots.named(Some(&name))?;
    app.snapshots.release(&name);
    Ok(StatusCode::NO_CONTENT.into_response())
}
