//! The routes, and their handlers.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};
use dayfold::engine::Observer;

use crate::app::{App, Shared, json, nothing_at};
use crate::error::ApiError;
use crate::json::Text;
use crate::parameters::Parameters;
use crate::question::ask_of;
use crate::{
    changes, events, guard, live, metrics, page, refused, rows, snapshot_routes, sql_routes, status,
};

pub(crate) fn router(app: Arc<App>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&app), guard::guard);
    let mut routes = page::routes(Router::new());
    if let Some(catalog) = &app.catalog {
        routes = routes.nest_service(guard::CATALOG, catalog.clone());
    }
    routes
        .route("/api/views", get(views))
        .route("/api/views/{view}/live", get(live::live))
        .route("/api/views/{view}/changes", get(changes::changes))
        .route("/api/views/{view}/rows", get(rows::rows))
        .route("/api/views/{view}/{of}", get(answer))
        .route("/api/snapshots", post(snapshot_routes::take))
        .route("/api/snapshots/{snapshot}", delete(snapshot_routes::release))
        .route("/api/sql", post(sql_routes::post))
        .route("/api/events", post(events::post))
        .route("/api/sources/{name}/events", post(events::post_to))
        .route("/api/refused", get(refused::refused))
        .route("/api/status", get(status::status))
        .route("/api/openapi.json", get(openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(|| async { "the process lives\n" }))
        .route("/readyz", get(status::ready))
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .layer(guard)
        .with_state(app)
}

/// `GET /api/openapi.json`: every path, checked against the answers by `.ci/http`.
async fn openapi() -> Response {
    json(include_bytes!("openapi.json").to_vec())
}

async fn nothing(uri: Uri) -> ApiError {
    nothing_at(&uri)
}

async fn not_allowed(method: axum::http::Method, uri: Uri) -> ApiError {
    let message = format!("'{}' does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// `GET /api/views`.
async fn views(State(app): Shared) -> Result<Response, ApiError> {
    let spans = app.waiting(app.spans()).await?;
    let progress = app.observer.as_ref().map(Observer::progress).unwrap_or_default();
    let mut text = Text::default();
    text.raw("{\"views\":");
    text.list(app.views().iter(), |text, view| {
        let span = spans.get(view.name()).copied().flatten();
        let schema = view.schema();
        let key: Vec<String> = schema.key.iter().map(|column| column.name.clone()).collect();
        text.raw("{\"name\":").string(view.name());
        text.raw(",\"key\":").strings(&key);
        text.raw(",\"measures\":").strings(view.measures());
        text.raw(",\"zone\":").string(&schema.zone).raw(",\"schema\":");
        view.write_schema(text);
        text.raw(",\"first_day\":").day(span.map(|(first, _)| first));
        text.raw(",\"last_day\":").day(span.map(|(_, last)| last));
        let numbers = progress.views.iter().zip(&progress.view_names);
        let mut numbers =
            numbers.filter(|(_, name)| *name == view.name()).map(|(numbers, _)| numbers);
        text.raw(",\"sealed_through\":").day(numbers.next().and_then(|n| n.sealed_through));
        text.raw("}");
    });
    text.raw("}");
    Ok(json(text.into_bytes()))
}

/// `GET /api/views/{view}/value`, `series`, `top`, `total`, `keys`.
async fn answer(
    State(app): Shared,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Ok(Path((view, of))) = path else { return Err(nothing_at(&uri)) };
    let view = app.view(&view)?;
    let ask = ask_of(&of, query.as_deref(), &["snapshot"])?;
    // Each of them is one that it takes.
    let all = ["key", "from", "to", "last", "by", "n", "skip", "prefix", "limit", "snapshot"];
    let given = Parameters::read(query.as_deref(), &all)?;
    let at = app.snapshots.named(given.get("snapshot"))?;
    Ok(json(app.ask(view, ask, at).await?))
}
