//! UTF-16, read as UTF-8.

/// Converts UTF-16 to UTF-8, piece by piece. Invalid units, such as half of a pair, become U+FFFD.
pub(super) struct Utf16 {
    little: bool,
    /// The first byte of a unit, and the first unit of a pair, whose second part has not come.
    byte: Option<u8>,
    high: Option<u16>,
}

impl Utf16 {
    /// The encoding of a text that begins with this byte order mark.
    pub(super) fn of(begins: &[u8]) -> Option<Utf16> {
        let little = match begins {
            [0xFF, 0xFE, ..] => true,
            [0xFE, 0xFF, ..] => false,
            _ => return None,
        };
        Some(Utf16 { little, byte: None, high: None })
    }

    /// Appends the text of `bytes` to `text`.
    pub(super) fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        for &byte in bytes {
            let Some(first) = self.byte.take() else {
                self.byte = Some(byte);
                continue;
            };
            let pair = [first, byte];
            let unit =
                if self.little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
            self.push_unit(unit, text);
        }
    }

    fn push_unit(&mut self, unit: u16, text: &mut Vec<u8>) {
        let units = match self.high.take() {
            None if (0xD800..0xDC00).contains(&unit) => {
                self.high = Some(unit);
                return;
            }
            // Half a pair, and another first half, whose second half may still come.
            Some(high) if (0xD800..0xDC00).contains(&unit) => {
                self.high = Some(unit);
                [Some(high), None]
            }
            high => [high, Some(unit)],
        };
        for read in char::decode_utf16(units.into_iter().flatten()) {
            let read = read.unwrap_or(char::REPLACEMENT_CHARACTER);
            text.extend_from_slice(read.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// The end of the text: half a character is invalid.
    pub(super) fn finish(&mut self, text: &mut Vec<u8>) {
        if self.byte.take().is_some() | self.high.take().is_some() {
            text.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(little: bool, bytes: &[u8], piece: usize) -> String {
        let mark: &[u8] = if little { b"\xFF\xFE" } else { b"\xFE\xFF" };
        let (mut utf16, mut text) = (Utf16::of(mark).unwrap(), Vec::new());
        bytes.chunks(piece).for_each(|bytes| utf16.push(bytes, &mut text));
        utf16.finish(&mut text);
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn differential_text_is_as_the_standard_library_has_it(
            units in prop::collection::vec(prop_oneof![any::<u16>(), 0xD7F0u16..0xE010], 0..20),
            (piece, little) in (1usize..5, any::<bool>()),
        ) {
            let to_bytes = |unit: &u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
            let bytes: Vec<u8> = units.iter().flat_map(to_bytes).collect();
            prop_assert_eq!(read(little, &bytes, piece), String::from_utf16_lossy(&units));
        }
    }

    #[test]
    fn half_a_unit_at_the_end() {
        assert_eq!(read(true, b"a\0b", 2), "a\u{FFFD}");
        assert!(Utf16::of(b"a").is_none());
    }
}
