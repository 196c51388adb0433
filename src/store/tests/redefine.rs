//! Views that are added or redefined: their past is computed again, and nothing of an old definition counts under the
//! new one.

use super::*;

fn defined(definition: &str) -> ViewRecord {
    ViewRecord { definition: definition.to_owned(), ..view("v") }
}

/// A logged program with the view `w` and this definition of `v`.
fn logged(process: usize, processes: usize, definition: &str, rebuild: bool) -> StoreConfig {
    let views = vec![defined(definition), view("w")];
    let rebuild = if rebuild { vec!["v".to_owned()] } else { Vec::new() };
    StoreConfig { logged: true, rebuild, ..StoreConfig::new(process, processes, views) }
}

fn open(memory: &Memory, config: StoreConfig) -> Result<Store, StoreError> {
    Store::open(Arc::new(memory.clone()), ROOT, config)
}

fn start(memory: &Memory, processes: usize, definition: &str, rebuild: bool) -> Vec<Store> {
    let open = |process| open(memory, logged(process, processes, definition, rebuild)).unwrap();
    let mut stores: Vec<Store> = (0..processes).rev().map(open).collect();
    stores.reverse();
    stores.iter().for_each(|store| store.begin().unwrap());
    stores
}

/// The batch views of `v` in the folder.
fn files(memory: &Memory) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = contents(memory, Path::new(ROOT));
    files.retain(|path, _| path.to_string_lossy().contains("/views/v/"));
    files
}

fn put_back(memory: &Memory, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        memory.create_dirs(path.parent().unwrap()).unwrap();
        memory.create(path).unwrap().write_all(bytes).unwrap();
    }
}

