//! How values become bytes on disk: bincode 1.3 with variable-length integers, bounded when reading.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Appends the encoding of `value` to `out`.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> bincode::Result<()> {
    bincode::DefaultOptions::new().serialize_into(out, value)
}

/// Decodes a value that takes up all of `bytes`.
///
/// A length beyond `bytes` is an error, so damaged lengths do not allocate; serde itself caps what it reserves for a
/// sequence.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> bincode::Result<T> {
    bincode::DefaultOptions::new().with_limit(bytes.len() as u64).deserialize(bytes)
}

/// Decodes a value from the front of `bytes` and moves past it, bounded in the same way.
pub(crate) fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> bincode::Result<T> {
    let options = bincode::DefaultOptions::new().with_limit(bytes.len() as u64);
    options.allow_trailing_bytes().deserialize_from(bytes)
}

/// Appends `value` in groups of seven bits, the least first; the top bit says that more follow.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put_varint`] wrote from the front of `bytes`, and moves past it.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_damage_is_noticed() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None, "{value} cut short");
        }
        assert_eq!(take_varint(&mut &[0xFF; 10][..]), None, "more than 64 bits");
    }
}
