//! What survives and what fails is as documented.

use std::collections::BTreeSet;

use super::*;

const DIR: &str = "/data/part";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

fn storage() -> Faulty {
    let storage = Faulty::new(1);
    storage.create_dirs(Path::new(DIR)).unwrap();
    storage
}

/// A file whose name is durable.
fn file(storage: &Faulty, name: &str) -> Box<dyn StorageFile> {
    let file = storage.create(&path(name)).unwrap();
    storage.sync_dir(Path::new(DIR)).unwrap();
    file
}

/// The possible contents of a file after power losses with many seeds; `None` if it does not exist.
fn outcomes(storage: &Faulty, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..300).map(|seed| storage.after_power_loss(seed).read(&path(name)).ok()).collect()
}

#[test]
fn what_is_synced_survives_and_what_is_not_does_so_in_any_way() {
    let storage = storage();
    let mut file = file(&storage, "a");
    file.write_all(b"one").unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&storage, "a"), [Some(b"one".to_vec())].into());
    file.write_all(b"two").unwrap();
    file.write_all(b"three").unwrap();
    assert_eq!(storage.read(&path("a")).unwrap(), b"onetwothree");
    let found = outcomes(&storage, "a");
    for expect in [&b"one"[..], b"onetwothree", b"onetwo", b"onet", b"one\0\0\0three"] {
        assert!(found.contains(&Some(expect.to_vec())), "{expect:?}");
    }
    assert!(found.iter().flatten().all(|bytes| bytes.starts_with(b"one")));
    let is_rubbish =
        |bytes: &Vec<u8>| bytes.len() == 11 && bytes[8..] != *b"ree" && bytes[8..] != [0; 3];
    assert!(found.iter().flatten().any(is_rubbish));
    assert_eq!(storage.after_power_loss(0).read(&path("a")).unwrap(), b"one");
    // The same seed gives the same loss.
    let read = || storage.after_power_loss(5).read(&path("a")).unwrap();
    assert_eq!(read(), read());
    file.sync().unwrap();
    file.truncate(4).unwrap();
    let both = [&b"onet"[..], b"onetwothree"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(outcomes(&storage, "a"), both.into());
    // After a loss, everything visible is durable.
    let found = storage.after_power_loss(1);
    let bytes = found.read(&path("a")).unwrap();
    assert_eq!(outcomes(&found, "a"), [Some(bytes)].into());
}

