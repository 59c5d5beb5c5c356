//! Ways through a program: all steps of a query, all values of a condition.

use crate::program::{Expr, Filter, Pipe, Query, Rule, Scalar, Step};

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
}

impl Pipe {
    /// Visits the values that it reads, and all that they are made of.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        match self {
            Pipe::Head(_) | Pipe::Tail(_) => {}
            Pipe::Filter(condition) => condition.walk(visit),
            Pipe::Unique(scalars)
            | Pipe::Sort(scalars)
            | Pipe::Count(scalars)
            | Pipe::UniqueCount(scalars) => scalars.iter().for_each(|scalar| scalar.walk(visit)),
        }
    }
}

impl Expr {
    /// Visits the values that it is about, and all that they are made of. What a query over lineage
    /// asks is not part of it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        match self {
            Expr::Const(_) | Expr::Lineage(..) => {}
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.walk(visit)),
            Expr::Not(inner) => inner.walk(visit),
            Expr::Test(field, _) => visit(&Scalar::Field(*field)),
            Expr::Computed(scalar, _) | Expr::Truth(scalar) => scalar.walk(visit),
            Expr::Compare { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
        }
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
    pub fn walk(&self, visit: &mut dyn FnMut(&Scalar)) {
        visit(self);
        match self {
            Scalar::Element(inner, _) => inner.walk(visit),
            Scalar::Call { args, .. } => args.iter().for_each(|arg| arg.walk(visit)),
            Scalar::Arithmetic(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Scalar::Condition(condition) => condition.walk(visit),
            Scalar::Search { list, condition, .. } => {
                list.walk(visit);
                condition.walk(visit);
            }
            Scalar::Literal(_)
            | Scalar::Null
            | Scalar::Field(_)
            | Scalar::Member(..)
            | Scalar::Variable(_) => {}
        }
    }
}
