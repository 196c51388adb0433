//! The bytes of a file: mapped, or owned.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// The bytes of a batch view: a mapped file, or memory if the engine has no folder.
///
/// Cloning shares the bytes.
///
/// ```
/// use dayfold::batch::Bytes;
///
/// let bytes = Bytes::from(vec![1, 2, 3]);
/// let shared = bytes.clone(); // The same three bytes.
/// assert_eq!(shared[1..], [2, 3]);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Bytes {
    /// A file, mapped read-only.
    Mapped(Arc<Mmap>),
    /// Bytes in memory.
    Owned(Arc<Vec<u8>>),
    /// Some bytes of a mapped file, between two offsets.
    #[doc(hidden)]
    Part(Arc<Mmap>, u32, u32),
}

impl Bytes {
    /// A part of a mapped file, or a copy of a part of the memory; `None` if it has no such part.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<Bytes> {
        let bytes = self.get(range.clone())?;
        match self {
            Bytes::Mapped(map) => {
                let (from, to) = (range.start.try_into().ok()?, range.end.try_into().ok()?);
                Some(Bytes::Part(Arc::clone(map), from, to))
            }
            Bytes::Owned(_) | Bytes::Part(..) => Some(bytes.to_vec().into()),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
            Bytes::Part(map, from, to) => &map[*from as usize..*to as usize],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::Owned(Arc::new(bytes))
    }
}

impl fmt::Debug for Bytes {
    /// Kind and length, not the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Bytes::Mapped(_) => "Mapped",
            Bytes::Owned(_) => "Owned",
            Bytes::Part(..) => "Part",
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}
