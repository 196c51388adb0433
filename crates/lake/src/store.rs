//! The store of a lake, by its URL.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::{Path, PathPart};
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use url::Url;

use crate::file::Written;
use crate::{LakeError, lock, random};

/// Files beyond this size are sent in parts of it.
const PART: usize = 8 << 20;

/// A place in an object store, or a folder of a disk.
#[derive(Clone)]
pub(crate) struct Location {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// Its name for readers, without a slash at its end.
    url: String,
    /// The folder, if it is on a disk: files there have to be synced.
    folder: Option<PathBuf>,
    /// The name of this writer, for locks.
    writer: Arc<str>,
}

impl Location {
    /// The place that a URL names. Credentials come from the usual environment variables of each store's tools.
    pub(crate) fn open(url: &str) -> Result<Location, LakeError> {
        let wrong = |what: String| LakeError::Url { url: shown(url), what };
        let parsed = Url::parse(url).map_err(|error| {
            wrong(format!(
                "{error}; expected file:///folder, s3://bucket/path, gs://, az:// or hdfs://"
            ))
        })?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("credentials belong into variables, not into the URL".to_owned()));
        }
        let (store, root) = open(&parsed).map_err(wrong)?;
        let folder = parsed.to_file_path().ok().filter(|_| parsed.scheme() == "file");
        let url = url.trim_end_matches('/').to_owned();
        Ok(Location { store, root, url, folder, writer: random::uuid().into() })
    }

    /// A place in an open store.
    pub(crate) fn of(store: Arc<dyn ObjectStore>, url: &str) -> Location {
        let url = url.trim_end_matches('/').to_owned();
        Location { store, root: Path::default(), url, folder: None, writer: random::uuid().into() }
    }

    /// A place within this one.
    pub(crate) fn within(&self, folder: &str) -> Location {
        Location {
            store: Arc::clone(&self.store),
            root: self.root.clone().join(folder),
            url: format!("{}/{}", self.url, encoded(folder)),
            folder: self.folder.as_ref().map(|at| at.join(folder)),
            writer: Arc::clone(&self.writer),
        }
    }

    /// Its name for readers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name of an object of it for readers.
    pub(crate) fn url_of(&self, path: &str) -> String {
        let parts: Vec<String> = path.split('/').map(encoded).collect();
        format!("{}/{}", self.url, parts.join("/"))
    }

    fn path(&self, path: &str) -> Path {
        // Valid names are used unchanged, because names of hours contain escapes. Other names are escaped.
        let part = |part| PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part));
        path.split('/').fold(self.root.clone(), |at, name| at.join(part(name)))
    }

    /// The bytes of an object, if there is one.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Store { doing: "read", path: self.url_of(path), source };
        match self.store.get_opts(&self.path(path), GetOptions::default()).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Copies an object, piece by piece; `false` if there is none.
    pub(crate) async fn copy(&self, path: &str, to: &mut File) -> Result<bool, LakeError> {
        let failed = |source| LakeError::Store { doing: "read", path: self.url_of(path), source };
        let found = match self.store.get_opts(&self.path(path), GetOptions::default()).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            to.write_all(&piece)?;
        }
        Ok(true)
    }

    /// The metadata of an object, if there is one.
    pub(crate) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        match self.store.head(&self.path(path)).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => {
                Err(LakeError::Store { doing: "look at", path: self.url_of(path), source })
            }
        }
    }

    /// The objects below a folder: their names relative to it, and their sizes.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, LakeError> {
        let found = self.list_objects(folder).await?;
        Ok(found.into_iter().map(|(name, object)| (name, object.size)).collect())
    }

    /// The folders at this location.
    #[cfg(feature = "catalog")]
    pub(crate) async fn folders(&self) -> Result<Vec<String>, LakeError> {
        let found = self.store.list_with_delimiter(Some(&self.root)).await;
        let failed = |source| LakeError::Store { doing: "list", path: self.url.clone(), source };
        let folders = found.map_err(failed)?.common_prefixes.into_iter();
        Ok(folders.filter_map(|folder| folder.filename().map(str::to_owned)).collect())
    }

    async fn list_objects(&self, folder: &str) -> Result<Vec<(String, ObjectMeta)>, LakeError> {
        let prefix = self.path(folder);
        let failed = |source| LakeError::Store { doing: "list", path: self.url_of(folder), source };
        let found: Vec<ObjectMeta> =
            self.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        let named = found.into_iter().filter_map(|object| {
            let parts: Vec<_> = object.location.prefix_match(&prefix)?.collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            Some((parts.join("/"), object))
        });
        Ok(named.collect())
    }

    /// The same, with how long ago they were written, as far as the store's clock and this machine's agree.
    pub(crate) async fn list_with_age(
        &self,
        folder: &str,
    ) -> Result<Vec<(String, Duration)>, LakeError> {
        let now = SystemTime::now();
        let found = self.list_objects(folder).await?;
        let aged = found.into_iter().map(|(name, object)| {
            let age = now.duration_since(object.last_modified.into()).unwrap_or_default();
            (name, age)
        });
        Ok(aged.collect())
    }

    /// The name in this place of the object with this URL.
    pub(crate) fn decoded(&self, path: &str) -> String {
        Path::from_url_path(path).map_or_else(|_| path.to_owned(), |path| path.as_ref().to_owned())
    }

    /// Replaces an object as a whole.
    pub(crate) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        let put = self.store.put(&self.path(path), PutPayload::from(bytes)).await;
        let failed = |source| LakeError::Store { doing: "write", path: self.url_of(path), source };
        put.map(drop).map_err(failed)
    }

    /// Puts an object where there is none yet. Returns `false` if another program was first. In a store that has no
    /// conditional puts, this takes the table's lock first.
    pub(crate) async fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, LakeError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(bytes.clone());
        let put = self.store.put_opts(&self.path(path), payload, options).await;
        match put {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => {
                lock::take(self, &self.writer).await?;
                if self.head(path).await?.is_some() {
                    return Ok(false);
                }
                self.put(path, bytes).await.map(|()| true)
            }
            Err(source) => {
                Err(LakeError::Store { doing: "create", path: self.url_of(path), source })
            }
        }
    }

    /// Replaces a file. Readers see either the old one or the new one.
    pub(crate) async fn send(&self, path: &str, written: &mut Written) -> Result<(), LakeError> {
        let failed = |source| LakeError::Store { doing: "write", path: self.url_of(path), source };
        let first = written.next(PART)?;
        if (first.len() as u64) == written.bytes {
            return self.put(path, first).await;
        }
        let mut parts = self.store.put_multipart(&self.path(path)).await.map_err(failed)?;
        let mut part = first;
        while !part.is_empty() {
            if let Err(error) = parts.put_part(PutPayload::from(part)).await {
                // The sent parts are useless; if removing them fails as well, the store's own rules remove them.
                let _ = parts.abort().await;
                return Err(failed(error));
            }
            part = written.next(PART)?;
        }
        parts.complete().await.map(drop).map_err(failed)
    }

    /// Makes sure that everything written so far survives a crash, if this place is on a disk. Object stores keep what
    /// they have accepted.
    pub(crate) async fn settle(&self) -> Result<(), LakeError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        // One call for everything, instead of one for each file and folder. It may take long.
        let sync = move || File::open(folder).and_then(|at| Ok(rustix::fs::syncfs(at)?));
        let synced = tokio::task::spawn_blocking(sync).await.map_err(std::io::Error::other);
        synced.flatten().map_err(|error| LakeError::Store {
            doing: "sync",
            path: self.url.clone(),
            source: object_store::Error::Generic { store: "disk", source: error.into() },
        })
    }

    /// Removes an object; it need not exist.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.store.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => {
                Err(LakeError::Store { doing: "remove", path: self.url_of(path), source })
            }
        }
    }
}

