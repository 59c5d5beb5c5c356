//! Whole queries: filters, sequences with their clauses, pipes.

use super::{Parsed, Parser, Power};
use crate::ast::{Body, Filter, Form, Node, NodeKind, Pipe, Query, Step, Steps};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::lexer::{self, Token};
use crate::limits::{MAX_PIPES, MAX_RUNS, MAX_STEPS};

impl Parser<'_> {
    /// The whole query.
    pub(super) fn query(&mut self) -> Parsed<Query> {
        let body = match self.form() {
            Some(form) => Body::Steps(self.steps(form)?),
            None => Body::Event(self.filter()?),
        };
        let mut pipes = Vec::new();
        while self.token() == Token::Pipe {
            self.at += 1;
            if pipes.len() == MAX_PIPES {
                let message = format!("the query has more than {MAX_PIPES} pipes");
                return Err(self.limit(message));
            }
            pipes.push(self.pipe()?);
        }
        match (self.token(), &body) {
            (Token::End, _) => Ok(Query { body, pipes }),
            (_, Body::Steps(_)) => {
                Err(self.unexpected("`[`, `until`, `|` or the end of the query"))
            }
            _ => Err(self.unexpected("`and`, `or` or the end of the query")),
        }
    }

    /// The word that begins a query of several steps, unless it is a category.
    fn form(&self) -> Option<Form> {
        if self.peek() == Token::Where {
            return None;
        }
        match self.word()? {
            "sequence" => Some(Form::Sequence),
            "sample" => Some(Form::Sample),
            "join" => Some(Form::Join),
            _ => None,
        }
    }

    /// `category where condition`; in the classic dialect a condition alone is about any event.
    pub(super) fn filter(&mut self) -> Parsed<Filter> {
        if self.dialect.is_classic() && self.peek() != Token::Where {
            let condition = self.expression(Power::Or)?;
            return Ok(Filter { category: None, condition });
        }
        let category = self.category()?;
        self.expect(Token::Where, "`where` and a condition")?;
        let condition = self.expression(Power::Or)?;
        Ok(Filter { category, condition })
    }

    fn category(&mut self) -> Parsed<Option<(String, Span)>> {
        let (token, span) = self.here();
        let text = self.text(&span);
        let name = match token {
            Token::Any => None,
            Token::Name => Some((text.replace('`', ""), span)),
            Token::Text | Token::RawText => Some((lexer::unquote(token, text, span.start)?, span)),
            _ => return Err(self.unexpected("a category such as `process`, or `any`")),
        };
        self.at += 1;
        Ok(name)
    }

    fn steps(&mut self, form: Form) -> Parsed<Steps> {
        let (_, span) = self.next();
        let mut all =
            Steps { form, span, by: Vec::new(), maxspan: None, list: Vec::new(), until: None };
        loop {
            match self.word() {
                Some("by") if all.by.is_empty() => {
                    self.at += 1;
                    all.by = self.keys()?;
                }
                Some("with") if all.maxspan.is_none() => {
                    self.at += 1;
                    self.expect_word("maxspan")?;
                    all.maxspan = Some(self.duration()?);
                }
                _ => break,
            }
        }
        while matches!(self.token(), Token::OpenStep | Token::Bang) {
            if all.list.len() == MAX_STEPS {
                return Err(self.limit(format!("the query has more than {MAX_STEPS} steps")));
            }
            all.list.push(self.step()?);
        }
        if all.list.is_empty() {
            return Err(self.unexpected("a step such as `[process where …]`"));
        }
        if self.word() == Some("until") {
            self.at += 1;
            all.until = Some(Box::new(self.step()?));
        }
        Ok(all)
    }

    /// `[ … ]` and what follows it, in any order.
    fn step(&mut self) -> Parsed<Step> {
        let start = self.here().1.start;
        let missing = self.token() == Token::Bang;
        if missing {
            self.at += 1;
        }
        let filter = self.bracketed()?;
        let span = start..self.previous_end();
        let mut step =
            Step { span, filter, by: Vec::new(), missing, fork: false, runs: 1, alias: None };
        loop {
            match self.word() {
                Some("by") if step.by.is_empty() => {
                    self.at += 1;
                    step.by = self.keys()?;
                }
                Some("with") => {
                    self.at += 1;
                    self.expect_word("runs")?;
                    step.runs = self.runs()?;
                }
                Some("as") if step.alias.is_none() => {
                    if self.dialect == Dialect::Elastic {
                        self.outside("a name for a step");
                    }
                    self.at += 1;
                    let place = self.expect(Token::Name, "a name for the step")?;
                    step.alias = Some((self.text(&place).replace('`', ""), place));
                }
                Some("fork") => {
                    if !self.dialect.is_classic() {
                        self.outside("`fork`");
                    }
                    self.at += 1;
                    step.fork = self.fork()?;
                }
                _ => return Ok(step),
            }
        }
    }

    /// `[filter]`; an error within it does not hide the next step.
    pub(super) fn bracketed(&mut self) -> Parsed<Option<Filter>> {
        self.expect(Token::OpenStep, "`[` and an event such as `process where …`")?;
        let depth = self.depth;
        let inner = self
            .filter()
            .and_then(|filter| self.expect(Token::CloseStep, "`and`, `or` or `]`").map(|_| filter));
        match inner {
            Ok(filter) => Ok(Some(filter)),
            Err(error) if error.code == Code::Limit => Err(error),
            Err(error) => {
                self.depth = depth;
                self.note(error)?;
                self.skip(&[Token::CloseStep]);
                self.expect(Token::CloseStep, "`]`")?;
                Ok(None)
            }
        }
    }

    /// Join keys up to the next clause.
    fn keys(&mut self) -> Parsed<Vec<Node>> {
        self.in_keys = true;
        let keys = self.comma_separated();
        self.in_keys = false;
        keys
    }

    fn comma_separated(&mut self) -> Parsed<Vec<Node>> {
        let mut all = vec![self.expression(Power::Or)?];
        while self.token() == Token::Comma {
            self.at += 1;
            if all.len() == crate::limits::MAX_LIST {
                return Err(self.limit("the list is too long".to_owned()));
            }
            all.push(self.expression(Power::Or)?);
        }
        Ok(all)
    }

    /// `=500ms`
    fn duration(&mut self) -> Parsed<u64> {
        self.expect(Token::Assign, "`=` and a time such as `5m`")?;
        let (token, place) = self.here();
        let number: f64 = match token {
            Token::Int | Token::Float => self.text(&place).parse().unwrap_or(f64::INFINITY),
            _ => return Err(self.unexpected("a time such as `5m`")),
        };
        self.at += 1;
        let unit = self.word().unwrap_or("");
        let Some(ns) = unit_ns(unit, self.dialect.is_classic()) else {
            return Err(self.unexpected("a unit: `ms`, `s`, `m`, `h` or `d`"));
        };
        // A number without a unit is seconds; then no word was taken.
        self.at += usize::from(!unit.is_empty());
        let whole = token == Token::Int || self.dialect.is_classic();
        let span = place.start..self.previous_end();
        let time = number * ns;
        if !whole || !(1.0..=MAX_SPAN_NS).contains(&time) {
            return Err(Box::new(
                Diagnostic::new(Code::Token, span, "this time cannot be used")
                    .help("write a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `1d`"),
            ));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        Ok(time as u64)
    }

    fn runs(&mut self) -> Parsed<u64> {
        self.expect(Token::Assign, "`=` and a number")?;
        let place = self.expect(Token::Int, "a number")?;
        match self.text(&place).parse::<u64>() {
            Ok(runs @ 1..=MAX_RUNS) => Ok(runs),
            _ => Err(Box::new(
                Diagnostic::new(Code::Limit, place, "this number of runs cannot be used")
                    .help(format!("`runs` is from 1 to {MAX_RUNS}")),
            )),
        }
    }

    /// `fork`, `fork=true`
    fn fork(&mut self) -> Parsed<bool> {
        if !matches!(self.token(), Token::Assign | Token::Equal) {
            return Ok(true);
        }
        self.at += 1;
        let (token, _) = self.next();
        match token {
            Token::True => Ok(true),
            Token::False => Ok(false),
            _ => {
                self.at -= 1;
                Err(self.unexpected("`true` or `false`"))
            }
        }
    }

    /// `name arguments`; arguments may also be separated by spaces.
    fn pipe(&mut self) -> Parsed<Pipe> {
        let span = self.expect(Token::Name, "a pipe such as `head 10`")?;
        let name = self.text(&span).to_owned();
        let mut args = Vec::new();
        while !matches!(self.token(), Token::Pipe | Token::End) {
            if args.len() == crate::limits::MAX_LIST {
                return Err(self.limit("the pipe has too many arguments".to_owned()));
            }
            args.push(self.expression(Power::Or)?);
            if self.token() == Token::Comma {
                self.at += 1;
            }
        }
        Ok(Pipe { name, span, args })
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.word() != Some(word) {
            return Err(self.unexpected(&format!("`{word}`")));
        }
        self.at += 1;
        Ok(())
    }

    /// Notes that something exists only in other dialects, and goes on.
    pub(super) fn outside(&mut self, what: &str) {
        let found = outside(self.dialect, &self.here().1, what);
        self.errors.push(found);
    }

    pub(super) fn bad(&self) -> Node {
        Node { span: self.here().1, kind: NodeKind::Bad }
    }
}

/// What the dialect lacks.
pub(crate) fn outside(dialect: Dialect, span: &Span, what: &str) -> Diagnostic {
    let message = format!("{what}: not in the dialect `{}`", dialect.as_str());
    Diagnostic::new(Code::Unsupported, span.clone(), message)
        .help("`dialect = \"…\"` of a rule chooses another: elastic, endpoint or classic")
}

/// A hundred years: times beyond that are typing errors.
const MAX_SPAN_NS: f64 = 100.0 * 365.0 * 86_400e9;

fn unit_ns(unit: &str, classic: bool) -> Option<f64> {
    Some(match unit {
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        "d" => 86_400e9,
        _ if !classic => return None,
        "" | "sec" | "secs" | "second" | "seconds" => 1e9,
        "min" | "mins" | "minute" | "minutes" => 60e9,
        "hour" | "hours" => 3_600e9,
        "day" | "days" => 86_400e9,
        _ => return None,
    })
}
