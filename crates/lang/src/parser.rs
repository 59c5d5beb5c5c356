//! Tokens into a syntax tree: a Pratt parser that goes on after an error.
//!
//! It recurses at most `MAX_DEPTH` levels, and each step of it takes a token: any text is answered
//! in time proportional to its length.

mod cursor;
mod steps;
mod value;

use crate::ast::{Comparison, Node, NodeKind, Operator, Pattern, Query};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::lexer::{self, Token};
use crate::limits::{MAX_DEPTH, MAX_QUERY};

pub(crate) use self::steps::outside;

/// An error that ends what is being read; whoever reads the whole may go on.
type Parsed<T> = Result<T, Box<Diagnostic>>;

/// Parses a whole query. Without a query there is at least one error; with errors the query holds
/// [`NodeKind::Bad`] where they are.
pub(crate) fn parse(query: &str, dialect: Dialect) -> (Option<Query>, Vec<Diagnostic>) {
    if query.len() > MAX_QUERY {
        let message = format!("the query has {} bytes, the limit is {MAX_QUERY}", query.len());
        let found = Diagnostic::new(Code::Limit, 0..0, message).help("split it into several rules");
        return (None, vec![found]);
    }
    let lexer::Tokens { all, errors, broken } = lexer::tokens(query, dialect);
    if broken {
        return (None, errors);
    }
    let mut parser =
        Parser { query, dialect, tokens: all, at: 0, depth: 0, errors, in_keys: false };
    let parsed = match parser.query() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            parser.errors.push(*error);
            None
        }
    };
    (parsed, parser.errors)
}

struct Parser<'a> {
    query: &'a str,
    dialect: Dialect,
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
    errors: Vec<Diagnostic>,
    /// Within join keys: `[` begins the next step, unless it is an index.
    in_keys: bool,
}

/// How tightly an operator binds; larger binds tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Or,
    And,
    Not,
    Compare,
    Add,
    Multiply,
    Sign,
}

