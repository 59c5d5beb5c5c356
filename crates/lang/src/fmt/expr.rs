//! Compiled conditions as query text again: for conversions, and for saying which part of a rule
//! decides something.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::field::{self, FieldId};
use model::program::{
    Expr, Filter, Function, Key, Literal, Operator, Order, Part, Pipe, Place, Program, Query,
    Relation, Rule, Scalar, Sequence, Step, Test,
};

/// A whole rule as query text; `None` for correlations, which have no text in this language.
pub fn rule(rule: &Rule, program: &Program) -> Option<String> {
    let mut write = Writer { program, named: named(rule), in_pipe: false };
    let mut text = match &rule.query {
        Query::Event(filter) => write.filter(filter),
        Query::Sequence(sequence) => write.sequence(sequence),
        Query::Sample(steps) => write.steps("sample", steps),
        Query::Join { steps, until } => {
            let until = until.as_ref().map(|until| format!("\nuntil {}", write.step(until)));
            write.steps("join", steps) + &until.unwrap_or_default()
        }
        Query::Correlation(_) => return None,
    };
    write.in_pipe = true;
    for pipe in &rule.pipes {
        text.push_str("\n| ");
        text.push_str(&write.pipe(pipe));
    }
    Some(text)
}

/// A condition as query text.
pub fn expression(expr: &Expr, program: &Program) -> String {
    Writer { program, named: BTreeSet::new(), in_pipe: false }.expr(expr, Outer::Or)
}

/// Name of a field of the table or of a program.
pub fn field_name(id: FieldId, program: &Program) -> &str {
    match field::field(id) {
        Some(row) => row.name,
        None => usize::from(id.0)
            .checked_sub(field::FIELDS.len())
            .and_then(|at| program.fields.get(at))
            .map_or("?", String::as_str),
    }
}

/// Steps for which later ones ask.
fn named(rule: &Rule) -> BTreeSet<usize> {
    let mut steps = BTreeSet::new();
    for filter in rule.filters() {
        filter.condition.walk(&mut |scalar| {
            if let Scalar::Member(step, _) = scalar {
                steps.insert(usize::from(*step));
            }
        });
    }
    steps
}

struct Writer<'a> {
    program: &'a Program,
    /// Steps that need a name.
    named: BTreeSet<usize>,
    in_pipe: bool,
}

/// What an expression stands in; one that binds looser needs parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outer {
    Or,
    And,
    Not,
}

