//! Streams of earlier runs move into one file, and the machine stops anywhere.

use super::crash::{Reached, append, fresh, held, mend};
use super::fake::Fake;
use super::*;

const RUNS: u64 = 4;
const ENTRIES: u64 = 3;

/// Several runs, each repaired before the next one, which proves what it finds. Returns what was proven last.
fn run_again_and_again(
    fake: &Fake,
    reached: &mut Reached,
    proven: &mut Vec<LogPosition>,
) -> Result<(), LogError> {
    for run in 1..=RUNS {
        repair(fake, Path::new(PART), run)?;
        *proven = scan(fake, &parts(), run)?.proofs().map(|proof| proof.position).collect();
        let ticks = (run - 1) * ENTRIES..run * ENTRIES;
        append(fake, run, ticks, |tick| Some(tick % 2 == 1), reached)?;
    }
    repair(fake, Path::new(PART), RUNS + 1).map(drop)
}

fn names(fake: &Fake) -> Vec<String> {
    fake.list(&Path::new(PART).join("log/commits")).unwrap_or_default()
}

#[test]
fn streams_are_merged_and_the_machine_stops_anywhere() {
    let whole = fresh(Fake::default());
    let (mut reached, mut proven) = (Reached::default(), Vec::new());
    run_again_and_again(&whole, &mut reached, &mut proven).unwrap();
    assert_eq!(held(&whole), RUNS * ENTRIES);
    assert_eq!(names(&whole).len(), 1, "{:?}", names(&whole));
    assert_eq!(scanned(&whole).unwrap().streams.len() as u64, RUNS);
    let operations = whole.done().len();
    for at in fresh(Fake::default()).done().len()..operations {
        for seed in 0..4 {
            let fake = fresh(Fake::crashing(at, seed * 7_919 + at as u64));
            let (mut reached, mut proven) = (Reached::default(), Vec::new());
            run_again_and_again(&fake, &mut reached, &mut proven).unwrap_err();
            for found in [fake.after_kill(), fake.after_power_loss(seed)] {
                let before = held(&found);
                assert!((reached.durable..=reached.taken).contains(&before), "at {at}");
                check(&found, Path::new(PART), RUNS + 1, &proven).unwrap();
                mend(&found).unwrap();
                assert_eq!(held(&found), before, "at {at}: a repair changes nothing");
                check(&found, Path::new(PART), RUNS + 1, &proven).unwrap();
                assert_eq!(mend(&found).unwrap(), Repaired::default(), "at {at}");
                assert!(names(&found).len() <= 1, "at {at}: {:?}", names(&found));
                let lost = found.after_power_loss(seed + 3);
                assert_eq!(held(&lost), before, "at {at}: what was believed is gone");
                check(&lost, Path::new(PART), RUNS + 1, &proven).unwrap();
            }
        }
    }
}

#[test]
fn a_log_of_streams_alone_is_read_as_it_is() {
    // As an earlier version leaves it: nothing was merged.
    let alone = fresh(Fake::default());
    let mut reached = Reached::default();
    for run in 1..=20 {
        append(&alone, run, (run - 1) * 2..run * 2, |_| Some(true), &mut reached).unwrap();
    }
    let before = scanned(&alone).unwrap();
    let proven: Vec<LogPosition> = before.proofs().map(|proof| proof.position).collect();
    assert_eq!((before.streams.len(), names(&alone).len()), (20, 20));
    mend(&alone).unwrap();
    check(&alone, Path::new(PART), 20, &proven).unwrap();
    let after = scanned(&alone).unwrap();
    assert_eq!((after.streams.len(), names(&alone).len()), (20, 1));
    for (before, after) in before.streams.iter().zip(&after.streams) {
        let of = |stream: &StreamInfo| {
            let StreamInfo { run, worker, graces, latest, events, refused, .. } = stream.clone();
            (run, worker, graces, latest, events, refused)
        };
        assert_eq!(of(before), of(after));
    }
    assert_eq!((before.files, before.ranges, before.once), (after.files, after.ranges, after.once));
    assert_eq!(held(&alone), 40);
}

#[test]
fn damage_to_merged_streams_is_an_error_and_their_loss_is_told() {
    let whole = fresh(Fake::default());
    let (mut reached, mut proven) = (Reached::default(), Vec::new());
    run_again_and_again(&whole, &mut reached, &mut proven).unwrap();
    let proven: Vec<LogPosition> =
        scanned(&whole).unwrap().proofs().map(|proof| proof.position).collect();
    let path = Path::new(PART).join("log/commits").join(&names(&whole)[0]);
    let bytes = whole.read(&path).unwrap();
    let check_proofs = |fake: &Fake| check(fake, Path::new(PART), RUNS, &proven);
    let replaced = |bytes: &[u8]| {
        let fake = whole.after_kill();
        fake.create(&path).unwrap().write_all(bytes).unwrap();
        fake
    };
    check_proofs(&replaced(&bytes)).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let fake = replaced(&flipped);
        let is_told =
            |error: LogError| matches!(error, LogError::Corrupt { .. } | LogError::Version { .. });
        assert!(is_told(scanned(&fake).unwrap_err()), "a byte flipped at {at}");
        assert!(is_told(check_proofs(&fake).unwrap_err()), "a byte flipped at {at}");
        assert!(scanned(&replaced(&bytes[..at])).is_err(), "cut at {at}");
    }
    assert!(scanned(&replaced(&[&bytes[..], b"x"].concat())).is_err());
    let gone = whole.after_kill();
    gone.remove(&path).unwrap();
    assert!(matches!(check_proofs(&gone), Err(LogError::Lost { .. })));
    // An older one has fewer runs.
    let older = fresh(Fake::default());
    append(&older, 1, 0..ENTRIES, |_| Some(true), &mut Reached::default()).unwrap();
    mend(&older).unwrap();
    let older = older.read(&Path::new(PART).join("log/commits/merged-0.log")).unwrap();
    assert!(matches!(check_proofs(&replaced(&older)), Err(LogError::Lost { .. })));
}
