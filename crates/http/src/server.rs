//! The definition of a server: what it serves, and its limits.

use std::fmt;
use std::sync::Arc;

use dayfold::engine::{Observer, Pusher, Views};
use dayfold::scan::ErasedView;
use dayfold_sinks::{Feed, SinkError};

use crate::exports::{ExportNumbers, ReadExports};
use crate::feeds::StartFeed;
use crate::limits::Limits;
use crate::places::Threads;
use crate::refusals::{ReadRefused, RefusedRows};
use crate::role::{Role, Tokens};
use crate::sink::{Lines, Media, Sink, TypedSink};
use crate::sinks::{ReadSinks, SinkNumbers};
use crate::sql::{AnswerSql, SqlAnswering, SqlQuery};
use crate::views::ServedView;

/// The definition of a server: what it serves, and its limits.
pub struct Server {
    pub(crate) name: String,
    pub(crate) views: Vec<Arc<ServedView>>,
    pub(crate) snapshots: Option<Views>,
    pub(crate) events: Option<Arc<dyn Sink>>,
    pub(crate) sources: Vec<(String, Arc<dyn Sink>)>,
    pub(crate) observer: Option<Observer>,
    pub(crate) tokens: Tokens,
    pub(crate) exports: Option<Box<ReadExports>>,
    pub(crate) sinks: Option<Box<ReadSinks>>,
    pub(crate) refused: Option<Arc<ReadRefused>>,
    pub(crate) catalog: Option<axum::Router>,
    pub(crate) sql: Option<Box<AnswerSql>>,
    pub(crate) feeds: Option<Box<StartFeed>>,
    pub(crate) hosts: Vec<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Tls>,
    pub(crate) limits: Limits,
    pub(crate) process: (usize, usize),
    pub(crate) threads: Arc<Threads>,
}

