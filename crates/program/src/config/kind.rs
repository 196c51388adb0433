//! The kind of a source.

use super::kafka::KafkaConfig;
use super::section::Text;

/// Where the events of a source come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// In files.
    File {
        /// The path; `*` and `?` match many files.
        path: Text,
        /// Whether files are read on as they grow.
        follow: bool,
    },
    /// Pushed by programs.
    Http,
    /// In Kafka topics.
    Kafka(Box<KafkaConfig>),
}
