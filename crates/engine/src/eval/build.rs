//! A program to numbered predicates and filters, each distinct one once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::field::FieldId;
use model::program::{Expr, Filter, Logic, Part, Program, Relation, Rule, Scalar, Test};

use super::asking::Question;
use super::bound::{self, Parts};
use super::call::Call;
use super::class;
use super::column::Column;
use super::memory::Tested;
use super::node::Node;
use super::predicate::Check;
use super::require::{self, Named};
use super::term::Term;
use super::{CompileError, Compiled, Condition, Predicate, is_event};
use crate::detect::{Around, LineageQuery, Plan};

#[derive(Debug)]
pub(crate) enum Failure {
    Pattern(String),
    TooLarge,
}

pub(super) fn compile(program: Arc<Program>) -> Result<Compiled, CompileError> {
    let mut builder = Builder { program: Some(Arc::clone(&program)), ..Builder::default() };
    let mut parts = Vec::with_capacity(program.rules.len());
    let name = |rule: &str, failure: Failure| match failure {
        Failure::Pattern(reason) => CompileError::Pattern { rule: rule.to_owned(), reason },
        Failure::TooLarge => CompileError::TooLarge,
    };
    let mut plans = Vec::with_capacity(program.rules.len());
    let asked = crate::detect::asked(&program);
    for (rule, asked) in program.rules.iter().zip(&asked) {
        let filters = rule.filters().map(|filter| builder.filter(filter, rule.logic));
        let filters: Result<Vec<u32>, Failure> = filters.collect();
        parts.push(filters.map_err(|failure| name(&rule.meta.id, failure))?);
        let around = Around { before: &plans, asked };
        let plan = Plan::new(rule, &program, around, &mut builder);
        plans.push(plan.map_err(|failure| name(&rule.meta.id, failure))?);
    }
    let mut events = vec![Vec::new(); builder.filters.len()];
    for (number, (rule, parts)) in program.rules.iter().zip(&parts).enumerate() {
        let number = u32::try_from(number).map_err(|_| CompileError::TooLarge)?;
        let part = parts.first().and_then(|part| usize::try_from(*part).ok());
        if is_event(&rule.query)
            && let Some(list) = part.and_then(|part| events.get_mut(part))
        {
            list.push(number);
        }
    }
    for wanted in parts.iter().flatten().chain(builder.lineages.iter().map(|query| &query.filter)) {
        let wanted = usize::try_from(*wanted).ok();
        if let Some(filter) = wanted.and_then(|wanted| builder.filters.get_mut(wanted)) {
            filter.wanted = true;
        }
    }
    let mut open = vec![0; builder.filters.len().div_ceil(64)];
    for (at, filter) in builder.filters.iter().enumerate() {
        if filter.whole.is_some() {
            class::set(&mut open, at);
        }
    }
    let settles = open.iter().any(|bits| *bits != 0);
    builder.index();
    let asked = program.rules.iter().map(|rule| builder.asked_of(rule, &program)).collect();
    let kinds = class::fields(|field| builder.places.contains_key(&field));
    let Builder { predicates, columns, filters, lineages, questions, .. } = builder;
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(Compiled {
        program,
        predicates,
        columns,
        filters,
        parts,
        events,
        open,
        settles,
        lineages,
        kinds,
        questions,
        asked,
        plans,
        serial,
    })
}

/// Numbers compiled programs; nothing but what may be remembered depends on it.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Numbers predicates and filters.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    predicates: Vec<Predicate>,
    numbers: HashMap<(FieldId, String), u32>,
    filters: Vec<Condition>,
    filter_numbers: HashMap<String, u32>,
    /// What each predicate tests.
    tests: Vec<Test>,
    columns: Vec<Column>,
    /// For each field the number of its column.
    places: HashMap<FieldId, u32>,
    /// Where queries over lineage are.
    program: Option<Arc<Program>>,
    /// Those that are asked; a query that is asked in both logics is there twice.
    lineages: Vec<LineageQuery>,
    /// The query over lineage at hand: it may only name those before it.
    within: Option<u32>,
    /// The logic of the filter at hand.
    logic: Logic,
    /// Questions about lineage that were met since [`Builder::begin`], each once.
    asked: Vec<(Relation, u32)>,
    /// Numbers of questions to scripts, by what they ask.
    questions: HashMap<String, u32>,
}

