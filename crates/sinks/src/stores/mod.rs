//! The stores, each behind a feature of its name, and the notes of stores that cannot keep epochs and marks.

#[cfg(any(feature = "cassandra", feature = "hbase", feature = "kafka"))]
mod address;
#[cfg(feature = "cassandra")]
mod cassandra;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "hbase")]
mod hbase;
#[cfg(any(feature = "hbase", feature = "webhook"))]
mod http;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "mongodb")]
mod mongodb;
mod notes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(test)]
#[cfg(any(
    feature = "cassandra",
    feature = "hbase",
    feature = "kafka",
    feature = "mongodb",
    feature = "postgres",
    feature = "redis"
))]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "mongodb")]
pub use self::mongodb::MongoDb;
#[cfg(feature = "cassandra")]
pub use cassandra::Cassandra;
#[cfg(feature = "files")]
pub use files::Files;
#[cfg(feature = "hbase")]
pub use hbase::HBase;
#[cfg(feature = "kafka")]
pub use kafka::Kafka;
pub(crate) use notes::Notes;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
#[cfg(feature = "webhook")]
pub use webhook::Webhook;
