//! Syntax tree into a program, with names and types checked against the field table.
//!
//! All errors of a query are collected; a part with an error becomes `None`.

mod compare;
pub(crate) mod constant;
mod name;
mod steps;

use model::field::FieldType;
use model::program::{Expr, Filter, Literal as Value, Scalar, Test};

use crate::ast::{self, Literal, Node, NodeKind, Relation};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::{CaseMode, Dialect};
use crate::limits::MAX_LINEAGES;
use crate::literal::{self, Kind};
use crate::schema::Schema;
use crate::words;

pub(crate) struct Lower<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) case: CaseMode,
    pub(crate) schema: &'a mut Schema,
    pub(crate) found: &'a mut Vec<Diagnostic>,
    /// Names of earlier steps, and their numbers.
    aliases: Vec<(String, u16)>,
    /// What is being lowered, where it knows no earlier members.
    no_members: Option<&'static str>,
    /// Variables of `arraySearch` in scope, innermost last.
    variables: Vec<(String, u16)>,
    next_variable: u16,
    /// Within pipes: `events[n]` names a member.
    pub(crate) in_pipe: bool,
    /// Behind a pipe that counts: `count` and `percent` are fields.
    counted: bool,
}

/// A value that is tested, and what is known of it.
pub(crate) struct Subject {
    pub(crate) scalar: Scalar,
    pub(crate) kind: Kind,
    /// As written, for messages.
    pub(crate) name: String,
}

impl Subject {
    pub(crate) fn computed(scalar: Scalar) -> Self {
        Subject { scalar, kind: None, name: "this value".to_owned() }
    }

    /// A test of it: the fast form if it is a field.
    pub(crate) fn test(&self, test: Test) -> Expr {
        match &self.scalar {
            Scalar::Field(id) => Expr::Test(*id, test),
            other => Expr::Computed(other.clone(), test),
        }
    }

    /// Its value, if it is a literal.
    pub(crate) fn literal(&self) -> Option<Literal> {
        constant::written(&self.scalar)
    }
}

impl<'a> Lower<'a> {
    pub(crate) fn new(
        dialect: Dialect,
        case: CaseMode,
        schema: &'a mut Schema,
        found: &'a mut Vec<Diagnostic>,
    ) -> Self {
        Lower {
            dialect,
            case,
            schema,
            found,
            aliases: Vec::new(),
            no_members: None,
            variables: Vec::new(),
            next_variable: 0,
            in_pipe: false,
            counted: false,
        }
    }

    /// Whether case is folded, for an operator that says so or not.
    pub(crate) fn folds(&self, written: bool) -> bool {
        written || self.case == CaseMode::Insensitive
    }

    pub(crate) fn filter(&mut self, filter: &ast::Filter) -> Option<Filter> {
        if let Some((name, span)) = &filter.category
            && !self.dialect.is_classic()
        {
            words::warn_category(name, span, self.found);
        }
        let before = self.found.len();
        let condition = self.condition(&filter.condition)?;
        let category = filter.category.as_ref().map(|(name, _)| name.clone());
        let lowered = Filter { category, condition };
        let explained = self.found.iter().skip(before.saturating_sub(1));
        let explained = explained.into_iter().any(|one| one.code == Code::UnknownWord);
        if !self.dialect.is_classic() && !explained && !lowered.is_possible() {
            self.found.push(
                Diagnostic::new(
                    Code::NeverMatches,
                    filter.condition.span.clone(),
                    "no event can satisfy this",
                )
                .label("no operation has this category together with these types and actions")
                .help("the table of actions in the reference says what goes together"),
            );
        }
        Some(lowered)
    }

