//! Views over HTTP: JSON for programs, server-sent events for what changes, and a page for people.
//!
//! A [`Server`] is given the views of an engine, which say what they look like, and is put on a
//! thread of its own with [`Server::serve`], or into a program's own axum with [`Server::router`]. It is
//! bound to the loopback interface unless it is told another address. `docs/http.md` in the repository
//! lists what can be asked; a running server describes it at `/api/openapi.json`.
//!
//! ```
//! use dayfold::aggregate::Count;
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold_http::Server;
//! use dayfold::time::EventTime;
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! type Visit = (EventTime, String);
//!
//! let mut engine = Engine::<Visit>::new();
//! let view = View::new("per-page")?.key_columns(["page"])?.measure_names([["visits"]])?;
//! engine.view(view, Measures::none(), |(time, page)| {
//!     Some((*time, page.clone(), Count::one()))
//! });
//! let pusher = engine.live(LiveOptions::new(|visit: &Visit| visit.0));
//! let running = engine.start(Cluster::workers(1))?;
//!
//! let server = Server::new("visits")
//!     .observe(running.observer())
//!     .views(&running.views())
//!     .events(pusher, |json| {
//!         let page = json["page"].as_str().ok_or("page: expected a text")?;
//!         let time = json["time"].as_i64().ok_or("time: expected milliseconds UTC")?;
//!         Ok((time, page.to_owned()))
//!     })
//!     .serve("127.0.0.1:0")?;
//! println!("http://{}", server.address());
//! server.stop();
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod answer;
mod ask;
mod body;
mod connection;
mod error;
mod events;
mod guard;
mod json;
mod live;
mod metrics;
mod page;
mod parameters;
mod places;
mod routes;
mod rows;
mod serving;
mod snapshots;
mod status;
mod views;
mod written;

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

pub use events::{Lines, Media};
pub use serving::{ServeError, Serving};

use dayfold::engine::{Observer, Pusher, Views};
use dayfold::scan::ErasedView;
use events::{Sink, TypedSink};
use places::Threads;
use routes::App;
use views::ServedView;

/// What a server bears. Each limit holds for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request's body; one that is larger is answered with 413. Default: 1 MiB.
    pub body: usize,
    /// Bytes of all bodies together, from before they are read until their requests are answered: a body takes
    /// as many as it says that it has, or as come. One more is answered with 503. Default: 64 MiB.
    pub bodies: usize,
    /// Open connections; one more is answered with 503 and closed. Default: 4,096.
    pub connections: usize,
    /// Live answers that are subscribed to; one more is answered with 429. Default: 2,048.
    pub subscribers: usize,
    /// Queries that wait for the engine; one more is answered with 503. Default: 256.
    pub waiting: usize,
    /// Answers with all rows of a view that are being sent; one more is answered with 503. Default: 64.
    pub streams: usize,
    /// Snapshots that clients hold; one more is answered with 503. Default: 64.
    pub snapshots: usize,
    /// How long a snapshot is kept. Default: 60 s.
    pub keep: Duration,
    /// Pushes that wait for the engine; one more is answered with 503. Default: 256.
    pub pushes: usize,
    /// How long a query waits for its answer, or a push for being durable, before 503. Default: 10 s.
    pub patience: Duration,
    /// How long a client may take to send the head of a request, from when the connection is opened or the
    /// answer before it was sent: one that asks nothing for so long is closed. Default: 30 s.
    pub read_head: Duration,
    /// How long a client may take to send a body, before 408. Default: 30 s.
    pub read_body: Duration,
    /// How long a client may take nothing of what is written for it, before it is cut off. Default: 30 s.
    pub take: Duration,
    /// The least and the greatest time between two live answers. Default: 20 ms and 1 h.
    pub every: (Duration, Duration),
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 1 << 20,
            bodies: 64 << 20,
            connections: 4_096,
            subscribers: 2_048,
            waiting: 256,
            streams: 64,
            snapshots: 64,
            keep: Duration::from_secs(60),
            pushes: 256,
            patience: Duration::from_secs(10),
            read_head: Duration::from_secs(30),
            read_body: Duration::from_secs(30),
            take: Duration::from_secs(30),
            every: (Duration::from_millis(20), Duration::from_secs(3_600)),
        }
    }
}

