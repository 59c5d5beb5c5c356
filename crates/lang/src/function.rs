//! Functions of the query language.

use model::program::{Expr, Function as F, Place, Scalar, Test};

use crate::ast::{Literal, Node, NodeKind, Pattern};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::literal;
use crate::lower::{Lower, Subject, constant};

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A condition that is a test of its first argument where the others are literals.
    Test(F, Tested),
    /// A value.
    Value(F),
    /// `arraySearch`, and `arrayCount` if it counts.
    Search { count: bool },
}

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tested {
    Part(Place),
    Pattern(Pattern),
    Cidr,
    Contains,
}

/// A row of the table of functions.
struct Row {
    name: &'static str,
    what: What,
    /// Fewest and most arguments.
    count: (usize, usize),
    /// Whether there is `name~`.
    tilde: bool,
    /// How it is written.
    usage: &'static str,
}

const fn row(
    name: &'static str,
    what: What,
    count: (usize, usize),
    tilde: bool,
    usage: &'static str,
) -> Row {
    Row { name, what, count, tilde, usage }
}

/// More arguments than a list may have are refused by the parser.
const MANY: usize = usize::MAX;

use Tested::{Cidr, Contains, Part as InPart};
use What::{Search, Test as Tests, Value as Gives};

const REGEX: Tested = Tested::Pattern(Pattern::Regex);
const WILDCARD: Tested = Tested::Pattern(Pattern::Wildcard);

/// All functions.
const FUNCTIONS: &[Row] = &[
    row("add", Gives(F::Add), (2, 2), false, "add(a, b)"),
    row(
        "arrayContains",
        Tests(F::ArrayContains, Contains),
        (2, MANY),
        true,
        "arrayContains(list, value, …)",
    ),
    row(
        "arrayCount",
        Search { count: true },
        (3, 3),
        false,
        "arrayCount(list, variable, condition)",
    ),
    row(
        "arraySearch",
        Search { count: false },
        (3, 3),
        false,
        "arraySearch(list, variable, condition)",
    ),
    row("between", Gives(F::Between), (3, 5), true, "between(text, \"left\", \"right\", greedy)"),
    row(
        "cidrMatch",
        Tests(F::CidrMatch, Cidr),
        (2, MANY),
        false,
        "cidrMatch(field, \"10.0.0.0/8\", …)",
    ),
    row("concat", Gives(F::Concat), (1, MANY), false, "concat(a, b, …)"),
    row("divide", Gives(F::Divide), (2, 2), false, "divide(a, b)"),
    row(
        "endsWith",
        Tests(F::EndsWith, InPart(Place::End)),
        (2, 2),
        true,
        "endsWith(field, \"text\")",
    ),
    row("indexOf", Gives(F::IndexOf), (2, 3), true, "indexOf(text, \"part\", start)"),
    row("length", Gives(F::Length), (1, 1), false, "length(field)"),
    row("match", Tests(F::Match, REGEX), (2, MANY), true, "match(field, \"regex\", …)"),
    row("matchLite", Tests(F::Match, REGEX), (2, MANY), true, "matchLite(field, \"regex\", …)"),
    row("modulo", Gives(F::Modulo), (2, 2), false, "modulo(a, b)"),
    row("multiply", Gives(F::Multiply), (2, 2), false, "multiply(a, b)"),
    row("number", Gives(F::Number), (1, 2), false, "number(text, base)"),
    row("safe", Gives(F::Safe), (1, 1), false, "safe(value)"),
    row(
        "startsWith",
        Tests(F::StartsWith, InPart(Place::Start)),
        (2, 2),
        true,
        "startsWith(field, \"text\")",
    ),
    row("string", Gives(F::String), (1, 1), false, "string(value)"),
    row(
        "stringContains",
        Tests(F::StringContains, InPart(Place::Anywhere)),
        (2, 2),
        true,
        "stringContains(field, \"text\")",
    ),
    row("substring", Gives(F::Substring), (2, 3), false, "substring(text, from, to)"),
    row("subtract", Gives(F::Subtract), (2, 2), false, "subtract(a, b)"),
    row("toLower", Gives(F::ToLower), (1, 1), false, "toLower(text)"),
    row("toUpper", Gives(F::ToUpper), (1, 1), false, "toUpper(text)"),
    row("wildcard", Tests(F::Wildcard, WILDCARD), (2, MANY), true, "wildcard(field, \"a*\", …)"),
];

