//! How far exports are, for status and metrics.

/// How far the export of a view is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportNumbers {
    /// The name of the export.
    pub export: String,
    /// The view.
    pub view: String,
    /// Periods that are exported as they are.
    pub exported: u64,
    /// Periods that are sealed and not exported yet.
    pub waiting: u64,
    /// The number of failures in a row; 0 while all is well.
    pub failures: u32,
    /// Why it failed last, if it has not succeeded since.
    pub error: Option<String>,
}

/// Tells them.
pub(crate) type ReadExports = dyn Fn() -> Vec<ExportNumbers> + Send + Sync;
