//! Files that a program holds may be removed while it runs.

use super::*;
use crate::store::Disk;

/// Opens a store on a disk, begins its run and calls `what` on a file of its part. Returns the path and the error of
/// the store.
fn taken_away(name: &str, what: impl Fn(&Path)) -> (PathBuf, StoreError) {
    let place = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(0, 1, vec![view("v")]);
    let store = Store::open(Arc::new(Disk), place.path(), config).unwrap();
    store.begin().unwrap();
    store.set_fact("fact", vec![1]).unwrap();
    let path = place.path().join("part-0").join(name);
    what(&path);
    let error = store.set_fact("fact", vec![2]).unwrap_err();
    assert!(store.complete().is_err(), "it does not forget");
    (path, error)
}

#[cfg(unix)]
#[test]
fn a_lock_or_a_manifest_that_vanishes_is_noticed() {
    let replace = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        // The new file is written beside the old one, so that it certainly is another file.
        std::fs::write(path.with_extension("other"), &bytes).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    for name in ["lock", "manifest"] {
        for what in [&replace as &dyn Fn(&Path), &|path: &Path| std::fs::remove_file(path).unwrap()]
        {
            let (path, error) = taken_away(name, what);
            assert!(matches!(&error, StoreError::Vanished { path: of } if *of == path), "{error}");
            let said = error.to_string();
            assert!(said.contains(name) && said.contains("stop all of them"), "{said}");
        }
    }
}