/// A part of a path, encoded for URLs.
fn encoded(part: &str) -> String {
    Path::from_iter([part]).as_ref().to_owned()
}

/// A URL without secrets.
fn shown(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (_, rest))) => format!("{scheme}://…@{rest}"),
        None => url.to_owned(),
    }
}

type Opened = (Arc<dyn ObjectStore>, Path);

fn open(url: &Url) -> Result<Opened, String> {
    match url.scheme() {
        "file" => {
            let folder = url.to_file_path().map_err(|()| "expected file:///folder".to_owned())?;
            std::fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot make the folder: {error}"))?;
            let root = Path::from_absolute_path(&folder).map_err(|error| error.to_string())?;
            Ok((Arc::new(object_store::local::LocalFileSystem::new()), root))
        }
        "memory" => Ok((Arc::new(object_store::memory::InMemory::new()), path_of(url)?)),
        #[cfg(feature = "aws")]
        "s3" | "s3a" => {
            let store = object_store::aws::AmazonS3Builder::from_env().with_url(url.as_str());
            Ok((Arc::new(store.build().map_err(|error| error.to_string())?), path_of(url)?))
        }
        #[cfg(feature = "gcp")]
        "gs" => {
            let store =
                object_store::gcp::GoogleCloudStorageBuilder::from_env().with_url(url.as_str());
            Ok((Arc::new(store.build().map_err(|error| error.to_string())?), path_of(url)?))
        }
        #[cfg(feature = "azure")]
        "az" | "azure" | "abfs" | "abfss" => {
            let store =
                object_store::azure::MicrosoftAzureBuilder::from_env().with_url(url.as_str());
            Ok((Arc::new(store.build().map_err(|error| error.to_string())?), path_of(url)?))
        }
        #[cfg(feature = "hdfs")]
        "hdfs" => {
            let store = hdfs_native_object_store::HdfsObjectStoreBuilder::new()
                .with_url(url.as_str())
                .build()
                .map_err(|error| error.to_string())?;
            Ok((Arc::new(store), path_of(url)?))
        }
        #[cfg(not(feature = "aws"))]
        "s3" | "s3a" => Err(needs("aws")),
        #[cfg(not(feature = "gcp"))]
        "gs" => Err(needs("gcp")),
        #[cfg(not(feature = "azure"))]
        "az" | "azure" | "abfs" | "abfss" => Err(needs("azure")),
        #[cfg(not(feature = "hdfs"))]
        "hdfs" => Err(needs("hdfs")),
        scheme => Err(format!("unknown scheme '{scheme}': expected file, s3, gs, az or hdfs")),
    }
}

#[cfg(not(all(feature = "aws", feature = "gcp", feature = "azure", feature = "hdfs")))]
fn needs(feature: &str) -> String {
    format!("this program was built without the feature '{feature}'")
}

/// The path within the bucket.
fn path_of(url: &Url) -> Result<Path, String> {
    Path::from_url_path(url.path()).map_err(|error| error.to_string())
}
