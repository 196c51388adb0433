//! A store that fails at random, sometimes after it has done the operation. Exports are repeated until they succeed,
//! and a reader meanwhile finds one complete version of each day.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use dayfold_lake::{Lake, Layout};
use futures_util::future::{Either, select};
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use tokio::sync::Notify;

use crate::folder::{Folder, Reading};
use crate::read::Reader;
use crate::{LAYOUTS, block_on, options};

/// Fails a third of the operations, half of these after they were done. The export is killed at one operation.
#[derive(Debug)]
struct Faulty {
    inner: LocalFileSystem,
    state: Mutex<u64>,
    /// The number of operations until the exporting program is killed, if it is.
    left: Mutex<Option<u64>>,
    killed: Notify,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Well,
    NotDone,
    DoneAndFailed,
    /// Whether it was killed after the operation was done.
    Killed(bool),
}

impl Faulty {
    fn new(lake: &std::path::Path, seed: u64, kill_after: Option<u64>) -> Faulty {
        let inner = LocalFileSystem::new_with_prefix(lake).expect("a folder");
        let left = Mutex::new(kill_after);
        Faulty { inner, state: Mutex::new(seed), left, killed: Notify::new() }
    }

    /// An operation at which the program is killed never returns.
    async fn kill(&self) -> ! {
        self.killed.notify_one();
        std::future::pending().await
    }

    fn fate(&self) -> Fate {
        if let Some(left) = &mut *self.left.lock().expect("a lock") {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Fate::Killed(self.state.lock().expect("a lock").is_multiple_of(2));
            }
        }
        let mut state = self.state.lock().expect("a lock");
        // xorshift64: the same schedule for the same seed.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        match *state % 6 {
            0 => Fate::NotDone,
            1 => Fate::DoneAndFailed,
            _ => Fate::Well,
        }
    }

    fn failed<T>() -> Result<T> {
        Err(Error::Generic { store: "faulty", source: "the connection was lost".into() })
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.fate() {
            Fate::NotDone => Faulty::failed(),
            Fate::Well => self.inner.put_opts(location, payload, options).await,
            Fate::DoneAndFailed => {
                self.inner.put_opts(location, payload, options).await?;
                Faulty::failed()
            }
            Fate::Killed(is_done) => {
                if is_done {
                    self.inner.put_opts(location, payload, options).await?;
                }
                self.kill().await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate() {
            Fate::Well => self.inner.get_opts(location, options).await,
            Fate::Killed(_) => self.kill().await,
            _ => Faulty::failed(),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Days that are added, and amended.
const RUNS: [&[Reading]; 4] = [
    &[(0, "a", Some("1")), (1, "b", Some("2")), (2, "b", None)],
    &[(1, "a", Some("5")), (2, "c", Some("0.5"))],
    &[(0, "a", Some("-1")), (7, "a", Some("1"))],
    &[(1, "b", None), (7, "z", Some("3"))],
];

#[test]
fn exports_to_a_store_that_fails_end_right() {
    let mut failed = 0;
    for (layout, seed) in
        LAYOUTS.into_iter().flat_map(|layout| (1..=12).map(move |at| (layout, at)))
    {
        let mut folder = Folder::new();
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        let reader = Reader::new(lake.path().join("readings"), layout);
        let mut failures = 0;
        let mut versions: Vec<Vec<crate::folder::Row>> = vec![Vec::new()];
        for run in RUNS {
            folder.run(run);
            versions.push(folder.expected());
            let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed + 100 * failures);
            let store = Arc::new(Faulty::new(lake.path(), seed, None));
            let exporting = Lake::with_store(store, &url, options(layout));
            while let Err(error) = block_on(exporting.export(folder.path(), "readings")) {
                assert!(error.to_string().contains("connection was lost"), "{error}");
                failures += 1;
                assert!(failures < 10_000, "it never ends");
                check(&reader.rows(), &versions, (layout, seed));
            }
            assert_eq!(reader.rows(), folder.expected(), "{layout:?}, seed {seed}");
        }
        failed += failures;
    }
    assert!(failed > 100, "a third of all operations should have failed, and {failed} have");
}

#[test]
fn killed_exports_to_a_store_that_fails_go_on() {
    let (mut kills, mut failures) = (0, 0);
    for (layout, round) in
        LAYOUTS.into_iter().flat_map(|layout| (1..=8).map(move |at| (layout, at)))
    {
        let mut folder = Folder::new();
        let lake = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}", lake.path().display());
        let reader = Reader::new(lake.path().join("readings"), layout);
        let mut versions: Vec<Vec<crate::folder::Row>> = vec![Vec::new()];
        for (amendment, run) in RUNS.into_iter().enumerate() {
            folder.run(run);
            versions.push(folder.expected());
            for attempt in 1_u64.. {
                assert!(attempt < 10_000, "it never ends");
                let seed = attempt * 64 + amendment as u64 * 16 + round;
                let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed);
                // Sometimes it is killed at one of its first operations, and starts again as another program would.
                let kill_after = (attempt % 4 != 0).then_some(1 + seed % 17);
                let store = Arc::new(Faulty::new(lake.path(), seed, kill_after));
                let exporting = Lake::with_store(
                    Arc::clone(&store) as Arc<dyn ObjectStore>,
                    &url,
                    options(layout),
                );
                let ended = block_on(async {
                    let export = std::pin::pin!(exporting.export(folder.path(), "readings"));
                    let killed = std::pin::pin!(store.killed.notified());
                    match select(export, killed).await {
                        Either::Left((done, _)) => Some(done),
                        Either::Right(_) => None,
                    }
                });
                check(&reader.rows(), &versions, (layout, seed));
                match ended {
                    Some(Ok(_)) => break,
                    Some(Err(error)) => {
                        assert!(error.to_string().contains("connection was lost"), "{error}");
                        failures += 1;
                    }
                    None => kills += 1,
                }
            }
            assert_eq!(reader.rows(), folder.expected(), "{layout:?}, round {round}");
        }
    }
    assert!(kills > 50 && failures > 20, "{kills} kills, {failures} failures");
    println!("{kills} kills, {failures} failures");
}

/// Each day in the lake is as it was after one of the runs.
fn check(found: &[crate::folder::Row], versions: &[Vec<crate::folder::Row>], about: (Layout, u64)) {
    let of_day = |rows: &[crate::folder::Row], day: i32| -> Vec<crate::folder::Row> {
        rows.iter().filter(|row| row.0 == day).cloned().collect()
    };
    for day in found.iter().map(|row| row.0) {
        let rows = of_day(found, day);
        assert!(
            versions.iter().any(|version| of_day(version, day) == rows),
            "{about:?}: day {day} is {rows:?}"
        );
    }
}
