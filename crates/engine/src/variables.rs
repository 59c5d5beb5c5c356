//! The environment variables that rules ask for. All others go nowhere: an environment often holds
//! secrets, and the sensors can only take all of it or nothing.

use model::program::Program;

use crate::interest;

/// Names of variables.
#[derive(Debug, Default)]
pub(crate) struct Variables(Box<[Box<[u8]>]>);

impl Variables {
    /// Those that the rules of a program name.
    pub(crate) fn of(program: &Program) -> Variables {
        let names = interest::of(program).env;
        Variables(names.into_iter().map(|name| name.into_bytes().into_boxed_slice()).collect())
    }

    /// Appends what the environment has of them, each `NAME=value` ended by NUL.
    pub(crate) fn push(&self, buffer: &mut Vec<u8>, environment: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        for entry in environment.split(|byte| *byte == 0) {
            if self.0.iter().any(|name| is_of(entry, name)) {
                buffer.extend_from_slice(entry);
                buffer.push(0);
            }
        }
    }
}

fn is_of(entry: &[u8], name: &[u8]) -> bool {
    entry.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_asked_for() {
        let variables = Variables(["A", "LD_PRELOAD"].map(|name| name.as_bytes().into()).into());
        let kept = |environment: &[u8]| {
            let mut buffer = Vec::new();
            variables.push(&mut buffer, environment);
            String::from_utf8(buffer).unwrap()
        };
        assert_eq!(kept(b"SECRET=1\0LD_PRELOAD=/x=y\0AB=2\0A=\0"), "LD_PRELOAD=/x=y\0A=\0");
        assert_eq!(kept(b"A\0LD_PRELOA"), "", "cut before its `=`");
        assert_eq!(kept(b"A=cut"), "A=cut\0", "a cut value ends as others do");
        let none = Variables::default();
        let mut buffer = Vec::new();
        none.push(&mut buffer, b"A=1\0");
        assert!(buffer.is_empty());
    }
}
