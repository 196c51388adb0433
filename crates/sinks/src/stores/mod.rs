//! The stores, each behind a feature of its name.

#[cfg(feature = "files")]
mod files;
#[cfg(feature = "files")]
mod notes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "files")]
pub use files::Files;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
