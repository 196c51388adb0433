//! Settings that clients query.

/// The value of a setting, if it exists.
pub(crate) fn value(name: &str) -> Option<&'static str> {
    Some(match name {
        "server_version" => "16.6",
        "server_version_num" => "160006",
        "server_encoding" | "client_encoding" => "UTF8",
        "timezone" | "time zone" => "UTC",
        "datestyle" => "ISO, MDY",
        "intervalstyle" => "postgres",
        "transaction_isolation"
        | "transaction isolation level"
        | "default_transaction_isolation" => "repeatable read",
        "transaction_read_only" | "default_transaction_read_only" => "on",
        "standard_conforming_strings" | "integer_datetimes" => "on",
        "search_path" => "public",
        "max_identifier_length" => "63",
        "extra_float_digits" => "1",
        "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => "0",
        "bytea_output" => "hex",
        "application_name" => "",
        "is_superuser" => "off",
        _ => return None,
    })
}
