//! Scripts as the oracle knows them: each answer is plain arithmetic over what was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::program::Scalar;
use model::script::{Ask, Emitted, Incident, Said, Scripts, Standing};

use super::value::{Bound, Own, values, whole};
use super::At;

/// Scripts for tests: their answer depends on nothing but the question, and they count.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    calls: Arc<AtomicU64>,
    /// Says something beside each answer yes.
    talks: bool,
    said: Option<Said>,
}

impl Plain {
    /// Such that say what they were asked beside each answer yes.
    pub fn talking() -> Plain {
        Plain { talks: true, ..Plain::default() }
    }

    /// How often they were asked, in all copies.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Scripts for Plain {
    fn holds(&mut self, ask: &Ask<'_>) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let args: Vec<Own> = ask.args.iter().map(|arg| Own::of(*arg)).collect();
        let holds = answer(ask.script, ask.function, &args);
        if holds && self.talks {
            let message = format!("{}.{} {args:?}", ask.script, ask.function);
            let alert = Emitted { message, severity: None, fields: Vec::new() };
            self.said = Some(Said { alerts: vec![alert], requests: Vec::new() });
        }
        holds
    }

    fn said(&mut self, _: u32) -> Option<Said> {
        self.said.take()
    }

    fn incidents(&mut self) -> Vec<Incident> {
        Vec::new()
    }

    fn standing(&self, _: u32) -> Standing {
        Standing { calls: self.calls(), ..Standing::default() }
    }

    fn release(&mut self, _: u32) -> bool {
        false
    }

    fn inherit(&mut self, _: Box<dyn Scripts>) {}

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

/// Yes where the numbers of script and function and the letters of all arguments make an even sum.
fn answer(script: u32, function: u32, args: &[Own]) -> bool {
    let letters: usize = args.iter().map(letters).sum();
    (u64::from(script) + u64::from(function) + letters as u64).is_multiple_of(2)
}

fn letters(value: &Own) -> usize {
    match value {
        Own::Null => 7,
        Own::List(items) => items.iter().map(letters).sum::<usize>() + 1,
        Own::Map(members) => members.len(),
        plain => plain.text().map_or(0, |text| text.len()),
    }
}

/// What a script answers to a question.
pub(super) fn holds(at: At<'_>, script: u32, function: u32, args: &[Scalar], bound: &Bound) -> bool {
    let args: Vec<Own> = args.iter().map(|arg| argument(at, arg, bound)).collect();
    answer(script, function, &args)
}

/// A list as a whole; of what is computed, all values.
fn argument(at: At<'_>, arg: &Scalar, bound: &Bound) -> Own {
    let computed = matches!(
        arg,
        Scalar::Call { .. }
            | Scalar::Arithmetic(..)
            | Scalar::Condition(_)
            | Scalar::Search { .. }
    );
    if !computed {
        return whole(at, arg, bound);
    }
    let mut all = values(at, arg, bound);
    match all.len() {
        0 => Own::Null,
        1 => all.remove(0),
        _ => Own::List(all),
    }
}
