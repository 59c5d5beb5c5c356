//! kestrel (to be written).
fn main() {}
