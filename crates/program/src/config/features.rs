//! Which parts of the program are built in.

/// What is said of a part of the program that is not built in.
pub(crate) fn not_built(feature: &str) -> String {
    format!("this program was built without the feature '{feature}'")
}

/// Whether a part of the program is built in; else what is said of it.
pub(crate) fn needs(feature: &str) -> Result<(), String> {
    let is_built = match feature {
        "kafka" => cfg!(feature = "kafka"),
        "lake" => cfg!(feature = "lake"),
        _ => false,
    };
    if is_built { Ok(()) } else { Err(not_built(feature)) }
}
