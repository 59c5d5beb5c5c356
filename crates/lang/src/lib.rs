//! Rule text into [`model::program::Program`]: rule files, the query language, diagnostics.
//!
//! A pure function of text and the field table: no file is opened here. One bad rule never hides
//! the others: [`load()`] returns all sound rules and everything that is wrong with the rest.
//!
//! | module | does |
//! |---|---|
//! | `file`, `table` | TOML rule files, with the place of each value |
//! | `lexer`, `parser`, `ast` | query text into a syntax tree |
//! | `lower`, `literal`, `function` | syntax tree into a condition, names and types checked |
//! | `words` | warnings about literals |
//! | `script` | scripts that queries may ask |
//! | `event` | events of rule tests |
//! | `elastic`, `sigma` | rules in the formats of others |
//! | `leave` | rules left out after all were read |
//! | `lint` | what sound rules probably do not mean |
//! | [`policy`] | YAML and TOML policies |
//! | [`placement`] | where a rule can run |
//! | [`fmt`] | the layout of rule files, and conditions as text |
//! | [`diagnostic`], [`render`] | findings as data, and as text or JSON |
#![forbid(unsafe_code)]

mod ast;
pub mod diagnostic;
mod dialect;
mod elastic;
mod event;
mod file;
pub mod fmt;
mod formats;
mod function;
mod leave;
mod lexer;
pub mod limits;
mod lint;
mod literal;
mod load;
mod lower;
mod parser;
pub mod placement;
pub mod policy;
mod query;
pub mod render;
mod schema;
mod script;
mod sigma;
#[cfg(test)]
mod statements;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use diagnostic::{Code, Diagnostic, Level, Span};
pub use dialect::{CaseMode, Dialect};
pub use formats::Format;
pub use load::{Loaded, Origin, RuleTest, Source, load, load_groups, load_in};
pub use query::{CompiledQuery, query};
pub use schema::{Schema, Unknown};
pub use script::{Refusal, ScriptOrigin};
