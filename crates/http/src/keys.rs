//! Keys as text, as they stand in a URL.

use dayfold::key::{Key, KeyRange, encode_unterminated};

/// A text that is no value of a column of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct KeyTextError {
    /// What was given.
    pub text: String,
    /// What was expected.
    pub expected: &'static str,
}

/// One column of a key: an integer, a `bool` or a `String`.
///
/// # Laws
/// `of_text(to_text(c)) == c`, and no two values have the same text.
pub trait TextColumn: Key {
    /// What a text has to be.
    const EXPECTED: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// [`KeyTextError`] if the text is none.
    fn of_text(text: &str) -> Result<Self, KeyTextError>;

    /// Writes a value.
    fn to_text(&self) -> String;

    /// Appends what the encodings of all values begin with whose text begins with `prefix`. Where texts
    /// are not ordered as values are, `prefix` has to be a whole value.
    ///
    /// # Errors
    /// [`KeyTextError`] if the text is none.
    fn encode_prefix(prefix: &str, out: &mut Vec<u8>) -> Result<(), KeyTextError> {
        Self::of_text(prefix)?.encode(out);
        Ok(())
    }
}

/// A key that is read from text and written as text, column by column.
pub trait TextKey: Key {
    /// How many columns it has.
    const COLUMNS: usize;

    /// Reads a key of so many texts as it has columns.
    ///
    /// # Errors
    /// The place of the first column that is no good, and why.
    fn of_texts(texts: &[String]) -> Result<Self, (usize, KeyTextError)>;

    /// Writes each column.
    fn to_texts(&self) -> Vec<String>;

    /// Keys whose first columns are those of `prefix`, of whose last one only the beginning may be given.
    /// An empty `prefix` is all keys; one with more columns than the key has is cut off.
    ///
    /// # Errors
    /// The place of the first column that is no good, and why.
    fn range(prefix: &[String]) -> Result<KeyRange, (usize, KeyTextError)>;
}

macro_rules! parsed_column {
    ($($type:ty: $expected:literal),*) => { $(
        impl TextColumn for $type {
            const EXPECTED: &'static str = $expected;
            fn of_text(text: &str) -> Result<Self, KeyTextError> {
                let wrong = || KeyTextError { text: text.to_owned(), expected: $expected };
                let value: $type = text.parse().map_err(|_| wrong())?;
                // There is one text of a value: no plus sign, no zeros in front.
                if value.to_string() == text { Ok(value) } else { Err(wrong()) }
            }
            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

parsed_column!(
    bool: "true or false",
    u8: "an integer from 0 to 255",
    u16: "an integer from 0 to 65535",
    u32: "an integer from 0 to 4294967295",
    u64: "an integer from 0 to 18446744073709551615",
    u128: "an unsigned integer of 128 bits",
    i8: "an integer from -128 to 127",
    i16: "an integer from -32768 to 32767",
    i32: "an integer from -2147483648 to 2147483647",
    i64: "a signed integer of 64 bits",
    i128: "a signed integer of 128 bits"
);

impl TextColumn for String {
    const EXPECTED: &'static str = "a text";
    fn of_text(text: &str) -> Result<Self, KeyTextError> {
        Ok(text.to_owned())
    }
    fn to_text(&self) -> String {
        self.clone()
    }
    fn encode_prefix(prefix: &str, out: &mut Vec<u8>) -> Result<(), KeyTextError> {
        encode_unterminated(prefix.as_bytes(), out);
        Ok(())
    }
}

/// The column at `place` of `texts`; a text that is not there is empty.
fn column<C: TextColumn>(texts: &[String], place: usize) -> Result<C, (usize, KeyTextError)> {
    let text = texts.get(place).map_or("", String::as_str);
    C::of_text(text).map_err(|error| (place, error))
}

/// Appends the column at `place` of a prefix.
fn prefix_column<C: TextColumn>(
    prefix: &[String],
    place: usize,
    out: &mut Vec<u8>,
) -> Result<(), (usize, KeyTextError)> {
    match prefix.get(place) {
        None => Ok(()),
        Some(text) if place + 1 == prefix.len() => {
            C::encode_prefix(text, out).map_err(|error| (place, error))
        }
        Some(_) => {
            column::<C>(prefix, place)?.encode(out);
            Ok(())
        }
    }
}

macro_rules! single_key {
    ($($type:ty),*) => { $(
        impl TextKey for $type {
            const COLUMNS: usize = 1;
            fn of_texts(texts: &[String]) -> Result<Self, (usize, KeyTextError)> {
                column(texts, 0)
            }
            fn to_texts(&self) -> Vec<String> {
                vec![self.to_text()]
            }
            fn range(prefix: &[String]) -> Result<KeyRange, (usize, KeyTextError)> {
                let mut lower = Vec::new();
                prefix_column::<$type>(prefix, 0, &mut lower)?;
                Ok(KeyRange::starting_with(lower))
            }
        }
    )* };
}

single_key!(bool, u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, String);

macro_rules! tuple_key {
    ($count:literal: $($part:ident . $index:tt),*) => {
        impl<$($part: TextColumn),*> TextKey for ($($part,)*) {
            const COLUMNS: usize = $count;
            fn of_texts(texts: &[String]) -> Result<Self, (usize, KeyTextError)> {
                Ok(($( column::<$part>(texts, $index)?, )*))
            }
            fn to_texts(&self) -> Vec<String> {
                vec![$( self.$index.to_text() ),*]
            }
            fn range(prefix: &[String]) -> Result<KeyRange, (usize, KeyTextError)> {
                let mut lower = Vec::new();
                $( prefix_column::<$part>(prefix, $index, &mut lower)?; )*
                Ok(KeyRange::starting_with(lower))
            }
        }
    };
}

tuple_key!(1: A.0);
tuple_key!(2: A.0, B.1);
tuple_key!(3: A.0, B.1, C.2);
tuple_key!(4: A.0, B.1, C.2, D.3);

#[cfg(test)]
mod tests {
    use super::*;
    use dayfold::key::encoded;

    fn texts(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn keys_come_back_from_their_texts() {
        let key = ("a/b?".to_owned(), -5i64, true);
        assert_eq!(<(String, i64, bool)>::of_texts(&key.to_texts()), Ok(key));
        assert_eq!(u64::of_texts(&u64::MAX.to_texts()), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let (place, error) = <(String, u8)>::of_texts(&texts(&["x", "256"])).unwrap_err();
        assert_eq!(
            (place, error.to_string().as_str()),
            (1, "'256' is not an integer from 0 to 255")
        );
        assert!(u8::of_texts(&texts(&["+1"])).is_err());
        assert!(u8::of_texts(&texts(&["01"])).is_err());
        assert!(bool::of_texts(&[]).is_err());
    }

    #[test]
    fn prefixes_are_ranges() {
        let key = |a: &str, b: &str| encoded(&(a.to_owned(), b.to_owned()));
        let range = |prefix: &[&str]| <(String, String)>::range(&texts(prefix)).unwrap();
        assert!(range(&[]).is_all());
        assert!(range(&["EW"]).contains(&key("EWR", "SFO")));
        assert!(range(&["EWR", "S"]).contains(&key("EWR", "SFO")));
        assert!(!range(&["EWR", "S"]).contains(&key("EWR", "TPA")));
        assert!(
            !range(&["EW", ""]).contains(&key("EWR", "SFO")),
            "a column before the last is whole"
        );
        assert!(u64::range(&texts(&["7"])).unwrap().contains(&encoded(&7u64)));
        assert!(u64::range(&texts(&["x"])).is_err());
    }
}
