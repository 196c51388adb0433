//! Unique random numbers.

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// A random number above 0.
pub(crate) fn positive() -> i64 {
    (i64::from_le_bytes(bytes()) & i64::MAX).max(1)
}

/// A random UUID, version 4.
pub(crate) fn uuid() -> String {
    let mut b: [u8; 16] = bytes();
    b[6] = b[6] & 0x0F | 0x40;
    b[8] = b[8] & 0x3F | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A random number from 0 to 1.
pub(crate) fn share() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX)
}
