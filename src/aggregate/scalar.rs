//! Values that extremes are made of.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Decimal;
use crate::time::Day;

/// A value that [`Min`](super::Min) and [`Max`](super::Max) keep: integers, `bool`, `String`, bytes, [`Decimal`],
/// [`Day`], or one's own.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
pub trait Scalar:
    Ord + Clone + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// The id of what is written of a value: see [`Aggregate::id`](super::Aggregate::id).
    fn id() -> String;

    /// Bytes of heap that the value holds, for bounds on memory.
    #[inline]
    fn heap_bytes(&self) -> usize {
        0
    }
}

macro_rules! scalar {
    ($($type:ty: $id:literal),*) => { $(
        impl Scalar for $type {
            fn id() -> String {
                $id.to_owned()
            }
        }
    )* };
}

scalar!(u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128");
scalar!(i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128");
scalar!(bool: "bool", Decimal: "decimal", Day: "date");

impl Scalar for String {
    fn id() -> String {
        "text".to_owned()
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl Scalar for Vec<u8> {
    fn id() -> String {
        "bytes".to_owned()
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}
