//! Rules as text: compiled conditions as queries, and the one true layout of rule files.

mod expr;

pub use self::expr::{expression, field_name, rule};
