//! Chunks of JSON lines. An object is walked once, and only the selected fields are examined. A line that is not
//! plainly valid goes to [`json`](crate::source::json), which decides whether it is valid and says what is wrong.

use memchr::memchr;

use super::sheet::{Fields, Sheet, without_end};
use crate::source::json::{self, Text};
use crate::source::options::{CsvOptions, SELECTED_BYTES};

/// Objects with more distinct names are not walked here.
const NAMES_MAX: usize = 256;

/// The selected names.
pub(super) struct Names {
    asked: Vec<String>,
    slow: json::Fields,
    /// Whether one may be a path into an object.
    has_paths: bool,
}

impl Names {
    pub(super) fn new(options: &CsvOptions) -> Names {
        let slow = json::Fields::new(options);
        let asked = slow.names().to_vec();
        let has_paths = asked.iter().any(|name| name.contains('.'));
        Names { asked, slow, has_paths }
    }
}

/// Cuts a chunk, which is clear to its end.
pub(super) fn cut(names: &Names, comment: Option<u8>, bytes: &[u8], sheet: &mut Sheet<'_>) {
    let mut walker = Walker {
        names,
        seen: Vec::new(),
        round: 0,
        is_utf8: std::str::from_utf8(bytes).is_ok(),
        found: vec![None; names.asked.len()],
        fields: Fields::new(names.asked.len()),
    };
    let mut start = 0;
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        let line_feed = start + length;
        let raw = without_end(bytes, start, line_feed);
        if !raw.range().is_empty() && comment != Some(bytes[start]) {
            match walker.line(bytes, raw.range(), sheet) {
                Ok(()) => sheet.take(bytes, raw, &walker.fields),
                Err(reason) => sheet.refuse(bytes, raw, reason),
            }
        }
        start = line_feed + 1;
        sheet.pass(start, 1);
    }
}

/// A name that objects of this chunk have.
struct Seen {
    name: Vec<u8>,
    /// Its position in the selection.
    asked: Vec<usize>,
    /// The line that had it last, counted from 1.
    round: u64,
}

/// A value in a line.
#[derive(Clone, Copy)]
struct Value {
    start: usize,
    end: usize,
    /// Whether it is a string with escapes, so that its text differs from its bytes.
    is_escaped: bool,
}

struct Walker<'a> {
    names: &'a Names,
    /// In order of first appearance, which most objects share.
    seen: Vec<Seen>,
    round: u64,
    is_utf8: bool,
    found: Vec<Option<Value>>,
    fields: Fields,
}

