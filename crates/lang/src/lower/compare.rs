//! Comparisons, lists and patterns.

use model::program::{Expr, Function, Order, Scalar, Test};

use super::{Lower, Subject, not};
use crate::ast::{Comparison, Literal, Node, NodeKind, Pattern};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::parser::outside;
use crate::{literal, words};

impl Lower<'_> {
    pub(super) fn compare(
        &mut self,
        how: Comparison,
        left: &Node,
        right: &Node,
        span: &Span,
    ) -> Option<Expr> {
        if matches!(left.kind, NodeKind::Literal(_)) && !matches!(right.kind, NodeKind::Literal(_))
        {
            return self.compare(how.flip(), right, left, span);
        }
        let (subject, other) = (self.subject(left), self.subject(right));
        let (subject, other) = (subject?, other?);
        match (subject.literal(), other.literal()) {
            (Some(_), Some(_)) if !self.dialect.is_classic() => self.fail(
                Diagnostic::new(Code::BadOperand, span.clone(), "two literals are compared")
                    .help("one side must be a field"),
            ),
            (_, Some(literal)) => self.compare_literal(how, &subject, &literal, right),
            (Some(literal), None) => self.compare_literal(how.flip(), &other, &literal, left),
            (None, None) => self.compare_values(how, subject, other, span, false),
        }
    }

    /// Two values of events.
    fn compare_values(
        &mut self,
        how: Comparison,
        left: Subject,
        right: Subject,
        span: &Span,
        fold: bool,
    ) -> Option<Expr> {
        if !self.dialect.compares_fields() {
            let found = outside(self.dialect, span, "comparing two values of an event");
            return self.fail(found);
        }
        let fold = self.folds(fold);
        let (left, right) = (left.scalar, right.scalar);
        let expr = Expr::Compare { left, order: order(how), right, fold };
        Some(if how == Comparison::NotEqual { not(expr) } else { expr })
    }

    fn compare_literal(
        &mut self,
        how: Comparison,
        subject: &Subject,
        value: &Literal,
        node: &Node,
    ) -> Option<Expr> {
        let equality = matches!(how, Comparison::Equal | Comparison::NotEqual);
        let test = match value {
            Literal::Null if equality => not(subject.test(Test::Exists)),
            Literal::Null => {
                return self.fail(
                    Diagnostic::new(Code::BadOperand, node.span.clone(), "null has no order")
                        .help("use `== null` or `!= null`"),
                );
            }
            _ if is_length(subject) => self.length(how, subject, value, node)?,
            value if equality => self.equals(subject, &[(value, &node.span)], false)?,
            value => self.ordered(how, subject, value, node)?,
        };
        Some(if how == Comparison::NotEqual { not(test) } else { test })
    }

    /// `==` or `in`. In the classic dialect a text with `*` is a pattern.
    fn equals(
        &mut self,
        subject: &Subject,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        let fold = self.folds(fold);
        if self.dialect.is_classic() {
            let (patterns, exact): (Vec<_>, Vec<_>) =
                literals.iter().copied().partition(|(literal, _)| is_pattern(literal));
            if !patterns.is_empty() {
                let mut any = vec![self.wildcard(subject, &patterns, fold)?];
                if !exact.is_empty() {
                    any.push(self.exactly(subject, &exact, fold)?);
                }
                return Some(one_or(any));
            }
        } else if let Scalar::Field(id) = subject.scalar {
            for (literal, span) in literals {
                words::warn_literal(id, literal, span, self.found);
            }
        }
        self.exactly(subject, literals, fold)
    }

    fn exactly(
        &mut self,
        subject: &Subject,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        let kind = self.kind(subject, literals.iter().map(|(literal, _)| *literal));
        let test = literal::equals(kind, &subject.name, literals, fold, self.found)?;
        Some(subject.test(test))
    }

    /// The type that literals must have; in rules of strangers none, if they do not have it.
    pub(crate) fn kind<'l>(
        &self,
        subject: &Subject,
        mut literals: impl Iterator<Item = &'l Literal>,
    ) -> literal::Kind {
        let strict = !self.schema.lenient() || literals.all(|one| literal::fits(subject.kind, one));
        subject.kind.filter(|_| strict)
    }

    fn ordered(
        &mut self,
        how: Comparison,
        subject: &Subject,
        value: &Literal,
        node: &Node,
    ) -> Option<Expr> {
        let kind = self.kind(subject, std::iter::once(value));
        let value = literal::ordered(kind, &subject.name, value, &node.span, self.found)?;
        if self.folds(false) && matches!(value, model::program::Literal::Str(_)) {
            let (left, right) = (subject.scalar.clone(), Scalar::Literal(value));
            return Some(Expr::Compare { left, order: order(how), right, fold: true });
        }
        Some(subject.test(Test::Compare(order(how), value)))
    }

    /// `length(x)` compared with a number. The classic dialect also counts elements of lists.
    fn length(
        &mut self,
        how: Comparison,
        subject: &Subject,
        value: &Literal,
        node: &Node,
    ) -> Option<Expr> {
        let Literal::Int(number) = value else {
            return self.fail(
                Diagnostic::new(Code::WrongType, node.span.clone(), "a length is a whole number")
                    .label("not a whole number"),
            );
        };
        match &subject.scalar {
            Scalar::Call { args, .. } if !self.dialect.is_classic() => {
                let [inner] = args.as_slice() else { return None };
                let inner = Subject::computed(inner.clone());
                Some(inner.test(Test::Length(order(how), *number)))
            }
            _ if how == Comparison::Equal || how == Comparison::NotEqual => {
                self.exactly(subject, &[(value, &node.span)], false)
            }
            _ => self.ordered(how, subject, value, node),
        }
    }

    pub(super) fn any_of(&mut self, value: &Node, list: &[Node], fold: bool) -> Option<Expr> {
        let subject = self.subject(value);
        let elements: Vec<Option<Subject>> = list.iter().map(|node| self.subject(node)).collect();
        let (subject, elements) = (subject?, elements.into_iter().collect::<Option<Vec<_>>>()?);
        if elements.is_empty() {
            return self.empty_list(&value.span);
        }
        let mut literals = Vec::with_capacity(elements.len());
        let mut any = Vec::new();
        for (element, node) in elements.into_iter().zip(list) {
            match element.literal() {
                Some(Literal::Null) => return self.null_in_list(node),
                Some(literal) => literals.push((literal, &node.span)),
                None => {
                    let left = Subject { scalar: subject.scalar.clone(), ..subject_like(&subject) };
                    any.push(self.compare_values(
                        Comparison::Equal,
                        left,
                        element,
                        &node.span,
                        fold,
                    )?);
                }
            }
        }
        let literals: Vec<(&Literal, &Span)> = literals.iter().map(|(l, s)| (l, *s)).collect();
        if !literals.is_empty() {
            any.insert(0, self.equals(&subject, &literals, fold)?);
        }
        Some(one_or(any))
    }

    pub(super) fn pattern(
        &mut self,
        pattern: Pattern,
        value: &Node,
        list: &[Node],
        fold: bool,
    ) -> Option<Expr> {
        let subject = self.subject(value);
        let literals = self.literals(list)?;
        let subject = subject?;
        if literals.is_empty() {
            return self.empty_list(&value.span);
        }
        self.pattern_of(&subject, pattern, &literals, fold)
    }

    /// A pattern test of a value, however it was written.
    pub(crate) fn pattern_of(
        &mut self,
        subject: &Subject,
        pattern: Pattern,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        match pattern {
            Pattern::Regex => self.regex(subject, literals, fold),
            Pattern::Wildcard => self.wildcard(subject, literals, fold),
        }
    }

    fn regex(
        &mut self,
        subject: &Subject,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        let fold = self.folds(fold);
        let kind = self.kind(subject, literals.iter().map(|(literal, _)| *literal));
        let mut test = literal::regex(kind, &subject.name, literals, fold, self.found)?;
        if self.dialect.is_classic()
            && let Test::Regex { any, .. } = &mut test
        {
            // The classic engine looks for a match at the start, not of the whole.
            for one in any {
                *one = format!("(?:{one}).*");
            }
        }
        Some(subject.test(test))
    }

    fn wildcard(
        &mut self,
        subject: &Subject,
        literals: &[(&Literal, &Span)],
        fold: bool,
    ) -> Option<Expr> {
        let fold = self.folds(fold);
        if self.dialect.is_classic()
            && literals
                .iter()
                .any(|(one, _)| matches!(one, Literal::Text(text) if text.contains('?')))
        {
            // Here `?` is an ordinary character.
            let regexes: Vec<(Literal, &Span)> =
                literals.iter().map(|(one, span)| (starred(one), *span)).collect();
            let regexes: Vec<(&Literal, &Span)> = regexes.iter().map(|(l, s)| (l, *s)).collect();
            let test = literal::regex(subject.kind, &subject.name, &regexes, fold, self.found)?;
            return Some(subject.test(test));
        }
        if let (Scalar::Field(id), false) = (&subject.scalar, self.dialect.is_classic()) {
            for (literal, span) in literals {
                words::warn_pattern(*id, literal, span, self.found);
            }
        }
        if literal::is_address(subject.kind)
            && literals.iter().all(|(one, _)| literal::fits(subject.kind, one))
        {
            return self.exactly(subject, literals, fold);
        }
        // Texts of any field of strangers' rules: addresses and numbers are tested as they are shown.
        let kind =
            subject.kind.filter(|_| !self.schema.lenient() || literal::is_text(subject.kind));
        let test = literal::wildcard(kind, &subject.name, literals, fold, self.found)?;
        Some(subject.test(test))
    }

    /// Nodes that must be literals other than null.
    pub(crate) fn literals<'n>(
        &mut self,
        nodes: &'n [Node],
    ) -> Option<Vec<(&'n Literal, &'n Span)>> {
        let mut all = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.kind {
                NodeKind::Bad => {}
                NodeKind::Literal(Literal::Null) => _ = self.null_in_list::<()>(node),
                NodeKind::Literal(literal) => all.push((literal, &node.span)),
                _ => self.found.push(
                    Diagnostic::new(
                        Code::BadOperand,
                        node.span.clone(),
                        "a literal is needed here",
                    )
                    .label("not a literal"),
                ),
            }
        }
        (all.len() == nodes.len()).then_some(all)
    }

    fn null_in_list<T>(&mut self, node: &Node) -> Option<T> {
        self.fail(
            Diagnostic::new(Code::BadOperand, node.span.clone(), "null in a list")
                .help("ask for it apart: `field == null or …`"),
        )
    }

    fn empty_list<T>(&mut self, span: &Span) -> Option<T> {
        self.fail(Diagnostic::new(Code::BadOperand, span.clone(), "the list is empty"))
    }
}

/// The same subject again.
fn subject_like(subject: &Subject) -> Subject {
    Subject { scalar: subject.scalar.clone(), kind: subject.kind, name: subject.name.clone() }
}

fn is_length(subject: &Subject) -> bool {
    matches!(subject.scalar, Scalar::Call { function: Function::Length, .. })
}

fn is_pattern(literal: &Literal) -> bool {
    matches!(literal, Literal::Text(text) if text.contains('*'))
}

/// A classic pattern as a regular expression.
fn starred(literal: &Literal) -> Literal {
    match literal {
        Literal::Text(text) => {
            let parts: Vec<String> = text.split('*').map(regex::escape).collect();
            Literal::Text(parts.join(".*"))
        }
        other => other.clone(),
    }
}

/// Any of these; alone if there is one.
fn one_or(mut any: Vec<Expr>) -> Expr {
    match any.pop() {
        Some(only) if any.is_empty() => only,
        last => {
            any.extend(last);
            Expr::Or(any)
        }
    }
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
