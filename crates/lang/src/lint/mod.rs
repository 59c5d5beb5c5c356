//! What sound rules probably do not mean: looked for in the compiled program, so that it is found
//! in every format that rules come in.

mod cost;
mod logic;
mod shadow;

use std::collections::BTreeSet;

use model::action;
use model::field::{self, FieldId};
use model::op::Kind;
use model::program::{Expr, Filter, Logic, Pipe, Program, Query, Rule, Scalar, Test};

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::fmt::field_name;

/// A finding about a rule of a program, without its file.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Number of the rule.
    pub(crate) rule: usize,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: String,
    /// Words to look for in the query, so that the finding points at them.
    pub(crate) near: Vec<String>,
}

/// All findings, by rule.
pub(crate) fn program(program: &Program) -> Vec<Finding> {
    let mut all = Vec::new();
    for (number, rule) in program.rules.iter().enumerate() {
        let mut look = Look { program, rule: number, found: &mut all };
        look.rule(rule);
    }
    shadow::find(program, &mut all);
    all.sort_by_key(|finding| finding.rule);
    all
}

/// The finding as a diagnostic at a place of the query.
pub(crate) fn diagnostic(finding: &Finding, text: &str, query: &Span) -> Diagnostic {
    let inside = text.get(query.clone()).unwrap_or_default();
    let at = finding.near.iter().find_map(|word| {
        let at = query.start + inside.find(word.as_str())?;
        Some(at..at + word.len())
    });
    // Where nothing of it is found as it stands: the first line that says something.
    let skipped = inside.len() - inside.trim_start_matches(['\'', '"', '\n', '\r', ' ']).len();
    let line = inside.get(skipped..).and_then(|rest| rest.lines().next()).unwrap_or_default().len();
    let line = query.start + skipped..query.start + skipped + line;
    let found = Diagnostic::new(finding.code, at.unwrap_or(line), finding.message.clone());
    let found = found.label(finding.label.clone());
    if finding.help.is_empty() { found } else { found.help(finding.help.clone()) }
}

/// Looks at one rule.
struct Look<'a> {
    program: &'a Program,
    rule: usize,
    found: &'a mut Vec<Finding>,
}

