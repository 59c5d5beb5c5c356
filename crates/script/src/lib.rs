//! Runs scripts of strangers behind [`model::script::Scripts`]: Wasm modules in wasmtime, Luau scripts in
//! Luau, each with its own memory, its own budget of work, and nothing but the functions of [`abi`].
//!
//! Whatever a script does, its neighbours and the engine go on: what breaks its terms is answered
//! with no, told as an incident with one of the words of [`cause`], and after some of them the script
//! is asked no more. Everything a script sees comes from the event and from what it was given, so the
//! same events give the same answers.
//!
//! | module | holds |
//! |---|---|
//! | [`runtime`] | all scripts of a program: loading, asking, quarantine |
//! | `wasm`, `luau` | the two languages |
//! | [`abi`], [`limits`], [`refuse`], [`cause`] | tables: functions of the host, limits, refusals, incidents |
//! | [`author`] | how a source becomes a script |
//! | [`mod@reference`] | those tables as documentation |
//!
//! Nothing here knows rules, files or capabilities beyond what a [`model::script::Script`] carries.
#![forbid(unsafe_code)]

pub mod abi;
pub mod author;
pub mod backend;
mod call;
pub mod cause;
mod desk;
mod imports;
mod kit;
pub mod limits;
mod load;
mod luau;
pub mod reference;
pub mod refuse;
pub mod runtime;
mod state;
mod text;
mod ticker;
mod wasm;

pub use backend::Backend;
pub use imports::imports;
pub use refuse::Refused;
pub use runtime::Runtime;
