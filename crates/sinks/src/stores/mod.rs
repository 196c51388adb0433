//! The stores, each behind a feature of its name, and the notes of stores that cannot keep epochs and marks.

#[cfg(feature = "files")]
mod files;
#[cfg(feature = "mongodb")]
mod mongodb;
mod notes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "mongodb")]
pub use self::mongodb::MongoDb;
#[cfg(feature = "files")]
pub use files::Files;
pub(crate) use notes::Notes;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
#[cfg(feature = "webhook")]
pub use webhook::Webhook;
