//! Functions of the query language.

use model::field::FieldType;
use model::program::{Expr, Place, Test};

use crate::ast::{Literal, Node, NodeKind, Pattern};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::literal;
use crate::lower::{Lower, unsupported};

/// Functions that are conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Part(Place),
    Pattern(Pattern),
    Cidr,
}

/// Name, what it is, and how it is written.
const FUNCTIONS: &[(&str, Function, &str)] = &[
    ("startsWith", Function::Part(Place::Start), "startsWith(field, \"text\")"),
    ("endsWith", Function::Part(Place::End), "endsWith(field, \"text\")"),
    ("stringContains", Function::Part(Place::Anywhere), "stringContains(field, \"text\")"),
    ("wildcard", Function::Pattern(Pattern::Wildcard), "wildcard(field, \"a*\", …)"),
    ("match", Function::Pattern(Pattern::Regex), "match(field, \"regex\", …)"),
    ("cidrMatch", Function::Cidr, "cidrMatch(field, \"10.0.0.0/8\", …)"),
];

/// Functions that are values; only `length` is run, and only in a comparison.
const VALUES: &[&str] = &[
    "length",
    "add",
    "between",
    "concat",
    "divide",
    "indexOf",
    "modulo",
    "multiply",
    "number",
    "string",
    "substring",
    "subtract",
    "arrayContains",
    "arrayCount",
    "arraySearch",
];

impl Lower<'_> {
    /// A call that stands as a condition.
    pub(crate) fn call(
        &mut self,
        name: &str,
        name_span: &Span,
        args: &[Node],
        fold: bool,
        span: &Span,
    ) -> Option<Expr> {
        let known = FUNCTIONS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let Some((name, function, usage)) = known else {
            return self.not_a_condition(name, name_span);
        };
        let wrong = || {
            Diagnostic::new(
                Code::BadArguments,
                span.clone(),
                format!("wrong arguments of `{name}`"),
            )
            .help(format!("write `{usage}`"))
        };
        let Some((first, rest)) = args.split_first() else { return self.fail(wrong()) };
        let takes_more = !matches!(function, Function::Part(_));
        if rest.is_empty() || (rest.len() > 1 && !takes_more) {
            return self.fail(wrong());
        }
        if fold && *function == Function::Cidr {
            return self.fail(wrong().label("addresses have no case"));
        }
        if matches!(first.kind, NodeKind::Literal(_)) {
            return self.fail(wrong().label("the first argument must be a field"));
        }
        let operand = self.operand(first);
        let literals = self.literals(rest)?;
        let (id, kind, field) = operand?;
        match function {
            Function::Part(place) => {
                let texts = literal::texts(kind, &field, name, &literals, self.found)?;
                let any = texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
                Some(Expr::Test(id, Test::Part { place: *place, any, fold }))
            }
            Function::Pattern(pattern) => {
                self.pattern_of((id, kind, &field), *pattern, &literals, fold)
            }
            Function::Cidr => self.cidr(kind, &field, &literals, first).map(|t| Expr::Test(id, t)),
        }
    }

    fn cidr(
        &mut self,
        kind: FieldType,
        field: &str,
        literals: &[(&Literal, &Span)],
        first: &Node,
    ) -> Option<Test> {
        if !matches!(kind, FieldType::Ip | FieldType::Ips) {
            return self.fail(literal::mismatch(kind, field, "`cidrMatch`", &first.span));
        }
        literal::cidr(kind, field, literals, self.found)
    }

    fn not_a_condition(&mut self, name: &str, span: &Span) -> Option<Expr> {
        if name.eq_ignore_ascii_case("length") {
            return self.fail(
                Diagnostic::new(Code::BadOperand, span.clone(), "a length is no condition")
                    .help("compare it: `length(field) > 10`"),
            );
        }
        if VALUES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return self.fail(unsupported(span, &format!("the function `{name}`")));
        }
        let names = FUNCTIONS.iter().map(|(name, ..)| *name).chain(VALUES.iter().copied());
        let help = nearest(name, names).map(|near| format!("there is a function `{near}`"));
        self.fail(
            Diagnostic::new(Code::UnknownFunction, span.clone(), format!("no function `{name}`"))
                .help_if(help),
        )
    }
}
