//! Names: fields, variables, members of a sequence.

use model::field::{FIELDS, FieldId};
use model::program::Scalar;

use super::{Lower, Subject};
use crate::ast::{Name, Part};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::schema::{Schema, Unknown};

impl Lower<'_> {
    /// What a name stands for.
    pub(super) fn reference(&mut self, name: &Name, span: &Span) -> Option<Subject> {
        let (first, below) = match name.text.split_once('.') {
            Some((first, below)) => (first, Some(below)),
            None => (name.text.as_str(), None),
        };
        if let Some((_, number)) = self.variables.iter().rev().find(|(known, _)| known == first) {
            let names = below.into_iter().flat_map(|below| below.split('.'));
            let parts = names.map(|part| Part::Name(part.to_owned()));
            let parts: Vec<Part> = parts.chain(name.rest.iter().cloned()).collect();
            return Some(Subject::computed(element(Scalar::Variable(*number), parts)));
        }
        let step = self.aliases.iter().find(|(known, _)| known == first).map(|(_, step)| *step);
        if let (Some(step), Some(below)) = (step, below) {
            return self.member(step, below, &name.rest, span);
        }
        if self.in_pipe
            && first == "events"
            && let Some((Part::Index(at), rest)) = name.rest.split_first()
        {
            let names: Vec<&str> = rest.iter().map_while(part_name).collect();
            let rest = rest.get(names.len()..).unwrap_or_default().to_vec();
            let step = u16::try_from(*at).unwrap_or(u16::MAX);
            return self.member(step, &names.join("."), &rest, span);
        }
        if name.variable {
            let message = format!("no step or variable is called `{first}`");
            return self.fail(Diagnostic::new(Code::UnknownField, span.clone(), message));
        }
        let id = self.field(&name.text, span)?;
        if !name.rest.is_empty() {
            let value = element(Scalar::Field(id), name.rest.clone());
            return Some(Subject::computed(value));
        }
        Some(Subject { scalar: Scalar::Field(id), kind: Schema::kind(id), name: name.text.clone() })
    }

    /// Lowers what knows no earlier members.
    pub(super) fn without_members<T>(
        &mut self,
        what: &'static str,
        lower: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.no_members.replace(what);
        let lowered = lower(self);
        self.no_members = before;
        lowered
    }

    /// A field of an earlier member.
    fn member(&mut self, step: u16, name: &str, rest: &[Part], span: &Span) -> Option<Subject> {
        if let Some(what) = self.no_members {
            let message = format!("{what} knows no other member of the sequence");
            return self.fail(
                Diagnostic::new(Code::BadOperand, span.clone(), message)
                    .label("asks for one")
                    .help("compare with the member in the condition of the step"),
            );
        }
        let id = self.field(name, span)?;
        let scalar = element(Scalar::Member(step, id), rest.to_vec());
        let kind = if rest.is_empty() { Schema::kind(id) } else { None };
        Some(Subject { scalar, kind, name: name.to_owned() })
    }

    /// The field of that name, or a diagnostic with the nearest one.
    fn field(&mut self, name: &str, span: &Span) -> Option<FieldId> {
        if self.counted && matches!(name, "count" | "percent") {
            return self.schema.document_field(name);
        }
        if let Some(id) = self.schema.field(name) {
            return Some(id);
        }
        if self.schema.unknown == Unknown::Document {
            let message = "the rules name too many fields";
            return self.fail(Diagnostic::new(Code::Limit, span.clone(), message));
        }
        let help = nearest(name, FIELDS.iter().map(|row| row.name))
            .map(|near| format!("there is a field `{near}`"));
        self.fail(
            Diagnostic::new(Code::UnknownField, span.clone(), format!("no field `{name}`"))
                .label("no sensor fills this")
                .help("`kestrel fields` lists all of them")
                .help_if(help),
        )
    }

    /// Lowers with a variable in scope.
    pub(crate) fn with_variable<T>(
        &mut self,
        name: &str,
        lower: impl FnOnce(&mut Self, u16) -> Option<T>,
    ) -> Option<T> {
        let number = self.next_variable;
        self.next_variable = self.next_variable.checked_add(1)?;
        self.variables.push((name.to_owned(), number));
        let lowered = lower(self, number);
        self.variables.pop();
        lowered
    }
}

fn element(value: Scalar, parts: Vec<Part>) -> Scalar {
    if parts.is_empty() { value } else { Scalar::Element(Box::new(value), parts) }
}

fn part_name(part: &Part) -> Option<&str> {
    match part {
        Part::Name(name) => Some(name),
        Part::Index(_) => None,
    }
}
