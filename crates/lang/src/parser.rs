//! Tokens into a syntax tree: a Pratt parser that goes on after an error.
//!
//! It recurses at most `MAX_DEPTH` levels, and each step of it takes a token: any text is answered
//! in time proportional to its length.

mod cursor;
mod steps;

use crate::ast::{
    Comparison, Literal, Name, Node, NodeKind, Operator, Part, Pattern, Query, Relation,
};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::lexer::{self, Token};
use crate::limits::{MAX_DEPTH, MAX_LIST, MAX_QUERY};

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
                self.methods(inner)
            }
            Token::Minus | Token::Plus => {
                self.at += 1;
                let inner = self.expression(Power::Sign)?;
                let place = span.start..inner.span.end;
                Ok(node(place, signed(token, inner)))
            }
            Token::Question | Token::Dollar => {
                self.at += 1;
                if token == Token::Dollar && self.dialect == Dialect::Elastic {
                    self.outside("`$`");
                }
                let end = self.expect(Token::Name, "a name")?;
                let text = self.text(&end).replace('`', "");
                let mut name = plain(text);
                name.optional = token == Token::Question;
                name.variable = token == Token::Dollar;
                self.indexes(span.start, name)
            }
            Token::Name => self.name(),
            _ => {
                let literal = node(span, NodeKind::Literal(self.literal()?));
                self.methods(literal)
            }
        }
    }

    /// A field, a call when a parenthesis follows, or a lineage query when `of [` does.
    fn name(&mut self) -> Parsed<Node> {
        let (_, span) = self.next();
        if self.word() == Some("of") && self.peek() == Token::OpenStep {
            return self.lineage(&span);
        }
        let name = self.text(&span).replace('`', "");
        let fold = self.token() == Token::Tilde && self.peek() == Token::Open;
        if fold {
            self.at += 1;
        }
        if self.token() != Token::Open {
            return self.indexes(span.start, plain(name));
        }
        self.at += 1;
        let args = self.list(Self::argument)?;
        let place = span.start..self.previous_end();
        let call = NodeKind::Call { name, name_span: span, args, fold };
        self.methods(node(place, call))
    }

    /// `[0]`, `.name` after a name.
    fn indexes(&mut self, start: usize, mut name: Name) -> Parsed<Node> {
        loop {
            let glued = self.here().1.start == self.previous_end();
            match self.token() {
                Token::OpenStep if self.peek() == Token::Int && (glued || !self.in_keys) => {
                    if !self.dialect.is_classic() {
                        self.outside("an element of a list");
                    }
                    self.at += 1;
                    let (_, place) = self.next();
                    let index = self.text(&place).parse().map_err(|_| too_large(&place))?;
                    name.rest.push(Part::Index(index));
                    self.expect(Token::CloseStep, "`]`")?;
                }
                Token::Dot if glued && !name.rest.is_empty() => {
                    let (_, dot) = self.next();
                    let place = self.expect(Token::Name, "a name")?;
                    if place.start != dot.end {
                        self.at -= 1;
                        return Err(self.unexpected("a name right behind the dot"));
                    }
                    let text = self.text(&place).replace('`', "");
                    name.rest.extend(text.split('.').map(|part| Part::Name(part.to_owned())));
                }
                _ => break,
            }
        }
        let place = start..self.previous_end();
        self.methods(node(place, NodeKind::Field(name)))
    }

    /// Classic `value:function(…)`.
    fn methods(&mut self, mut value: Node) -> Parsed<Node> {
        while self.dialect.is_classic()
            && self.token() == Token::Colon
            && self.peek() == Token::Name
            && self.token_at(2) == Token::Open
        {
            self.deeper()?;
            self.at += 1;
            let (_, name_span) = self.next();
            self.at += 1;
            let mut args = self.list(Self::argument)?;
            let place = value.span.start..self.previous_end();
            args.insert(0, value);
            let name = self.text(&name_span).to_owned();
            value = node(place, NodeKind::Call { name, name_span, args, fold: false });
        }
        Ok(value)
    }

    /// `child of [ … ]`
    fn lineage(&mut self, word: &Span) -> Parsed<Node> {
        let relation = match self.text(word) {
            "child" => Relation::Child,
            "descendant" => Relation::Descendant,
            "event" => Relation::Event,
            other => {
                let message = format!("`{other} of` has no meaning");
                let help = "there are `child of`, `descendant of` and `event of`";
                return Err(Box::new(
                    Diagnostic::new(Code::Syntax, word.clone(), message).help(help),
                ));
            }
        };
        if self.dialect == Dialect::Elastic {
            let what = format!("`{} of`", self.text(word));
            self.outside(&what);
        }
        self.at += 1;
        let kind = match self.bracketed()? {
            Some(filter) => NodeKind::Lineage(relation, Box::new(filter)),
            None => NodeKind::Bad,
        };
        Ok(node(word.start..self.previous_end(), kind))
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
                return Err(self.limit(format!("the list has more than {MAX_LIST} elements")));
            }
            all.push(element(self)?);
            match self.token() {
                // The classic dialect allows a comma after the last.
                Token::Comma if self.dialect.is_classic() && self.peek() == Token::Close => {
                    self.at += 1;
                    break;
                }
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
            Token::Text | Token::RawText | Token::SingleQuoted | Token::Raw => {
                Literal::Text(lexer::unquote(token, text, span.start)?)
            }
            _ => return Err(self.unexpected("a field, a literal, a function or `(`")),
        };
        self.at += 1;
        Ok(literal)
    }
}

/// A name without an index.
fn plain(text: String) -> Name {
    Name { text, rest: Vec::new(), optional: false, variable: false }
}

fn node(span: Span, kind: NodeKind) -> Node {
    Node { span, kind }
}

/// A sign before a number belongs to the number; before anything else it is arithmetic.
fn signed(sign: Token, operand: Node) -> NodeKind {
    match (sign, operand.kind) {
        (Token::Minus, NodeKind::Literal(Literal::Int(n))) => NodeKind::Literal(Literal::Int(-n)),
        (Token::Minus, NodeKind::Literal(Literal::Float(n))) => {
            NodeKind::Literal(Literal::Float(-n))
        }
        (Token::Plus, number @ NodeKind::Literal(Literal::Int(_) | Literal::Float(_))) => number,
        (sign, kind) => {
            let zero = node(operand.span.clone(), NodeKind::Literal(Literal::Int(0)));
            let operand = node(operand.span, kind);
            NodeKind::Arithmetic(operator(sign), Box::new(zero), Box::new(operand))
        }
    }
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

fn too_large(span: &Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::Token, span.clone(), "the number is too large")
            .help("whole numbers have 64 bits"),
    )
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
