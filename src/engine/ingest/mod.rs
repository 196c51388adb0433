//! How events enter: from a source or by pushes, to the workers, into the log and the views.

pub(super) mod batch;
pub(super) mod deal;
pub(super) mod feed;
pub(super) mod floors;
pub(super) mod live;
pub(super) mod log_rows;
pub(super) mod logging;
pub(super) mod once;
pub(super) mod owner;
pub(super) mod pacer;
pub(super) mod partitions;
pub(super) mod reader;
pub(super) mod readers;
pub(super) mod receipt;
pub(super) mod request;
pub(super) mod wakers;
