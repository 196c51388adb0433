//! The bytes of a file: the visible ones, the durable ones, and the changes between them.

use std::sync::Arc;

use super::random::{Extent, Random};

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Shared with maps of the file.
    live: Arc<Vec<u8>>,
    durable: Vec<u8>,
    /// The changes from the durable bytes to the live ones, in order. The first change is not durable.
    changes: Vec<(Change, ChangeState)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeState {
    Waiting,
    /// A sync of this change failed. No later sync makes it durable, because systems forget what they could not write.
    /// It may have been written all the same.
    GivenUp,
    /// This change is durable, although an earlier one is not.
    Durable,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => put(content, *at, bytes),
            Change::Cut(length) => content.truncate(*length),
        }
    }
}

/// Writes bytes at an offset; a gap before them is filled with zeros.
fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl Content {
    pub(super) fn live(&self) -> &Arc<Vec<u8>> {
        &self.live
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write { at: self.live.len(), bytes: bytes.to_vec() });
        }
    }

    /// Cuts the file. A file that is already shorter stays as it is: the store never lengthens a file this way.
    pub(super) fn cut(&mut self, length: usize) {
        self.change(Change::Cut(length));
    }

    fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.live));
        self.changes.push((change, ChangeState::Waiting));
    }

    pub(super) fn sync(&mut self, extent: Extent, random: &mut Random) {
        for (_, state) in
            self.changes.iter_mut().filter(|(_, state)| *state == ChangeState::Waiting)
        {
            let is_done = extent.in_one_step(random);
            *state = if is_done { ChangeState::Durable } else { ChangeState::GivenUp };
        }
        let durable =
            self.changes.iter().take_while(|(_, state)| *state == ChangeState::Durable).count();
        for (change, _) in self.changes.drain(..durable) {
            change.apply(&mut self.durable);
        }
    }

    /// A state in which the file may be found after a power loss, if `share` of four changes survive. In it, all
    /// visible bytes are durable.
    pub(super) fn after_power_loss(&self, share: usize, random: &mut Random) -> Content {
        let mut found = self.durable.clone();
        for (change, state) in &self.changes {
            if *state == ChangeState::Durable || random.quarters(share) {
                change.apply(&mut found);
            } else if let (1.., Change::Write { at, bytes }) = (share, change) {
                damage(&mut found, *at, bytes, random);
            }
        }
        Content { live: Arc::new(found.clone()), durable: found, changes: Vec::new() }
    }
}

/// Applies a write that did not survive: it is cut short, or left only its length, or nothing.
fn damage(found: &mut Vec<u8>, at: usize, bytes: &[u8], random: &mut Random) {
    match random.below(4) {
        0 => {}
        1 => {
            let kept = random.below(bytes.len());
            if kept > 0 {
                put(found, at, &bytes[..kept]);
            }
        }
        filler => {
            while found.len() < at + bytes.len() {
                found.push(if filler == 2 { 0 } else { random.next() as u8 });
            }
        }
    }
}
