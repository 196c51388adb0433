//! What happens to a block with one changed byte.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::data::{self, FlightTuple};
use super::{Bincode, Codec, Columns, Outcome};

/// Flights in the block.
const ITEMS: usize = 200;

/// How often decoding ended in each way.
#[derive(Default)]
pub(crate) struct Endings {
    pub(crate) errors: usize,
    pub(crate) panics: usize,
    pub(crate) other_values: usize,
    /// The byte is not read.
    pub(crate) same_values: usize,
}

/// Changes each byte of a block of flights in turn. Without abomonation, for which that is undefined.
pub(crate) fn endings() -> Outcome<Vec<(&'static str, Endings)>> {
    let mut items = data::flights();
    items.truncate(ITEMS);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let all = [
        ("bincode, fixint", damage(&items, Bincode::new(data::fixint(), &items), Bincode::bytes)),
        ("bincode, varint", damage(&items, Bincode::new(data::varint(), &items), Bincode::bytes)),
        ("columnar", damage(&items, Columns::new(), Columns::bytes)),
    ];
    std::panic::set_hook(hook);
    all.into_iter().map(|(name, endings)| Ok((name, endings?))).collect()
}

fn damage<C: Codec<FlightTuple>>(
    items: &Vec<FlightTuple>,
    mut codec: C,
    bytes: impl Fn(&mut C) -> &mut [u8],
) -> Outcome<Endings> {
    let mut endings = Endings::default();
    for at in 0..codec.encode(items)? {
        bytes(&mut codec)[at] ^= 0xFF;
        // After a panic the block is unchanged, and the rest is not used.
        let ending = catch_unwind(AssertUnwindSafe(|| codec.decode()));
        let count = match ending {
            Err(_) => &mut endings.panics,
            Ok(Err(_)) => &mut endings.errors,
            Ok(Ok(read)) if read == *items => &mut endings.same_values,
            Ok(Ok(_)) => &mut endings.other_values,
        };
        *count += 1;
        bytes(&mut codec)[at] ^= 0xFF;
    }
    Ok(endings)
}
