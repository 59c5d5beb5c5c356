//! Tokens into a syntax tree: a Pratt parser. The first error ends it; other rules go on.
#![expect(clippy::result_large_err, reason = "an error is made once a query, and ends it")]

use crate::ast::{Comparison, Literal, Node, NodeKind, Pattern, Query};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::lexer::{self, Token};
use crate::limits::{MAX_DEPTH, MAX_LIST, MAX_QUERY};

type Parsed<T> = Result<T, Diagnostic>;

/// Parses a whole query.
pub(crate) fn parse(query: &str) -> Parsed<Query> {
    if query.len() > MAX_QUERY {
        let message = format!("the query has {} bytes, the limit is {MAX_QUERY}", query.len());
        return Err(Diagnostic::new(Code::Limit, 0..1, message).help("split it into several rules"));
    }
    let tokens = lexer::tokens(query)?;
    Parser { query, tokens, at: 0, depth: 0 }.query()
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
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
    fn query(mut self) -> Parsed<Query> {
        let category = self.category()?;
        self.expect(Token::Where, "`where` and a condition")?;
        let condition = self.expression(Power::Or)?;
        match self.token() {
            Token::End => Ok(Query { category, condition }),
            Token::Pipe => Err(self.unsupported("pipes")),
            _ => Err(self.unexpected("`and`, `or` or the end of the query")),
        }
    }

    fn category(&mut self) -> Parsed<Option<(String, Span)>> {
        let (token, span) = self.here();
        let text = self.text(&span);
        let name = match token {
            Token::Any => None,
            Token::Name if matches!(text, "sequence" | "sample" | "join") => {
                return Err(self.unsupported(&format!("`{text}`")));
            }
            Token::Name => Some((text.replace('`', ""), span)),
            Token::Text | Token::RawText => Some((lexer::unquote(token, text, span.start)?, span)),
            _ => return Err(self.unexpected("a category such as `process`, or `any`")),
        };
        self.at += 1;
        Ok(name)
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: Power) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(Diagnostic::new(Code::Limit, self.here().1, message));
        }
        let mut left = self.prefix()?;
        while let Some(power) = infix(self.token(), self.peek()).filter(|power| *power >= least) {
            left = self.infix(left, power)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Parsed<Node> {
        let (token, span) = self.here();
        match token {
            Token::Not => {
                self.at += 1;
                let inner = self.expression(Power::Not)?;
                Ok(node(span.start..inner.span.end, NodeKind::Not(Box::new(inner))))
            }
            Token::Open => {
                self.at += 1;
                let mut inner = self.expression(Power::Or)?;
                inner.span = span.start..self.expect(Token::Close, "`)`")?.end;
                Ok(inner)
            }
            Token::Minus | Token::Plus => {
                self.at += 1;
                let inner = self.expression(Power::Sign)?;
                let kind = signed(token, inner.kind);
                Ok(node(span.start..inner.span.end, kind))
            }
            Token::Question => {
                self.at += 1;
                let end = self.expect(Token::Name, "a field name")?;
                let name = self.text(&end).replace('`', "");
                Ok(node(span.start..end.end, NodeKind::Field(name)))
            }
            Token::Name => self.name(),
            Token::OpenStep => Err(self.unsupported("a sequence step")),
            _ => Ok(node(span, NodeKind::Literal(self.literal()?))),
        }
    }

    /// A field, or a call when a parenthesis follows.
    fn name(&mut self) -> Parsed<Node> {
        let (_, span) = self.next();
        let name = self.text(&span).replace('`', "");
        let fold = self.token() == Token::Tilde && self.peek() == Token::Open;
        if fold {
            self.at += 1;
        }
        if self.token() != Token::Open {
            return Ok(node(span, NodeKind::Field(name)));
        }
        self.at += 1;
        let args = self.list(Self::argument)?;
        let end = self.previous_end();
        Ok(node(span.start..end, NodeKind::Call { name, name_span: span, args, fold }))
    }

    fn argument(&mut self) -> Parsed<Node> {
        self.expression(Power::Or)
    }

    /// Elements up to the closing parenthesis; the opening one is already taken.
    fn list(&mut self, element: fn(&mut Self) -> Parsed<Node>) -> Parsed<Vec<Node>> {
        let mut all = Vec::new();
        if self.token() == Token::Close {
            self.at += 1;
            return Ok(all);
        }
        loop {
            if all.len() == MAX_LIST {
                let message = format!("the list has more than {MAX_LIST} elements");
                return Err(Diagnostic::new(Code::Limit, self.here().1, message));
            }
            all.push(element(self)?);
            match self.token() {
                Token::Comma => self.at += 1,
                Token::Close => break,
                _ => return Err(self.unexpected("`,` or `)`")),
            }
        }
        self.at += 1;
        Ok(all)
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
                Ok(node(left.span.start..right.span.end, NodeKind::Arithmetic))
            }
            _ => {
                let Some(comparison) = comparison(token) else {
                    return Err(Diagnostic::new(Code::Syntax, span, "this is not an operator"));
                };
                let right = self.expression(Power::Add)?;
                if infix(self.token(), self.peek()) == Some(Power::Compare) {
                    return Err(self
                        .unexpected("`and`, `or` or the end")
                        .help("comparisons do not chain: put one of them in parentheses"));
                }
                let place = left.span.start..right.span.end;
                Ok(node(place, NodeKind::Compare(comparison, Box::new(left), Box::new(right))))
            }
        }
    }

    /// All operands of a run of the same `and` or `or`, so that a long one is not a deep tree.
    fn chain(&mut self, first: Node, operator: Token, power: Power) -> Parsed<Node> {
        let start = first.span.start;
        let mut all = vec![first];
        loop {
            all.push(self.expression(above(power))?);
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

    fn literal(&mut self) -> Parsed<Literal> {
        let (token, span) = self.here();
        let text = self.text(&span);
        let literal = match token {
            Token::Null => Literal::Null,
            Token::True => Literal::Bool(true),
            Token::False => Literal::Bool(false),
            Token::Int => Literal::Int(text.parse().map_err(|_| too_large(&span))?),
            Token::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Literal::Float(number),
                _ => return Err(too_large(&span)),
            },
            Token::Text | Token::RawText => Literal::Text(lexer::unquote(token, text, span.start)?),
            _ => return Err(self.unexpected("a field, a literal, a function or `(`")),
        };
        self.at += 1;
        Ok(literal)
    }

    fn here(&self) -> (Token, Span) {
        let end = self.query.len()..self.query.len();
        self.tokens.get(self.at).cloned().unwrap_or((Token::End, end))
    }

    fn token(&self) -> Token {
        self.tokens.get(self.at).map_or(Token::End, |(token, _)| *token)
    }

    fn peek(&self) -> Token {
        self.tokens.get(self.at + 1).map_or(Token::End, |(token, _)| *token)
    }

    fn next(&mut self) -> (Token, Span) {
        let here = self.here();
        self.at += 1;
        here
    }

    fn previous_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |(_, span)| span.end)
    }

    fn text(&self, span: &Span) -> &str {
        self.query.get(span.clone()).unwrap_or_default()
    }

    fn expect(&mut self, token: Token, what: &str) -> Parsed<Span> {
        if self.token() != token {
            return Err(self.unexpected(what));
        }
        Ok(self.next().1)
    }

    fn unexpected(&self, wanted: &str) -> Diagnostic {
        let (token, span) = self.here();
        let found = match token {
            Token::End => "the query ends".to_owned(),
            _ => format!("found `{}`", self.text(&span)),
        };
        Diagnostic::new(Code::Syntax, span, format!("{found}, expected {wanted}"))
            .label(format!("expected {wanted}"))
    }

    fn unsupported(&self, what: &str) -> Diagnostic {
        Diagnostic::new(Code::Unsupported, self.here().1, format!("{what}: not supported yet"))
            .help("this version runs queries on single events: `category where condition`")
    }
}

fn node(span: Span, kind: NodeKind) -> Node {
    Node { span, kind }
}

/// A sign before a number belongs to the number.
fn signed(sign: Token, operand: NodeKind) -> NodeKind {
    match (sign, operand) {
        (Token::Minus, NodeKind::Literal(Literal::Int(n))) => NodeKind::Literal(Literal::Int(-n)),
        (Token::Minus, NodeKind::Literal(Literal::Float(n))) => {
            NodeKind::Literal(Literal::Float(-n))
        }
        (Token::Plus, number @ NodeKind::Literal(Literal::Int(_) | Literal::Float(_))) => number,
        _ => NodeKind::Arithmetic,
    }
}

fn too_large(span: &Span) -> Diagnostic {
    Diagnostic::new(Code::Token, span.clone(), "the number is too large")
        .help("whole numbers have 64 bits")
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
        Token::Equal => Comparison::Equal,
        Token::NotEqual => Comparison::NotEqual,
        Token::Less => Comparison::Less,
        Token::LessEqual => Comparison::LessEqual,
        Token::Greater => Comparison::Greater,
        Token::GreaterEqual => Comparison::GreaterEqual,
        _ => return None,
    })
}
