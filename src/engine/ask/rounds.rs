//! Decides when questions that keep much state are let in: in rounds, so that they share it.
//!
//! A question about many keys is read while events go on. So what it reads is kept unchanged, and rows that change are
//! copied ([`Table::share`](crate::table::Table::share)). Questions of one moment share this. If tables are large, each
//! moment costs the worker a copy of them. Therefore questions wait for each other, and for what earlier ones keep.

use std::time::{Duration, Instant};

use crate::speed::OUTLIVED_MAX;

/// Copying fewer rows takes no noticeable time, so no question waits for that.
const MANY_ROWS: usize = 65_536;

/// The pause between two rounds, for each row that may have to be copied: about ten times as long as copying it.
const PAUSE_OF_A_ROW: Duration = Duration::from_nanos(200);

/// How long a round waits for the state that other questions keep. Then it begins, and the oldest of them may lose its
/// moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// What may have to be copied of a view in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// The bytes that only readers hold.
    pub(super) outlived: usize,
}

#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: Option<Instant>,
    /// Since when somebody waits for the next round.
    awaited: Option<Instant>,
}

impl Rounds {
    /// Whether the waiting questions are let in now.
    pub(super) fn begins(&mut self, copied: Copied, now: Instant) -> bool {
        if copied.rows < MANY_ROWS {
            self.awaited = None;
            return true;
        }
        let awaited = *self.awaited.get_or_insert(now);
        let pause = PAUSE_OF_A_ROW.saturating_mul(copied.rows.try_into().unwrap_or(u32::MAX));
        let is_rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        let has_room = copied.outlived == 0
            || copied.outlived.saturating_add(copied.bytes) <= OUTLIVED_MAX
            || now.saturating_duration_since(awaited) >= PATIENCE;
        let begins = is_rested && has_room;
        if begins {
            (self.last, self.awaited) = (Some(now), None);
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_waits_for_the_one_before_it_and_for_room_but_not_for_ever() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let much = Copied { rows: 1_000_000, bytes: 80 << 20, outlived: 0 };
        let mut rounds = Rounds::default();
        let little = Copied { rows: 1_000, ..much };
        assert!(rounds.begins(little, at(0)) && rounds.begins(little, at(0)), "little is copied");
        assert!(rounds.begins(much, at(0)));
        assert!(!rounds.begins(much, at(199)), "a million rows, 200 ns each");
        assert!(rounds.begins(much, at(200)));
        let full = Copied { outlived: 160 << 20, ..much };
        assert!(!rounds.begins(full, at(1_000)) && !rounds.begins(full, at(20_999)));
        assert!(rounds.begins(Copied { outlived: 100 << 20, ..much }, at(20_999)), "there is room");
        assert!(!rounds.begins(full, at(30_000)) && !rounds.begins(full, at(49_999)));
        assert!(rounds.begins(full, at(50_000)), "it waits no longer");
    }
}