#[test]
fn files_lose_what_they_lose_by_themselves() {
    let storage = storage();
    for name in ["a", "b"] {
        file(&storage, name).write_all(b"x").unwrap();
    }
    let lost = |seed| {
        let found = storage.after_power_loss(seed);
        ["a", "b"].map(|name| found.read(&path(name)).unwrap().is_empty())
    };
    assert_eq!((0..100).map(lost).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn a_name_is_durable_with_its_folder() {
    let storage = storage();
    let write = |name, bytes: &[u8]| {
        let mut file = storage.create(&path(name)).unwrap();
        file.write_all(bytes).unwrap();
        file.sync().unwrap();
    };
    write("a", b"old");
    let old = Some(b"old".to_vec());
    assert_eq!(outcomes(&storage, "a"), [None, old.clone()].into());
    storage.sync_dir(Path::new(DIR)).unwrap();
    write("b", b"new");
    storage.rename(&path("b"), &path("a")).unwrap();
    let new = Some(b"new".to_vec());
    assert_eq!(outcomes(&storage, "a"), [old, new.clone()].into());
    storage.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(outcomes(&storage, "b"), [None].into());
    // The file has either name, but only one of them.
    storage.rename(&path("a"), &path("c")).unwrap();
    for seed in 0..100 {
        let found = storage.after_power_loss(seed);
        assert_ne!(found.read(&path("a")).is_ok(), found.read(&path("c")).is_ok());
    }
    storage.sync_dir(Path::new(DIR)).unwrap();
    storage.remove(&path("c")).unwrap();
    assert_eq!(outcomes(&storage, "c"), [None, new].into());
    drop(file(&storage, "d"));
    let error = storage.rename(&path("d"), Path::new("/data/d")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::CrossesDevices);
}

#[test]
fn folders_are_durable_when_they_are_made() {
    let storage = storage();
    let inner = path("x/y");
    storage.create_dirs(&inner).unwrap();
    assert_eq!(storage.after_power_loss(1).list(Path::new(DIR)).unwrap(), ["x"]);
    assert_eq!(storage.list(&path("x")).unwrap(), ["y"]);
    // This does not hold for folders whose creation was interrupted, until their folder is synced.
    let (before, dir) = (storage.operations(), inner.join("z"));
    storage.fail_at(before + 1, Failure::DoneButReported);
    assert!(storage.create_dirs(&dir).is_err());
    storage.create_dirs(&dir).unwrap();
    assert_eq!(storage.operations(), before + 1, "what is there is left alone");
    let is_there = |seed| storage.after_power_loss(seed).list(&dir).is_ok();
    assert_eq!((0..50).map(is_there).collect::<BTreeSet<_>>(), [false, true].into());
    // A file in such a folder is lost with it.
    let mut file = storage.create(&dir.join("f")).unwrap();
    file.sync().unwrap();
    storage.sync_dir(&dir).unwrap();
    let has_file = |seed| storage.after_power_loss(seed).read(&dir.join("f")).is_ok();
    assert!((0..50).all(|seed| has_file(seed) == is_there(seed)));
    storage.sync_dir(&inner).unwrap();
    assert!((0..50).all(has_file));
}

#[test]
fn after_a_crash_everything_fails_and_what_was_done_is_found() {
    let mut found = BTreeSet::new();
    for seed in 0..50 {
        let storage = Faulty::new(seed);
        storage.create_dirs(Path::new(DIR)).unwrap();
        let mut open = file(&storage, "a");
        open.write_all(b"before").unwrap();
        storage.crash_at(storage.operations() + 1);
        assert!(!storage.has_crashed());
        assert!(open.write_all(b"ab").is_err());
        assert!(storage.has_crashed());
        assert!(open.sync().is_err() && open.truncate(0).is_err() && open.flush().is_err());
        assert!(storage.list(Path::new(DIR)).is_err() && storage.lock(&path("a")).is_err());
        assert!(
            std::thread::spawn({
                let storage = storage.clone();
                move || storage.read(&path("a")).is_err() && storage.map(&path("a")).is_err()
            })
            .join()
            .unwrap()
        );
        let after = storage.after_kill();
        found.insert(after.read(&path("a")).unwrap());
        assert!(open.write_all(b"x").is_err(), "an old handle stays dead");
        after.append(&path("a")).unwrap().write_all(b"x").unwrap();
    }
    assert_eq!(found, [&b"before"[..], b"beforea", b"beforeab"].map(<[u8]>::to_vec).into());
    let storage = storage();
    storage.crash();
    assert!(storage.list(Path::new(DIR)).is_err());
}

#[test]
fn operations_fail_as_asked() {
    let storage = storage();
    let mut file = file(&storage, "a");
    let next = |failure| storage.fail_at(storage.operations() + 1, failure);
    next(Failure::NotDone);
    assert!(file.write_all(b"1").is_err());
    next(Failure::DoneButReported);
    assert!(file.write_all(b"2").is_err());
    file.write_all(b"3").unwrap();
    assert_eq!(storage.read(&path("a")).unwrap(), b"23");
    next(Failure::DoneButReported);
    assert!(storage.rename(&path("a"), &path("b")).is_err());
    assert_eq!(storage.list(Path::new(DIR)).unwrap(), ["b"]);
    next(Failure::NotDone);
    assert!(storage.remove(&path("b")).is_err());
    assert!(storage.remove(&path("a")).is_err(), "there is none: no operation");
    assert_eq!((storage.count(Operation::Write), storage.count(Operation::Remove)), (3, 1));
    next(Failure::Partly);
    assert!(file.write_all(&[7; 100]).is_err());
    assert!((2..=102).contains(&storage.read(&path("b")).unwrap().len()));
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_space() {
    let storage = storage();
    let mut file = file(&storage, "a");
    storage.fail_at(storage.operations() + 1, Failure::DiskFull);
    let is_full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
    assert!(is_full(file.write_all(&[1; 50])));
    assert!(is_full(file.write_all(b"x")) && is_full(storage.create(&path("b")).map(drop)));
    file.truncate(0).unwrap();
    file.sync().unwrap();
    let after = storage.after_kill();
    assert!(is_full(after.create(&path("b")).map(drop)));
    storage.free_space();
    file.write_all(b"x").unwrap();
    assert_eq!(storage.read(&path("a")).unwrap(), b"x");
}

#[test]
fn a_sync_after_one_that_failed_proves_nothing() {
    let storage = storage();
    let mut file = file(&storage, "a");
    file.write_all(b"one").unwrap();
    storage.fail_at(storage.operations() + 1, Failure::NotDone);
    assert!(file.sync().is_err());
    file.write_all(b"two").unwrap();
    file.sync().unwrap();
    let found = outcomes(&storage, "a");
    assert!(
        found.contains(&Some(b"\0\0\0two".to_vec())) && found.contains(&Some(b"onetwo".to_vec()))
    );
    assert!(found.iter().flatten().all(|bytes| bytes.ends_with(b"two")));
    assert_eq!(storage.after_kill().read(&path("a")).unwrap(), b"onetwo");
}

#[test]
fn locks_end_with_the_machine_or_the_holder() {
    let storage = storage();
    drop(file(&storage, "lock"));
    let held = storage.lock(&path("lock")).unwrap();
    let error = storage.clone().lock(&path("lock")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    storage.after_kill().lock(&path("lock")).unwrap();
    storage.after_power_loss(3).lock(&path("lock")).unwrap();
    drop(held);
    storage.lock(&path("lock")).unwrap();
}

#[test]
fn a_map_has_the_bytes_of_its_time() {
    let storage = storage();
    let mut file = file(&storage, "a");
    file.write_all(b"one").unwrap();
    let map = storage.map(&path("a")).unwrap();
    file.write_all(b"two").unwrap();
    assert_eq!(&map[..], b"one");
    assert_eq!(&storage.map(&path("a")).unwrap()[..], b"onetwo");
    // As on a disk, a new file under an old name is the old file without its bytes.
    storage.create(&path("a")).unwrap().write_all(b"x").unwrap();
    assert_eq!(&map[..], b"one");
    assert_eq!(storage.read(&path("a")).unwrap(), b"x");
}
