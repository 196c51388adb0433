//! A number made of all fields of an item, so that reading cannot be optimized away.

use columnar::{Index, Slice};
use dayfold::aggregate::{Count, Max, Mean, Quantiles, Sum};

/// The same number for an item and for its borrowed form.
pub(crate) trait Fold {
    fn fold(&self) -> u64;
}

#[inline]
fn join(sum: u64, next: u64) -> u64 {
    sum.wrapping_mul(31).wrapping_add(next)
}

macro_rules! fold_numbers {
    ($($number:ty),*) => {$(
        impl Fold for $number {
            #[inline]
            fn fold(&self) -> u64 {
                *self as u64
            }
        }
    )*};
}
fold_numbers!(u8, u32, u64, i64, i128);

macro_rules! fold_tuples {
    ($(($($field:ident)*),)*) => {$(
        impl<$($field: Fold),*> Fold for ($($field,)*) {
            #[inline]
            fn fold(&self) -> u64 {
                #[allow(non_snake_case)]
                let ($($field,)*) = self;
                let sum = 0;
                $(let sum = join(sum, $field.fold());)*
                sum
            }
        }
    )*};
}
fold_tuples!((A B), (A B C), (A B C D), (A B C D E), (A B C D E F),);

impl<T: Fold + ?Sized> Fold for &T {
    #[inline]
    fn fold(&self) -> u64 {
        (**self).fold()
    }
}

impl<T: Fold> Fold for [T] {
    #[inline]
    fn fold(&self) -> u64 {
        self.iter().fold(0, |sum, item| join(sum, item.fold()))
    }
}

impl<T: Fold, const N: usize> Fold for [T; N] {
    #[inline]
    fn fold(&self) -> u64 {
        self.as_slice().fold()
    }
}

impl<T: Fold> Fold for Vec<T> {
    #[inline]
    fn fold(&self) -> u64 {
        self.as_slice().fold()
    }
}

impl Fold for String {
    #[inline]
    fn fold(&self) -> u64 {
        self.as_bytes().fold()
    }
}

impl<T: Fold> Fold for Option<T> {
    #[inline]
    fn fold(&self) -> u64 {
        self.as_ref().map_or(0, |value| join(1, value.fold()))
    }
}

impl<S: Index + Copy> Fold for Slice<S>
where
    S::Ref: Fold,
{
    #[inline]
    fn fold(&self) -> u64 {
        (0..self.len()).fold(0, |sum, at| join(sum, self.get(at).fold()))
    }
}

impl Fold for Count {
    #[inline]
    fn fold(&self) -> u64 {
        self.0.fold()
    }
}

impl Fold for Sum {
    #[inline]
    fn fold(&self) -> u64 {
        self.value().fold()
    }
}

impl Fold for Max<u64> {
    #[inline]
    fn fold(&self) -> u64 {
        self.0
    }
}

impl Fold for Mean {
    #[inline]
    fn fold(&self) -> u64 {
        join(self.sum().billionths().fold(), self.count() as u64)
    }
}

impl Fold for Quantiles {
    #[inline]
    fn fold(&self) -> u64 {
        self.count()
    }
}

/// Continues the number of a sequence by one more item.
#[inline]
pub(super) fn and_then(sum: u64, item: &impl Fold) -> u64 {
    join(sum, item.fold())
}
