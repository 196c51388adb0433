//! The routes, and what they ask.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::sync::watch;

use crate::ask::Ask;
use crate::error::ApiError;
use crate::events::Sink;
use crate::json::Text;
use crate::metrics::Metrics;
use crate::parameters::Parameters;
use crate::places::{Places, Threads};
use crate::snapshots::{self, Snapshots};
use crate::views::ServedView;
use crate::{Limits, Server, events, guard, live, metrics, page, rows, status};
use dayfold::engine::Observer;
use dayfold::scan::Snapshot;
use dayfold::time::Day;

/// How many keys `/top` and `/keys` list, unless they are asked for others, and at most.
const LISTED: (u32, u32) = (10, 1_000);
const KEYS: (u32, u32) = (100, 10_000);

/// Days are found by a query over everything, which many pages need not ask each for itself.
const SPANS_KEPT: Duration = Duration::from_millis(200);

/// The first and the last day of each view.
type Spans = Vec<Option<(Day, Day)>>;

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) views: Vec<Arc<ServedView>>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) snapshots: Snapshots,
    pub(crate) events: Option<Arc<dyn Sink>>,
    pub(crate) sources: Vec<(String, Arc<dyn Sink>)>,
    pub(crate) observer: Option<Observer>,
    pub(crate) token: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) is_loopback: bool,
    pub(crate) limits: Limits,
    pub(crate) process: (usize, usize),
    pub(crate) started: Instant,
    pub(crate) metrics: Metrics,
    pub(crate) subscribers: AtomicUsize,
    pub(crate) places: Places,
    spans: tokio::sync::Mutex<Option<(Instant, Spans)>>,
    /// Set when the server is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(server: Server, stopping: watch::Receiver<bool>, loopback: bool) -> Arc<App> {
        Arc::new(App {
            places: Places::new(&server.limits),
            spans: tokio::sync::Mutex::default(),
            name: server.name,
            views: server.views,
            threads: server.threads,
            snapshots: Snapshots::new(server.snapshots, &server.limits),
            events: server.events,
            sources: server.sources,
            observer: server.observer,
            token: server.token,
            hosts: server.hosts,
            is_loopback: loopback,
            limits: server.limits,
            process: server.process,
            started: Instant::now(),
            metrics: Metrics::new(),
            subscribers: AtomicUsize::new(0),
            stopping,
        })
    }

    /// The view of a name.
    pub(crate) fn view(&self, name: &str) -> Result<Arc<ServedView>, ApiError> {
        let found = self.views.iter().find(|view| view.name() == name);
        found.cloned().ok_or_else(|| {
            let names = self.views.iter().map(|view| view.name());
            ApiError::missing("no_such_view", format!("there is no view '{name}'"), names)
        })
    }

    /// Whether somebody may push: on the loopback interface, or with a token.
    pub(crate) fn may_push(&self) -> bool {
        self.is_loopback || self.token.is_some()
    }

    /// Waits for the engine, if not too many do already, and for so long.
    ///
    /// # Errors
    /// 503 if too many wait or the time is over, or what `work` says.
    pub(crate) async fn waiting<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let _place = self.places.question()?;
        let patience = self.limits.patience;
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            let message = format!("no answer within {patience:?}: try again");
            Err(ApiError::unavailable("no_answer", message))
        })
    }

    /// Asks a view.
    ///
    /// # Errors
    /// As [`ServedView::ask`], and 503 if too many wait.
    async fn ask(
        &self,
        view: Arc<ServedView>,
        ask: Ask,
        at: Option<Snapshot>,
    ) -> Result<Vec<u8>, ApiError> {
        let before = Instant::now();
        let json = self.waiting(view.ask(ask, at, self.limits.patience)).await?;
        self.metrics.asked(before.elapsed());
        Ok(json)
    }

    /// The first and last days of all views, asked for again when they are older than [`SPANS_KEPT`].
    async fn spans(&self) -> Result<Spans, ApiError> {
        // Whoever comes meanwhile waits for the same answers.
        let mut spans = self.spans.lock().await;
        if let Some((asked, spans)) = &*spans
            && asked.elapsed() < SPANS_KEPT
        {
            return Ok(spans.clone());
        }
        let asked = self.views.iter().map(|view| view.span(self.limits.patience));
        let found = futures_util::future::try_join_all(asked).await?;
        *spans = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

/// What handlers are given.
pub(crate) type Shared = State<Arc<App>>;

pub(crate) fn router(app: Arc<App>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&app), guard::guard);
    page::routes(Router::new())
        .route("/api/views", get(views))
        .route("/api/views/{view}/live", get(live::live))
        .route("/api/views/{view}/rows", get(rows::rows))
        .route("/api/views/{view}/{of}", get(answer))
        .route("/api/snapshots", post(snapshots::take))
        .route("/api/snapshots/{snapshot}", delete(snapshots::release))
        .route("/api/events", post(events::post))
        .route("/api/sources/{name}/events", post(events::post_to))
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