impl Parser<'_> {
    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: Power) -> Parsed<Node> {
        let depth = self.depth;
        let result = if least <= Power::And { self.logic(least) } else { self.operators(least) };
        self.depth = depth;
        result
    }

    fn logic(&mut self, least: Power) -> Parsed<Node> {
        self.deeper()?;
        let mut left = self.operand()?;
        while let Some(power) = infix(self.token(), self.peek()).filter(|power| *power >= least) {
            self.deeper()?;
            left = self.infix(left, power)?;
        }
        Ok(left)
    }

    /// An operand of `and`. An error in it is noted, and the next operand is read.
    fn operand(&mut self) -> Parsed<Node> {
        match self.expression(Power::Not) {
            Err(error) if error.code != Code::Limit => {
                self.note(error)?;
                let bad = self.bad();
                self.skip(&[Token::And, Token::Or, Token::Close, Token::Comma]);
                Ok(bad)
            }
            other => other,
        }
    }

    fn operators(&mut self, least: Power) -> Parsed<Node> {
        self.deeper()?;
        let mut left = self.prefix()?;
        while let Some(power) = infix(self.token(), self.peek()).filter(|power| *power >= least) {
            // Each makes the tree one level deeper, as a nested expression does.
            self.deeper()?;
            left = self.infix(left, power)?;
        }
        Ok(left)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(self.limit(message));
        }
        Ok(())
    }

    fn infix(&mut self, left: Node, power: Power) -> Parsed<Node> {
        let (token, span) = self.next();
        match token {
            Token::And | Token::Or => self.chain(left, token, power),
            Token::Not => {
                // `x not in (…)`: the caller has seen that `in` follows.
                let inner = self.infix(left, Power::Compare)?;
                Ok(node(inner.span.clone(), NodeKind::Not(Box::new(inner))))
            }
            Token::In | Token::InFold => {
                self.expect(Token::Open, "a list in parentheses")?;
                let list = self.list(Self::argument)?;
                let place = left.span.start..self.previous_end();
                let fold = token == Token::InFold;
                Ok(node(place, NodeKind::In { value: Box::new(left), list, fold }))
            }
            Token::Colon | Token::Like | Token::LikeFold | Token::Regex | Token::RegexFold => {
                self.pattern(left, token)
            }
            Token::Plus | Token::Minus | Token::Star | Token::Slash | Token::Percent => {
                let right = self.expression(above(power))?;
                let place = left.span.start..right.span.end;
                let kind = NodeKind::Arithmetic(operator(token), Box::new(left), Box::new(right));
                Ok(node(place, kind))
            }
            _ => self.comparison(left, token, &span),
        }
    }

    fn comparison(&mut self, left: Node, token: Token, span: &Span) -> Parsed<Node> {
        let Some(comparison) = comparison(token) else {
            let found = Diagnostic::new(Code::Syntax, span.clone(), "this is not an operator");
            return Err(Box::new(found));
        };
        if token == Token::Assign && !self.dialect.is_classic() {
            let found = Diagnostic::new(Code::Token, span.clone(), "`=` does not compare");
            self.errors.push(found.help("write `==`"));
        }
        let right = self.expression(Power::Add)?;
        if infix(self.token(), self.peek()) == Some(Power::Compare) {
            let mut found = self.unexpected("`and`, `or` or the end");
            found.help =
                Some("comparisons do not chain: put one of them in parentheses".to_owned());
            return Err(found);
        }
        let place = left.span.start..right.span.end;
        Ok(node(place, NodeKind::Compare(comparison, Box::new(left), Box::new(right))))
    }

    /// All operands of a run of the same `and` or `or`, so that a long one is not a deep tree.
    fn chain(&mut self, first: Node, operator: Token, power: Power) -> Parsed<Node> {
        let start = first.span.start;
        let mut all = vec![first];
        loop {
            all.push(if power == Power::And {
                self.operand()?
            } else {
                self.expression(Power::And)?
            });
            if self.token() != operator {
                break;
            }
            self.at += 1;
        }
        let place = start..self.previous_end();
        let kind = if operator == Token::And { NodeKind::All(all) } else { NodeKind::Any(all) };
        Ok(node(place, kind))
    }

    fn pattern(&mut self, left: Node, token: Token) -> Parsed<Node> {
        let start = left.span.start;
        let list = if self.token() == Token::Open {
            self.at += 1;
            self.list(Self::argument)?
        } else {
            vec![self.expression(Power::Add)?]
        };
        let regex = matches!(token, Token::Regex | Token::RegexFold);
        let kind = NodeKind::Pattern {
            pattern: if regex { Pattern::Regex } else { Pattern::Wildcard },
            fold: !matches!(token, Token::Like | Token::Regex),
            value: Box::new(left),
            list,
        };
        Ok(node(start..self.previous_end(), kind))
    }
}

fn node(span: Span, kind: NodeKind) -> Node {
    Node { span, kind }
}

fn operator(token: Token) -> Operator {
    match token {
        Token::Minus => Operator::Subtract,
        Token::Star => Operator::Multiply,
        Token::Slash => Operator::Divide,
        Token::Percent => Operator::Modulo,
        _ => Operator::Add,
    }
}

/// How tightly a token binds as an infix operator, if it is one.
fn infix(token: Token, next: Token) -> Option<Power> {
    Some(match token {
        Token::Or => Power::Or,
        Token::And => Power::And,
        Token::Not if matches!(next, Token::In | Token::InFold) => Power::Compare,
        Token::In
        | Token::InFold
        | Token::Colon
        | Token::Like
        | Token::LikeFold
        | Token::Regex
        | Token::RegexFold => Power::Compare,
        Token::Plus | Token::Minus => Power::Add,
        Token::Star | Token::Slash | Token::Percent => Power::Multiply,
        other => return comparison(other).map(|_| Power::Compare),
    })
}

/// The least power of the right operand of a left-associative operator.
fn above(power: Power) -> Power {
    match power {
        Power::Or => Power::And,
        Power::And => Power::Not,
        Power::Not => Power::Compare,
        Power::Compare => Power::Add,
        Power::Add => Power::Multiply,
        Power::Multiply | Power::Sign => Power::Sign,
    }
}

fn comparison(token: Token) -> Option<Comparison> {
    Some(match token {
        Token::Equal | Token::Assign => Comparison::Equal,
        Token::NotEqual => Comparison::NotEqual,
        Token::Less => Comparison::Less,
        Token::LessEqual => Comparison::LessEqual,
        Token::Greater => Comparison::Greater,
        Token::GreaterEqual => Comparison::GreaterEqual,
        _ => return None,
    })
}
