//! State that all requests share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use dayfold::engine::{Observer, Views};
use dayfold::scan::{ErasedView, Snapshot};
use dayfold::time::Day;
use tokio::sync::watch;

use crate::ask::Ask;
use crate::counters::Metrics;
use crate::error::ApiError;
use crate::exports::ReadExports;
use crate::feeds::Feeds;
use crate::limits::Limits;
use crate::places::{Places, Threads};
use crate::refusals::ReadRefused;
use crate::role::{Role, Tokens};
use crate::server::Server;
use crate::sink::Sink;
use crate::sinks::ReadSinks;
use crate::snapshots::Snapshots;
use crate::sql::AnswerSql;
use crate::views::ServedView;

/// The days are found by a query over everything, which many pages share.
const SPANS_KEPT: Duration = Duration::from_millis(200);

/// The first and the last day of each view, by name.
pub(crate) type Spans = BTreeMap<String, Option<(Day, Day)>>;

/// The counters of a server and their beginning. They continue when the served engine is replaced.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    started: Instant,
    metrics: Arc<Metrics>,
}

impl Default for Carried {
    fn default() -> Carried {
        Carried { started: Instant::now(), metrics: Arc::new(Metrics::new()) }
    }
}

/// State that all requests share.
pub(crate) struct App {
    pub(crate) name: String,
    views: RwLock<Arc<[Arc<ServedView>]>>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) snapshots: Snapshots,
    pub(crate) events: Option<Arc<dyn Sink>>,
    pub(crate) sources: Vec<(String, Arc<dyn Sink>)>,
    pub(crate) observer: Option<Observer>,
    pub(crate) tokens: Tokens,
    pub(crate) exports: Option<Box<ReadExports>>,
    pub(crate) sinks: Option<Box<ReadSinks>>,
    pub(crate) refused: Option<Arc<ReadRefused>>,
    pub(crate) catalog: Option<axum::Router>,
    pub(crate) sql: Option<Box<AnswerSql>>,
    pub(crate) feeds: Option<Arc<Feeds>>,
    pub(crate) hosts: Vec<String>,
    pub(crate) is_loopback: bool,
    pub(crate) limits: Limits,
    pub(crate) process: (usize, usize),
    pub(crate) started: Instant,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) subscribers: AtomicUsize,
    pub(crate) places: Places,
    spans: tokio::sync::Mutex<Option<(Instant, Spans)>>,
    /// Set when the server is to stop, or serves something else from now on.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(
        server: Server,
        stopping: watch::Receiver<bool>,
        loopback: bool,
        carried: Carried,
    ) -> Arc<App> {
        Arc::new(App {
            places: Places::new(&server.limits),
            spans: tokio::sync::Mutex::default(),
            name: server.name,
            views: RwLock::new(server.views.into()),
            threads: server.threads,
            snapshots: Snapshots::new(server.snapshots, &server.limits),
            events: server.events,
            sources: server.sources,
            observer: server.observer,
            tokens: server.tokens,
            exports: server.exports,
            sinks: server.sinks,
            refused: server.refused,
            catalog: server.catalog,
            sql: server.sql,
            feeds: server.feeds.map(|start| Arc::new(Feeds::new(start))),
            hosts: server.hosts,
            is_loopback: loopback,
            limits: server.limits,
            process: server.process,
            started: carried.started,
            metrics: carried.metrics,
            subscribers: AtomicUsize::new(0),
            stopping,
        })
    }

    /// The views.
    pub(crate) fn views(&self) -> Arc<[Arc<ServedView>]> {
        Arc::clone(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves these views from now on. Those that were served before stay, with their live answers.
    pub(crate) fn change_views(&self, offered: &Views, unit: &dyn Fn(&mut ServedView)) {
        let before = self.views();
        let served = |view: &Arc<dyn ErasedView>| {
            let known = before.iter().find(|served| served.is_of(view));
            known.cloned().unwrap_or_else(|| {
                let mut added = ServedView::new(Arc::clone(view), Arc::clone(&self.threads));
                unit(&mut added);
                Arc::new(added)
            })
        };
        let views: Arc<[Arc<ServedView>]> = offered.iter().map(served).collect();
        if let Some(feeds) = &self.feeds {
            let is_gone =
                |served: &&Arc<ServedView>| !views.iter().any(|view| Arc::ptr_eq(view, served));
            before.iter().filter(is_gone).for_each(|gone| feeds.end(gone.name()));
        }
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = views;
    }

    /// The view with a name.
    pub(crate) fn view(&self, name: &str) -> Result<Arc<ServedView>, ApiError> {
        let views = self.views();
        let found = views.iter().find(|view| view.name() == name);
        found.cloned().ok_or_else(|| {
            let names = views.iter().map(|view| view.name());
            ApiError::missing("no_such_view", format!("there is no view '{name}'"), names)
        })
    }

    /// Whether pushes are possible: on the loopback interface, or with a token.
    pub(crate) fn may_push(&self) -> bool {
        self.is_loopback || self.tokens.has(Role::Push)
    }

    /// Waits for the engine, up to a time limit, if not too many requests wait already.
    ///
    /// # Errors
    /// 503 if too many wait or the time is over, or the error of `work`.
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
    pub(crate) async fn ask(
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

    /// The first and last days of all views, queried again when they are older than [`SPANS_KEPT`].
    pub(crate) async fn spans(&self) -> Result<Spans, ApiError> {
        // Requests that come meanwhile wait for the same answers.
        let mut spans = self.spans.lock().await;
        if let Some((asked, spans)) = &*spans
            && asked.elapsed() < SPANS_KEPT
        {
            return Ok(spans.clone());
        }
        let views = self.views();
        let asked = views.iter().map(|view| view.span(self.limits.patience));
        let found = futures_util::future::join_all(asked).await;
        let (mut known, mut refused) = (Spans::new(), None);
        for (view, found) in views.iter().zip(found) {
            match found {
                Ok(span) => _ = known.insert(view.name().to_owned(), span),
                // A view that is being removed is refused, and the others are not.
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused.filter(|_| known.is_empty()) {
            return Err(error);
        }
        *spans = Some((Instant::now(), known.clone()));
        Ok(known)
    }
}

/// The arguments of handlers.
pub(crate) type Shared = State<Arc<App>>;

/// JSON, unchanged.
pub(crate) fn json(body: Vec<u8>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], Body::from(body)).into_response()
}

pub(crate) fn nothing_at(uri: &Uri) -> ApiError {
    let there_is = [
        "/",
        "/api/views",
        "/api/views/{view}/{value|series|top|total|keys|rows|live|changes}",
        "/api/snapshots",
        "/api/sql",
        "/api/events",
        "/api/refused",
        "/api/status",
        "/api/openapi.json",
        "/metrics",
        "/healthz",
        "/readyz",
    ];
    ApiError::missing("no_such_path", format!("there is nothing at '{}'", uri.path()), there_is)
}
