//! Packs made, signed and attacked.

mod attacks;
mod bundles;
mod chain;
mod contents;
mod docs;
mod flips;
mod framing;
mod given;
mod keys;
mod scripts;
