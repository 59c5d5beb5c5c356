//! A condition in the rule language that selects events for a client.

use std::sync::Arc;

use engine::eval::{Compiled, Scratch};
use lang::{CaseMode, Dialect, Level, Schema, Unknown};
use model::program::{Program, Query, RuleMeta};
use model::value::Fields;

/// Longest condition in bytes: it comes in the address of a request.
pub(crate) const FILTER_MAX: usize = 4096;

/// A compiled condition.
#[derive(Debug)]
pub(crate) struct Filter {
    compiled: Compiled,
    scratch: Scratch,
    matched: Vec<u32>,
}

impl Filter {
    /// Compiles `text`, a condition such as `process.name == "cp"`, or a whole query. The error
    /// is for people.
    pub(crate) fn new(text: &str) -> Result<Filter, String> {
        if text.len() > FILTER_MAX {
            return Err(format!("the condition is longer than {FILTER_MAX} bytes"));
        }
        let mut schema = Schema::new(Unknown::Error);
        let mut query =
            |text: &str| lang::query(text, Dialect::Elastic, CaseMode::Sensitive, &mut schema);
        let (compiled, found) = match query(text) {
            (None, _) => query(&format!("any where {text}")),
            whole => whole,
        };
        let errors = found.iter().filter(|one| one.code.level() == Level::Error);
        let message = errors.map(|one| one.message.as_str()).collect::<Vec<_>>().join("; ");
        let rule = compiled.ok_or(message)?.rule(RuleMeta::default());
        if !matches!(rule.query, Query::Event(_)) || !rule.pipes.is_empty() {
            return Err("only a condition on single events, without pipes, selects events".into());
        }
        let program = Program { rules: vec![rule], ..Program::default() };
        let compiled = Compiled::new(Arc::new(program)).map_err(|error| error.to_string())?;
        Ok(Filter { compiled, scratch: Scratch::default(), matched: Vec::new() })
    }

    /// Whether it holds for an event.
    pub(crate) fn holds(&mut self, event: &dyn Fields) -> bool {
        self.compiled.eval(event, &mut self.scratch, &mut self.matched);
        !self.matched.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::json::Document;

    fn holds(condition: &str) -> Result<bool, String> {
        let json = r#"{"event.category": "process", "process.name": "cp"}"#;
        let event = Document::new(&serde_json::from_str(json).unwrap()).unwrap();
        Filter::new(condition).map(|mut filter| filter.holds(&event))
    }

    #[test]
    fn conditions_and_whole_queries_select() {
        assert_eq!(holds(r#"process.name == "cp""#), Ok(true));
        assert_eq!(holds(r#"process.name == "mv""#), Ok(false));
        assert_eq!(holds(r#"process where process.name == "cp""#), Ok(true));
        assert_eq!(holds(r#"file where process.name == "cp""#), Ok(false));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = holds(r#"process.nmae == "cp""#).unwrap_err();
        assert!(error.contains("process.nmae"), "{error}");
        assert!(holds("process.name ==").is_err_and(|error| !error.is_empty()));
        for several in ["sequence [any where true] [any where true]", "any where true | head 1"] {
            assert!(holds(several).unwrap_err().contains("single events"), "{several}");
        }
        assert!(holds(&"x".repeat(FILTER_MAX + 1)).unwrap_err().contains("longer"));
    }
}
