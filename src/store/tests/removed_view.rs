//! Views that are removed from a folder: nothing of them counts any more, whatever happened in between, and their names
//! are free.

use super::*;

/// A logged program with the view `w`, and `v` if it has a definition; otherwise `v` is removed.
fn logged(process: usize, processes: usize, v: Option<&str>) -> StoreConfig {
    let v_record = v.map(|text| ViewRecord { definition: text.to_owned(), ..view("v") });
    let views = v_record.into_iter().chain([view("w")]).collect();
    let config = StoreConfig { logged: true, ..StoreConfig::new(process, processes, views) };
    if v.is_some() { config } else { config.remove(["v"]) }
}

fn open(memory: &Memory, config: StoreConfig) -> Result<Store, StoreError> {
    Store::open(Arc::new(memory.clone()), ROOT, config)
}

fn start(memory: &Memory, processes: usize, v: Option<&str>) -> Vec<Store> {
    let open = |process| open(memory, logged(process, processes, v)).unwrap();
    let mut stores: Vec<Store> = (0..processes).rev().map(open).collect();
    stores.reverse();
    stores.iter().for_each(|store| store.begin().unwrap());
    stores
}

/// The files of `v` in the folder.
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
fn a_view_is_removed_only_if_that_is_asked_for() {
    let memory = Memory::default();
    let stores = start(&memory, 1, Some("old"));
    seal(&stores, 10, 10, 1, 1);
    drop(stores);
    let before = contents(&memory, Path::new(ROOT));
    let without = StoreConfig { removed: Vec::new(), ..logged(0, 1, None) };
    let error = open(&memory, without).unwrap_err().to_string();
    assert!(error.contains("remove it from the folder with Engine::remove_view(\"v\")"), "{error}");
    let both = logged(0, 1, Some("old")).remove(["v"]);
    let error = open(&memory, both).unwrap_err().to_string();
    assert_eq!(error, "a view that is to be removed is in the program: 'v'");
    assert_eq!(contents(&memory, Path::new(ROOT)), before, "nothing was changed");

    drop(start(&memory, 1, None));
    assert!(files(&memory).is_empty());
    let report = inspect(&memory, ROOT).unwrap();
    assert_eq!(report.views.iter().map(|view| &*view.record.name).collect::<Vec<_>>(), ["w"]);
    // The view is gone, whether its removal is requested again or not, and also once the manifest was rewritten.
    for _ in 0..2 {
        let without = StoreConfig { removed: Vec::new(), ..logged(0, 1, None) };
        open(&memory, without).unwrap().begin().unwrap();
        drop(start(&memory, 1, None));
    }
}

#[test]
fn a_removal_that_was_cut_short_goes_on() {
    // The number of processes of the old cluster, how many of them remove the view, and the size of the next cluster.
    for (before, opened, after) in
        [(1, 1, 1), (2, 1, 2), (3, 1, 2), (3, 2, 1), (2, 1, 3), (1, 1, 2)]
    {
        // The definition in the next program: removed again, the former one, or another one.
        for next in [None, Some("old"), Some("new")] {
            let memory = Memory::default();
            let stores = start(&memory, before, Some("old"));
            seal(&stores, 10, 10, 1, before);
            drop(stores);
            let old = files(&memory);
            for process in 0..opened {
                drop(open(&memory, logged(process, before, None)).unwrap());
            }
            // At worst, no removal of a file was durable.
            put_back(&memory, &old);
            let what = format!("{before} {opened} {after} {next:?}");
            let stores = start(&memory, after, next);
            assert!(files(&memory).is_empty(), "{what}");
            if next.is_none() {
                let error = stores[0].commit("v", Day(11), &[]).unwrap_err();
                assert!(matches!(error, StoreError::UnknownView { .. }), "{what}: {error}");
                continue;
            }
            for store in &stores {
                assert_eq!(store.closed_through("v"), None, "{what}");
                assert!(rows(store).is_empty(), "{what}");
            }
            // The past is computed again; one process is left behind, and rolls forward.
            seal(&stores, 10, 10, 2, after);
            seal(&stores, 11, 11, 3, 1);
            drop(stores);
            for store in &start(&memory, before, next) {
                assert_eq!(rows(store), expect(&[(10, 2), (11, 3)]), "{what}");
            }
        }
    }
}

#[test]
fn without_a_log_a_name_is_not_free_for_what_needs_a_past() {
    let memory = Memory::default();
    let plain = |v| StoreConfig { logged: false, ..logged(0, 1, v) };
    let store = open(&memory, plain(Some("old"))).unwrap();
    store.begin().unwrap();
    store.commit("v", Day(10), &[]).unwrap();
    store.commit("w", Day(10), &[]).unwrap();
    drop(store);
    open(&memory, plain(None)).unwrap().begin().unwrap();
    let error = open(&memory, plain(Some("old"))).unwrap_err();
    assert!(matches!(error, StoreError::ViewAdded { .. }), "{error}");
}
