use std::sync::Arc;

use super::*;

const DAY: EventTime = 86_400_000;

#[test]
fn what_holds_days_open_is_not_paused_by_itself() {
    let share = Share {
        source: "s".to_owned(),
        worker: 0,
        workers: 1,
        known: Arc::default(),
        reread: Arc::default(),
    };
    let mut taking: Taking<()> = Taking::new(share, PartitionOptions::default(), 0);
    let names = ["first", "second"];
    let [first, second] = names.map(|name| taking.add(name, Start::new(0, 0)));
    taking.idle(first, 30 * DAY);
    taking.idle(second, 38 * DAY);
    // Only the first day has closed yet. Another process may hold the second one open.
    taking.set_reach(DAY, 2 * DAY, None);
    assert!(taking.is_paused(first) && taking.is_paused(second));
    // All readers are here: days up to the thirtieth are about to close.
    taking.set_reach(DAY, 2 * DAY, Some(30 * DAY));
    assert!(!taking.is_paused(first) && taking.is_paused(second));
    taking.set_reach(DAY, 2 * DAY, Some(38 * DAY));
    assert!(!taking.is_paused(second));
}
