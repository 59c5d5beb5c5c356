//! What scripts can do, and what they cannot.
#![cfg(test)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod authors;
mod backends;
mod common;
mod document;
mod hostile_luau;
mod hostile_wasm;
mod luau;
mod neighbours;
mod refused;
mod terms;
mod wasm;
