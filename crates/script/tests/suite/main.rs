//! What scripts can do, and what they cannot.
#![cfg(test)]

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
