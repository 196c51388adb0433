//! Round trips.

use super::*;

#[test]
fn what_was_appended_comes_back() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    storage.create_dirs(Path::new(PART)).unwrap();
    for how in
        [Durability::EveryCommit, Durability::Every(Duration::from_secs(3600)), Durability::System]
    {
        let run = scanned(&*storage).unwrap().streams.len() as u64 + 1;
        let mut log = writer(&storage, run, 0, how);
        let handle = log.handle();
        let before = events(&*storage).unwrap().len();
        log.append(entry(10 * run, 3, 5)).unwrap();
        log.append(entry(10 * run + 1, 4, 7)).unwrap();
        handle.sync_through(2).unwrap();
        assert_eq!((handle.appended(), handle.committed(), handle.durable()), (2, 2, 2));
        assert_eq!(events(&*storage).unwrap().len(), before + 12);
        log.append(entry(10 * run + 2, 3, 1)).unwrap();
        drop(log);
        assert_eq!(events(&*storage).unwrap().len(), before + 13);
        assert_eq!(handle.durable(), 3);
        // The stream is written anew, once: all else is as it should be.
        let repaired = Repaired { streams: 1, files_removed: 1, ..Repaired::default() };
        assert_eq!(repair(&*storage, Path::new(PART), u64::MAX).unwrap(), repaired);
        assert_eq!(repair(&*storage, Path::new(PART), u64::MAX).unwrap(), Repaired::default());
        let state = scanned(&*storage).unwrap();
        assert_eq!(verify(&*storage, &state).unwrap().events, 13 * run);
    }
}
