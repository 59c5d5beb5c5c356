//! The nouns that every other crate shares: wire records, values, the field table, programs,
//! alerts. Nothing here performs I/O, reads a clock, logs or panics on input.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | records as the kernel half writes them, checked and decoded in place |
//! | [`field`] | the one table of fields: name, type, source, meaning |
//! | [`value`] | what a field holds, and [`value::Fields`], the door to an event of any origin |
//! | [`program`], [`walk`], [`partial`], [`pattern`] | what rule text compiles to, ways through it, where it can match, how patterns are read |
//! | [`policy`] | who may do what to which things |
//! | [`capability`], [`script`] | what a rule may do; functions of strangers that rules ask |
//! | [`alert`] | what a match becomes |
//! | [`op`], [`interest`] | operations, and what of them the rules need |
//! | [`action`], [`names`] | what operations and the kernel's numbers are called |
//! | [`applies`], [`tiers`], [`listing`] | which operations can fill a field, which source tells them, and all of it as a list |
//! | [`json`] | events to ECS JSON, and JSON documents as events |
#![forbid(unsafe_code)]

pub mod action;
pub mod alert;
pub mod applies;
pub mod capability;
pub mod escape;
pub mod field;
pub mod interest;
pub mod json;
pub mod listing;
pub mod names;
pub mod op;
pub mod partial;
pub mod pattern;
pub mod policy;
pub mod program;
mod response;
pub mod script;
pub mod tiers;
pub mod value;
pub mod walk;
pub mod wire;
