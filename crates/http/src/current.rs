//! What a server serves now. It may be replaced while the server listens, and requests may wait for the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use dayfold::engine::Views;
use tokio::sync::watch;

use crate::app::{App, Carried};
use crate::error::ApiError;
use crate::routes::router;
use crate::server::Server;
use crate::views::ServedView;

/// How often a paused server checks whether requests are still being answered.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The security layer below HTTP.
#[derive(Clone)]
pub(crate) struct Security {
    /// TLS, or none.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Tls>,
}

/// The state that new requests find.
#[derive(Clone)]
pub(crate) struct Current {
    turn: Option<Turn>,
    pub(crate) security: Security,
    patience: Duration,
    /// The server stops: nothing follows.
    is_over: bool,
}

/// A router, and the number of requests that it still has to answer: each of them holds a clone.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) router: Router,
    pub(crate) going: Arc<()>,
}

impl Current {
    /// The router for a request. While the server is paused, the request waits for it, except requests that monitor the
    /// process.
    pub(crate) async fn turn(current: &mut watch::Receiver<Current>, path: &str) -> Turn {
        let patience = {
            let now = current.borrow();
            if let Some(turn) = &now.turn {
                return turn.clone();
            }
            now.patience
        };
        if matches!(path, "/healthz" | "/readyz") {
            return between();
        }
        let next = current.wait_for(|current| current.turn.is_some() || current.is_over);
        let next = tokio::time::timeout(patience, next).await;
        let next = next.ok().and_then(Result::ok).and_then(|current| current.turn.clone());
        next.unwrap_or_else(between)
    }
}

/// The router while nothing is served: it answers that the process lives, and refuses all other requests with a retry.
fn between() -> Turn {
    let uncached = [("cache-control", "no-store")];
    let later = "what is served is being replaced; nothing of the request has entered: try again";
    let router = Router::new()
        .route("/healthz", get(move || async move { (uncached, "the process lives\n") }))
        .fallback(move || async move { (uncached, ApiError::unavailable("reloading", later)) });
    Turn { router, going: Arc::default() }
}

/// Replaces what is served.
#[derive(Debug)]
pub(crate) struct Replacing {
    sender: watch::Sender<Current>,
    is_loopback: bool,
    carried: Carried,
    /// What requests find now.
    served: Mutex<Served>,
}

/// What requests find.
struct Served {
    app: Weak<App>,
    /// Dropping it ends live answers.
    stop: Option<watch::Sender<bool>>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("is_paused", &self.turn.is_none()).finish_non_exhaustive()
    }
}

impl Replacing {
    pub(crate) fn new(server: Server, is_loopback: bool) -> Replacing {
        let carried = Carried::default();
        let (served, current) = made(server, is_loopback, &carried);
        let (sender, _) = watch::channel(current);
        Replacing { sender, is_loopback, carried, served: Mutex::new(served) }
    }

    pub(crate) fn current(&self) -> watch::Receiver<Current> {
        self.sender.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes new requests wait, ends live answers, and returns when all other answers are given, or the time is over.
    pub(crate) fn pause(&self, limit: Duration) {
        let mut turn = None;
        self.sender.send_modify(|current| turn = current.turn.take());
        self.end_live();
        let Some(Turn { router, going }) = turn else { return };
        drop(router);
        let until = Instant::now() + limit;
        while Arc::strong_count(&going) > 1 && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn replace(&self, server: Server) {
        let (served, current) = made(server, self.is_loopback, &self.carried);
        self.sender.send_replace(current);
        // Earlier live answers end, and clients request them again.
        *self.lock() = served;
    }

    /// Serves other views; everything else goes on.
    pub(crate) fn change_views(&self, views: &Views, unit: &dyn Fn(&mut ServedView)) {
        let app = self.lock().app.upgrade();
        app.iter().for_each(|app| app.change_views(views, unit));
    }

    /// Ends live answers, and tells waiting requests that nothing follows.
    pub(crate) fn end(&self) {
        self.end_live();
        self.sender.send_modify(|current| current.is_over = true);
    }

    fn end_live(&self) {
        self.lock().stop = None;
    }
}

fn made(server: Server, is_loopback: bool, carried: &Carried) -> (Served, Current) {
    let (stop, stopping) = watch::channel(false);
    let security = Security {
        #[cfg(feature = "tls")]
        tls: server.tls.clone(),
    };
    let app = App::new(server, stopping, is_loopback, carried.clone());
    if app.events.is_some() && !app.may_push() {
        tracing::warn!(
            "the server can be reached from other machines, and there is no token: pushes are refused"
        );
    }
    let patience = app.limits.patience;
    let served = Served { app: Arc::downgrade(&app), stop: Some(stop) };
    let turn = Some(Turn { router: router(app), going: Arc::default() });
    (served, Current { turn, security, patience, is_over: false })
}
