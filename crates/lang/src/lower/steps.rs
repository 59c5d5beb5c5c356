//! Whole queries: steps with their keys, and pipes.

use model::program::{Function, Key, Pipe, Query, Scalar, Sequence, Step};

use super::{Lower, constant};
use crate::ast::{self, Body, Form, Literal, Node, NodeKind, Steps};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::dialect::{CaseMode, Dialect};
use crate::limits::{MAX_SAMPLE, MAX_STEPS};
use crate::parser::outside;
use crate::query::CompiledQuery;

/// What the classic `head` and `tail` take without a number.
const DEFAULT_COUNT: u64 = 50;

impl Lower<'_> {
    /// The whole query.
    pub(crate) fn query(&mut self, query: &ast::Query) -> Option<CompiledQuery> {
        let body = match &query.body {
            Body::Event(filter) => self.filter(filter).map(Query::Event),
            Body::Steps(steps) => self.steps(steps),
        };
        self.aliases.clear();
        self.in_pipe = true;
        let pipes: Vec<Option<Pipe>> = query.pipes.iter().map(|pipe| self.pipe(pipe)).collect();
        let pipes = pipes.into_iter().collect::<Option<Vec<Pipe>>>()?;
        Some(CompiledQuery { logic: self.dialect.logic(), query: body?, pipes })
    }

    fn steps(&mut self, all: &Steps) -> Option<Query> {
        self.check_form(all);
        let mut steps = Vec::new();
        let mut sound = true;
        let mut runs = 0_u64;
        for step in &all.list {
            runs += step.runs;
            if runs > u64::try_from(MAX_STEPS).unwrap_or(u64::MAX) {
                let message = format!("more than {MAX_STEPS} steps, each run counted");
                return self.fail(Diagnostic::new(Code::Limit, step.span.clone(), message));
            }
            let Some(lowered) = self.step(step, &all.by) else {
                sound = false;
                continue;
            };
            for _ in 0..step.runs {
                steps.push(lowered.clone());
            }
            if let Some((alias, span)) = &step.alias {
                self.name_step(alias, span, steps.len());
            }
        }
        let until = match &all.until {
            Some(until) => Some(self.step(until, &all.by)?),
            None => None,
        };
        self.check_keys(all);
        if !sound {
            return None;
        }
        Some(match all.form {
            Form::Sequence => {
                let mut positive = all.list.iter().filter(|step| !step.missing);
                let disjoint = positive.next().is_some_and(|step| step.runs > 1);
                let disjoint = disjoint && positive.next().is_none();
                Query::Sequence(Sequence { steps, disjoint, until, maxspan: all.maxspan })
            }
            Form::Sample => Query::Sample(steps),
            Form::Join => Query::Join { steps, until },
        })
    }

    fn step(&mut self, step: &ast::Step, shared: &[Node]) -> Option<Step> {
        let filter = step.filter.as_ref().and_then(|filter| self.filter(filter));
        let keys = shared.iter().chain(&step.by);
        let by: Vec<Option<Key>> =
            self.without_members("a join key", |lower| keys.map(|key| lower.key(key)).collect());
        let by = by.into_iter().collect::<Option<Vec<Key>>>()?;
        Some(Step { filter: filter?, by, missing: step.missing, fork: step.fork })
    }

    fn name_step(&mut self, alias: &str, span: &Span, steps: usize) {
        if self.aliases.iter().any(|(known, _)| known == alias) {
            let message = format!("two steps are called `{alias}`");
            self.found.push(Diagnostic::new(Code::Syntax, span.clone(), message));
        }
        // With runs, the name is that of the last.
        if let Some(Ok(number)) = steps.checked_sub(1).map(u16::try_from) {
            self.aliases.push((alias.to_owned(), number));
        }
    }

    fn key(&mut self, node: &Node) -> Option<Key> {
        let optional = matches!(&node.kind, NodeKind::Field(name) if name.optional);
        if !self.dialect.is_classic() && !matches!(node.kind, NodeKind::Field(_) | NodeKind::Bad) {
            let found = outside(self.dialect, &node.span, "a computed join key");
            return self.fail(found);
        }
        let value = self.subject(node)?.scalar;
        Some(Key { value: self.folded(value), optional })
    }

    /// A value by which results are joined or grouped, in the case that texts are compared in.
    fn folded(&self, value: Scalar) -> Scalar {
        let text = matches!(value, Scalar::Field(_) | Scalar::Element(..) | Scalar::Member(..));
        if !text || self.case == CaseMode::Sensitive {
            return value;
        }
        constant::call(Function::ToLower, vec![value], false)
    }

    /// What each form requires and allows.
    fn check_form(&mut self, all: &Steps) {
        let mut wrong = |span: &Span, message: &str, help: &str| {
            self.found.push(Diagnostic::new(Code::Syntax, span.clone(), message).help(help));
        };
        let missing = all.list.iter().filter(|step| step.missing).count();
        let total: u64 = all.list.iter().map(|step| step.runs).sum();
        for step in &all.list {
            if step.missing && all.form != Form::Sequence {
                wrong(&step.span, "only a sequence can hold a missing event", "leave out `!`");
            }
            if step.runs != 1 && all.form != Form::Sequence {
                wrong(&step.span, "only a sequence can hold runs", "write the step several times");
            }
            if step.alias.is_some() && step.missing {
                wrong(&step.span, "a missing event has no name", "leave out `as`");
            }
            if step.alias.is_some() && all.form != Form::Sequence {
                wrong(&step.span, "only the events of a sequence have names", "leave out `as`");
            }
        }
        match all.form {
            Form::Sequence => {
                if missing > 0 && all.maxspan.is_none() {
                    let help = "write `with maxspan=5m`: without it nothing is ever missing";
                    wrong(&all.span, "a sequence with a missing event needs `maxspan`", help);
                }
                if missing == all.list.len() {
                    wrong(&all.span, "all events of the sequence are missing", "one must happen");
                }
                if total < 2 {
                    let help = "for one event write `category where condition`";
                    wrong(&all.span, "a sequence has at least two steps", help);
                }
            }
            Form::Sample | Form::Join => {
                if all.maxspan.is_some() {
                    wrong(&all.span, "only a sequence has `maxspan`", "leave it out");
                }
                if all.list.len() < 2 {
                    let help = "for one event write `category where condition`";
                    wrong(&all.span, "at least two steps are needed", help);
                }
            }
        }
        if all.form == Form::Sample {
            if all.until.is_some() {
                wrong(&all.span, "a sample has no `until`", "it has no order: use `sequence`");
            }
            if all.list.len() > MAX_SAMPLE {
                let message = format!("a sample has at most {MAX_SAMPLE} filters");
                wrong(&all.span, &message, "use several samples");
            }
            if all.by.is_empty() && all.list.iter().any(|step| step.by.is_empty()) {
                wrong(&all.span, "a sample needs join keys", "write `sample by host.id`");
            }
        }
        if all.form == Form::Join && self.dialect == Dialect::Elastic {
            self.found.push(outside(self.dialect, &all.span, "`join`"));
        }
        if let Some(until) = all.until.as_ref().filter(|until| until.missing || until.runs != 1) {
            let found = Diagnostic::new(Code::Syntax, until.span.clone(), "`until` is one event");
            self.found.push(found.help("leave out `!` and `with runs`"));
        }
    }

    /// All steps have the same number of keys.
    fn check_keys(&mut self, all: &Steps) {
        let Some(first) = all.list.first() else { return };
        for step in all.list.iter().skip(1).chain(all.until.as_deref()) {
            if step.by.len() != first.by.len() {
                let (here, there) = (step.by.len(), first.by.len());
                self.found.push(
                    Diagnostic::new(
                        Code::BadOperand,
                        step.span.clone(),
                        "the steps have different numbers of join keys",
                    )
                    .label(format!("{here} here"))
                    .also(first.span.clone(), format!("{there} here")),
                );
            }
        }
    }

    fn pipe(&mut self, pipe: &ast::Pipe) -> Option<Pipe> {
        const NAMES: &[&str] =
            &["head", "tail", "unique", "filter", "sort", "count", "unique_count"];
        let name = pipe.name.as_str();
        if !NAMES.contains(&name) {
            let near = nearest(name, NAMES.iter().copied());
            return self.fail(
                Diagnostic::new(Code::Syntax, pipe.span.clone(), format!("no pipe `{name}`"))
                    .help(format!("there are: {}", NAMES.join(", ")))
                    .help_if(near.map(|near| format!("there is a pipe `{near}`"))),
            );
        }
        if !self.dialect.is_classic() && !matches!(name, "head" | "tail") {
            return self.fail(outside(self.dialect, &pipe.span, &format!("the pipe `{name}`")));
        }
        match name {
            "head" => self.number(pipe).map(Pipe::Head),
            "tail" => self.number(pipe).map(Pipe::Tail),
            "unique" => self.some_values(pipe, true).map(Pipe::Unique),
            "sort" => self.some_values(pipe, false).map(Pipe::Sort),
            "filter" => match pipe.args.as_slice() {
                [condition] => self.condition(condition).map(Pipe::Filter),
                _ => self.fail(wrong_arguments(pipe, "filter condition")),
            },
            "count" => {
                let values = self.values(pipe, true)?;
                self.counted = true;
                Some(Pipe::Count(values))
            }
            _ => {
                let values = self.some_values(pipe, true)?;
                self.counted = true;
                Some(Pipe::UniqueCount(values))
            }
        }
    }

    fn number(&mut self, pipe: &ast::Pipe) -> Option<u64> {
        match pipe.args.as_slice() {
            [] if self.dialect.is_classic() => Some(DEFAULT_COUNT),
            [Node { kind: NodeKind::Literal(Literal::Int(number)), .. }] if *number >= 0 => {
                u64::try_from(*number).ok()
            }
            _ => self.fail(wrong_arguments(pipe, &format!("{} 10", pipe.name))),
        }
    }

    fn some_values(&mut self, pipe: &ast::Pipe, group: bool) -> Option<Vec<Scalar>> {
        if pipe.args.is_empty() {
            return self.fail(wrong_arguments(pipe, &format!("{} field, …", pipe.name)));
        }
        self.values(pipe, group)
    }

    fn values(&mut self, pipe: &ast::Pipe, group: bool) -> Option<Vec<Scalar>> {
        let all: Vec<Option<Scalar>> =
            pipe.args.iter().map(|node| Some(self.subject(node)?.scalar)).collect();
        let all = all.into_iter().collect::<Option<Vec<Scalar>>>()?;
        Some(all.into_iter().map(|one| if group { self.folded(one) } else { one }).collect())
    }
}

fn wrong_arguments(pipe: &ast::Pipe, usage: &str) -> Diagnostic {
    let message = format!("wrong arguments of the pipe `{}`", pipe.name);
    Diagnostic::new(Code::BadArguments, pipe.span.clone(), message)
        .help(format!("write `| {usage}`"))
}
