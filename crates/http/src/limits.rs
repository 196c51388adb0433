//! The resource limits of a server.

use std::time::Duration;

/// The resource limits of one server.
///
/// ```
/// let limits = dayfold_http::Limits::default().body(64 << 10).connections(256);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) body: usize,
    pub(crate) bodies: usize,
    pub(crate) connections: usize,
    pub(crate) subscribers: usize,
    pub(crate) waiting: usize,
    pub(crate) streams: usize,
    pub(crate) followers: usize,
    pub(crate) snapshots: usize,
    pub(crate) keep: Duration,
    pub(crate) pushes: usize,
    pub(crate) patience: Duration,
    pub(crate) read_head: Duration,
    pub(crate) read_body: Duration,
    pub(crate) take: Duration,
    pub(crate) every: (Duration, Duration),
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
            followers: 64,
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

/// Each of these methods returns the same limits with one changed.
impl Limits {
    /// Bytes of a request's body; a larger one is answered with 413. Default: 1 MiB.
    #[must_use]
    pub fn body(self, body: usize) -> Limits {
        Limits { body, ..self }
    }

    /// Bytes of all bodies together, from before they are read until their requests are answered. A body counts with
    /// its stated length, or with the bytes that arrive. Beyond the limit, the answer is 503. Default: 64 MiB.
    #[must_use]
    pub fn bodies(self, bodies: usize) -> Limits {
        Limits { bodies, ..self }
    }

    /// Open connections; one more is answered with 503 and closed. Default: 4,096.
    #[must_use]
    pub fn connections(self, connections: usize) -> Limits {
        Limits { connections, ..self }
    }

    /// Live subscriptions; one more is answered with 429. Default: 2,048.
    #[must_use]
    pub fn subscribers(self, subscribers: usize) -> Limits {
        Limits { subscribers, ..self }
    }

    /// Queries that wait for the engine; one more is answered with 503. Default: 256.
    #[must_use]
    pub fn waiting(self, waiting: usize) -> Limits {
        Limits { waiting, ..self }
    }

    /// Answers under way with all rows of a view; one more is answered with 503. Default: 64.
    #[must_use]
    pub fn streams(self, streams: usize) -> Limits {
        Limits { streams, ..self }
    }

    /// Limits the followers of changes, each of which has a thread; one more is answered with 429. Default: 64.
    #[must_use]
    pub fn followers(self, followers: usize) -> Limits {
        Limits { followers, ..self }
    }

    /// Snapshots that clients hold; one more is answered with 503. Default: 64.
    #[must_use]
    pub fn snapshots(self, snapshots: usize) -> Limits {
        Limits { snapshots, ..self }
    }

    /// How long a snapshot is kept. Default: 60 s.
    #[must_use]
    pub fn keep(self, keep: Duration) -> Limits {
        Limits { keep, ..self }
    }

    /// Pushes that wait for the engine; one more is answered with 503. Default: 256.
    #[must_use]
    pub fn pushes(self, pushes: usize) -> Limits {
        Limits { pushes, ..self }
    }

    /// How long a query waits for its answer, or a push until it is durable, before 503. Default: 10 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Limits {
        Limits { patience, ..self }
    }

    /// How long a client may take to send the head of a request, counted from the opening of the connection or from the
    /// previous answer; then the connection is closed. Default: 30 s.
    #[must_use]
    pub fn read_head(self, read_head: Duration) -> Limits {
        Limits { read_head, ..self }
    }

    /// How long a client may take to send a body, before 408. Default: 30 s.
    #[must_use]
    pub fn read_body(self, read_body: Duration) -> Limits {
        Limits { read_body, ..self }
    }

    /// How long a client may take nothing of its answers before it is disconnected. Default: 30 s.
    #[must_use]
    pub fn take(self, take: Duration) -> Limits {
        Limits { take, ..self }
    }

    /// The least and the greatest time between two live answers. Default: 20 ms and 1 h.
    #[must_use]
    pub fn every(self, least: Duration, greatest: Duration) -> Limits {
        Limits { every: (least, greatest), ..self }
    }
}
