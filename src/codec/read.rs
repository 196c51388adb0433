//! Reads values in bincode's format from bytes in memory.

use std::io;

use bincode::{Error, ErrorKind};
use serde::de::value::U32Deserializer;
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};

use super::write::{EIGHT_BYTES, FOUR_BYTES, ONE_BYTE_MAX, SIXTEEN_BYTES, TWO_BYTES};

/// Reads values one after the other; holds what is left to be read.
///
/// Its methods read numbers and tags without serde, for code that reads millions of small states.
pub(crate) struct Reader<'de>(pub(crate) &'de [u8]);

#[cold]
fn cut_short() -> Error {
    ErrorKind::Io(io::ErrorKind::UnexpectedEof.into()).into()
}

#[cold]
fn wrong(what: &str) -> Error {
    ErrorKind::Custom(what.to_owned()).into()
}

#[cold]
fn wrong_tag(byte: u8) -> Error {
    ErrorKind::InvalidTagEncoding(byte.into()).into()
}

fn fits<T, N: TryFrom<T>>(number: T) -> Result<N, Error> {
    N::try_from(number).map_err(|_| wrong("a number is too large for its type"))
}

/// Undoes what the writer does to signed numbers.
#[inline]
fn turned_back(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

impl<'de> Reader<'de> {
    /// Reads any value.
    pub(crate) fn take<T: Deserialize<'de>>(&mut self) -> Result<T, Error> {
        T::deserialize(self)
    }

    /// Reads an `i64`.
    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, Error> {
        self.number().map(turned_back)
    }

    /// Reads an `i128`.
    #[inline]
    pub(crate) fn signed_wide(&mut self) -> Result<i128, Error> {
        if self.0.first() != Some(&SIXTEEN_BYTES) {
            return self.signed().map(i128::from);
        }
        let number = self.wide_number()?;
        Ok((number >> 1) as i128 ^ -((number & 1) as i128))
    }

    /// Reads the tag of an option: whether a value follows.
    #[inline]
    pub(crate) fn is_some(&mut self) -> Result<bool, Error> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(wrong_tag(byte)),
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.0.split_first().ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(*array)
    }

    /// Reads an unsigned number of up to 64 bits, a length, or the number of a variant.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        match self.byte()? {
            byte @ ..=ONE_BYTE_MAX => Ok(byte.into()),
            TWO_BYTES => Ok(u16::from_le_bytes(self.array()?).into()),
            FOUR_BYTES => Ok(u32::from_le_bytes(self.array()?).into()),
            EIGHT_BYTES => Ok(u64::from_le_bytes(self.array()?)),
            _ => Err(wrong("a byte is not the beginning of a number")),
        }
    }

    #[inline]
    fn wide_number(&mut self) -> Result<u128, Error> {
        match self.0.first() {
            Some(&SIXTEEN_BYTES) => {
                self.byte()?;
                Ok(u128::from_le_bytes(self.array()?))
            }
            _ => self.number().map(u128::from),
        }
    }

    /// Reads bytes with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'de [u8], Error> {
        let length: usize = fits(self.number()?)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Error> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|error| ErrorKind::InvalidUtf8Encoding(error).into())
    }

    fn char(&mut self) -> Result<char, Error> {
        // The first byte says how many there are.
        let width = match self.0.first().ok_or_else(cut_short)? {
            0..0x80 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        let (bytes, rest) = self.0.split_at_checked(width).ok_or_else(cut_short)?;
        self.0 = rest;
        let text = std::str::from_utf8(bytes).map_err(|_| ErrorKind::InvalidCharEncoding)?;
        text.chars().next().ok_or_else(cut_short)
    }
}

macro_rules! numbers {
    ($($method:ident: $visit:ident, $reader:ident => $number:expr;)*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let $reader = self;
            visitor.$visit($number)
        }
    )* };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    numbers! {
        deserialize_u8: visit_u8, reader => reader.byte()?;
        deserialize_u16: visit_u16, reader => fits(reader.number()?)?;
        deserialize_u32: visit_u32, reader => fits(reader.number()?)?;
        deserialize_u64: visit_u64, reader => reader.number()?;
        deserialize_u128: visit_u128, reader => reader.wide_number()?;
        deserialize_i8: visit_i8, reader => reader.byte()? as i8;
        deserialize_i16: visit_i16, reader => fits(turned_back(reader.number()?))?;
        deserialize_i32: visit_i32, reader => fits(turned_back(reader.number()?))?;
        deserialize_i64: visit_i64, reader => reader.signed()?;
        deserialize_i128: visit_i128, reader => reader.signed_wide()?;
        deserialize_f32: visit_f32, reader => f32::from_le_bytes(reader.array()?);
        deserialize_f64: visit_f64, reader => f64::from_le_bytes(reader.array()?);
        deserialize_char: visit_char, reader => reader.char()?;
        deserialize_str: visit_borrowed_str, reader => reader.text()?;
        deserialize_string: visit_string, reader => reader.text()?.to_owned();
        deserialize_bytes: visit_borrowed_bytes, reader => reader.bytes()?;
        deserialize_byte_buf: visit_byte_buf, reader => reader.bytes()?.to_vec();
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(ErrorKind::DeserializeAnyNotSupported.into())
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            byte => Err(ErrorKind::InvalidBoolEncoding(byte).into()),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_some()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = fits(self.number()?)?;
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = fits(self.number()?)?;
        visitor.visit_map(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left: fields.len() })
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(wrong("this format has no identifiers"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(wrong("in this format, nothing can be skipped"))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// So many more parts of a compound value.
struct Parts<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Parts<'_, '_> {
    #[inline]
    fn next(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left -= usize::from(is_left);
        is_left
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.next().then(|| seed.deserialize(&mut *self.reader)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.next().then(|| seed.deserialize(&mut *self.reader)).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'de> {
    type Error = Error;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let at: U32Deserializer<Error> = fits::<_, u32>(self.number()?)?.into_deserializer();
        Ok((seed.deserialize(at)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de> {
    type Error = Error;

    #[inline]
    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left: fields.len() })
    }
}