impl Writer<'_> {
    fn filter(&self, filter: &Filter) -> String {
        let category = match filter.category.as_deref() {
            None => "any".to_owned(),
            Some(word) if word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                word.to_owned()
            }
            Some(word) => quoted(word.as_bytes()),
        };
        format!("{category} where {}", self.expr(&filter.condition, Outer::Or))
    }

    fn sequence(&self, sequence: &Sequence) -> String {
        let span = sequence.maxspan.map(|ns| format!(" with maxspan={}", duration(ns)));
        let mut text =
            self.steps(&format!("sequence{}", span.unwrap_or_default()), &sequence.steps);
        if let Some(until) = &sequence.until {
            text.push_str("\nuntil ");
            text.push_str(&self.step(until));
        }
        text
    }

    fn steps(&self, head: &str, steps: &[Step]) -> String {
        let lines = steps.iter().enumerate().map(|(number, step)| {
            let name =
                if self.named.contains(&number) { format!(" as e{number}") } else { String::new() };
            format!("\n  {}{name}", self.step(step))
        });
        head.to_owned() + &lines.collect::<String>()
    }

    fn step(&self, step: &Step) -> String {
        let keys: Vec<String> = step.by.iter().map(|key| self.key(key)).collect();
        let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
        let missing = if step.missing { "!" } else { "" };
        let fork = if step.fork { " fork" } else { "" };
        format!("{missing}[{}]{fork}{by}", self.filter(&step.filter))
    }

    fn key(&self, key: &Key) -> String {
        let optional = if key.optional { "?" } else { "" };
        format!("{optional}{}", self.scalar(&key.value))
    }

    fn pipe(&self, pipe: &Pipe) -> String {
        let list =
            |all: &[Scalar]| all.iter().map(|one| self.scalar(one)).collect::<Vec<_>>().join(", ");
        match pipe {
            Pipe::Head(count) => format!("head {count}"),
            Pipe::Tail(count) => format!("tail {count}"),
            Pipe::Unique(keys) => format!("unique {}", list(keys)),
            Pipe::Filter(condition) => format!("filter {}", self.expr(condition, Outer::Or)),
            Pipe::Sort(keys) => format!("sort {}", list(keys)),
            Pipe::Count(keys) => format!("count {}", list(keys)).trim_end().to_owned(),
            Pipe::UniqueCount(keys) => format!("unique_count {}", list(keys)),
        }
    }

    fn expr(&self, expr: &Expr, outer: Outer) -> String {
        match expr {
            Expr::Const(value) => value.to_string(),
            Expr::And(all) => self.joined(all, " and ", "true", Outer::And, outer),
            Expr::Or(any) => self.joined(any, " or ", "false", Outer::Or, outer),
            Expr::Not(inner) => self.not(inner),
            Expr::Test(id, test) => Self::test(&self.field(*id), test, outer),
            Expr::Computed(scalar, test) => Self::test(&self.scalar(scalar), test, outer),
            Expr::Compare { left, order, right, fold } => {
                let (left, right) = (self.scalar(left), self.scalar(right));
                if *fold && *order == Order::Equal {
                    return format!("{left} in~ ({right})");
                }
                format!("{left} {} {right}", sign(*order))
            }
            Expr::Truth(scalar) => self.scalar(scalar),
            Expr::Lineage(relation, number) => {
                let word = match relation {
                    Relation::Child => "child",
                    Relation::Descendant => "descendant",
                    Relation::Event => "event",
                };
                let inner = usize::try_from(*number).ok();
                let inner = inner.and_then(|at| self.program.lineages.get(at));
                format!("{word} of [{}]", inner.map(|one| self.filter(one)).unwrap_or_default())
            }
            Expr::Script { script, function, args } => self.question(*script, *function, args),
        }
    }

    /// `script.function(arguments)`
    fn question(&self, script: u32, function: u32, args: &[Scalar]) -> String {
        let script = usize::try_from(script).ok().and_then(|at| self.program.scripts.get(at));
        let function = usize::try_from(function)
            .ok()
            .and_then(|at| script?.functions.get(at))
            .map_or("?", String::as_str);
        let args: Vec<String> = args.iter().map(|arg| self.scalar(arg)).collect();
        format!("{}.{function}({})", script.map_or("?", |it| &it.name), args.join(", "))
    }

    fn joined(&self, all: &[Expr], word: &str, none: &str, own: Outer, outer: Outer) -> String {
        match all {
            [] => none.to_owned(),
            [only] => self.expr(only, outer),
            _ => {
                // The operands bind tighter than the operator itself, or stand in parentheses.
                let inner = if own == Outer::Or { Outer::And } else { Outer::Not };
                let parts: Vec<String> = all.iter().map(|one| self.expr(one, inner)).collect();
                wrap(parts.join(word), own < outer)
            }
        }
    }

    fn not(&self, inner: &Expr) -> String {
        match inner {
            Expr::Test(id, Test::Exists) => format!("{} == null", self.field(*id)),
            Expr::Test(id, Test::Equals { any, fold: false }) if any.len() == 1 => {
                format!("{} != {}", self.field(*id), literals(any))
            }
            other => format!("not {}", self.expr(other, Outer::Not)),
        }
    }

    fn test(value: &str, test: &Test, outer: Outer) -> String {
        match test {
            Test::Exists => format!("{value} != null"),
            Test::Equals { any, fold: false } if any.len() == 1 => {
                format!("{value} == {}", literals(any))
            }
            Test::Equals { any, fold } => {
                format!("{value} in{} ({})", tilde(*fold), literals(any))
            }
            Test::Compare(order, literal) => {
                format!("{value} {} {}", sign(*order), self::literal(literal))
            }
            Test::Wildcard { any, fold } => {
                let word = if *fold { ":" } else { "like" };
                let all = any.iter().map(|one| quoted(one)).collect::<Vec<_>>();
                list_of(&format!("{value} {word}"), &all)
            }
            Test::Regex { any, fold } => {
                let all = any.iter().map(|one| quoted(one.as_bytes())).collect::<Vec<_>>();
                list_of(&format!("{value} regex{}", tilde(*fold)), &all)
            }
            Test::Part { place, any, fold } => {
                let name = match place {
                    Place::Start => "startsWith",
                    Place::End => "endsWith",
                    Place::Anywhere => "stringContains",
                };
                let calls: Vec<String> = any
                    .iter()
                    .map(|one| format!("{name}{}({value}, {})", tilde(*fold), quoted(one)))
                    .collect();
                wrap(calls.join(" or "), calls.len() > 1 && outer > Outer::Or)
            }
            Test::Cidr(networks) => {
                let all = networks.iter().map(|(ip, length)| format!("\"{ip}/{length}\""));
                format!("cidrMatch({value}, {})", all.collect::<Vec<_>>().join(", "))
            }
            Test::Length(order, count) => format!("length({value}) {} {count}", sign(*order)),
        }
    }

    fn field(&self, id: FieldId) -> String {
        let name = field_name(id, self.program);
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'@')
        };
        let parts = name
            .split('.')
            .map(|part| if plain(part) { part.to_owned() } else { format!("`{part}`") });
        parts.collect::<Vec<_>>().join(".")
    }

    fn scalar(&self, scalar: &Scalar) -> String {
        match scalar {
            Scalar::Literal(literal) => self::literal(literal),
            Scalar::Null => "null".to_owned(),
            Scalar::Field(id) => self.field(*id),
            Scalar::Element(value, parts) => {
                let parts = parts.iter().map(|part| match part {
                    Part::Index(at) => format!("[{at}]"),
                    Part::Name(name) => format!(".{name}"),
                });
                self.scalar(value) + &parts.collect::<String>()
            }
            Scalar::Member(step, id) if self.in_pipe => {
                format!("events[{step}].{}", self.field(*id))
            }
            Scalar::Member(step, id) => format!("e{step}.{}", self.field(*id)),
            Scalar::Variable(number) => format!("$v{number}"),
            Scalar::Call { function, args, fold } => {
                let args: Vec<String> = args.iter().map(|one| self.scalar(one)).collect();
                format!("{}{}({})", call(*function), tilde(*fold), args.join(", "))
            }
            Scalar::Arithmetic(operator, left, right) => {
                let sign = match operator {
                    Operator::Add => "+",
                    Operator::Subtract => "-",
                    Operator::Multiply => "*",
                    Operator::Divide => "/",
                    Operator::Modulo => "%",
                };
                format!("({} {sign} {})", self.scalar(left), self.scalar(right))
            }
            Scalar::Condition(expr) => format!("({})", self.expr(expr, Outer::Or)),
            Scalar::Search { list, variable, condition, count } => {
                let name = if *count { "arrayCount" } else { "arraySearch" };
                let (list, inner) = (self.scalar(list), self.expr(condition, Outer::Or));
                format!("{name}({list}, $v{variable}, {inner})")
            }
        }
    }
}

