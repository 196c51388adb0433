//! Sorting by a number that decides nearly all comparisons.

use std::cmp::Ordering;

/// Sorts by `number`, and by `order` if numbers are equal.
///
/// A comparison of both at once would be an unpredictable branch at each step; numbers alone are sorted without
/// branches.
pub(crate) fn sort_by_number<T>(
    items: &mut [T],
    number: impl Fn(&T) -> u64,
    order: impl Fn(&T, &T) -> Ordering,
) {
    items.sort_unstable_by_key(&number);
    for equal in items.chunk_by_mut(|a, b| number(a) == number(b)) {
        if equal.len() > 1 {
            equal.sort_unstable_by(&order);
        }
    }
}

/// The first eight bytes of a key as a number. Unless two numbers are equal, they are in the order of their keys.
pub(super) fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = key.len().min(8);
    first[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn differential_keys_sort_as_their_bytes_do(
            // Short, long, and with much in common.
            mut keys in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..14), 0..200),
        ) {
            // No encoding of a key is a prefix of another one.
            keys.iter_mut().for_each(|key| key.push(9));
            let mut sorted = keys.clone();
            sorted.sort();
            sort_by_number(&mut keys, |key| prefix(key), Vec::cmp);
            prop_assert_eq!(keys, sorted);
        }
    }
}
