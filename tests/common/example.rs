//! The examples as processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The program of an example, built from the present sources.
///
/// `cargo test --test X` does not build examples, so programs in the target folder may be old, or built with other
/// features. Therefore a process asks Cargo once for each example that it runs. If nothing has changed, Cargo returns
/// the path in a fraction of a second.
pub(crate) fn program(example: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(example.to_owned()).or_insert_with(|| build(example)).clone()
}

fn build(example: &str) -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // From the root, so that dependencies have the same features as in all other builds.
    cargo.current_dir(root());
    cargo.args(["build", "--quiet", "--locked", "--message-format", "json-render-diagnostics"]);
    cargo.args(["--example", example, "--profile", profile()]);
    cargo.arg("--target-dir").arg(target());
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "cargo did not build the example {example}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let message = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let is_it = |message: &serde_json::Value| message["target"]["name"] == example;
    let message = messages.lines().map(message).find(is_it).unwrap();
    PathBuf::from(message["executable"].as_str().unwrap())
}

/// The folder of the workspace.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap()
}

/// The folder of Cargo's builds.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// The profile of this test, so that its builds of the libraries are reused.
fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}
