//! What a source is.

use super::kafka::KafkaConfig;
use super::section::Text;

/// Where the events of a source are.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// In files.
    File {
        /// The path, with `*` and `?` for many.
        path: Text,
        /// Whether the file grows, and is read on.
        follow: bool,
    },
    /// Pushed by programs.
    Http,
    /// In topics of Kafka.
    Kafka(Box<KafkaConfig>),
}
