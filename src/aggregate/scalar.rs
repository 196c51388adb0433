//! Values that extremes keep.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Decimal;
use crate::schema::{Kind, Value};
use crate::time::Day;

/// A value that [`Min`](super::Min) and [`Max`](super::Max) keep: integers, `bool`, `String`, bytes, [`Decimal`],
/// [`Day`], or your own type.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
///
/// ```
/// use dayfold::aggregate::{Max, Scalar, Semigroup};
/// use dayfold::schema::{Kind, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
/// struct Celsius(i32);
///
/// impl Scalar for Celsius {
///     const KIND: Kind = Kind::Integer;
///
///     fn id() -> String {
///         "celsius".to_owned()
///     }
///
///     fn value(&self) -> Value {
///         Value::Integer(self.0.into())
///     }
/// }
///
/// let mut warmest = Max(Celsius(-3));
/// warmest.plus_equals(&Max(Celsius(12)));
/// assert_eq!(warmest.0, Celsius(12));
/// ```
pub trait Scalar:
    Ord + Clone + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// The id of the stored form of a value: see [`Aggregate::id`](super::Aggregate::id).
    fn id() -> String;

    /// The kind of the column that it is shown in.
    const KIND: Kind;

    /// The value, as it is shown.
    fn value(&self) -> Value;

    /// Bytes of heap that the value holds, for bounds on memory.
    #[inline]
    fn heap_bytes(&self) -> usize {
        0
    }
}

macro_rules! scalar {
    ($($type:ty: $id:literal, $kind:ident, |$value:ident| $shown:expr;)*) => { $(
        impl Scalar for $type {
            fn id() -> String {
                $id.to_owned()
            }

            const KIND: Kind = Kind::$kind;

            fn value(&self) -> Value {
                let $value = *self;
                Value::$kind($shown)
            }
        }
    )* };
}

scalar! {
    u8: "u8", Integer, |number| number.into();
    u16: "u16", Integer, |number| number.into();
    u32: "u32", Integer, |number| number.into();
    u64: "u64", Integer, |number| number.into();
    // Not every `u128` fits an `i128`.
    u128: "u128", Text, |number| number.to_string();
    i8: "i8", Integer, |number| number.into();
    i16: "i16", Integer, |number| number.into();
    i32: "i32", Integer, |number| number.into();
    i64: "i64", Integer, |number| number.into();
    i128: "i128", Integer, |number| number;
    bool: "bool", Boolean, |is_so| is_so;
    Decimal: "decimal", Decimal, |number| number;
    Day: "date", Date, |day| day;
}

macro_rules! on_the_heap {
    ($($type:ty: $id:literal, $kind:ident;)*) => { $(
        impl Scalar for $type {
            fn id() -> String {
                $id.to_owned()
            }

            const KIND: Kind = Kind::$kind;

            fn value(&self) -> Value {
                Value::$kind(self.clone())
            }

            #[inline]
            fn heap_bytes(&self) -> usize {
                self.capacity()
            }
        }
    )* };
}

on_the_heap! {
    String: "text", Text;
    Vec<u8>: "bytes", Bytes;
}
