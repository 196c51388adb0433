//! The cost of codecs: bincode as timely and as Dayfold use it, columnar, abomonation, and batch views.
//!
//! For each kind of item, one block of up to 100,000 items is measured: its bytes, and how long it takes to encode it;
//! to *decode* it into owned values, which are dropped again; to *read* it, that is to visit all fields of all items
//! without keeping any; and to get *one item* of it as an owned value. bincode has to decode for all of these. For
//! columnar and abomonation, "decoding" means reading: they lend values in the block. MB/s count encoded bytes: a
//! smaller encoding has fewer of them in the same time.
//!
//! The codecs alternate; figures are medians, and ratios to bincode fixint are within a round. Everything that was
//! encoded must come back in each of these ways before the first figure is printed. At the end, one byte of a block is
//! changed.
//!
//! **abomonation is unsound** (RUSTSEC-2021-0120): reading anything that the same build of the same program did not
//! write is undefined behaviour. It is here for comparison only. Do not use it.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/codecs/mod.rs"]
mod codecs;
#[path = "common/workload/mod.rs"]
mod workload;

use std::time::Instant;

use codecs::{Contender, Set};

const ROUNDS: usize = 9;

fn main() {
    let mut sets = codecs::sets();
    for Set { title, contenders } in &mut sets {
        for contender in contenders {
            let wrong = match contender.is_right() {
                Ok(true) => continue,
                Ok(false) => "what came back is not what was encoded".to_owned(),
                Err(error) => error.to_string(),
            };
            eprintln!("{title}, {}: {wrong}", contender.name());
            std::process::exit(1);
        }
    }
    println!(
        "medians of {ROUNDS} rounds; M/s: million items a second; ×: rate, by that of the first line"
    );
    println!("abomonation is unsound (RUSTSEC-2021-0120): measured, not recommended");
    sets.iter_mut().for_each(measure);
    damage();
}

/// Seconds for an item, of one codec, round by round.
#[derive(Default)]
struct Times {
    bytes: usize,
    encode: Vec<f64>,
    decode: Vec<f64>,
    read: Vec<f64>,
    point: Vec<f64>,
}

fn measure(Set { title, contenders }: &mut Set) {
    let mut all: Vec<Times> = contenders.iter().map(|_| Times::default()).collect();
    for _ in 0..ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut all) {
            times.round(contender.as_mut());
        }
    }
    println!("\n{title}: {} items", contenders[0].items());
    print!("{:<22} {:>7}", "", "B/item");
    for way in ["encode", "decode", "read"] {
        print!(" {:>11} {:>6} {:>6}", format!("{way} M/s"), "MB/s", "×");
    }
    println!(" {:>11}", "one item ns");
    for (contender, times) in contenders.iter().zip(&all) {
        let bytes = times.bytes as f64 / contender.items() as f64;
        print!("{:<22} {bytes:>7.1}", contender.name());
        let ways = [
            (&times.encode, &all[0].encode),
            (&times.decode, &all[0].decode),
            (&times.read, &all[0].read),
        ];
        for (seconds, first) in ways {
            let ratios = first.iter().zip(seconds).map(|(first, here)| first / here);
            let (rate, ratio) = (1.0 / median(seconds.iter().copied()), median(ratios));
            print!(" {:>11.1} {:>6.0} {ratio:>6.2}", rate / 1e6, rate * bytes / 1e6);
        }
        println!(" {:>11.0}", median(times.point.iter().copied()) * 1e9);
    }
}

impl Times {
    fn round(&mut self, contender: &mut dyn Contender) {
        let (items, points) = (contender.items(), contender.points());
        self.encode.push(seconds(items, || self.bytes = contender.encode()));
        self.decode.push(seconds(items, || contender.decode()));
        self.read.push(seconds(items, || contender.read()));
        // A prime, so that positions are spread over the block.
        let places = (0..points).map(|number| number * 7_919 % items);
        self.point.push(seconds(points, || places.for_each(|at| contender.point(at))));
    }
}

/// For each of this many items.
fn seconds(items: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() / items as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn damage() {
    println!("\na block of 200 flights with one byte inverted, each byte in turn");
    println!(
        "{:<22} {:>8} {:>8} {:>13} {:>12}",
        "", "errors", "panics", "other values", "same values"
    );
    for (name, ends) in codecs::endings().unwrap() {
        let [errors, panics] = [ends.errors, ends.panics];
        println!(
            "{name:<22} {errors:>8} {panics:>8} {:>13} {:>12}",
            ends.other_values, ends.same_values
        );
    }
}