/// JSON as it is.
pub(crate) fn json(body: Vec<u8>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], Body::from(body)).into_response()
}

/// `GET /api/openapi.json`: every path, checked against the answers by `.ci/http`.
async fn openapi() -> Response {
    json(include_bytes!("openapi.json").to_vec())
}

async fn nothing(uri: Uri) -> ApiError {
    nothing_at(&uri)
}

pub(crate) fn nothing_at(uri: &Uri) -> ApiError {
    let there_is = [
        "/",
        "/api/views",
        "/api/views/{view}/{value|series|top|total|keys|rows|live}",
        "/api/snapshots",
        "/api/events",
        "/api/status",
        "/api/openapi.json",
        "/metrics",
        "/healthz",
        "/readyz",
    ];
    ApiError::missing("no_such_path", format!("there is nothing at '{}'", uri.path()), there_is)
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
    text.list(app.views.iter().zip(spans), |text, (view, span)| {
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
    let all = ["key", "from", "to", "by", "n", "prefix", "limit", "snapshot"];
    let given = Parameters::read(query.as_deref(), &all)?;
    let at = app.snapshots.named(given.get("snapshot"))?;
    Ok(json(app.ask(view, ask, at).await?))
}

/// The view and the query of a live answer, and how often it may come.
pub(crate) fn live_ask(
    app: &App,
    path: Result<Path<String>, PathRejection>,
    query: Option<&str>,
    uri: Uri,
) -> Result<(Arc<ServedView>, Ask, Duration), ApiError> {
    let Ok(Path(view)) = path else { return Err(nothing_at(&uri)) };
    let view = app.view(&view)?;
    let known = ["of", "every", "key", "from", "to", "by", "n"];
    let given = Parameters::read(query, &known)?;
    let every = given.every(live::EVERY, app.limits.every)?;
    let default = if given.get("key").is_some() { "value" } else { "total" };
    let of = given.get("of").unwrap_or(default);
    if !["value", "series", "total", "top"].contains(&of) {
        let message = format!("of={of}: expected value, series, total or top");
        return Err(ApiError::parameter("of", message));
    }
    for name in ["key", "by", "n"] {
        let takes = match name {
            "key" => of != "total" && of != "top",
            _ => of == "top",
        };
        if given.get(name).is_some() && !takes {
            let message =
                format!("of={of} takes no {name}: leave it out, or ask of something else");
            return Err(ApiError::parameter(name, message));
        }
    }
    Ok((view, ask_of(of, query, &["of", "every"])?, every))
}

/// What a request asks. `besides` are parameters that are looked at elsewhere.
fn ask_of(of: &str, query: Option<&str>, besides: &[&str]) -> Result<Ask, ApiError> {
    let read = |names: &[&str]| Parameters::read(query, &[names, besides].concat());
    match of {
        "value" => {
            let given = read(&["key", "from", "to"])?;
            let key = given.all("key");
            if key.is_empty() {
                let message = "the parameter key is missing; for all keys together, ask for total";
                return Err(ApiError::parameter("key", message));
            }
            Ok(Ask::Value { key: Some(key), days: given.days()? })
        }
        "total" => Ok(Ask::Value { key: None, days: read(&["from", "to"])?.days()? }),
        "series" => {
            let given = read(&["key", "from", "to"])?;
            let key = Some(given.all("key")).filter(|key| !key.is_empty());
            Ok(Ask::Series { key, days: given.days()? })
        }
        "top" => {
            let given = read(&["by", "n", "from", "to"])?;
            let Some(by) = given.get("by") else {
                let message = "the parameter by is missing: expected the name of a measure";
                return Err(ApiError::parameter("by", message));
            };
            let n = given.number("n", LISTED.0, LISTED.1)?;
            Ok(Ask::Top { by: by.to_owned(), n, days: given.days()? })
        }
        "keys" => {
            let given = read(&["prefix", "limit"])?;
            let limit = given.number("limit", KEYS.0, KEYS.1)?;
            Ok(Ask::Keys { prefix: given.all("prefix"), limit })
        }
        _ => {
            let there_is = ["value", "series", "top", "total", "keys", "rows", "live"];
            let message = format!("there is no '{of}' of a view");
            Err(ApiError::missing("no_such_path", message, there_is))
        }
    }
}
