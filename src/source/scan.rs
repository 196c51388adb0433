//! The state machine of RFC 4180: where a record ends, and its fields without their quotes.
//!
//! It takes pieces of any size, and stops at each line feed within quotes, so that the caller can bound a record.

use memchr::{memchr, memchr2};

/// The state of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanState {
    /// Before the first byte of a field.
    Start,
    /// In a field without quotes, where a quote is data.
    Plain,
    /// In a quoted field.
    Quoted,
    /// After a quote in a quoted field: it closes the field, or a second quote follows and both are one.
    Quote,
    /// After the carriage return that follows a closing quote; a line feed must follow.
    Return,
}

/// Why [`Scanner::scan`] has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// Everything was read.
    All,
    /// After a line feed within quotes.
    QuotedLine,
    /// After the end of the record.
    Record,
    /// After a byte that may not follow a closing quote.
    Stray,
}

/// Finds the fields of one record after the other.
pub(super) struct Scanner {
    delimiter: u8,
    /// A record is a line, whatever its quotes.
    by_line: bool,
    state: ScanState,
    /// The fields' text, one after the other.
    pub(super) text: Vec<u8>,
    /// The end of each field in it; only for fields that can be selected.
    pub(super) ends: Vec<usize>,
    pub(super) ends_max: usize,
    /// How many fields there are.
    pub(super) fields: usize,
    /// The beginning of the field that is being read.
    field_start: usize,
}

impl Scanner {
    pub(super) fn new(delimiter: u8) -> Scanner {
        Scanner {
            delimiter,
            by_line: false,
            state: ScanState::Start,
            text: Vec::new(),
            ends: Vec::new(),
            ends_max: usize::MAX,
            fields: 0,
            field_start: 0,
        }
    }

    /// Begins a record, which is the next line if it is found `by_line`.
    pub(super) fn begin(&mut self, by_line: bool) {
        self.by_line = by_line;
        self.state = ScanState::Start;
        self.text.clear();
        self.ends.clear();
        (self.fields, self.field_start) = (0, 0);
    }

    /// From here on, only the end of the line matters.
    pub(super) fn find_line_end(&mut self) {
        self.by_line = true;
    }

    /// Jumps in the record to a position where a quote is open. The fields are lost.
    pub(super) fn jump_into_quotes(&mut self) {
        self.state = ScanState::Quoted;
    }

    /// Reads on in the record, and returns how far.
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, Scanned) {
        if self.by_line {
            return match memchr(b'\n', input) {
                Some(end) => (end + 1, Scanned::Record),
                None => (input.len(), Scanned::All),
            };
        }
        let mut at = 0;
        while at < input.len() {
            let stop = match self.state {
                ScanState::Start | ScanState::Plain => self.plain(input, &mut at),
                ScanState::Quoted => self.quoted(input, &mut at),
                ScanState::Quote | ScanState::Return => self.behind_quote(input, &mut at),
            };
            if let Some(stop) = stop {
                return (at, stop);
            }
        }
        (at, Scanned::All)
    }

    fn plain(&mut self, input: &[u8], at: &mut usize) -> Option<Scanned> {
        if self.state == ScanState::Start && input[*at] == b'"' {
            self.state = ScanState::Quoted;
            *at += 1;
            return None;
        }
        let rest = &input[*at..];
        let end = memchr2(self.delimiter, b'\n', rest);
        let Some(end) = end else {
            self.state = ScanState::Plain;
            self.text.extend_from_slice(rest);
            *at = input.len();
            return None;
        };
        self.text.extend_from_slice(&rest[..end]);
        *at += end + 1;
        if rest[end] == self.delimiter {
            self.end_field();
            return None;
        }
        // The CR of a CRLF; it may have come with an earlier piece.
        if self.text.len() > self.field_start && self.text.ends_with(b"\r") {
            self.text.pop();
        }
        self.end_field();
        Some(Scanned::Record)
    }

    fn quoted(&mut self, input: &[u8], at: &mut usize) -> Option<Scanned> {
        let rest = &input[*at..];
        let end = memchr2(b'"', b'\n', rest);
        let Some(end) = end else {
            self.text.extend_from_slice(rest);
            *at = input.len();
            return None;
        };
        *at += end + 1;
        if rest[end] == b'"' {
            self.text.extend_from_slice(&rest[..end]);
            self.state = ScanState::Quote;
            return None;
        }
        self.text.extend_from_slice(&rest[..=end]);
        Some(Scanned::QuotedLine)
    }

    fn behind_quote(&mut self, input: &[u8], at: &mut usize) -> Option<Scanned> {
        let byte = input[*at];
        *at += 1;
        match (self.state, byte) {
            (_, b'\n') => {
                self.end_field();
                Some(Scanned::Record)
            }
            (ScanState::Quote, b'"') => {
                self.text.push(b'"');
                self.state = ScanState::Quoted;
                None
            }
            (ScanState::Quote, byte) if byte == self.delimiter => {
                self.end_field();
                None
            }
            (ScanState::Quote, b'\r') => {
                self.state = ScanState::Return;
                None
            }
            _ => Some(Scanned::Stray),
        }
    }

    /// Whether the record is valid if the content ends here.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.state, ScanState::Start | ScanState::Plain | ScanState::Quote)
    }

    /// The content ends here. Returns what is wrong with a record that ends here.
    pub(super) fn end(&mut self) -> Result<(), Scanned> {
        if self.by_line {
            return Ok(());
        }
        match self.state {
            ScanState::Start | ScanState::Plain | ScanState::Quote => {
                self.end_field();
                Ok(())
            }
            ScanState::Quoted => Err(Scanned::QuotedLine),
            ScanState::Return => Err(Scanned::Stray),
        }
    }

    fn end_field(&mut self) {
        if self.ends.len() < self.ends_max {
            self.ends.push(self.text.len());
        }
        (self.fields, self.field_start) = (self.fields + 1, self.text.len());
        self.state = ScanState::Start;
    }
}
