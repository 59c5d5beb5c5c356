//! Syntax tree into a condition, with names and types checked against the field table.
//!
//! All errors of a query are collected; a part with an error becomes `None`.

use model::field::{self, FIELDS, FieldId, FieldType};
use model::program::{Expr, Literal as Value, Order, Test};

use crate::ast::{Comparison, Literal, Node, NodeKind, Pattern};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::{literal, words};

/// Makes a condition, pushing what is wrong to `found`.
pub(crate) fn lower(node: &Node, found: &mut Vec<Diagnostic>) -> Option<Expr> {
    Lower { found }.condition(node)
}

pub(crate) struct Lower<'a> {
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

impl Lower<'_> {
    pub(crate) fn condition(&mut self, node: &Node) -> Option<Expr> {
        match &node.kind {
            NodeKind::Literal(Literal::Bool(value)) => Some(Expr::Const(*value)),
            NodeKind::Literal(_) => self.fail(
                Diagnostic::new(Code::BadOperand, node.span.clone(), "a literal is no condition")
                    .label("compare it with a field"),
            ),
            NodeKind::Field(name) => self.flag(name, &node.span),
            NodeKind::Not(inner) => self.condition(inner).map(not),
            NodeKind::All(all) => self.conditions(all).map(Expr::And),
            NodeKind::Any(any) => self.conditions(any).map(Expr::Or),
            NodeKind::Compare(how, left, right) => self.compare(*how, left, right, &node.span),
            NodeKind::Arithmetic => self.arithmetic(&node.span),
            NodeKind::In { value, list, fold } => self.any_of(value, list, *fold),
            NodeKind::Pattern { pattern, value, list, fold } => {
                self.pattern(*pattern, value, list, *fold)
            }
            NodeKind::Call { name, name_span, args, fold } => {
                self.call(name, name_span, args, *fold, &node.span)
            }
        }
    }

    /// All operands, or `None` if one has an error; each is looked at.
    fn conditions(&mut self, nodes: &[Node]) -> Option<Vec<Expr>> {
        let lowered: Vec<Option<Expr>> = nodes.iter().map(|node| self.condition(node)).collect();
        lowered.into_iter().collect()
    }

    /// A field that stands alone.
    fn flag(&mut self, name: &str, span: &Span) -> Option<Expr> {
        let (id, kind) = self.field(name, span)?;
        if kind != FieldType::Bool {
            let message = format!("`{name}` alone is no condition");
            return self.fail(
                Diagnostic::new(Code::BadOperand, span.clone(), message)
                    .label(format!("this is {}", literal::describe(kind)))
                    .help(format!("to ask whether it is present write `{name} != null`")),
            );
        }
        Some(equals(id, vec![Value::Bool(true)], false))
    }

    /// The field of that name, or a diagnostic with the nearest one.
    pub(crate) fn field(&mut self, name: &str, span: &Span) -> Option<(FieldId, FieldType)> {
        let row = field::by_name(name).and_then(|id| Some((id, field::field(id)?.kind)));
        if row.is_none() {
            let help = nearest(name, FIELDS.iter().map(|row| row.name))
                .map(|near| format!("there is a field `{near}`"));
            self.found.push(
                Diagnostic::new(Code::UnknownField, span.clone(), format!("no field `{name}`"))
                    .label("no sensor fills this")
                    .help("`kestrel fields` lists all of them")
                    .help_if(help),
            );
        }
        row
    }

    /// A node that must be a field.
    pub(crate) fn operand(&mut self, node: &Node) -> Option<(FieldId, FieldType, String)> {
        match &node.kind {
            NodeKind::Field(name) => {
                let (id, kind) = self.field(name, &node.span)?;
                Some((id, kind, name.clone()))
            }
            NodeKind::Arithmetic => self.arithmetic(&node.span),
            NodeKind::Call { name, .. } => {
                self.fail(unsupported(&node.span, &format!("`{name}(…)` as an operand here")))
            }
            _ => self.fail(
                Diagnostic::new(Code::BadOperand, node.span.clone(), "a field is expected here")
                    .label("not a field"),
            ),
        }
    }

    fn compare(&mut self, how: Comparison, left: &Node, right: &Node, span: &Span) -> Option<Expr> {
        match (&left.kind, &right.kind) {
            (NodeKind::Literal(_), NodeKind::Literal(_)) => self.fail(
                Diagnostic::new(Code::BadOperand, span.clone(), "two literals are compared")
                    .help("one side must be a field"),
            ),
            (NodeKind::Literal(_), _) => self.compare(how.flip(), right, left, span),
            (NodeKind::Call { name, args, fold, .. }, NodeKind::Literal(value))
                if name.eq_ignore_ascii_case("length") =>
            {
                self.length(how, args, *fold, value, left, right)
            }
            (NodeKind::Field(name), NodeKind::Literal(value)) => {
                let (id, kind) = self.field(name, &left.span)?;
                self.compare_field(how, (id, kind, name), value, right)
            }
            (NodeKind::Field(left_name), NodeKind::Field(right_name)) => {
                self.field(left_name, &left.span)?;
                self.field(right_name, &right.span)?;
                self.fail(unsupported(span, "comparing two fields"))
            }
            (NodeKind::Arithmetic, _) | (_, NodeKind::Arithmetic) => self.arithmetic(span),
            _ => self.fail(unsupported(span, "comparing the result of an expression").help(
                "a condition is used as it is, or with `not` before it; \
                 of the functions only `length` can be compared",
            )),
        }
    }

    fn compare_field(
        &mut self,
        how: Comparison,
        (id, kind, name): (FieldId, FieldType, &str),
        value: &Literal,
        node: &Node,
    ) -> Option<Expr> {
        let exists = Expr::Test(id, Test::Exists);
        match (how, value) {
            (Comparison::Equal, Literal::Null) => Some(not(exists)),
            (Comparison::NotEqual, Literal::Null) => Some(exists),
            (_, Literal::Null) => self.fail(
                Diagnostic::new(Code::BadOperand, node.span.clone(), "null has no order")
                    .help("use `== null` or `!= null`"),
            ),
            (Comparison::Equal | Comparison::NotEqual, value) => {
                words::warn_literal(id, value, &node.span, self.found);
                let test = literal::equals(kind, name, &[(value, &node.span)], false, self.found)?;
                let test = Expr::Test(id, test);
                Some(if how == Comparison::Equal { test } else { not(test) })
            }
            (how, value) => {
                let value = literal::ordered(kind, name, value, &node.span, self.found)?;
                Some(Expr::Test(id, Test::Compare(order(how), value)))
            }
        }
    }

    fn any_of(&mut self, value: &Node, list: &[Node], fold: bool) -> Option<Expr> {
        let operand = self.operand(value);
        let literals = self.literals(list)?;
        let (id, kind, name) = operand?;
        if literals.is_empty() {
            return self.empty_list(&value.span);
        }
        for (literal, span) in &literals {
            words::warn_literal(id, literal, span, self.found);
        }
        let test = literal::equals(kind, &name, &literals, fold, self.found)?;
        Some(Expr::Test(id, test))
    }

    fn pattern(
        &mut self,
        pattern: Pattern,
        value: &Node,
        list: &[Node],
        fold: bool,
    ) -> Option<Expr> {
        let operand = self.operand(value);
        let literals = self.literals(list)?;
        let (id, kind, name) = operand?;
        if literals.is_empty() {
            return self.empty_list(&value.span);
        }
        self.pattern_of((id, kind, &name), pattern, &literals, fold)
    }

    /// A pattern test of a field, however it was written.
    pub(crate) fn pattern_of(
        &mut self,
        (id, kind, name): (FieldId, FieldType, &str),
        pattern: Pattern,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        let test = match pattern {
            Pattern::Regex => literal::regex(kind, name, literals, fold, self.found)?,
            Pattern::Wildcard => {
                for (literal, span) in literals {
                    words::warn_pattern(id, literal, span, self.found);
                }
                literal::wildcard(kind, name, literals, fold, self.found)?
            }
        };
        Some(Expr::Test(id, test))
    }

    /// Nodes that must be literals other than null.
    pub(crate) fn literals<'n>(
        &mut self,
        nodes: &'n [Node],
    ) -> Option<Vec<(&'n Literal, &'n Span)>> {
        let mut all = Vec::with_capacity(nodes.len());
        let mut whole = true;
        for node in nodes {
            match &node.kind {
                NodeKind::Literal(Literal::Null) => {
                    whole = false;
                    self.found.push(
                        Diagnostic::new(Code::BadOperand, node.span.clone(), "null in a list")
                            .help("ask for it apart: `field == null or …`"),
                    );
                }
                NodeKind::Literal(literal) => all.push((literal, &node.span)),
                _ => {
                    whole = false;
                    self.found.push(unsupported(&node.span, "anything but a literal here"));
                }
            }
        }
        whole.then_some(all)
    }

    fn length(
        &mut self,
        how: Comparison,
        args: &[Node],
        fold: bool,
        value: &Literal,
        call: &Node,
        right: &Node,
    ) -> Option<Expr> {
        let ([argument], false) = (args, fold) else {
            return self.fail(
                Diagnostic::new(Code::BadArguments, call.span.clone(), "wrong use of `length`")
                    .help("write `length(field)`"),
            );
        };
        let (id, kind, name) = self.operand(argument)?;
        if !literal::is_text(kind) {
            return self.fail(literal::mismatch(kind, &name, "`length`", &argument.span));
        }
        let Literal::Int(number) = value else {
            return self.fail(
                Diagnostic::new(Code::WrongType, right.span.clone(), "a length is a whole number")
                    .label("not a whole number"),
            );
        };
        let test = Expr::Test(id, Test::Length(order(how), *number));
        Some(if how == Comparison::NotEqual { not(test) } else { test })
    }

    fn empty_list<T>(&mut self, span: &Span) -> Option<T> {
        self.fail(Diagnostic::new(Code::BadOperand, span.clone(), "the list is empty"))
    }

    fn arithmetic<T>(&mut self, span: &Span) -> Option<T> {
        self.fail(unsupported(span, "arithmetic"))
    }

    pub(crate) fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.found.push(diagnostic);
        None
    }
}

/// What this version does not run.
pub(crate) fn unsupported(span: &Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::Unsupported, span.clone(), format!("{what}: not supported yet"))
}

/// The complement; two of them cancel each other.
pub(crate) fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

fn equals(id: FieldId, any: Vec<Value>, fold: bool) -> Expr {
    Expr::Test(id, Test::Equals { any, fold })
}

/// `!=` is made by `Not`.
fn order(how: Comparison) -> Order {
    match how {
        Comparison::Equal | Comparison::NotEqual => Order::Equal,
        Comparison::Less => Order::Less,
        Comparison::LessEqual => Order::LessEqual,
        Comparison::Greater => Order::Greater,
        Comparison::GreaterEqual => Order::GreaterEqual,
    }
}
