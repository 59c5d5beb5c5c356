//! Questions to scripts: each distinct one is asked at most once an event, whichever rules share it.
//!
//! Scripts remember things, so they are asked in the order of the events, on one thread, and after
//! all else that the event decides: conditions that ask them wait in [`super::Condition::whole`].

use model::script::{Ask, Incident, Said, Scripts, Standing};
use model::value::{List, Value};
use smallvec::SmallVec;

use super::term::{Term, Values, Vars, whole};
use super::{Compiled, Env, Scratch};

/// What a condition asks a script.
#[derive(Debug)]
pub(crate) struct Question {
    /// The same for equal questions of a program.
    pub(super) number: u32,
    pub(super) script: u32,
    pub(super) function: u32,
    pub(super) args: Box<[Term]>,
    /// It names nothing but the event, so one answer serves all who ask.
    pub(super) once: bool,
}

/// Scripts and what they answered about the event at hand.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    pub(crate) scripts: Runtime,
    /// Number and time of the event.
    event: (u64, i64),
    /// Events that scripts could be asked about.
    turn: u64,
    /// For each question the turn in which it was asked last, and the answer.
    answers: Vec<(u64, bool)>,
    /// What was said beside the answers, by question.
    said: Vec<(u32, Said)>,
}

/// Whatever runs scripts.
#[derive(Debug)]
pub(crate) struct Runtime(pub(crate) Box<dyn Scripts>);

impl Default for Runtime {
    fn default() -> Runtime {
        Runtime(Box::new(NoScripts))
    }
}

/// Runs no script: each question is answered no.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScripts;

impl Scripts for NoScripts {
    fn holds(&mut self, _: &Ask<'_>) -> bool {
        false
    }

    fn said(&mut self, _: u32) -> Option<Said> {
        None
    }

    fn incidents(&mut self) -> Vec<Incident> {
        Vec::new()
    }

    fn standing(&self, _: u32) -> Standing {
        Standing::default()
    }

    fn release(&mut self, _: u32) -> bool {
        false
    }

    fn inherit(&mut self, _: Box<dyn Scripts>) {}

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

impl Asking {
    /// Another event: nothing was asked about it yet.
    pub(crate) fn begin(&mut self, number: u64, time: i64) {
        self.event = (number, time);
        self.turn += 1;
        self.said.clear();
    }

    /// Whether anything was said beside answers.
    pub(crate) fn is_silent(&self) -> bool {
        self.said.is_empty()
    }

    /// What was said in answer to these questions.
    pub(crate) fn said(&self, questions: &[u32]) -> Vec<Said> {
        let asked = self.said.iter().filter(|(question, _)| questions.contains(question));
        asked.map(|(_, said)| said.clone()).collect()
    }

    /// The answer to a question about the event at hand, if it was asked.
    pub(crate) fn answer(&self, question: u32) -> Option<bool> {
        let at = usize::try_from(question).ok()?;
        self.answers.get(at).filter(|(turn, _)| *turn == self.turn).map(|(_, answer)| *answer)
    }

    fn note(&mut self, question: u32, answer: bool) {
        let Ok(at) = usize::try_from(question) else { return };
        if self.answers.len() <= at {
            self.answers.resize(at + 1, (0, false));
        }
        if let Some(known) = self.answers.get_mut(at) {
            *known = (self.turn, answer);
        }
    }
}

/// Arguments that most questions have.
const USUAL: usize = 4;

impl Compiled {
    /// What a script answers.
    pub(super) fn ask<'e>(
        &self,
        question: &'e Question,
        env: Env<'e>,
        vars: Option<&Vars<'_, 'e>>,
        scratch: &mut Scratch,
    ) -> bool {
        if question.once
            && let Some(known) = scratch.asking.answer(question.number)
        {
            return known;
        }
        // What is computed needs the scratch, which nothing may hold when the script is asked.
        let computed: SmallVec<[Values<'e>; USUAL]> = question
            .args
            .iter()
            .map(|term| match term {
                Term::Call(_) | Term::Arithmetic(..) | Term::Condition(_) | Term::Search { .. } => {
                    self.values(term, env, vars, scratch)
                }
                _ => Values::new(),
            })
            .collect();
        let lists: SmallVec<[SmallVec<[Value<'_>; 1]>; USUAL]> =
            computed.iter().map(|all| all.iter().map(super::term::Got::value).collect()).collect();
        let args: SmallVec<[Value<'_>; USUAL]> = question
            .args
            .iter()
            .zip(&lists)
            .map(|(term, list)| match list.as_slice() {
                [] => whole(term, env, vars),
                [one] => *one,
                many => Value::List(List::Values(many)),
            })
            .collect();
        let (number, time) = scratch.asking.event;
        let Question { script, function, .. } = *question;
        let asked = Ask { script, function, args: &args, event: env.event, number, time };
        let Asking { scripts: Runtime(scripts), said, .. } = &mut scratch.asking;
        let answer = scripts.holds(&asked);
        said.extend(scripts.said(script).map(|said| (question.number, said)));
        scratch.asking.note(question.number, answer);
        answer
    }
}
