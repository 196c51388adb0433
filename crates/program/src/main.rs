//! The program `dayfold`.

fn main() {}