    pub(crate) fn condition(&mut self, node: &Node) -> Option<Expr> {
        match &node.kind {
            NodeKind::Bad => None,
            NodeKind::Literal(Literal::Bool(value)) => Some(Expr::Const(*value)),
            NodeKind::Literal(_) => self.fail(
                Diagnostic::new(Code::BadOperand, node.span.clone(), "a literal is no condition")
                    .label("compare it with a field"),
            ),
            NodeKind::Field(name) => {
                let subject = self.reference(name, &node.span)?;
                self.flag(&subject, &node.span)
            }
            NodeKind::Not(inner) => self.condition(inner).map(not),
            NodeKind::All(all) => self.conditions(all).map(Expr::And),
            NodeKind::Any(any) => self.conditions(any).map(Expr::Or),
            NodeKind::Compare(how, left, right) => self.compare(*how, left, right, &node.span),
            NodeKind::Arithmetic(..) => self.fail(
                Diagnostic::new(Code::BadOperand, node.span.clone(), "a number is no condition")
                    .help("compare it"),
            ),
            NodeKind::In { value, list, fold } => self.any_of(value, list, *fold),
            NodeKind::Pattern { pattern, value, list, fold } => {
                self.pattern(*pattern, value, list, *fold)
            }
            NodeKind::Call { name, name_span, args, fold } => {
                self.call(name, name_span, args, *fold, &node.span)
            }
            NodeKind::Lineage(relation, filter) => self.lineage(*relation, filter, &node.span),
        }
    }

    /// All operands, or `None` if one has an error; each is looked at.
    fn conditions(&mut self, nodes: &[Node]) -> Option<Vec<Expr>> {
        let lowered: Vec<Option<Expr>> = nodes.iter().map(|node| self.condition(node)).collect();
        lowered.into_iter().collect()
    }

    /// A field that stands alone: true or false, and in the classic dialect whether it is there.
    fn flag(&mut self, subject: &Subject, span: &Span) -> Option<Expr> {
        match subject.kind {
            Some(FieldType::Bool) => {
                Some(subject.test(Test::Equals { any: vec![Value::Bool(true)], fold: false }))
            }
            None => Some(Expr::Truth(subject.scalar.clone())),
            kind => self.fail(
                Diagnostic::new(
                    Code::BadOperand,
                    span.clone(),
                    format!("`{}` alone is no condition", subject.name),
                )
                .label(format!("this is {}", literal::describe(kind)))
                .help(format!("to ask whether it is present write `{} != null`", subject.name)),
            ),
        }
    }

    /// `child of [ … ]`: the inner query becomes one of the program.
    fn lineage(&mut self, relation: Relation, filter: &ast::Filter, span: &Span) -> Option<Expr> {
        let lowered = self.without_members("a query over lineage", |lower| lower.filter(filter))?;
        let number = self.schema.lineages.len();
        if number >= MAX_LINEAGES {
            let message = format!("more than {MAX_LINEAGES} queries over lineage");
            return self.fail(Diagnostic::new(Code::Limit, span.clone(), message));
        }
        self.schema.lineages.push(lowered);
        u32::try_from(number).ok().map(|number| Expr::Lineage(relation, number))
    }

    /// The value of a node.
    pub(crate) fn subject(&mut self, node: &Node) -> Option<Subject> {
        match &node.kind {
            NodeKind::Bad => None,
            NodeKind::Literal(literal) => {
                let scalar = literal::any_value(literal).map_or(Scalar::Null, Scalar::Literal);
                Some(Subject::computed(scalar))
            }
            NodeKind::Field(name) => self.reference(name, &node.span),
            NodeKind::Arithmetic(operator, left, right) => {
                let (left, right) = (self.subject(left), self.subject(right));
                let (left, right) = (left?.scalar, right?.scalar);
                Some(Subject::computed(constant::arithmetic(*operator, left, right)))
            }
            NodeKind::Call { name, name_span, args, fold } => {
                self.value_of_call(name, name_span, args, *fold, &node.span)
            }
            _ => {
                let condition = self.condition(node)?;
                Some(Subject::computed(Scalar::Condition(Box::new(condition))))
            }
        }
    }

    pub(crate) fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.found.push(diagnostic);
        None
    }
}

/// The complement; two of them cancel each other.
pub(crate) fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}
