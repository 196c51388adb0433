//! Two programs that write one table, in stores with and without conditional puts.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dayfold_lake::{Lake, LakeError, Layout};
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::folder::{Folder, Reading};
use crate::read::Reader;
use crate::{block_on, options};

/// A store that puts objects whether there is one or not.
#[derive(Debug)]
struct Unconditional(LocalFileSystem);

impl fmt::Display for Unconditional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unconditional")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Unconditional {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            let implementer = self.to_string();
            return Err(Error::NotImplemented { operation: "a condition".to_owned(), implementer });
        }
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

/// More days than one commit has, so that commits of both programs meet.
fn many_days() -> Vec<Reading> {
    (0..130).map(|day| (day, "a", Some("1"))).collect()
}

#[test]
fn commits_of_two_programs_at_once_lose_nothing() {
    let mut folder = Folder::new();
    folder.run(&many_days());
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    std::thread::scope(|scope| {
        let export = || {
            let options = options(Layout::Iceberg).days_per_commit(50);
            let exporting = Lake::open(&url, options).expect("a lake");
            block_on(exporting.export(folder.path(), "readings"))
        };
        let (one, other) = (scope.spawn(export), scope.spawn(export));
        for ended in [one, other] {
            match ended.join().expect("no panic") {
                // One of them may have lost the race again and again; then it says so.
                Ok(_) | Err(LakeError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    assert_eq!(reader.rows(), folder.expected());
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    let audit = block_on(exporting.audit(folder.path(), "readings", false)).expect("an audit");
    assert_eq!((audit.compared, audit.wrong), (130, Vec::new()));
}

#[test]
fn a_store_without_conditional_puts_has_one_writer_by_a_lock() {
    let mut folder = Folder::new();
    folder.run(&[(0, "a", Some("1"))]);
    let lake = tempfile::tempdir().expect("a folder");
    let open = || {
        let store = LocalFileSystem::new_with_prefix(lake.path()).expect("a folder");
        let url = format!("file://{}", lake.path().display());
        Lake::with_store(Arc::new(Unconditional(store)), &url, options(Layout::Iceberg))
    };
    let (one, other) = (open(), open());
    block_on(one.export(folder.path(), "readings")).expect("an export");
    folder.run(&[(1, "b", Some("2"))]);
    let error = block_on(other.export(folder.path(), "readings")).expect_err("it is locked");
    assert!(matches!(error, LakeError::Locked { seconds: 1..=15, .. }), "{error}");
    assert!(error.to_string().contains("only one program can"), "{error}");
    // The first one goes on.
    block_on(one.export(folder.path(), "readings")).expect("an export");
    let reader = Reader::new(lake.path().join("readings"), Layout::Iceberg);
    assert_eq!(reader.rows(), folder.expected());

    // It is gone, and the end of its lock has come.
    let lock = lake.path().join("readings/metadata/writer.json");
    let mut held: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&lock).expect("a lock")).expect("JSON");
    held["until"] = 0.into();
    std::fs::write(&lock, held.to_string()).expect("a file");
    folder.run(&[(0, "c", Some("3"))]);
    block_on(other.export(folder.path(), "readings")).expect("an export");
    assert_eq!(reader.rows(), folder.expected());
    let error = block_on({
        folder.run(&[(5, "d", None)]);
        one.export(folder.path(), "readings")
    });
    assert!(matches!(error, Err(LakeError::Locked { .. })), "now the other one has it: {error:?}");
}
