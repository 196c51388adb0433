//! Inspecting a folder shows what is there, and changes nothing.

use super::*;

#[test]
fn a_folder_is_shown_as_it_is() {
    let memory = Memory::default();
    let look = || crate::store::inspect(&memory, ROOT);
    let error = look().unwrap_err();
    assert!(error.to_string().starts_with("/data/part-0/manifest is missing"), "{error}");

    let stores = start(&memory, 2);
    seal(&stores, 10, 10, 1, 2);
    seal(&stores, 10, 12, 2, 2);
    seal(&stores, 11, 13, 3, 1);
    stores[1].set_fact("moment", vec![1, 2, 3]).unwrap();
    stores[0].complete().unwrap();
    let before = contents(&memory, Path::new(ROOT));
    // It also works while the program runs.
    let report = look().unwrap();
    assert_eq!(contents(&memory, Path::new(ROOT)), before);
    assert!(report.cluster.is_some());
    assert_eq!(report.state, RunState::Incomplete, "one of two is complete");
    let [first, second] = &report.parts[..] else { panic!("{:?}", report.parts) };
    assert_eq!((first.process, second.process), (0, 1));
    assert_eq!(second.path, Path::new("/data/part-1"));
    assert_eq!(second.facts, [("moment".to_owned(), 3)]);
    let run = RunReport { number: 1, processes: 2, complete: true, logged: false };
    assert_eq!(first.run, Some(run));
    assert_eq!(second.run, Some(RunReport { complete: false, ..run }));
    let [shown] = &report.views[..] else { panic!("{:?}", report.views) };
    assert_eq!((&shown.record, shown.redefined), (&view("v"), 0));
    assert_eq!(shown.closed_through, Some(Day(13)), "one process has committed it");
    let revision = |batch: &LiveBatch| {
        assert_eq!(batch.path.parent().unwrap().parent().unwrap().file_name().unwrap(), "v");
        (batch.day.0, batch.closing.0, batch.worker, batch.coverage.len())
    };
    let revisions: Vec<_> = shown.revisions.iter().map(revision).collect();
    let expect = [(10, 10, 0, 0), (10, 10, 1, 0), (10, 12, 0, 128), (10, 12, 1, 128)];
    assert_eq!(revisions, [&expect[..], &[(11, 13, 0, 128)]].concat());
    assert_eq!(shown.revisions[..4].iter().map(|batch| batch.rows).sum::<u64>(), 100 + 100);

    // A tail is counted and left alone.
    let manifest = Path::new(ROOT).join("part-1/manifest");
    memory.append(&manifest).unwrap().write_all(&[9; 5]).unwrap();
    let torn: Vec<u64> = look().unwrap().parts.iter().map(|part| part.torn_bytes).collect();
    assert_eq!(torn, [0, 5]);
    memory.remove(&manifest).unwrap();
    assert!(matches!(look(), Err(StoreError::MissingPart { path }) if path == manifest));
}

#[test]
fn a_redefined_view_is_shown_as_it_is_now() {
    let memory = Memory::default();
    let open = |definition: &str| {
        let views = vec![ViewRecord { definition: definition.to_owned(), ..view("v") }];
        let rebuild = vec!["v".to_owned()];
        let config = StoreConfig { logged: true, rebuild, ..StoreConfig::new(0, 1, views) };
        Store::open(Arc::new(memory.clone()), ROOT, config).unwrap()
    };
    let store = open("old");
    store.begin().unwrap();
    seal(&[store], 10, 10, 1, 1);
    drop(open("new"));
    let report = crate::store::inspect(&memory, ROOT).unwrap();
    let shown = &report.views[0];
    assert_eq!((shown.record.definition.as_str(), shown.redefined), ("new", 1));
    assert_eq!((shown.closed_through, shown.revisions.len()), (None, 0));
}

#[test]
fn damage_to_a_sealed_file_is_found_wherever_it_is() {
    let memory = Memory::default();
    seal(&start(&memory, 1), 10, 10, 1, 1);
    let batch = crate::store::inspect(&memory, ROOT).unwrap().views[0].revisions.remove(0);
    crate::store::verify(&memory, &batch).unwrap();
    let whole = memory.read(&batch.path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        memory.create(&batch.path).unwrap().write_all(&bytes).unwrap();
        let error = crate::store::verify(&memory, &batch).unwrap_err();
        assert!(matches!(error, StoreError::Batch(_)), "byte {at}: {error}");
    }
    // A valid file with other content.
    let other = Memory::default();
    seal(&start(&other, 1), 10, 10, 2, 1);
    let bytes = other.read(&batch.path).unwrap();
    memory.create(&batch.path).unwrap().write_all(&bytes).unwrap();
    let error = crate::store::verify(&memory, &batch).unwrap_err();
    assert!(matches!(error, StoreError::WrongBatch { .. }), "{error}");
}