impl Look<'_> {
    fn rule(&mut self, rule: &Rule) {
        if let Query::Sequence(sequence) = &rule.query
            && sequence.maxspan.is_none()
        {
            let finding =
                self.push(Code::Unending, "the sequence has no bound in time", "sequence");
            finding.help.push_str(
                "add `with maxspan=…`: what is begun is kept until it ends or is evicted",
            );
        }
        self.unfilled(rule);
        self.only_at_end(rule);
        for filter in rule.filters() {
            self.wrong_category(filter);
            logic::check(&filter.condition, self);
            cost::check(&filter.condition, self);
        }
    }

    fn push(&mut self, code: Code, message: impl Into<String>, near: &str) -> &mut Finding {
        self.found.push(Finding {
            rule: self.rule,
            code,
            message: message.into(),
            label: code.title().to_owned(),
            help: String::new(),
            near: vec![near.to_owned()],
        });
        let last = self.found.len() - 1;
        // The element was pushed above.
        #[expect(clippy::indexing_slicing, reason = "the list is not empty")]
        &mut self.found[last]
    }

    /// Pipes that hold all results back until no more events come: on a live host, for ever.
    fn only_at_end(&mut self, rule: &Rule) {
        let in_order = matches!(rule.query, Query::Sequence(_)) && rule.logic == Logic::Complement;
        let Some(pipe) = rule.pipes.iter().find(|pipe| in_order || waits(pipe)) else { return };
        if rule.kinds().is_empty() {
            return;
        }
        let name = pipe.name();
        let message = format!("`| {name}` gives its results when the input ends");
        let finding = self.push(Code::OnlyAtEnd, message, name);
        finding.near = vec![format!("| {name}"), format!("|{name}"), name.to_owned()];
        finding.help.push_str(if in_order {
            "results of a sequence are put in the order of their first events: on live events, where \
             the input never ends, leave out the pipe"
        } else {
            "on live events, where the input never ends, the rule raises no alert: leave out the pipe"
        });
    }

    /// Fields that only documents carry.
    fn unfilled(&mut self, rule: &Rule) {
        let mut fields = BTreeSet::new();
        for filter in rule.filters() {
            self.missing(&filter.condition, &mut fields);
        }
        let names: Vec<String> =
            fields.into_iter().map(|id| field_name(id, self.program).to_owned()).collect();
        let Some(first) = names.first() else { return };
        let message = format!("no sensor fills `{}`", names.join("`, `"));
        let never = rule.kinds().is_empty();
        let finding = self.push(Code::NotFilled, message, first);
        "only events that are read from files can carry this".clone_into(&mut finding.label);
        finding.help.push_str(if never {
            "on live events such a field is absent, and without it the rule never matches"
        } else {
            "on live events such a field is absent"
        });
        finding.near = names;
    }

    /// Such fields of a condition; those of raw records only where nothing beside them says the same
    /// of a live event.
    fn missing(&self, condition: &Expr, fields: &mut BTreeSet<FieldId>) {
        let unfilled = |expr: &Expr| {
            let mut all = Vec::new();
            expr.walk(&mut |scalar| {
                if let Scalar::Field(id) | Scalar::Member(_, id) = scalar {
                    all.extend(field::field(*id).is_none().then_some(*id));
                }
            });
            all
        };
        match condition {
            Expr::And(all) => all.iter().for_each(|one| self.missing(one, fields)),
            Expr::Not(inner) => self.missing(inner, fields),
            Expr::Or(any) => {
                let is_live = any.iter().any(|one| unfilled(one).is_empty());
                let of_record = |id: &FieldId| is_record(field_name(*id, self.program));
                for one in any {
                    let all = unfilled(one);
                    if !(is_live && matches!(one, Expr::Test(..)) && all.iter().all(of_record)) {
                        self.missing(one, fields);
                    }
                }
            }
            other => fields.extend(unfilled(other)),
        }
    }

    /// A field that events of this category do not have.
    fn wrong_category(&mut self, filter: &Filter) {
        let kinds = filter.kinds();
        if kinds.is_empty() {
            return;
        }
        let mut conjuncts = Vec::new();
        flatten(&filter.condition, &mut conjuncts);
        for one in conjuncts {
            let Expr::Test(id, _) = one else { continue };
            let name = field_name(*id, self.program).to_owned();
            let Some(categories) = categories_of(&name) else { continue };
            let possible = Kind::ALL.iter().filter(|kind| kinds.contains(**kind));
            let mut words = possible.flat_map(|kind| action::of(*kind).category);
            if !words.any(|word| categories.contains(word)) {
                let message = format!("events of this category have no `{name}`");
                self.push(Code::NeverMatches, message, &name).help =
                    format!("`{name}` is filled for: {}", categories.join(", "));
            }
        }
    }
}

/// Whether a pipe gives nothing before all results are there.
fn waits(pipe: &Pipe) -> bool {
    match pipe {
        Pipe::Head(_) | Pipe::Unique(_) | Pipe::Filter(_) => false,
        Pipe::Tail(_) | Pipe::Sort(_) | Pipe::Count(_) | Pipe::UniqueCount(_) => true,
    }
}

/// Whether a field holds a raw record, or a part of one.
fn is_record(name: &str) -> bool {
    matches!(name, "message" | "event.original" | "tags" | "user.audit.id")
        || name.starts_with("auditd.")
}

/// Categories whose events carry a field, by its first word; `None` for fields of all events.
fn categories_of(name: &str) -> Option<&'static [&'static str]> {
    const FILE: &[&str] = &["file", "configuration", "driver"];
    const NETWORK: &[&str] = &["network", "dns"];
    match name.split('.').next() {
        Some("file") => Some(FILE),
        Some("source" | "destination" | "network" | "dns") => Some(NETWORK),
        _ => None,
    }
}

/// Operands of a conjunction, however it is nested.
fn flatten<'e>(expr: &'e Expr, all: &mut Vec<&'e Expr>) {
    match expr {
        Expr::And(inner) => inner.iter().for_each(|one| flatten(one, all)),
        other => all.push(other),
    }
}

/// Calls back for each test of a field.
fn tests(expr: &Expr, seen: &mut dyn FnMut(FieldId, &Test)) {
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().for_each(|one| tests(one, seen)),
        Expr::Not(inner) => tests(inner, seen),
        Expr::Test(id, test) => seen(*id, test),
        _ => {}
    }
}
