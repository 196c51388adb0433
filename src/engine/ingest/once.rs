//! Pushes that count once: the same request may come twice, also after a restart, and to another process.
//!
//! One worker of the cluster owns a key, and it alone decides whether the key is new; see [`Owner`]. The process that
//! gets the request passes it on, and holds its watermark back until there is an answer.
//!
//! [`Owner`]: crate::engine::ingest::owner::Owner

use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::engine::ingest::live::{EventRefusal, Pusher};
use crate::engine::ingest::receipt::WaitError;
use crate::engine::ingest::request::{Reply, Request};

/// The greatest length of a key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// The result of a push with a key: its events are in, exactly once, visible in this process, and durable.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::engine::{Once, OnceError, Pusher};
///
/// /// Pushes the events of a request that may come twice, and says how many it has added.
/// fn push(pusher: &Pusher<u64>, request: &str, events: Vec<u64>) -> Result<u64, String> {
///     match pusher.push_once(request, events, Duration::from_secs(10)) {
///         Ok(Once { repeated: true, .. }) => Ok(0),
///         Ok(once) => Ok(once.events),
///         Err(OnceError::Reused) => Err("two requests have one key".to_owned()),
///         Err(error) => Err(error.to_string()),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Once {
    /// Whether the events had come with this key before. Then nothing was added now.
    pub repeated: bool,
    /// The number of events that are in.
    pub events: u64,
}

/// Why a push with a key has not succeeded, and whether its events are in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError<E> {
    /// The key is empty or too long. Nothing has entered.
    #[error("expected a key of 1 to {KEY_BYTES_MAX} bytes, found {length}; nothing has entered")]
    Key {
        /// The length of the key in bytes.
        length: usize,
        /// All events.
        events: Vec<E>,
    },
    /// The engine has not started, or its log does not promise durability, so that the key might not be known later.
    /// Nothing has entered.
    #[error(
        "no key can be kept: start the engine, with a log of another durability than Durability::System; \
         nothing has entered"
    )]
    NotPromised {
        /// All events.
        events: Vec<E>,
    },
    /// An event cannot be serialized, or its bytes cannot be read again. Nothing has entered.
    #[error("the events cannot be encoded: {reason}; nothing has entered")]
    Encode {
        /// The error of the encoder.
        reason: String,
    },
    /// An event is too far ahead of the wall clock, or too old. Nothing has entered.
    #[error("event {at}: {reason}; nothing has entered")]
    Refused {
        /// The position of the first such event.
        at: usize,
        /// Why it was refused.
        reason: EventRefusal,
        /// All events.
        events: Vec<E>,
    },
    /// There was no room within the limit. Nothing has entered.
    #[error("no room within {limit:?}; nothing has entered")]
    Full {
        /// How long the call waited.
        limit: Duration,
        /// All events.
        events: Vec<E>,
    },
    /// The engine has stopped. Nothing has entered.
    #[error("the engine has stopped; nothing has entered")]
    Stopped {
        /// All events.
        events: Vec<E>,
    },
    /// The key has come with other events, or another request, in the last 24 hours. Nothing has entered.
    #[error("the key has come before with other events; nothing has entered")]
    Reused,
    /// There is no answer. The events may be in; the same request again, with the same key, adds them if they
    /// are not.
    #[error("the events may be in; ask again with the same key: {error}")]
    Unknown {
        /// Why there is no answer.
        error: WaitError,
    },
}

impl<E> Pusher<E> {
    /// Passes events to the engine that count once, however often they come with this key: in the next 24 hours, also
    /// after restarts, with any number of workers, and to any process of the cluster. If the same key comes from
    /// elsewhere at the same time, it waits for the first. All events enter together, or none.
    ///
    /// Returns when they are durable, and visible to every query that is asked in this process from then on; it waits
    /// at most `limit` for that and for room. Such requests have their own allowance, of the size of
    /// [`LiveOptions::waiting`], from their arrival until their answer. The engine keeps keys in memory for 24 hours.
    ///
    /// [`LiveOptions::waiting`]: crate::engine::LiveOptions::waiting
    ///
    /// # Errors
    /// [`OnceError`]; it says whether anything has entered.
    pub fn push_once(
        &self,
        key: &str,
        events: Vec<E>,
        limit: Duration,
    ) -> Result<Once, OnceError<E>> {
        self.push_keyed(key, None, events, limit)
    }

    /// As [`Pusher::push_once`], but the request is recognised by a digest of 128 bits instead of by its events: one of
    /// the bytes in which it came, for example. A program whose events have other fields after a restart needs this;
    /// otherwise the same request would seem to have other events.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dayfold::engine::{Once, OnceError, Pusher};
    ///
    /// /// Pushes the numbers of a request, one on each line.
    /// fn push(pusher: &Pusher<u64>, key: &str, body: &[u8], digest: u128) -> Result<Once, OnceError<u64>> {
    ///     let lines = String::from_utf8_lossy(body);
    ///     let numbers = lines.lines().filter_map(|line| line.parse().ok()).collect();
    ///     pusher.push_request_once(key, digest, numbers, Duration::from_secs(10))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`OnceError`]; it says whether anything has entered.
    pub fn push_request_once(
        &self,
        key: &str,
        digest: u128,
        events: Vec<E>,
        limit: Duration,
    ) -> Result<Once, OnceError<E>> {
        self.push_keyed(key, Some(digest), events, limit)
    }

    fn push_keyed(
        &self,
        key: &str,
        digest: Option<u128>,
        events: Vec<E>,
        limit: Duration,
    ) -> Result<Once, OnceError<E>> {
        let (started, queue) = (Instant::now(), &self.queue);
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(OnceError::Key { length: key.len(), events });
        }
        let Some(codec) = queue.once_codec.get() else {
            return Err(OnceError::NotPromised { events });
        };
        let refused = |(at, event)| Some((at, self.check(event).err()?));
        if let Some((at, reason)) = events.iter().enumerate().find_map(refused) {
            return Err(OnceError::Refused { at, reason, events });
        }
        let encode =
            |error: &dyn std::fmt::Display| OnceError::Encode { reason: error.to_string() };
        let count = u32::try_from(events.len()).map_err(|error| encode(&error))?;
        let bytes = codec.encode(&events).map_err(|error| encode(&error))?;
        let (digest, key) = (digest.unwrap_or_else(|| xxh3_128(&bytes)), key.to_owned());
        let request = Request { id: 0, key, digest, count, events: bytes };
        let room = queue.options.waiting;
        let waited = queue.room.wait_timeout_while(queue.lock(), limit, |inner| {
            !inner.closed && (inner.held || inner.once.is_full(room))
        });
        let (mut inner, waited) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.closed {
            return Err(OnceError::Stopped { events });
        }
        if waited.timed_out() {
            return Err(OnceError::Full { limit, events });
        }
        // Added under the lock, so the watermark has not passed this time.
        let slot = inner.once.add(queue.clock.now(), request);
        inner.workers.iter().for_each(std::thread::Thread::unpark);
        drop((inner, events));
        let left = limit.saturating_sub(started.elapsed());
        match queue.waits.wait_reply(left, &slot) {
            Ok(Reply::In { repeated, events, .. }) => Ok(Once { repeated, events }),
            Ok(Reply::Reused) => Err(OnceError::Reused),
            Ok(Reply::Unreadable) => {
                Err(encode(&"what was serialised cannot be read again as events"))
            }
            Err(WaitError::TimedOut { .. }) => {
                Err(OnceError::Unknown { error: WaitError::TimedOut { limit } })
            }
            Err(error) => Err(OnceError::Unknown { error }),
        }
    }
}
