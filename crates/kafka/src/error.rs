//! Why a topic cannot be read, or not any further.

/// Why a topic cannot be read, or not any further. Records read before count, and none was skipped.
///
/// ```
/// use dayfold_kafka::KafkaError;
///
/// /// How many records were removed before they were read.
/// fn removed(error: &KafkaError) -> u64 {
///     match error {
///         KafkaError::Gone { committed, first, .. } => first - committed,
///         _ => 0,
///     }
/// }
/// let topic = "orders".to_owned();
/// let error = KafkaError::Gone { topic, partition: 3, committed: 120, first: 300 };
/// assert_eq!(removed(&error), 180);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// The client does not accept the settings.
    #[error("the client does not take the settings: {reason}")]
    Settings {
        /// Its message.
        reason: String,
    },
    /// An invalid connection string of Event Hubs.
    #[error(
        "the connection string has no '{missing}': copy it whole, as in \
         'Endpoint=sb://name.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…'"
    )]
    ConnectionString {
        /// What is missing.
        missing: &'static str,
    },
    /// The broker has removed records that were not read.
    #[error(
        "topic '{topic}', partition {partition}: the log is at offset {committed}, and the first record that the broker \
         still has is {first}: the records between are gone. Restore them, or accept the loss with Lost::BeginAnew: \
         then reading goes on at {first}"
    )]
    Gone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset of the next record, as the log has it.
        committed: u64,
        /// The first offset that the broker has.
        first: u64,
    },
    /// The partition ends before the position that was read.
    #[error(
        "topic '{topic}', partition {partition}: the log is at offset {committed}, and the partition ends at {end}: it \
         was truncated, or the topic was made anew. Name the right topic or broker, or accept it with Lost::BeginAnew: \
         then reading begins at {first}, beside what the log has already"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset of the next record, as the log has it.
        committed: u64,
        /// The end of the partition.
        end: u64,
        /// The first offset that the broker has.
        first: u64,
    },
    /// The last record that was read has changed.
    #[error(
        "topic '{topic}', partition {partition}: the record at offset {offset}, which was read last before the log's \
         offset {committed}, is another one now: the topic was made anew. Name the right topic or broker, or accept it \
         with Lost::BeginAnew: then reading begins at {first}, beside what the log has already"
    )]
    Anew {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset of the record.
        offset: u64,
        /// The offset of the next record, as the log has it.
        committed: u64,
        /// The first offset that the broker has.
        first: u64,
    },
    /// The client has given up.
    #[error("the client has given up: {reason}")]
    Client {
        /// Its message.
        reason: String,
    },
}