#[test]
fn a_changed_view_can_be_rebuilt_from_the_log() {
    let memory = Memory::default();
    let stores = start(&memory, 1, "old", false);
    seal(&stores, 10, 10, 1, 1);
    stores[0].commit("w", Day(10), &[]).unwrap();
    drop(stores);
    let before = contents(&memory, Path::new(ROOT));
    let error = open(&memory, logged(0, 1, "new", false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "view 'v' has definition 'old' on disk and 'new' in the program: have it rebuilt from \
         the log with Engine::redefine(\"v\"), give the changed view a new name or use a new folder"
    );
    assert_eq!(contents(&memory, Path::new(ROOT)), before, "nothing was changed");

    let old = files(&memory);
    assert!(!old.is_empty());
    let store = open(&memory, logged(0, 1, "new", true)).unwrap();
    assert_eq!((store.closed_through("v"), store.closed_through("w")), (None, Some(Day(10))));
    assert!(files(&memory).is_empty() && rows(&store).is_empty());
    drop(store);
    // A crash came before their removal: the new definition does not use them.
    put_back(&memory, &old);
    let stores = start(&memory, 1, "new", true);
    assert!(files(&memory).is_empty());
    assert_eq!(stores[0].closed_through("v"), None);
    seal(&stores, 10, 10, 2, 1);
    drop(stores);
    // The same request again changes nothing, nor does its absence.
    for rebuild in [true, false] {
        let stores = start(&memory, 1, "new", rebuild);
        assert_eq!(rows(&stores[0]), expect(&[(10, 2)]));
        assert_eq!(stores[0].closed_through("v"), Some(Day(10)));
    }
}

#[test]
fn nothing_is_rebuilt_without_a_log() {
    let memory = Memory::default();
    for (config, expect) in [
        (
            StoreConfig { logged: false, ..logged(0, 1, "new", true) },
            "a view is rebuilt from a log, and the program keeps none: 'v'",
        ),
        (
            StoreConfig { rebuild: vec!["x".to_owned()], ..logged(0, 1, "new", true) },
            "a view that is to be rebuilt is not in the program: 'x'",
        ),
    ] {
        assert_eq!(open(&memory, config).unwrap_err().to_string(), expect);
        assert!(memory.list(Path::new(ROOT)).is_err(), "nothing was made");
    }
}

#[test]
fn a_redefinition_that_was_cut_short_goes_on() {
    // The number of processes of the old cluster, how many of them open with the new definition, and the size of the
    // next cluster.
    for (before, opened, after) in [(2, 1, 2), (3, 1, 2), (3, 2, 1), (2, 1, 3), (1, 1, 2)] {
        for finish in ["new, again", "new", "old, again"] {
            let memory = Memory::default();
            let stores = start(&memory, before, "old", false);
            seal(&stores, 10, 10, 1, before);
            drop(stores);
            let old = files(&memory);
            for process in 0..opened {
                drop(open(&memory, logged(process, before, "new", true)).unwrap());
            }
            // At worst, no removal of a file was durable.
            put_back(&memory, &old);
            let error = open(&memory, logged(0, after, "old", false)).unwrap_err();
            assert!(
                matches!(&error, StoreError::ViewMismatch { on_disk, asked, .. }
                    if on_disk == "new" && asked == "old"),
                "{error}"
            );
            let (definition, again) = (&finish[..3], finish.len() > 3);
            let stores = start(&memory, after, definition, again);
            for store in &stores {
                assert_eq!(store.closed_through("v"), None, "{before} {opened} {after} {finish}");
                assert!(rows(store).is_empty());
            }
            assert!(files(&memory).is_empty(), "{before} {opened} {after} {finish}");
            // The past is computed again; one process is left behind, and rolls forward.
            seal(&stores, 10, 10, 2, after);
            seal(&stores, 11, 11, 3, 1);
            drop(stores);
            let stores = start(&memory, before, definition, false);
            for store in &stores {
                assert_eq!(rows(store), expect(&[(10, 2), (11, 3)]));
            }
        }
    }
}

#[test]
fn a_group_that_redefines_begins_when_all_have() {
    let memory = Memory::default();
    drop(start(&memory, 2, "old", false));
    let first = open(&memory, logged(0, 2, "new", true)).unwrap();
    // The other process runs the old program, or has not come yet.
    assert!(matches!(first.begin(), Err(StoreError::PartsDisagree { .. })));
    assert!(matches!(
        open(&memory, logged(1, 2, "old", false)),
        Err(StoreError::ViewMismatch { .. })
    ));
    let second = open(&memory, logged(1, 2, "new", false)).unwrap();
    first.begin().unwrap();
    second.begin().unwrap();
}

#[test]
fn parts_that_still_have_the_old_definition_do_not_count() {
    let memory = Memory::default();
    let stores = start(&memory, 2, "old", false);
    seal(&stores, 10, 10, 1, 2);
    drop(stores);
    let first = open(&memory, logged(0, 2, "new", true)).unwrap();
    assert!(rows(&first).is_empty(), "the other process has not opened its part yet");
}

#[test]
fn parts_without_a_process_drop_it_too() {
    let memory = Memory::default();
    seal(&start(&memory, 3, "old", false), 10, 10, 1, 3);
    // Two processes have left long ago.
    for _ in 0..2 {
        drop(start(&memory, 1, "old", false));
    }
    assert_eq!(rows(&start(&memory, 1, "old", false)[0]), expect(&[(10, 1)]));
    assert!(rows(&start(&memory, 1, "new", true)[0]).is_empty());
    assert!(files(&memory).is_empty());
}

#[test]
fn a_view_is_added_to_a_logged_folder() {
    let memory = Memory::default();
    let config = |process, processes, added: bool| {
        let mut config = logged(process, processes, "", false);
        config.views.rotate_left(1);
        config.views.truncate(1 + usize::from(added));
        config
    };
    let start = |processes, added| {
        let open = |process| open(&memory, config(process, processes, added)).unwrap();
        let stores: Vec<Store> = (0..processes).map(open).collect();
        stores.iter().for_each(|store| store.begin().unwrap());
        stores
    };
    let stores = start(2, false);
    stores.iter().for_each(|store| store.commit("w", Day(12), &[]).unwrap());
    drop(stores);
    let stores = start(2, true);
    for store in &stores {
        assert_eq!((store.closed_through("v"), store.closed_through("w")), (None, Some(Day(12))));
    }
    // Its past is computed day by day and interrupted; the other view has gone on meanwhile.
    stores.iter().for_each(|store| store.commit("w", Day(13), &[]).unwrap());
    seal(&stores, 10, 10, 1, 2);
    seal(&stores, 11, 11, 2, 1);
    drop(stores);
    for processes in [3, 1] {
        for store in start(processes, true) {
            assert_eq!(rows(&store), expect(&[(10, 1), (11, 2)]));
            assert_eq!(store.closed_through("v"), Some(Day(11)));
            assert_eq!(store.closed_through("w"), Some(Day(13)));
        }
    }
}
