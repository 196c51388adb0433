//! Writes values in bincode's format.
//!
//! Bincode's own writer calls a function for each byte. Sealed states and logged events consist of small numbers, so
//! those calls took more time than the numbers.

use bincode::{Error, ErrorKind};
use serde::ser::{self, Serialize};

/// Numbers up to this one are one byte; larger ones follow one of the next four bytes.
pub(super) const ONE_BYTE_MAX: u8 = 250;
pub(super) const TWO_BYTES: u8 = 251;
pub(super) const FOUR_BYTES: u8 = 252;
pub(super) const EIGHT_BYTES: u8 = 253;
pub(super) const SIXTEEN_BYTES: u8 = 254;

/// Appends values to bytes.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    #[inline]
    fn number(&mut self, number: u64) {
        if number <= u64::from(ONE_BYTE_MAX) {
            self.0.push(number as u8);
        } else {
            self.large(number);
        }
    }

    #[inline]
    fn large(&mut self, number: u64) {
        if let Ok(number) = u16::try_from(number) {
            let [a, b] = number.to_le_bytes();
            self.0.extend_from_slice(&[TWO_BYTES, a, b]);
        } else if let Ok(number) = u32::try_from(number) {
            let [a, b, c, d] = number.to_le_bytes();
            self.0.extend_from_slice(&[FOUR_BYTES, a, b, c, d]);
        } else {
            let mut bytes = [EIGHT_BYTES; 9];
            bytes[1..].copy_from_slice(&number.to_le_bytes());
            self.0.extend_from_slice(&bytes);
        }
    }

    #[inline]
    fn wide_number(&mut self, number: u128) {
        match u64::try_from(number) {
            Ok(number) => self.number(number),
            Err(_) => {
                let mut bytes = [SIXTEEN_BYTES; 17];
                bytes[1..].copy_from_slice(&number.to_le_bytes());
                self.0.extend_from_slice(&bytes);
            }
        }
    }

    fn length(&mut self, length: Option<usize>) -> Result<(), Error> {
        let length = length.ok_or(ErrorKind::SequenceMustHaveLength)?;
        self.number(length as u64);
        Ok(())
    }
}

/// Numbers next to zero are small, whatever their sign.
#[inline]
fn turned(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

impl ser::Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.push(value.into());
        Ok(())
    }
    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.0.push(value);
        Ok(())
    }
    #[inline]
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    #[inline]
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }
    #[inline]
    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.wide_number(value);
        Ok(())
    }
    #[inline]
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_u8(value as u8)
    }
    #[inline]
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    #[inline]
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.serialize_u64(turned(value))
    }
    #[inline]
    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.serialize_u128((value << 1 ^ value >> 127) as u128)
    }
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.0.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.serialize_bytes(value.as_bytes())
    }
    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        Ok(())
    }
    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_u8(0)
    }
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        Ok(())
    }
    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        at: u32,
        _variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_u32(at)
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        at: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.number(at.into());
        value.serialize(self)
    }
    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Error> {
        self.length(length)?;
        Ok(self)
    }
    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }
    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }
    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        at: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self, Error> {
        self.number(at.into());
        Ok(self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, Error> {
        self.length(length)?;
        Ok(self)
    }
    #[inline]
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }
    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        at: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self, Error> {
        self.number(at.into());
        Ok(self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a compound value follow each other.
macro_rules! parts {
    ($($trait:ident: $method:ident($($name:ty)?);)*) => { $(
        impl ser::$trait for &mut Writer<'_> {
            type Ok = ();
            type Error = Error;
            #[inline]
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $(_: $name,)?
                value: &T,
            ) -> Result<(), Error> {
                value.serialize(&mut **self)
            }
            #[inline]
            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )* };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

impl ser::SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
