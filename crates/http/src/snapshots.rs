//! One moment for several requests: a client takes a snapshot, queries as of it, and releases it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use dayfold::engine::Views;
use dayfold::scan::Snapshot;

use crate::ask::refusal;
use crate::error::ApiError;
use crate::limits::Limits;

/// The snapshots that clients hold, by name.
pub(crate) struct Snapshots {
    views: Option<Views>,
    most: usize,
    pub(crate) keep: Duration,
    held: Mutex<HashMap<String, (Snapshot, Instant)>>,
    /// Names cannot be guessed from each other, and differ from those of an earlier server.
    names: RandomState,
    taken: AtomicU64,
}

impl Snapshots {
    pub(crate) fn new(views: Option<Views>, limits: &Limits) -> Snapshots {
        Snapshots {
            views,
            most: limits.snapshots,
            keep: limits.keep,
            held: Mutex::default(),
            names: RandomState::new(),
            taken: AtomicU64::new(0),
        }
    }

    /// The snapshot with this name, if one is named.
    ///
    /// # Errors
    /// 410 if it is not kept.
    pub(crate) fn named(&self, name: Option<&str>) -> Result<Option<Snapshot>, ApiError> {
        let Some(name) = name else { return Ok(None) };
        let found = self.held().get(name).map(|(snapshot, _)| snapshot.clone());
        found.map(Some).ok_or_else(|| {
            let message =
                format!("there is no snapshot '{name}', or not any longer: take a new one");
            ApiError::expired(message)
        })
    }

    /// The kept snapshots; expired ones are dropped.
    fn held(&self) -> MutexGuard<'_, HashMap<String, (Snapshot, Instant)>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        held.retain(|_, (_, until)| *until > now);
        held
    }

    /// Drops one.
    pub(crate) fn release(&self, name: &str) {
        self.held().remove(name);
    }

    fn has_room(&self) -> Result<(), ApiError> {
        if self.held().len() < self.most {
            return Ok(());
        }
        let message = format!("{} snapshots are held already: drop one, or try again", self.most);
        Err(ApiError::unavailable("busy", message))
    }

    /// Takes one, under a new name.
    pub(crate) async fn take(&self) -> Result<(String, Snapshot), ApiError> {
        self.has_room()?;
        let Some(views) = &self.views else {
            let message = "this server was given single views: there is no moment of all of them";
            return Err(ApiError::new(StatusCode::NOT_FOUND, "no_snapshots", message));
        };
        let until = Instant::now() + self.keep;
        let snapshot = views.snapshot_async(self.keep).await;
        let snapshot = snapshot.map_err(|error| refusal(&error, "snapshot"))?;
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:016x}", self.names.hash_one(number));
        // Other requests may have taken snapshots meanwhile.
        self.has_room()?;
        self.held().insert(name.clone(), (snapshot.clone(), until));
        Ok((name, snapshot))
    }
}