impl Walker<'_> {
    /// Finds the fields of the object in a line, or says why the line is not an object.
    fn line(
        &mut self,
        bytes: &[u8],
        line: std::ops::Range<usize>,
        sheet: &mut Sheet<'_>,
    ) -> Result<(), String> {
        let is_small = line.len() * self.names.asked.len() <= SELECTED_BYTES;
        let is_plain =
            is_small && (self.is_utf8 || std::str::from_utf8(&bytes[line.clone()]).is_ok());
        let is_walked = is_plain && self.walk(&bytes[..line.end], line.start).is_some();
        let is_found = !self.names.has_paths || self.found.iter().all(Option::is_some);
        if is_walked && is_found && self.place(bytes, sheet).is_some() {
            return Ok(());
        }
        let (start, mut ends) = (sheet.extra.len(), Vec::new());
        // What it appends for a line that is no row is dropped.
        self.names.slow.find(&bytes[line], &mut sheet.extra, &mut ends)?;
        self.fields.clear();
        let mut from = start;
        for end in ends {
            self.fields.push(bytes.len() + from, bytes.len() + end);
            from = end;
        }
        Ok(())
    }

    /// The positions of the values that were found.
    fn place(&mut self, bytes: &[u8], sheet: &mut Sheet<'_>) -> Option<()> {
        self.fields.clear();
        for value in &self.found {
            match value {
                None => self.fields.push(0, 0),
                Some(value) if value.is_escaped => {
                    let text = &bytes[value.start - 1..value.end + 1];
                    let Text(text) = serde_json::from_slice(text).ok()?;
                    let start = bytes.len() + sheet.extra.len();
                    sheet.extra.extend_from_slice(text.as_bytes());
                    self.fields.push(start, start + text.len());
                }
                Some(value) => self.fields.push(value.start, value.end),
            }
        }
        Some(())
    }

    /// Walks an object that takes up the rest of the line. `None` if it is not plainly valid.
    fn walk(&mut self, line: &[u8], start: usize) -> Option<()> {
        self.round += 1;
        self.found.fill(None);
        let mut at = expect(line, start, b'{')?;
        at = spaces(line, at);
        if line.get(at) == Some(&b'}') {
            return (spaces(line, at + 1) == line.len()).then_some(());
        }
        let mut next = 0;
        loop {
            let (name, behind) = string(line, expect(line, at, b'"')?)?;
            if name.is_escaped {
                return None;
            }
            let seen = self.look_up(&line[name.start..name.end], next)?;
            next = seen + 1;
            let (value, behind) = value(line, spaces(line, expect(line, behind, b':')?))?;
            for asked in &self.seen[seen].asked {
                self.found[*asked] = Some(value);
            }
            at = spaces(line, behind);
            match line.get(at)? {
                b',' => at = spaces(line, at + 1),
                b'}' => return (spaces(line, at + 1) == line.len()).then_some(()),
                _ => return None,
            }
        }
    }

    /// The index of a name; `None` if the object has it twice, or has too many names.
    fn look_up(&mut self, name: &[u8], guess: usize) -> Option<usize> {
        let is_guessed = self.seen.get(guess).is_some_and(|seen| seen.name == name);
        let at = if is_guessed {
            guess
        } else {
            match self.seen.iter().position(|seen| seen.name == name) {
                Some(at) => at,
                None if self.seen.len() >= NAMES_MAX => return None,
                None => {
                    let asked = self.names.asked.iter().enumerate();
                    let asked = asked.filter(|(_, asked)| asked.as_bytes() == name);
                    let asked = asked.map(|(at, _)| at).collect();
                    self.seen.push(Seen { name: name.to_vec(), asked, round: 0 });
                    self.seen.len() - 1
                }
            }
        };
        let before = std::mem::replace(&mut self.seen[at].round, self.round);
        (before != self.round).then_some(at)
    }
}

/// After white space.
#[inline]
fn spaces(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = line.get(at) {
        at += 1;
    }
    at
}

/// After white space and a byte.
#[inline]
fn expect(line: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = spaces(line, at);
    (line.get(at) == Some(&byte)).then_some(at + 1)
}

/// The string that begins after its opening quote, and the rest of the line.
#[inline]
fn string(line: &[u8], start: usize) -> Option<(Value, usize)> {
    let (mut at, mut is_escaped) = (start, false);
    loop {
        match line.get(at)? {
            b'"' => return Some((Value { start, end: at, is_escaped }, at + 1)),
            b'\\' => {
                is_escaped = true;
                at += match line.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if line.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                };
            }
            0..=0x1F => return None,
            _ => at += 1,
        }
    }
}

/// The text of the value that begins here, and the rest of the line.
#[inline]
fn value(line: &[u8], at: usize) -> Option<(Value, usize)> {
    let end = match line.get(at)? {
        b'"' => return string(line, at + 1),
        b'-' | b'0'..=b'9' => number(line, at)?,
        b't' => word(line, at, b"true")?,
        b'f' => word(line, at, b"false")?,
        b'n' => {
            let behind = word(line, at, b"null")?;
            return Some((Value { start: at, end: at, is_escaped: false }, behind));
        }
        b'{' | b'[' => {
            let mut values = serde_json::Deserializer::from_slice(&line[at..]).into_iter();
            let _: &serde_json::value::RawValue = values.next()?.ok()?;
            at + values.byte_offset()
        }
        _ => return None,
    };
    Some((Value { start: at, end, is_escaped: false }, end))
}

fn word(line: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    line[at..].starts_with(word).then_some(at + word.len())
}

/// After a JSON number.
#[inline]
fn number(line: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let length = line[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (length > 0).then_some(from + length)
    };
    let first = at + usize::from(line[at] == b'-');
    let mut end = digits(first)?;
    if line[first] == b'0' && end > first + 1 {
        return None;
    }
    if line.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = line.get(end) {
        let sign = matches!(line.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(sign))?;
    }
    Some(end)
}
