//! Computed values. A term over fields with several values has several values itself: one for each
//! choice of elements.

use model::field::FieldId;
use model::program::{Literal, Operator, Part};
use model::value::Value;
use smallvec::SmallVec;

use super::build::follow;
use super::call::Call;
use super::node::Node;
use super::{Compiled, Env, Scratch};

/// Values that one term can have: a product of lists stops here.
pub(super) const VALUES_MAX: usize = 1024;

/// A compiled [`model::program::Scalar`].
#[derive(Debug)]
pub(crate) enum Term {
    Literal(Literal),
    Null,
    Field(FieldId),
    Element(Box<Term>, Box<[Part]>),
    Member(u16, FieldId),
    Variable(u16),
    Call(Box<Call>),
    Arithmetic(Operator, Box<(Term, Term)>),
    Condition(Box<Node>),
    Search { list: Box<Term>, variable: u16, condition: Box<Node>, count: bool },
}

/// A value, borrowed from the event or made.
#[derive(Debug, Clone)]
pub(crate) enum Got<'e> {
    Value(Value<'e>),
    Text(Vec<u8>),
}

/// All values of a term; none if it is absent.
pub(super) type Values<'e> = SmallVec<[Got<'e>; 1]>;

/// Variables that are bound, the innermost first.
#[derive(Debug)]
pub(crate) struct Vars<'v, 'e> {
    number: u16,
    value: Value<'e>,
    outer: Option<&'v Vars<'v, 'e>>,
}

impl Got<'_> {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Got::Value(value) => *value,
            Got::Text(text) => Value::Str(text),
        }
    }

    /// Whether the value is a truth by itself.
    pub(crate) fn is_true(&self) -> bool {
        match self.value() {
            Value::Null => false,
            Value::Bool(flag) => flag,
            Value::Int(number) => number != 0,
            Value::Float(number) => number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Ip(_) => true,
            Value::List(list) => !list.is_empty(),
            Value::Map(members) => !members.is_empty(),
        }
    }
}

impl Compiled {
    /// All values of a term, lists taken apart, nothing absent among them.
    pub(crate) fn values<'e>(
        &self,
        term: &'e Term,
        env: Env<'e>,
        vars: Option<&Vars<'_, 'e>>,
        scratch: &mut Scratch,
    ) -> Values<'e> {
        match term {
            Term::Call(call) => self.call(call, env, vars, scratch),
            Term::Arithmetic(operator, operands) => {
                let left = self.values(&operands.0, env, vars, scratch);
                let right = self.values(&operands.1, env, vars, scratch);
                let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
                pairs
                    .filter_map(|(a, b)| arithmetic(*operator, a.value(), b.value()))
                    .take(VALUES_MAX)
                    .map(Got::Value)
                    .collect()
            }
            Term::Condition(node) => {
                let truth = self.truth(node, Env { three: true, ..env }, vars, scratch);
                truth.into_iter().map(|truth| Got::Value(Value::Bool(truth))).collect()
            }
            Term::Search { list, variable, condition, count } => {
                let list = whole(list, env, vars);
                self.search(list, *variable, condition, *count, (env, vars), scratch)
            }
            plain => {
                let each = whole(plain, env, vars).each().filter(|value| !value.is_null());
                each.take(VALUES_MAX).map(Got::Value).collect()
            }
        }
    }

    fn search<'e>(
        &self,
        list: Value<'e>,
        number: u16,
        condition: &'e Node,
        count: bool,
        (env, outer): (Env<'e>, Option<&Vars<'_, 'e>>),
        scratch: &mut Scratch,
    ) -> Values<'e> {
        if list.is_null() {
            return Values::new();
        }
        let mut found = 0i64;
        for value in list.each() {
            let vars = Vars { number, value, outer };
            if self.truth(condition, env, Some(&vars), scratch) == Some(true) {
                found += 1;
                if !count {
                    break;
                }
            }
        }
        let result = if count { Value::Int(found) } else { Value::Bool(found > 0) };
        Values::from_iter([Got::Value(result)])
    }
}

/// The value of a term that is no computation, a list as a whole.
pub(super) fn whole<'e>(term: &'e Term, env: Env<'e>, vars: Option<&Vars<'_, 'e>>) -> Value<'e> {
    match term {
        Term::Literal(literal) => value(literal),
        Term::Field(field) => env.event.get(*field),
        Term::Member(step, field) => env.context.member(*step, *field),
        Term::Variable(number) => {
            let mut at = vars;
            while let Some(bound) = at {
                if bound.number == *number {
                    return bound.value;
                }
                at = bound.outer;
            }
            Value::Null
        }
        Term::Element(inner, parts) => follow(whole(inner, env, vars), parts),
        _ => Value::Null,
    }
}

/// A literal as a value.
pub(super) fn value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Int(number) => Value::Int(*number),
        Literal::Float(number) => Value::Float(*number),
        Literal::Str(text) => Value::Str(text),
        Literal::Bool(flag) => Value::Bool(*flag),
    }
}

/// Unknown where an operand is no number, the divisor is zero, or the result is too large.
#[expect(clippy::cast_precision_loss, reason = "a fraction on one side asks for floats")]
pub(super) fn arithmetic(
    operator: Operator,
    left: Value<'_>,
    right: Value<'_>,
) -> Option<Value<'static>> {
    let (a, b) = match (left, right) {
        (Value::Int(a), Value::Int(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide => floor(a, b),
                Operator::Modulo => a.checked_rem(b),
            };
            return result.map(Value::Int);
        }
        (Value::Int(a), Value::Float(b)) => (a as f64, b),
        (Value::Float(a), Value::Int(b)) => (a, b as f64),
        (Value::Float(a), Value::Float(b)) => (a, b),
        _ => return None,
    };
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
    };
    result.is_finite().then_some(Value::Float(result))
}

fn floor(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let cut = a % b != 0 && (a < 0) != (b < 0);
    Some(quotient - i64::from(cut))
}
