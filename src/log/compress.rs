//! The payload of a frame: its values as they are, or compressed where that makes them shorter.
//!
//! ```text
//! payload   length of the values u32, a block of LZ4
//!           0 u32, the values
//! ```
//!
//! A frame is compressed when it is closed, so a file has it once, and a crash finds nothing else than without
//! compression. Its checksum is that of the bytes in the file: damage is found before anything is decompressed.

/// The bytes before the values.
pub(super) const LENGTH_BYTES: usize = 4;
/// The greatest length of the values of a frame.
const VALUES_BYTES_MAX: usize = 64 << 20;
/// Shorter values stay as they are.
const LEAST_BYTES: usize = 64;
/// A block of LZ4 has at least this part of the bytes that it stands for.
const FACTOR_MAX: usize = 255;

/// Compresses the payload that begins at `from` and ends with the bytes, if it becomes shorter by an eighth at least.
pub(super) fn shorten(bytes: &mut Vec<u8>, from: usize) {
    let start = from + LENGTH_BYTES;
    let length = bytes.len() - start;
    if length < LEAST_BYTES {
        return;
    }
    let block = lz4_flex::block::compress(&bytes[start..]);
    if block.len() > length - length / 8 {
        return;
    }
    bytes[from..start].copy_from_slice(&(length as u32).to_le_bytes());
    bytes.truncate(start);
    bytes.extend_from_slice(&block);
}

/// The values of a payload, in `room` if they were compressed. `None` if they cannot be read.
pub(super) fn values<'a>(payload: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let (length, bytes) = payload.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return Some(bytes);
    }
    if length > VALUES_BYTES_MAX.min(bytes.len().saturating_mul(FACTOR_MAX)) {
        return None;
    }
    room.resize(length, 0);
    let read = lz4_flex::block::decompress_into(bytes, room).ok()?;
    (read == length).then_some(&room[..])
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A payload of these values, behind some other bytes.
    fn payload(values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![7; 10];
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.extend_from_slice(values);
        shorten(&mut bytes, 10);
        assert_eq!(bytes[..10], [7; 10]);
        bytes.split_off(10)
    }

    #[test]
    fn what_repeats_gets_shorter() {
        let values = b"JFK LAX AA N338AA ".repeat(1_000);
        assert!(payload(&values).len() < values.len() / 50);
        let long = vec![0; VALUES_BYTES_MAX];
        assert_eq!(values_of(&payload(&long)), Some(long));
    }

    #[test]
    fn a_wrong_length_does_not_allocate() {
        let mut room = Vec::new();
        for length in [1, 500 * 255, u32::MAX] {
            let mut bytes = payload(&b"JFK LAX AA".repeat(50));
            bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            assert_eq!(values(&bytes, &mut room), None);
            assert!(room.capacity() <= 500 * 255, "{length}");
        }
    }

    fn values_of(payload: &[u8]) -> Option<Vec<u8>> {
        values(payload, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    proptest! {
        #[test]
        fn values_come_back(values in vec(prop_oneof![Just(0u8), any::<u8>()], 0..2_000)) {
            let payload = payload(&values);
            prop_assert!(payload.len() <= LENGTH_BYTES + values.len());
            prop_assert_eq!(values_of(&payload), Some(values));
        }

        #[test]
        fn any_bytes_are_values_or_none(bytes in vec(any::<u8>(), 0..300), length in 0u32..3_000) {
            let _ = values_of(&bytes);
            let mut stated = length.to_le_bytes().to_vec();
            stated.extend_from_slice(&bytes);
            let found = values_of(&stated).map(|values| values.len());
            let expected = if length == 0 { bytes.len() } else { length as usize };
            prop_assert!(found.is_none_or(|found| found == expected));
        }
    }
}
