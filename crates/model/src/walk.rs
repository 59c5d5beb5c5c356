//! Ways through a program: all steps of a query, all values of a condition.

use std::collections::BTreeSet;

use crate::field::FieldId;
use crate::program::{CorrelationKind, Expr, Filter, Pipe, Program, Query, Rule, Scalar, Step};
use crate::script::Script;

impl Rule {
    /// The steps of the query in the order of the text, `until` last.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let (steps, until) = match &self.query {
            Query::Event(_) | Query::Correlation(_) => ([].as_slice(), None),
            Query::Sequence(sequence) => (sequence.steps.as_slice(), sequence.until.as_ref()),
            Query::Sample(steps) => (steps.as_slice(), None),
            Query::Join { steps, until } => (steps.as_slice(), until.as_ref()),
        };
        steps.iter().chain(until)
    }

    /// All filters of the query, in the order of the text. A correlation has none of its own.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        let one = match &self.query {
            Query::Event(filter) => Some(filter),
            _ => None,
        };
        one.into_iter().chain(self.steps().map(|step| &step.filter))
    }

    /// All fields that its own text asks an event for, those of its lineage queries and those that
    /// its scripts may read included. Which category an event has is not among them.
    pub fn reads(&self, program: &Program) -> BTreeSet<FieldId> {
        let mut fields = BTreeSet::new();
        let mut visit = |scalar: &Scalar| {
            if let Scalar::Field(field) | Scalar::Member(_, field) = scalar {
                fields.insert(*field);
            }
        };
        for filter in self.all_filters(program) {
            filter.condition.walk(&mut visit);
        }
        for key in self.steps().flat_map(|step| &step.by) {
            key.value.walk(&mut visit);
        }
        for pipe in &self.pipes {
            pipe.walk(&mut visit);
        }
        if let Query::Correlation(it) = &self.query {
            fields.extend(it.group_by.iter().flatten());
            if let CorrelationKind::ValueCount(field) = it.kind {
                fields.insert(field);
            }
        }
        for script in self.scripts(program).into_iter().filter_map(|it| program.script(it)) {
            fields.extend(&script.fields);
        }
        fields
    }

    /// Numbers of the scripts that it asks.
    pub fn scripts(&self, program: &Program) -> BTreeSet<u32> {
        if program.scripts.is_empty() {
            return BTreeSet::new();
        }
        self.questions(program).into_iter().filter_map(script).collect()
    }

    /// What it asks scripts, in the order of the text; what stands there twice is there twice.
    pub fn questions<'a>(&'a self, program: &'a Program) -> Vec<&'a Expr> {
        let mut all = Vec::new();
        let mut look = |part: Part<'a>| {
            if let Part::Condition(question @ Expr::Script { .. }) = part {
                all.push(question);
            }
        };
        for filter in self.all_filters(program) {
            filter.condition.parts(&mut look);
        }
        for key in self.steps().flat_map(|step| &step.by) {
            key.value.parts(&mut look);
        }
        all
    }

    /// Its filters, and those of the lineage queries that they make, each once.
    pub fn all_filters<'a>(&'a self, program: &'a Program) -> Vec<&'a Filter> {
        let mut all: Vec<&Filter> = self.filters().collect();
        let mut asked = BTreeSet::new();
        let mut look = |part: Part<'_>| asked.extend(lineage(part));
        let keys = self.steps().flat_map(|step| &step.by);
        keys.for_each(|key| key.value.parts(&mut look));
        self.pipes.iter().for_each(|pipe| pipe.parts(&mut look));
        let mut next = 0;
        loop {
            while let Some(filter) = all.get(next) {
                filter.condition.parts(&mut |part| asked.extend(lineage(part)));
                next += 1;
            }
            let found = |number: &u32| program.lineages.get(usize::try_from(*number).ok()?);
            let more: Vec<&Filter> = asked
                .iter()
                .filter_map(found)
                .filter(|one| !all.iter().any(|known| std::ptr::eq(*known, *one)))
                .collect();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

impl Program {
    /// A script by its number.
    pub fn script(&self, number: u32) -> Option<&Script> {
        self.scripts.get(usize::try_from(number).ok()?)
    }
}

fn script(question: &Expr) -> Option<u32> {
    match question {
        Expr::Script { script, .. } => Some(*script),
        _ => None,
    }
}

fn lineage(part: Part<'_>) -> Option<u32> {
    match part {
        Part::Condition(Expr::Lineage(_, number)) => Some(*number),
        _ => None,
    }
}

/// What conditions, values and pipes are made of.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A condition.
    Condition(&'a Expr),
    /// The field that a condition tests, which stands for a value without being one.
    Tested(FieldId),
    /// A value.
    Value(&'a Scalar),
}

/// Of all parts, passes on the values.
fn values(visit: &mut dyn FnMut(&Scalar)) -> impl FnMut(Part<'_>) {
    |part| match part {
        Part::Value(scalar) => visit(scalar),
        Part::Tested(field) => visit(&Scalar::Field(field)),
        Part::Condition(_) => {}
    }
}

impl Pipe {
    /// Visits all conditions and values in it.
    pub fn parts<'a>(&'a self, visit: &mut dyn FnMut(Part<'a>)) {
        match self {
            Pipe::Head(_) | Pipe::Tail(_) => {}
            Pipe::Filter(condition) => condition.parts(visit),
            Pipe::Unique(scalars)
            | Pipe::Sort(scalars)
            | Pipe::Count(scalars)
            | Pipe::UniqueCount(scalars) => scalars.iter().for_each(|scalar| scalar.parts(visit)),
        }
    }

    /// Visits the values that it reads, and all that they are made of.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        self.parts(&mut values(visit));
    }
}

impl Expr {
    /// Visits it and all that it is made of. What a query over lineage asks is not part of it.
    pub fn parts<'a>(&'a self, visit: &mut dyn FnMut(Part<'a>)) {
        visit(Part::Condition(self));
        match self {
            Expr::Const(_) | Expr::Lineage(..) => {}
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.parts(visit)),
            Expr::Not(inner) => inner.parts(visit),
            Expr::Test(field, _) => visit(Part::Tested(*field)),
            Expr::Computed(scalar, _) | Expr::Truth(scalar) => scalar.parts(visit),
            Expr::Compare { left, right, .. } => {
                left.parts(visit);
                right.parts(visit);
            }
            Expr::Script { args, .. } => args.iter().for_each(|arg| arg.parts(visit)),
        }
    }

    /// Visits the values that it is about, and all that they are made of.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        self.parts(&mut values(visit));
    }

    /// Whether it asks a script.
    pub fn asks_script(&self) -> bool {
        let mut found = false;
        self.parts(&mut |part| found |= matches!(part, Part::Condition(Expr::Script { .. })));
        found
    }

    /// Whether it asks for an earlier member of a sequence.
    pub fn names_member(&self) -> bool {
        let mut found = false;
        self.walk(&mut |scalar| found |= matches!(scalar, Scalar::Member(..)));
        found
    }
}

impl Scalar {
    /// Visits it and all that it is made of.
    pub fn parts<'a>(&'a self, visit: &mut dyn FnMut(Part<'a>)) {
        visit(Part::Value(self));
        match self {
            Scalar::Element(inner, _) => inner.parts(visit),
            Scalar::Call { args, .. } => args.iter().for_each(|arg| arg.parts(visit)),
            Scalar::Arithmetic(_, left, right) => {
                left.parts(visit);
                right.parts(visit);
            }
            Scalar::Condition(condition) => condition.parts(visit),
            Scalar::Search { list, condition, .. } => {
                list.parts(visit);
                condition.parts(visit);
            }
            Scalar::Literal(_)
            | Scalar::Null
            | Scalar::Field(_)
            | Scalar::Member(..)
            | Scalar::Variable(_) => {}
        }
    }

    /// Visits it and all values that it is made of.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        self.parts(&mut values(visit));
    }
}
