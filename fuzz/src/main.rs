//! The fuzzer: `FUZZ_TARGET=name fuzz-target CORPUS`, with the options of libFuzzer.
//!
//! It is built on the stable compiler with the coverage passes that `cargo xtask fuzz` gives it.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::LazyLock;

/// Chosen once, by the environment: the arguments belong to libFuzzer.
static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = fuzz::TARGETS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("FUZZ_TARGET must be one of {}", names.join(", "));
    };
    *target
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
