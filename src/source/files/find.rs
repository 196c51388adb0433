//! The files that a pattern matches.

use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// The files that a pattern matches in [`Files`](super::Files), in order of their paths. Files that cannot be accessed
/// are left out.
///
/// # Errors
/// If it is not a valid pattern.
pub fn files_of(pattern: &str) -> io::Result<Vec<PathBuf>> {
    find(pattern).map(|(paths, _)| paths)
}

/// The files that a pattern matches, in order of their paths, and what could not be accessed.
pub(super) fn find(pattern: &str) -> io::Result<(Vec<PathBuf>, Option<String>)> {
    let path = Path::new(pattern);
    // A file with exactly this name is meant literally, whatever characters the name has.
    let pattern = if path.is_dir() {
        let within = Path::new(&Pattern::escape(pattern)).join("**").join("*");
        within.to_string_lossy().into_owned()
    } else if path.exists() {
        Pattern::escape(pattern)
    } else {
        pattern.to_owned()
    };
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let found = glob::glob_with(&pattern, options);
    let found = found.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (mut paths, mut trouble) = (Vec::new(), None);
    for path in found {
        match path {
            Ok(path) if path.to_str().is_none() => {
                let path = path.display();
                trouble = Some(format!("'{path}' is not read: its name is no UTF-8"));
            }
            Ok(path) if path.is_file() => paths.push(path),
            Ok(_) => {}
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    paths.sort();
    paths.dedup();
    Ok((paths, trouble))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_folders_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        let names =
            ["b.csv", "a.csv", "a.json", ".hidden.csv", "in/c.csv", "in/.d/e.csv", "[1].csv"];
        names.into_iter().for_each(make);
        let found = |pattern: &str| -> Vec<String> {
            let (paths, trouble) = find(folder.path().join(pattern).to_str().unwrap()).unwrap();
            assert_eq!(trouble, None);
            let name = |path: &PathBuf| {
                path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()
            };
            paths.iter().map(name).collect()
        };
        assert_eq!(found("*.csv"), ["[1].csv", "a.csv", "b.csv"]);
        assert_eq!(found("?.json"), ["a.json"]);
        assert_eq!(found("**/*.csv"), ["[1].csv", "a.csv", "b.csv", "in/c.csv"]);
        assert_eq!(found(""), ["[1].csv", "a.csv", "a.json", "b.csv", "in/c.csv"]);
        assert_eq!(found("[1].csv"), ["[1].csv"]);
        assert_eq!(found("none*"), [""; 0]);
        assert!(find("a[").is_err());
    }
}
