//! What stands between operators: names, calls, literals, signs, parentheses and lists.

use super::{Parsed, Parser, Power, node, operator};
use crate::ast::{Literal, Name, Node, NodeKind, Part, Relation};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::lexer::{self, Token};
use crate::limits::MAX_LIST;

impl Parser<'_> {
    /// A value with what stands before it.
    pub(super) fn prefix(&mut self) -> Parsed<Node> {
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

    pub(super) fn argument(&mut self) -> Parsed<Node> {
        self.expression(Power::Or)
    }

    /// Elements up to the closing parenthesis; the opening one is already taken.
    pub(super) fn list(&mut self, element: fn(&mut Self) -> Parsed<Node>) -> Parsed<Vec<Node>> {
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

fn too_large(span: &Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::Token, span.clone(), "the number is too large")
            .help("whole numbers have 64 bits"),
    )
}
