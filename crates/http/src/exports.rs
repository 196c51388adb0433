//! The progress of exports, for status and metrics.

/// The progress of a view's export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportNumbers {
    /// The name of the export.
    pub export: String,
    /// The view.
    pub view: String,
    /// Periods that are exported in their present version.
    pub exported: u64,
    /// Sealed periods that are not exported yet.
    pub waiting: u64,
    /// The number of failures in a row; 0 while all is well.
    pub failures: u32,
    /// Why it failed last, if it has not succeeded since.
    pub error: Option<String>,
}

/// Returns the progress of exports.
pub(crate) type ReadExports = dyn Fn() -> Vec<ExportNumbers> + Send + Sync;