/// A server to be: what it serves, and within which limits.
pub struct Server {
    name: String,
    views: Vec<Arc<ServedView>>,
    snapshots: Option<Views>,
    events: Option<Arc<dyn Sink>>,
    sources: Vec<(String, Arc<dyn Sink>)>,
    observer: Option<Observer>,
    token: Option<String>,
    hosts: Vec<String>,
    limits: Limits,
    process: (usize, usize),
    threads: Arc<Threads>,
}

impl Server {
    /// A server that serves nothing yet. Its name is shown on the page.
    pub fn new(name: &str) -> Server {
        Server {
            name: name.to_owned(),
            views: Vec::new(),
            snapshots: None,
            events: None,
            sources: Vec::new(),
            observer: None,
            token: None,
            hosts: Vec::new(),
            limits: Limits::default(),
            process: (0, 1),
            threads: Arc::default(),
        }
    }

    /// Tells of the engine that the views belong to: without it, status and metrics know the server only.
    #[must_use]
    pub fn observe(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Says which process of how many this is.
    #[must_use]
    pub fn process(mut self, process: usize, processes: usize) -> Self {
        self.process = (process, processes);
        self
    }

    /// Serves a view, under its name and those of its columns.
    #[must_use]
    pub fn view(mut self, view: Arc<dyn ErasedView>) -> Self {
        let threads = Arc::clone(&self.threads);
        self.views.push(Arc::new(ServedView::new(view, threads)));
        self
    }

    /// Serves all views of an engine, and snapshots of it: see [`Running::views`](dayfold::engine::Running::views).
    #[must_use]
    pub fn views(self, views: &Views) -> Self {
        let server = Server { snapshots: Some(views.clone()), ..self };
        views.iter().cloned().fold(server, Server::view)
    }

    /// Accepts events: `of_json` makes one of its JSON form, or says what was expected.
    #[must_use]
    pub fn events<E: Send + Sync + 'static>(
        mut self,
        pusher: Pusher<E>,
        of_json: impl Fn(&serde_json::Value) -> Result<E, String> + Send + Sync + 'static,
    ) -> Self {
        let threads = Arc::clone(&self.threads);
        let read = events::of_json(of_json);
        self.events = Some(Arc::new(TypedSink::new(pusher, read, false, threads)));
        self
    }

    /// Accepts events of a source at `/api/sources/NAME/events`: `read` makes events of the body of a request, in JSON, in lines of
    /// JSON or in CSV with a header, each with the number of its line; or says which line is wrong, and what was expected.
    /// With a header `Idempotency-Key` they count once.
    #[must_use]
    pub fn source<E: Send + Sync + 'static>(
        mut self,
        name: &str,
        pusher: Pusher<E>,
        read: impl Fn(&[u8], Media) -> Lines<E> + Send + Sync + 'static,
    ) -> Self {
        let threads = Arc::clone(&self.threads);
        let sink: Arc<dyn Sink> = Arc::new(TypedSink::new(pusher, read, true, threads));
        self.sources.push((name.to_owned(), sink));
        self
    }

    /// Accepts events only from those who show this token (`Authorization: Bearer …`). An empty one is none.
    /// Without a token, events are only accepted on the loopback interface.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned()).filter(|token| !token.is_empty());
        self
    }

    /// Answers requests for the host of this name, too. No other names but `localhost` are answered, so that
    /// no page from elsewhere can reach the server under a name of its own. Addresses are: on the loopback interface
    /// those of that interface, on another one all.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(guard::host_name(host));
        self
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Binds an address and serves it on a thread of its own, until [`Serving::stop`].
    ///
    /// # Errors
    /// [`ServeError`] if the address is none, is in use, or the system gives no thread.
    pub fn serve(self, address: impl ToSocketAddrs) -> Result<Serving, ServeError> {
        serving::serve(self, address)
    }

    /// The routes, for a program that has an axum server. Its own layers decide about connections; all
    /// else is as with [`Server::serve`] on an interface that is not the loopback one: names have to be told
    /// with [`Server::host`], and events need a [`Server::token`]. Live answers go on until the engine stops.
    pub fn router(self) -> axum::Router {
        let (stop, stopping) = tokio::sync::watch::channel(false);
        // Nobody stops it: the program stops its own server.
        std::mem::forget(stop);
        routes::router(App::new(self, stopping, false))
    }
}
