//! Two other ways to have a text in a key, instead of a `String` for each event: interned, so that equal texts are
//! shared; and inline in the key, without heap.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use dayfold::key::{Key, KeyError};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

thread_local! {
    static TEXTS: RefCell<HashSet<Arc<str>, RandomState>> = RefCell::default();
}

/// A text that is shared by all equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Interned(Arc<str>);

impl Interned {
    pub(crate) fn of(text: &str) -> Interned {
        TEXTS.with_borrow_mut(|texts| {
            if let Some(known) = texts.get(text) {
                return Interned(Arc::clone(known));
            }
            let new: Arc<str> = text.into();
            texts.insert(Arc::clone(&new));
            Interned(new)
        })
    }
}

impl From<String> for Interned {
    fn from(text: String) -> Interned {
        Interned::of(&text)
    }
}

impl From<Interned> for String {
    fn from(text: Interned) -> String {
        text.0.as_ref().to_owned()
    }
}

impl Key for Interned {
    fn encode(&self, out: &mut Vec<u8>) {
        encode(self.0.as_bytes(), out);
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        String::decode(bytes).map(Interned::from)
    }
    fn id() -> String {
        String::id()
    }
}

const ROOM: usize = 23;

/// A text of at most 23 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Inline {
    // Bytes beyond the length are zero, so that bytes and length compare as the text does.
    bytes: [u8; ROOM],
    length: u8,
}

impl Inline {
    pub(crate) fn of(text: &str) -> Inline {
        let mut bytes = [0; ROOM];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Inline { bytes, length: text.len() as u8 }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl TryFrom<String> for Inline {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Inline, &'static str> {
        if text.len() <= ROOM { Ok(Inline::of(&text)) } else { Err("a longer text") }
    }
}

impl From<Inline> for String {
    fn from(text: Inline) -> String {
        String::from_utf8_lossy(text.text()).into_owned()
    }
}

impl Key for Inline {
    fn encode(&self, out: &mut Vec<u8>) {
        encode(self.text(), out);
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        Inline::try_from(String::decode(bytes)?).map_err(KeyError::new)
    }
    fn id() -> String {
        String::id()
    }
}

/// Encoded as a `String` without zero bytes.
fn encode(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.extend_from_slice(&[0, 0]);
}