impl Builder {
    /// What a rule asks scripts.
    fn asked_of(&self, rule: &Rule, program: &Program) -> Vec<u32> {
        if self.questions.is_empty() {
            return Vec::new();
        }
        let asked = rule.questions(program).into_iter();
        let mut all: Vec<u32> =
            asked.filter_map(|one| self.questions.get(&format!("{one:?}")).copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Begins with what stands beside the filters of a rule.
    pub(crate) fn begin(&mut self, logic: Logic) {
        self.logic = logic;
        self.asked.clear();
    }

    /// The questions about lineage since then.
    pub(crate) fn asked(&mut self) -> Vec<(Relation, u32)> {
        std::mem::take(&mut self.asked)
    }

    fn filter(&mut self, filter: &Filter, logic: Logic) -> Result<u32, Failure> {
        self.logic = logic;
        // The debug text names a filter completely; compiling is not where time matters.
        let key = format!("{logic:?} {filter:?}");
        if let Some(number) = self.filter_numbers.get(&key) {
            return Ok(*number);
        }
        let Parts { early, whole, late } = bound::split(&filter.condition);
        let (gate, rest): (Vec<Expr>, Vec<Expr>) =
            bound::conjuncts(&early).into_iter().partition(bound::is_about_kind);
        let condition = Condition {
            category: filter.category.as_ref().map(|name| name.clone().into_bytes()),
            gate: self.node(&Expr::And(gate))?,
            node: self.node(&bound::single(rest))?,
            whole: whole.map(|whole| self.node(&whole)).transpose()?,
            late: late.map(|late| self.node(&late)).transpose()?,
            three: logic == Logic::ThreeValued,
            wanted: false,
        };
        // Only now: queries over lineage within it are filters too.
        let number = u32::try_from(self.filters.len()).map_err(|_| Failure::TooLarge)?;
        self.filters.push(condition);
        self.filter_numbers.insert(key, number);
        Ok(number)
    }

    /// The predicates alone, for a condition that is asked by itself.
    pub(super) fn finish(self) -> Compiled {
        Compiled {
            program: Arc::default(),
            predicates: self.predicates,
            columns: self.columns,
            filters: Vec::new(),
            parts: Vec::new(),
            events: Vec::new(),
            open: Vec::new(),
            settles: false,
            lineages: Vec::new(),
            kinds: Vec::new(),
            questions: HashMap::new(),
            asked: Vec::new(),
            plans: Vec::new(),
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(crate) fn node(&mut self, expr: &Expr) -> Result<Node, Failure> {
        Ok(match expr {
            Expr::Const(value) => Node::Const(*value),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner)?)),
            Expr::And(all) => Node::And(self.nodes(all)?),
            Expr::Or(any) => Node::Or(self.nodes(any)?),
            Expr::Test(field, test) => Node::Predicate(self.predicate(*field, test)?),
            Expr::Computed(scalar, test) => {
                let check = Check::new(test).map_err(Failure::Pattern)?;
                Node::Computed(self.term(scalar)?, Box::new(check))
            }
            Expr::Compare { left, order, right, fold } => Node::Compare {
                left: self.term(left)?,
                order: *order,
                right: self.term(right)?,
                fold: *fold,
            },
            Expr::Truth(scalar) => Node::Truth(self.term(scalar)?),
            Expr::Lineage(relation, query) => {
                let asked = (*relation, self.lineage(*query)?);
                if !self.asked.contains(&asked) {
                    self.asked.push(asked);
                }
                Node::Lineage(asked.0, asked.1)
            }
            Expr::Script { script, function, args } => {
                let next = u32::try_from(self.questions.len()).map_err(|_| Failure::TooLarge)?;
                let number = *self.questions.entry(format!("{expr:?}")).or_insert(next);
                let mut once = true;
                expr.walk(&mut |scalar| {
                    once &= !matches!(scalar, Scalar::Member(..) | Scalar::Variable(_));
                });
                let args = args.iter().map(|arg| self.term(arg)).collect::<Result<_, _>>()?;
                let (script, function) = (*script, *function);
                Node::Script(Box::new(Question { number, script, function, args, once }))
            }
        })
    }

    /// The number under which a query over lineage is asked.
    fn lineage(&mut self, query: u32) -> Result<u32, Failure> {
        let program = self.program.clone().unwrap_or_default();
        let at = usize::try_from(query).unwrap_or(usize::MAX);
        let is_before = self.within.is_none_or(|outer| query < outer);
        let Some(filter) = program.lineages.get(at).filter(|_| is_before) else {
            return Ok(u32::MAX);
        };
        let outer = self.within.replace(query);
        let number = self.filter(filter, self.logic);
        self.within = outer;
        let filter = number?;
        let digest = crate::detect::digest(
            &format!("{:?} {:?}", self.logic, program.lineages.get(at)),
            &program,
        );
        let known = self.lineages.iter().position(|known| known.filter == filter);
        let slot = known.unwrap_or_else(|| {
            self.lineages.push(LineageQuery { filter, digest });
            self.lineages.len() - 1
        });
        u32::try_from(slot).map_err(|_| Failure::TooLarge)
    }

    fn predicate(&mut self, field: FieldId, test: &Test) -> Result<u32, Failure> {
        let key = (field, format!("{test:?}"));
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let number = u32::try_from(self.predicates.len()).map_err(|_| Failure::TooLarge)?;
        if number > Tested::PREDICATES_MAX {
            return Err(Failure::TooLarge);
        }
        let check = Check::new(test).map_err(Failure::Pattern)?;
        let column = self.column(field)?;
        let tells = class::tells(field);
        self.predicates.push(Predicate { field, column, check: Box::new(check), tells, chance: 0 });
        self.tests.push(test.clone());
        if let Some(column) = usize::try_from(column).ok().and_then(|at| self.columns.get_mut(at)) {
            column.push(number);
        }
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// The number of the column of a field.
    fn column(&mut self, field: FieldId) -> Result<u32, Failure> {
        let next = u32::try_from(self.columns.len()).map_err(|_| Failure::TooLarge)?;
        let place = *self.places.entry(field).or_insert(next);
        if place == next {
            self.columns.push(Column::new(field));
        }
        Ok(place)
    }

    /// Puts all predicates under the literals that they require.
    fn index(&mut self) {
        let Builder { predicates, columns, tests, .. } = self;
        let mut named = Named::default();
        for test in &*tests {
            named.count(test);
        }
        for (predicate, test) in predicates.iter_mut().zip(&*tests) {
            predicate.chance = named.chance(test);
        }
        let test = |number: u32| tests.get(usize::try_from(number).ok()?);
        for column in columns {
            column.index(|number| require::atoms(test(number)?, &named));
        }
    }

    pub(crate) fn term(&mut self, scalar: &Scalar) -> Result<Term, Failure> {
        Ok(match scalar {
            Scalar::Literal(literal) => Term::Literal(literal.clone()),
            Scalar::Null => Term::Null,
            Scalar::Field(field) => Term::Field(*field),
            Scalar::Element(inner, parts) => {
                Term::Element(Box::new(self.term(inner)?), parts.clone().into_boxed_slice())
            }
            Scalar::Member(step, field) => Term::Member(*step, *field),
            Scalar::Variable(number) => Term::Variable(*number),
            Scalar::Call { function, args, fold } => Term::Call(Box::new(Call {
                function: *function,
                patterns: super::call::patterns(*function, args, *fold)
                    .map_err(Failure::Pattern)?,
                args: args.iter().map(|arg| self.term(arg)).collect::<Result<_, _>>()?,
                fold: *fold,
            })),
            Scalar::Arithmetic(operator, left, right) => {
                Term::Arithmetic(*operator, Box::new((self.term(left)?, self.term(right)?)))
            }
            Scalar::Condition(condition) => Term::Condition(Box::new(self.node(condition)?)),
            Scalar::Search { list, variable, condition, count } => Term::Search {
                list: Box::new(self.term(list)?),
                variable: *variable,
                condition: Box::new(self.node(condition)?),
                count: *count,
            },
        })
    }

    /// Operands of `and` or `or`, the cheap ones first.
    fn nodes(&mut self, exprs: &[Expr]) -> Result<Vec<Node>, Failure> {
        let mut nodes = exprs.iter().map(|expr| self.node(expr)).collect::<Result<Vec<_>, _>>()?;
        nodes.sort_by_cached_key(|node| self.cost(node));
        Ok(nodes)
    }

    fn cost(&self, node: &Node) -> u32 {
        match node {
            Node::Const(_) => 0,
            Node::Not(inner) => self.cost(inner),
            Node::And(nodes) | Node::Or(nodes) => {
                nodes.iter().fold(0, |sum, node| sum.saturating_add(self.cost(node)))
            }
            Node::Predicate(number) => usize::try_from(*number)
                .ok()
                .and_then(|number| self.predicates.get(number))
                .map_or(0, |predicate| predicate.check.cost()),
            Node::Computed(..) | Node::Compare { .. } | Node::Truth(_) | Node::Lineage(..) => 30,
            // Beyond all that can stand beside it: a script is asked when nothing else decides.
            Node::Script(_) => SCRIPT_COST,
        }
    }
}

/// More than all other parts of a condition together.
const SCRIPT_COST: u32 = 1 << 24;

/// Follows the parts of a path into a value.
pub(crate) fn follow<'v>(
    value: model::value::Value<'v>,
    parts: &[Part],
) -> model::value::Value<'v> {
    parts.iter().fold(value, |value, part| match part {
        Part::Index(index) => value.nth(*index),
        Part::Name(name) => value.at(name),
    })
}
