//! The examples as processes.

use std::path::{Path, PathBuf};

/// An example, built before the tests of the package are run.
pub(crate) fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(name);
    let is_built = program.is_file();
    assert!(is_built, "no {}: `cargo build --example {example}` makes it", program.display());
    program
}
