//! Apache's format of HLL sketches, as written by `datasketches`. We write it in one way only: coupons ascending,
//! registers without a history.
//!
//! ```text
//! list  02 01 07 lgk 03 flags count mode            coupon × count
//! set   03 01 07 lgk lg(capacity) flags 00 mode     count:u32, coupon × count
//! hll   0A 01 07 lgk 00 flags 00 mode               hip:f64 Σ2⁻ʳ(r<32):f64 Σ2⁻ʳ(r≥32):f64
//!                                                   zeros:u32 0:u32, register × 2^lgk
//! ```

/// The binary logarithm of the number of registers: a standard error of 1.04/√8192 = 1.15 %.
///
/// With 12, 6 % would be 3.7 standard errors, and one large group in 4,600 would miss that bound; with 13 it is 5.2
/// standard errors, and one in five million misses it.
pub(super) const LG_K: u8 = 13;
pub(super) const REGISTERS: usize = 1 << LG_K;
/// The most coupons kept one by one: ¾ of `REGISTERS / 8`, where Apache's own sketches change to registers as well.
pub(super) const MOST_COUPONS: usize = REGISTERS / 8 / 4 * 3;

/// The most coupons in the form of a list; more are a set.
const MOST_LISTED: usize = 7;
const HEADER: usize = 8;
/// The preamble of the HLL form: the header, three sums and two counts.
const PREAMBLE: usize = 40;
const COMPACT: u8 = 8;
/// The order of updates is not known, so there is no HIP estimate.
const OUT_OF_ORDER: u8 = 16;
/// Registers of one byte.
const HLL_8: u8 = 2 << 2;

fn list_header(count: usize) -> [u8; HEADER] {
    [2, 1, 7, LG_K, 3, COMPACT, count as u8, HLL_8]
}

fn set_header(count: usize) -> [u8; HEADER] {
    // The least capacity, from 32 on, that is at most ¾ full.
    let capacity = (count * 4).div_ceil(3).next_power_of_two().max(32);
    [3, 1, 7, LG_K, capacity.ilog2() as u8, COMPACT, 0, HLL_8 | 1]
}

const HLL_HEADER: [u8; HEADER] = [10, 1, 7, LG_K, 0, OUT_OF_ORDER, 0, HLL_8 | 2];

pub(super) fn of_coupons(coupons: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 4 + coupons.len() * 4);
    if coupons.len() <= MOST_LISTED {
        bytes.extend(list_header(coupons.len()));
    } else {
        bytes.extend(set_header(coupons.len()));
        bytes.extend((coupons.len() as u32).to_le_bytes());
    }
    bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
    bytes
}

pub(super) fn of_registers(registers: &[u8]) -> Vec<u8> {
    // Several counts of each rank: neighbours are often equal, and a processor waits for a count that it has just
    // written.
    let mut counts = [[0u32; 64]; 8];
    for neighbours in registers.chunks(8) {
        for (rank, counts) in neighbours.iter().zip(&mut counts) {
            counts[usize::from(*rank)] += 1;
        }
    }
    let ranks: [u32; 64] = std::array::from_fn(|rank| counts.iter().map(|of| of[rank]).sum());
    // At most 2¹³ times 1 in steps of 2⁻³¹, then 2¹³ times 2⁻³² in steps of 2⁻⁶³: 45 bits, so both
    // sums are exact.
    let sum = |from: usize, to: usize| -> f64 {
        (from..to).map(|rank| f64::from(ranks[rank]) / (1u64 << rank) as f64).sum()
    };
    let mut bytes = Vec::with_capacity(PREAMBLE + REGISTERS);
    bytes.extend(HLL_HEADER);
    for number in [0.0, sum(0, 32), sum(32, 64)] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(ranks[0].to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(registers);
    bytes
}

/// The coupons of a list or a set; their order and content are not checked.
pub(super) fn coupons(bytes: &[u8]) -> Option<Vec<u32>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let listed = usize::from(header[6]);
    let (count, rest) = if *header == list_header(listed) && listed <= MOST_LISTED {
        (listed, rest)
    } else {
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        let is_set = MOST_LISTED < count && count <= MOST_COUPONS;
        if !is_set || *header != set_header(count) {
            return None;
        }
        (count, rest)
    };
    let (coupons, []) = rest.as_chunks::<4>() else { return None };
    (coupons.len() == count).then(|| coupons.iter().copied().map(u32::from_le_bytes).collect())
}

/// The registers of the HLL form. The sums are not read: they follow from the registers.
pub(super) fn registers(bytes: &[u8]) -> Option<&[u8]> {
    let registers = bytes.strip_prefix(&HLL_HEADER)?.get(PREAMBLE - HEADER..)?;
    let genuine = registers.len() == REGISTERS && registers.iter().all(|rank| *rank < 64);
    genuine.then_some(registers)
}