fn wrap(text: String, parentheses: bool) -> String {
    if parentheses { format!("({text})") } else { text }
}

fn list_of(head: &str, all: &[String]) -> String {
    match all {
        [only] => format!("{head} {only}"),
        _ => format!("{head} ({})", all.join(", ")),
    }
}

fn tilde(fold: bool) -> &'static str {
    if fold { "~" } else { "" }
}

fn sign(order: Order) -> &'static str {
    match order {
        Order::Equal => "==",
        Order::Less => "<",
        Order::LessEqual => "<=",
        Order::Greater => ">",
        Order::GreaterEqual => ">=",
    }
}

fn literals(any: &[Literal]) -> String {
    any.iter().map(literal).collect::<Vec<_>>().join(", ")
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Int(number) => number.to_string(),
        Literal::Float(number) => format!("{number:?}"),
        Literal::Bool(flag) => flag.to_string(),
        Literal::Str(text) => quoted(text),
    }
}

/// A text in quotes. Bytes that are no UTF-8 cannot be written in this language.
pub fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => drop(write!(out, "\\u{{{:02x}}}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The largest unit that says it exactly.
fn duration(ns: u64) -> String {
    const UNITS: &[(u64, &str)] = &[
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let unit = UNITS.iter().find(|(size, _)| ns.is_multiple_of(*size));
    unit.map_or_else(
        || format!("{}ms", ns / 1_000_000),
        |(size, name)| format!("{}{name}", ns / size),
    )
}

fn call(function: Function) -> &'static str {
    match function {
        Function::Add => "add",
        Function::ArrayContains => "arrayContains",
        Function::Between => "between",
        Function::CidrMatch => "cidrMatch",
        Function::Concat => "concat",
        Function::Divide => "divide",
        Function::EndsWith => "endsWith",
        Function::IndexOf => "indexOf",
        Function::Length => "length",
        Function::Match => "match",
        Function::Modulo => "modulo",
        Function::Multiply => "multiply",
        Function::Number => "number",
        Function::Safe => "safe",
        Function::StartsWith => "startsWith",
        Function::String => "string",
        Function::StringContains => "stringContains",
        Function::Substring => "substring",
        Function::Subtract => "subtract",
        Function::ToUpper => "toUpper",
        Function::ToLower => "toLower",
        Function::Wildcard => "wildcard",
    }
}
