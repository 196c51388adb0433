//! The optional parts of the program.

/// The message for a part of the program that is not built in.
pub(crate) fn not_built(feature: &str) -> String {
    format!("this program was built without the feature '{feature}'")
}

/// The optional parts, and whether they are built in.
const PARTS: [(&str, bool); 6] = [
    ("kafka", cfg!(feature = "kafka")),
    ("lake", cfg!(feature = "lake")),
    ("parquet", cfg!(feature = "parquet")),
    ("sinks", cfg!(feature = "sinks")),
    ("tls", cfg!(feature = "tls")),
    ("sql", cfg!(feature = "sql")),
];

/// Whether a part of the program is built in; otherwise the message.
pub(crate) fn needs(feature: &str) -> Result<(), String> {
    if PARTS.contains(&(feature, true)) { Ok(()) } else { Err(not_built(feature)) }
}

/// The message for a sink that cannot be synced because none is built in.
#[cfg(not(feature = "sinks"))]
pub(crate) fn needs_sinks(name: &str) -> String {
    format!("sink '{name}': {}", not_built("sinks"))
}

/// The message for a question that needs SQL.
pub(crate) fn needs_sql() -> String {
    match needs("sql") {
        Ok(()) => {
            "the program that has the folder open was built without the feature 'sql'".to_owned()
        }
        Err(not_built) => format!(
            "{not_built}, which answers all of SQL: cargo build --release -p dayfold-program --features sql"
        ),
    }
}