/// A call as written.
struct Call<'n> {
    row: &'static Row,
    args: &'n [Node],
    fold: bool,
    span: &'n Span,
}

impl Call<'_> {
    fn wrong(&self) -> Diagnostic {
        let message = format!("wrong arguments of `{}`", self.row.name);
        Diagnostic::new(Code::BadArguments, self.span.clone(), message)
            .help(format!("write `{}`", self.row.usage))
    }
}

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
        if let Some(script) = self.script_of(name) {
            return self.script_call(script, (name, name_span), args, fold, span);
        }
        let call = self.known(name, name_span, args, fold, span)?;
        match call.row.what {
            What::Test(function, tested) => self.test_call(&call, function, tested),
            What::Search { count: false } => self.search(&call, false).map(Expr::Truth),
            What::Value(F::Length) => self.fail(
                Diagnostic::new(Code::BadOperand, name_span.clone(), "a length is no condition")
                    .help("compare it: `length(field) > 10`"),
            ),
            What::Value(F::Safe) => Some(Expr::Truth(self.call_scalar(&call, F::Safe)?)),
            What::Value(_) | What::Search { count: true } => {
                let message = format!("the result of `{}` is no condition", call.row.name);
                self.fail(
                    Diagnostic::new(Code::BadOperand, name_span.clone(), message)
                        .help("compare it"),
                )
            }
        }
    }

    /// A call that stands as a value.
    pub(crate) fn value_of_call(
        &mut self,
        name: &str,
        name_span: &Span,
        args: &[Node],
        fold: bool,
        span: &Span,
    ) -> Option<Subject> {
        if let Some(script) = self.script_of(name) {
            let question = self.script_call(script, (name, name_span), args, fold, span)?;
            return Some(Subject::computed(Scalar::Condition(Box::new(question))));
        }
        let call = self.known(name, name_span, args, fold, span)?;
        let scalar = match call.row.what {
            What::Value(function) => self.call_scalar(&call, function)?,
            What::Search { count } => self.search(&call, count)?,
            What::Test(function, tested) => {
                Scalar::Condition(Box::new(self.test_call(&call, function, tested)?))
            }
        };
        Some(Subject::computed(scalar))
    }

    /// The function of that name with a fitting number of arguments.
    fn known<'n>(
        &mut self,
        name: &str,
        name_span: &Span,
        args: &'n [Node],
        fold: bool,
        span: &'n Span,
    ) -> Option<Call<'n>> {
        let Some(row) = FUNCTIONS.iter().find(|row| row.name.eq_ignore_ascii_case(name)) else {
            let help = nearest(name, FUNCTIONS.iter().map(|row| row.name))
                .map(|near| format!("there is a function `{near}`"))
                .or_else(|| self.script_near(name));
            let message = format!("no function `{name}`");
            let found = Diagnostic::new(Code::UnknownFunction, name_span.clone(), message);
            return self.fail(found.help_if(help));
        };
        let call = Call { row, args, fold, span };
        if fold && !row.tilde {
            return self.fail(call.wrong().label("there is no case in what it does"));
        }
        if args.len() < row.count.0 || args.len() > row.count.1 {
            return self.fail(call.wrong());
        }
        Some(call)
    }

    /// What was probably meant by a name with a dot that is no script.
    fn script_near(&self, name: &str) -> Option<String> {
        let (script, function) = name.split_once('.')?;
        let own = self.schema.scripts.iter().skip(self.schema.first_script);
        let names = own.map(|script| script.name.as_str());
        Some(match nearest(script, names) {
            Some(near) => format!("there is a script `{near}`: `{near}.{function}(…)`"),
            None => "declare the script in a `[[script]]` table".to_owned(),
        })
    }

    fn call_scalar(&mut self, call: &Call<'_>, function: F) -> Option<Scalar> {
        let subjects: Vec<Option<Subject>> =
            call.args.iter().map(|node| self.subject(node)).collect();
        let subjects = subjects.into_iter().collect::<Option<Vec<_>>>()?;
        if let (F::Length, Some(first), Some(node)) =
            (function, subjects.first(), call.args.first())
            && !literal::is_text(first.kind)
            && !self.schema.lenient()
        {
            let found = literal::mismatch(first.kind, &first.name, "`length`", &node.span);
            return self.fail(found);
        }
        let args = subjects.into_iter().map(|subject| subject.scalar).collect();
        let fold = call.row.tilde && self.folds(call.fold);
        Some(constant::call(function, args, fold))
    }

    fn test_call(&mut self, call: &Call<'_>, function: F, tested: Tested) -> Option<Expr> {
        let (first, rest) = call.args.split_first()?;
        let subject = self.subject(first)?;
        let all_literal = rest.iter().all(|node| matches!(node.kind, NodeKind::Literal(_)));
        if subject.literal().is_some() && !self.dialect.is_classic() {
            return self.fail(call.wrong().label("the first argument must be a field"));
        }
        let needs_literals = matches!(tested, Tested::Pattern(Pattern::Regex) | Tested::Cidr);
        if !all_literal && !needs_literals {
            let scalar = self.call_scalar(call, function)?;
            return Some(Expr::Truth(scalar));
        }
        let literals = self.literals(rest)?;
        self.test_of(&subject, tested, &literals, call, first)
    }

    fn test_of(
        &mut self,
        subject: &Subject,
        tested: Tested,
        literals: &[(&Literal, &Span)],
        call: &Call<'_>,
        first: &Node,
    ) -> Option<Expr> {
        let fold = call.row.tilde && self.folds(call.fold);
        let test = match tested {
            Tested::Part(place) => {
                let kind = self.text_kind(subject);
                let name = call.row.name;
                let texts = literal::texts(kind, &subject.name, name, literals, self.found)?;
                let any = texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
                Test::Part { place, any, fold }
            }
            Tested::Pattern(pattern) => return self.pattern_of(subject, pattern, literals, fold),
            Tested::Cidr => {
                if !self.schema.lenient()
                    && subject.kind.is_some()
                    && !literal::is_address(subject.kind)
                {
                    let found =
                        literal::mismatch(subject.kind, &subject.name, "`cidrMatch`", &first.span);
                    return self.fail(found);
                }
                literal::cidr(subject.kind, &subject.name, literals, self.found)?
            }
            Tested::Contains => {
                let kind = self.kind(subject, literals.iter().map(|(literal, _)| *literal));
                literal::equals(kind, &subject.name, literals, fold, self.found)?
            }
        };
        Some(subject.test(test))
    }

    /// The type of a subject of a test of text; in rules of strangers any type is shown as text.
    fn text_kind(&self, subject: &Subject) -> literal::Kind {
        subject.kind.filter(|_| !self.schema.lenient())
    }

    fn search(&mut self, call: &Call<'_>, count: bool) -> Option<Scalar> {
        let [list, variable, condition] = call.args else { return self.fail(call.wrong()) };
        let name = match &variable.kind {
            NodeKind::Field(name) if name.rest.is_empty() && !name.text.contains('.') => &name.text,
            _ => {
                let span = variable.span.clone();
                return self.fail(
                    Diagnostic::new(Code::BadArguments, span, "a variable is expected here")
                        .help(format!("write `{}`", call.row.usage)),
                );
            }
        };
        let list = Box::new(self.subject(list)?.scalar);
        self.with_variable(name, |lower, variable| {
            let condition = Box::new(lower.condition(condition)?);
            Some(Scalar::Search { list, variable, condition, count })
        })
    }
}
