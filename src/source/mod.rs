//! Sources: where events are read from.
//!
//! One thread reads a file. It alone decides what depends on the order of rows: which rows are refused for their time,
//! and how far the source's clock has come. Other threads cut chunks of the file into rows, and parse times. The first
//! worker deals blocks of rows to all workers, which parse the fields. So the same rows are accepted, and days close at
//! the same rows, whatever the number of workers. A source with partitions ([`Partitioned`], [`Files`]) is read by all
//! workers side by side, each partition by one of them.
//!
//! - [`Row`]: a row as the function that makes an event of it sees it
//! - [`TimeParser`]: the times that a cell may hold
//! - [`RowTimes`]: computed times, for rows without time columns
//! - [`Input`]: files, gzip, standard input
//! - [`RowFormat`]: CSV, or JSON lines
//! - [`CsvSource`]: the reader of both, its clock, and how it continues with a file that has grown
//! - [`Source`]: your own source, of records of any kind
//! - [`Partitioned`]: a source with partitions, which all workers read: a topic of a broker
//! - [`Files`]: files of a folder or a pattern, each of which is a partition
//! - [`RawRecords`]: records as they are in a file, for programs that make events of them on their own
//! - [`RefusedWriter`]: the file of refused rows
//!
//! Nothing here reads a clock: the wall clock is given with each read.

mod ahead;
mod block;
mod blocks;
mod cells;
mod chunk;
mod clock;
mod content;
mod counted;
mod csv;
mod error;
mod files;
mod follow;
mod header;
mod input;
mod json;
mod judge;
mod options;
mod own;
mod partition_options;
mod partitions;
mod pending;
mod position;
mod raw;
mod reading;
mod records;
mod refused;
mod reread;
mod row;
mod row_times;
mod scan;
mod share;
mod time;
mod unpack;
mod utf16;

pub(crate) use block::RowBlock;
pub(crate) use blocks::Blocks;
pub(crate) use clock::AHEAD_LIMIT_MS;
pub use csv::CsvSource;
pub use error::SourceError;
pub use files::{Changed, Files, files_of};
pub use input::Input;
pub use options::{ColumnNames, CsvOptions, RowFormat};
pub(crate) use own::Own;
pub use own::{Next, Source};
pub use partition_options::PartitionOptions;
pub(crate) use partitions::Watermark;
pub use partitions::{More, Partitioned, Partitions, Start, Taken, Taking};
pub use pending::Tail;
pub use position::Consumed;
pub(crate) use position::{OwnPlace, SourcePosition};
pub use raw::{RawRecord, RawRecords};
pub(crate) use reading::{Progress, Read, ReadLimit};
pub use records::RECORD_MAX;
pub use refused::{RefusedWriter, push_cell};
pub use reread::Reread;
pub use row::{Refused, Row};
pub use row_times::{RowTimes, UntimedRow};
pub use share::{Committed, Share};
pub use time::{AmbiguousTime, TimeFormatError, TimeParser, TimeRefusal, parse_time};