/// Without the token.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("views", &self.views.len())
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
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
            tokens: Tokens::default(),
            exports: None,
            sinks: None,
            refused: None,
            catalog: None,
            sql: None,
            feeds: None,
            hosts: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            limits: Limits::default(),
            process: (0, 1),
            threads: Arc::default(),
        }
    }

    /// Sets the engine of the views; without it, status and metrics only describe the server.
    #[must_use]
    pub fn observe(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sets the index of this process and the number of processes.
    #[must_use]
    pub fn process(mut self, process: usize, processes: usize) -> Self {
        self.process = (process, processes);
        self
    }

    /// Serves a view, with its name and the names of its columns.
    #[must_use]
    pub fn view(mut self, view: Arc<dyn ErasedView>) -> Self {
        let threads = Arc::clone(&self.threads);
        self.views.push(Arc::new(ServedView::new(view, threads)));
        self
    }

    /// Sets the unit of a measure, which the page shows after the measure's name. Add the views first: a view or a
    /// measure that the server does not have is ignored.
    ///
    /// ```
    /// use dayfold::engine::Running;
    /// use dayfold_http::Server;
    ///
    /// fn server(running: &Running) -> Server {
    ///     Server::new("flights").views(&running.views()).unit("by-carrier", "mean_delay", "min")
    /// }
    /// ```
    #[must_use]
    pub fn unit(mut self, view: &str, measure: &str, unit: &str) -> Server {
        let mut views = self.views.iter_mut().filter_map(Arc::get_mut);
        if let Some(served) = views.find(|served| served.name() == view) {
            served.set_unit(measure, unit);
        }
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
        let read = crate::sink::of_json(of_json);
        self.events = Some(Arc::new(TypedSink::new(pusher, read, false, threads)));
        self
    }

    /// Accepts events of a source at `/api/sources/NAME/events`. `read` turns the body of a request (JSON, lines of
    /// JSON, or CSV with a header) into events, each with the number of its line, or says which line is wrong, and what
    /// was expected. With a header `Idempotency-Key` they count once.
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

    /// Accepts events only with this token (`Authorization: Bearer …`). An empty token means none. Without a token,
    /// events are only accepted on the loopback interface.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.tokens.add(Role::Push, token);
        self
    }

    /// Adds a token of a role, to be sent as `Authorization: Bearer …`, or as the password in a browser. There may be
    /// any number of tokens. Once there is one of [`Role::Read`], only `/healthz` and `/readyz` are answered without a
    /// token.
    ///
    /// ```
    /// use dayfold_http::{Role, Server};
    ///
    /// let server = Server::new("flights").token_of(Role::Read, "of the dashboard").token_of(Role::Push, "of the producer");
    /// ```
    #[must_use]
    pub fn token_of(mut self, role: Role, token: &str) -> Self {
        self.tokens.add(role, token);
        self
    }

    /// Shows the progress of sinks in status and metrics. `sinks` is called each time.
    ///
    /// ```
    /// use dayfold_http::{Server, SinkNumbers};
    ///
    /// let (sink, view) = ("redis".to_owned(), "by-carrier".to_owned());
    /// let numbers = SinkNumbers { sink, view, written: 365, ..SinkNumbers::default() };
    /// let server = Server::new("flights").sinks(move || vec![numbers.clone()]);
    /// ```
    #[must_use]
    pub fn sinks(self, sinks: impl Fn() -> Vec<SinkNumbers> + Send + Sync + 'static) -> Server {
        Server { sinks: Some(Box::new(sinks)), ..self }
    }

    /// Lets programs follow the changes of views, at `/api/views/{view}/changes`. `start` starts the feed of a view at
    /// the first request for it.
    ///
    /// ```
    /// use std::path::PathBuf;
    ///
    /// use dayfold::engine::Running;
    /// use dayfold_http::Server;
    /// use dayfold_sinks::{Feed, SinkOptions};
    ///
    /// /// Serves the views of an engine that keeps its data in `data`, and their changes.
    /// fn server(running: &Running, data: PathBuf) -> Server {
    ///     let (views, observer) = (running.views(), running.observer());
    ///     let start = {
    ///         let views = views.clone();
    ///         move |view: &str| Feed::start(&views, &observer, &data, view, SinkOptions::default())
    ///     };
    ///     Server::new("flights").views(&views).changes(start)
    /// }
    /// ```
    #[must_use]
    pub fn changes(
        self,
        start: impl Fn(&str) -> Result<Feed, SinkError> + Send + Sync + 'static,
    ) -> Server {
        Server { feeds: Some(Box::new(start)), ..self }
    }

    /// Shows the progress of exports in status and metrics. `exports` is called each time.
    ///
    /// ```
    /// use dayfold_http::{ExportNumbers, Server};
    ///
    /// let (export, view) = ("lake".to_owned(), "by-carrier".to_owned());
    /// let numbers = ExportNumbers { export, view, exported: 365, waiting: 1, ..ExportNumbers::default() };
    /// let server = Server::new("flights").exports(move || vec![numbers.clone()]);
    /// ```
    #[must_use]
    pub fn exports(
        mut self,
        exports: impl Fn() -> Vec<ExportNumbers> + Send + Sync + 'static,
    ) -> Self {
        self.exports = Some(Box::new(exports));
        self
    }

    /// Serves the refused rows, at `/api/refused` and on the page. `read` gets the position at which the rows begin,
    /// and how many rows it may return at most. The position is 0, or the [`next`](RefusedRows::next) of an earlier
    /// answer. The server answers on the loopback interface, and otherwise to clients with a token of [`Role::Admin`].
    ///
    /// ```
    /// use dayfold_http::{RefusedRow, RefusedRows, Server};
    ///
    /// let (reason, row) = ("ms: expected an integer".to_owned(), "2024-05-01,many".to_owned());
    /// let reasons = vec![(reason.clone(), 1)];
    /// let rows = vec![RefusedRow { line: 7, reason, row }];
    /// let found = RefusedRows { rows, next: None, total: 1, reasons };
    /// let server = Server::new("flights").refused(move |_after, _limit| Ok(found.clone()));
    /// ```
    #[must_use]
    pub fn refused(
        self,
        read: impl Fn(u64, usize) -> std::io::Result<RefusedRows> + Send + Sync + 'static,
    ) -> Server {
        Server { refused: Some(Arc::new(read)), ..self }
    }

    /// Serves a catalogue with Iceberg's REST protocol below `/iceberg`. Its routes begin with `/v1/config`, as those
    /// of `dayfold_lake::Catalog`. If there is a token of [`Role::Read`], it needs that token, like other queries.
    ///
    /// ```
    /// use dayfold_http::Server;
    ///
    /// let config = axum::routing::get(|| async { "{\"defaults\":{},\"overrides\":{}}" });
    /// let server = Server::new("flights").catalog(axum::Router::new().route("/v1/config", config));
    /// ```
    #[must_use]
    pub fn catalog(self, routes: axum::Router) -> Server {
        Server { catalog: Some(routes), ..self }
    }

    /// Answers statements at `/api/sql`. `answer` runs them, with any SQL engine; `dayfold_sql::http` has a function
    /// that uses DataFusion.
    ///
    /// ```
    /// use dayfold_http::{AnswerSql, Server, SqlAnswer, SqlAnswering, SqlFormat, SqlQuery, SqlReason, SqlRefusal};
    ///
    /// /// Knows one statement.
    /// fn answer(query: SqlQuery) -> SqlAnswering {
    ///     Box::pin(async move {
    ///         if query.sql != "SELECT 1" {
    ///             let refusal = SqlRefusal::new(SqlReason::Statement, "expected SELECT 1");
    ///             return Err(refusal.at(1, 1));
    ///         }
    ///         let rows = match query.format {
    ///             SqlFormat::Csv => "one\n1\n",
    ///             _ => "{\"columns\":[{\"name\":\"one\",\"kind\":\"integer\",\"nullable\":false}],\"rows\":[[1]]}",
    ///         };
    ///         let pieces = futures_util::stream::iter([Ok(rows.as_bytes().to_vec())]);
    ///         Ok(Box::pin(pieces) as SqlAnswer)
    ///     })
    /// }
    /// let answer: Box<AnswerSql> = Box::new(answer);
    /// let server = Server::new("flights").sql(answer);
    /// ```
    #[must_use]
    pub fn sql(self, answer: impl Fn(SqlQuery) -> SqlAnswering + Send + Sync + 'static) -> Server {
        Server { sql: Some(Box::new(answer)), ..self }
    }

    /// Answers requests for this host name, too. Only these names and `localhost` are answered, so that a page of
    /// another site cannot reach the server under its own name. Addresses are always answered: on the loopback
    /// interface those of that interface, on another one all.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(host_name(host));
        self
    }

    /// Serves HTTPS only. [`Server::router`] ignores it, because there the program's own server accepts connections.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// A host without its port.
pub(crate) fn host_name(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.to_ascii_lowercase()
}
