//! The resource limits of a server.

use std::time::Duration;

/// The resource limits of a server. Each one holds for one server.
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
