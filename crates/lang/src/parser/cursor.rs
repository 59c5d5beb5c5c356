//! Where the parser is: looking at tokens, taking them, and what it says where they do not fit.

use super::{Parsed, Parser};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::lexer::Token;
use crate::limits::MAX_ERRORS;

impl Parser<'_> {
    pub(super) fn here(&self) -> (Token, Span) {
        let end = self.query.len()..self.query.len();
        self.tokens.get(self.at).cloned().unwrap_or((Token::End, end))
    }

    pub(super) fn token(&self) -> Token {
        self.tokens.get(self.at).map_or(Token::End, |(token, _)| *token)
    }

    pub(super) fn peek(&self) -> Token {
        self.token_at(1)
    }

    pub(super) fn token_at(&self, ahead: usize) -> Token {
        self.tokens.get(self.at + ahead).map_or(Token::End, |(token, _)| *token)
    }

    /// The next token, if it is a word.
    pub(super) fn word(&self) -> Option<&str> {
        let (token, span) = self.tokens.get(self.at)?;
        (*token == Token::Name).then(|| self.query.get(span.clone()).unwrap_or_default())
    }

    /// Keeps an error and goes on, unless there are too many.
    pub(super) fn note(&mut self, error: Box<Diagnostic>) -> Parsed<()> {
        if self.errors.len() + 1 >= MAX_ERRORS {
            let mut last = error;
            last.code = Code::Limit;
            return Err(last);
        }
        self.errors.push(*error);
        Ok(())
    }

    /// Goes to the next of these tokens that is not within parentheses or brackets begun here, or
    /// to what ends the surrounding part.
    pub(super) fn skip(&mut self, to: &[Token]) {
        let mut open = 0_usize;
        loop {
            let token = self.token();
            if open == 0 && to.contains(&token) {
                return;
            }
            match token {
                Token::End => return,
                Token::Pipe if open == 0 => return,
                Token::Open | Token::OpenStep => open += 1,
                Token::Close | Token::CloseStep => match open.checked_sub(1) {
                    Some(less) => open = less,
                    None => return,
                },
                _ => {}
            }
            self.at += 1;
        }
    }

    pub(super) fn next(&mut self) -> (Token, Span) {
        let here = self.here();
        self.at += 1;
        here
    }

    pub(super) fn previous_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |(_, span)| span.end)
    }

    pub(super) fn text(&self, span: &Span) -> &str {
        self.query.get(span.clone()).unwrap_or_default()
    }

    pub(super) fn expect(&mut self, token: Token, what: &str) -> Parsed<Span> {
        if self.token() != token {
            return Err(self.unexpected(what));
        }
        Ok(self.next().1)
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Box<Diagnostic> {
        let (token, span) = self.here();
        let found = match token {
            Token::End => "the query ends".to_owned(),
            _ => format!("found `{}`", self.text(&span)),
        };
        Box::new(
            Diagnostic::new(Code::Syntax, span, format!("{found}, expected {wanted}"))
                .label(format!("expected {wanted}")),
        )
    }

    pub(super) fn limit(&self, message: String) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(Code::Limit, self.here().1, message))
    }
}
