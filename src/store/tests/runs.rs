//! What a folder records about its runs.

use super::*;

fn open(memory: &Memory, process: usize, logged: bool) -> Result<Store, StoreError> {
    let config = StoreConfig { logged, ..config(process, 2) };
    Store::open(Arc::new(memory.clone()), ROOT, config)
}

#[test]
fn a_folder_keeps_to_its_log() {
    for logged in [true, false] {
        let memory = Memory::default();
        // Until a run has begun, nothing is fixed.
        drop(open(&memory, 0, !logged).unwrap());
        let stores = [0, 1].map(|process| open(&memory, process, logged).unwrap());
        stores.iter().for_each(|store| store.begin().unwrap());
        drop(stores);
        let before = contents(&memory, Path::new(ROOT));
        let error = open(&memory, 0, !logged).unwrap_err();
        assert!(
            matches!(error, StoreError::LogMismatch { on_disk, asked, .. } if on_disk == logged && asked != logged)
        );
        let expect = match logged {
            true => "/data has a log and this program keeps none: start it with the log",
            false => {
                "/data was written without a log and this program keeps one: \
                 start it without one, or use a new folder"
            }
        };
        assert_eq!(error.to_string(), expect);
        assert_eq!(contents(&memory, Path::new(ROOT)), before, "nothing was changed");
        open(&memory, 0, logged).unwrap();
    }
}

#[test]
fn a_group_that_disagrees_on_its_log_does_not_begin() {
    let memory = Memory::default();
    let [first, second] = [0, 1].map(|process| open(&memory, process, process == 0).unwrap());
    first.begin().unwrap();
    assert!(matches!(second.begin(), Err(StoreError::LogMismatch { on_disk: true, .. })));
}

#[test]
fn runs_are_numbered() {
    let memory = Memory::default();
    for number in 1..4 {
        let stores = start(&memory, 2);
        assert!(stores.iter().all(|store| store.run() == number), "run {number}");
        let parts = [(0, "/data/part-0".into()), (1, "/data/part-1".into())];
        assert!(stores.iter().all(|store| store.part_paths() == parts));
    }
    // A run that does not begin has no number.
    assert_eq!(try_open(&memory, 0, 1).unwrap().run(), 4);
    assert_eq!(try_open(&memory, 0, 1).unwrap().run(), 4);
}
