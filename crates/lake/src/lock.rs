//! One writer at a time, in stores that cannot put an object only where there is none.
//!
//! The lock of a table is an object with the name of its writer and an end. A writer takes it if nobody has it or its
//! end has passed: it puts its name, waits, and reads whose name is there. So two writers that begin at the same moment
//! find out, unless a request takes longer than the wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::store::Location;

/// The lock of a table.
const PATH: &str = "metadata/writer.json";
/// How long it is held. Writers whose clocks differ by more than this are not kept apart.
const HELD_MS: u64 = 15_000;
/// How long a writer waits before it looks who has the lock.
const WAIT: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Lock {
    writer: String,
    /// In milliseconds since 1970.
    until: u64,
}

/// Takes the lock of a table for a writer, or holds it for longer.
///
/// # Errors
/// [`LakeError::Locked`] if another writer has it.
pub(crate) async fn take(table: &Location, writer: &str) -> Result<(), LakeError> {
    let now = now_ms();
    let held = read(table).await?.filter(|lock| lock.until > now);
    if let Some(lock) = held {
        if lock.writer != writer {
            return Err(locked(table, &lock, now));
        }
        if lock.until - now > HELD_MS / 2 {
            return Ok(());
        }
        return put(table, writer).await;
    }
    put(table, writer).await?;
    tokio::time::sleep(WAIT).await;
    match read(table).await? {
        Some(lock) if lock.writer != writer => Err(locked(table, &lock, now)),
        Some(_) => Ok(()),
        None => Err(LakeError::Conflict { table: table.url().to_owned() }),
    }
}

async fn read(table: &Location) -> Result<Option<Lock>, LakeError> {
    // What is no lock, such as half of one, holds nobody up.
    Ok(table.get(PATH).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

async fn put(table: &Location, writer: &str) -> Result<(), LakeError> {
    let lock = Lock { writer: writer.to_owned(), until: now_ms() + HELD_MS };
    table.put(PATH, serde_json::to_vec(&lock).expect("texts and numbers are JSON")).await
}

fn locked(table: &Location, lock: &Lock, now: u64) -> LakeError {
    let seconds = lock.until.saturating_sub(now).div_ceil(1_000);
    LakeError::Locked { table: table.url().to_owned(), seconds }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
