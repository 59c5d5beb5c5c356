//! Values that own themselves, and the values of scalars.

use std::cmp::Ordering;
use std::net::IpAddr;

use model::program::{Literal, Operator, Part, Scalar};
use model::value::{Node, Value};

use super::{At, condition, function};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Own {
    /// Absent.
    Null,
    /// true or false
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(Vec<u8>),
    /// An address.
    Ip(IpAddr),
    /// Several values.
    List(Vec<Own>),
    /// An object.
    Map(Vec<(String, Own)>),
}

/// Variables that are bound, the innermost last.
pub(super) type Bound = [(u16, Own)];

impl Own {
    /// The same value, of its own.
    pub fn of(value: Value<'_>) -> Own {
        match value {
            Value::Null => Own::Null,
            Value::Bool(flag) => Own::Bool(flag),
            Value::Int(number) => Own::Int(number),
            Value::Float(number) => Own::Float(number),
            Value::Str(text) => Own::Text(text.to_vec()),
            Value::Ip(address) => Own::Ip(address),
            Value::List(_) => Own::List(value.each().map(Own::of).collect()),
            Value::Map(members) => Own::Map(
                members.iter().map(|(name, node)| (name.to_string(), Own::node(node))).collect(),
            ),
        }
    }

    fn node(node: &Node) -> Own {
        match node {
            Node::List(items) => Own::List(items.iter().map(Own::node).collect()),
            node => Own::of(node.value()),
        }
    }

    pub(super) fn literal(literal: &Literal) -> Own {
        match literal {
            Literal::Int(number) => Own::Int(*number),
            Literal::Float(number) => Own::Float(*number),
            Literal::Str(text) => Own::Text(text.clone()),
            Literal::Bool(flag) => Own::Bool(*flag),
        }
    }

    /// As text: numbers are decimal.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        Some(match self {
            Own::Text(text) => text.clone(),
            Own::Int(number) => number.to_string().into_bytes(),
            Own::Float(number) => format!("{number:?}").into_bytes(),
            Own::Bool(flag) => flag.to_string().into_bytes(),
            Own::Ip(address) => address.to_string().into_bytes(),
            Own::Null | Own::List(_) | Own::Map(_) => return None,
        })
    }

    /// As a join key: a number and its text are one.
    pub(super) fn key(&self) -> Vec<u8> {
        match self {
            Own::Float(number) if number.fract() == 0.0 => format!("{number:.0}").into_bytes(),
            other => other.text().unwrap_or_default(),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Own::Null => false,
            Own::Bool(flag) => *flag,
            Own::Int(number) => *number != 0,
            Own::Float(number) => *number != 0.0,
            Own::Text(text) => !text.is_empty(),
            Own::Ip(_) => true,
            Own::List(items) => !items.is_empty(),
            Own::Map(members) => !members.is_empty(),
        }
    }

    fn number(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "numbers of tests are small")]
        match self {
            Own::Int(number) => Some(*number as f64),
            Own::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Which of two values is larger, if they can be compared.
    pub(super) fn order(&self, other: &Own, fold: bool) -> Option<Ordering> {
        let written = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        match (self, other) {
            (Own::Int(a), Own::Int(b)) => Some(a.cmp(b)),
            (Own::Bool(a), Own::Bool(b)) => Some(a.cmp(b)),
            (Own::Text(a), Own::Text(b)) if fold => {
                Some(a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()))
            }
            (Own::Text(a), Own::Text(b)) => Some(a.cmp(b)),
            (Own::Text(a), Own::Int(b)) => Some(written(a).parse::<i64>().ok()?.cmp(b)),
            (Own::Int(a), Own::Text(b)) => Some(a.cmp(&written(b).parse().ok()?)),
            (Own::Ip(a), Own::Ip(b)) => Some(a.to_canonical().cmp(&b.to_canonical())),
            (Own::Text(a), Own::Ip(_)) => Own::Ip(written(a).parse().ok()?).order(other, fold),
            (Own::Ip(_), Own::Text(b)) => self.order(&Own::Ip(written(b).parse().ok()?), fold),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }
}

/// The elements of a list, or the value itself; what is absent has none.
pub(super) fn each(value: &Own) -> Vec<Own> {
    match value {
        Own::Null => Vec::new(),
        Own::List(items) => items.iter().filter(|item| **item != Own::Null).cloned().collect(),
        one => vec![one.clone()],
    }
}

/// All values of a scalar: one for each choice of elements of lists.
pub(super) fn values(at: At<'_>, scalar: &Scalar, bound: &Bound) -> Vec<Own> {
    match scalar {
        Scalar::Call { function, args, fold } => function::call(at, *function, args, *fold, bound),
        Scalar::Arithmetic(operator, left, right) => {
            let (left, right) = (values(at, left, bound), values(at, right, bound));
            let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
            pairs.filter_map(|(a, b)| arithmetic(*operator, a, b)).collect()
        }
        Scalar::Condition(inner) => {
            let at = At { logic: model::program::Logic::ThreeValued, ..at };
            condition::truth(at, inner, bound).map(Own::Bool).into_iter().collect()
        }
        Scalar::Search { list, variable, condition, count } => {
            let list = whole(at, list, bound);
            if list == Own::Null {
                return Vec::new();
            }
            let items = match list {
                Own::List(items) => items,
                one => vec![one],
            };
            let holds = |item: &&Own| {
                let bound = [bound, &[(*variable, (*item).clone())]].concat();
                condition::truth(at, condition, &bound) == Some(true)
            };
            let found = items.iter().filter(holds).count();
            vec![if *count { integer(found) } else { Own::Bool(found > 0) }]
        }
        plain => each(&whole(at, plain, bound)),
    }
}

/// A value that is not computed, a list as a whole.
pub(super) fn whole(at: At<'_>, scalar: &Scalar, bound: &Bound) -> Own {
    match scalar {
        Scalar::Literal(literal) => Own::literal(literal),
        Scalar::Field(field) => Own::of(at.world.events[at.event].get(*field)),
        Scalar::Member(step, field) => {
            let member = at.members.iter().find(|(part, _)| part == step);
            member.map_or(Own::Null, |(_, event)| Own::of(at.world.events[*event].get(*field)))
        }
        Scalar::Variable(number) => {
            let found = bound.iter().rev().find(|(known, _)| known == number);
            found.map_or(Own::Null, |(_, value)| value.clone())
        }
        Scalar::Element(inner, parts) => {
            let inner = whole(at, inner, bound);
            parts.iter().fold(inner, |value, part| match (value, part) {
                (Own::List(items), Part::Index(index)) => {
                    items.get(*index).cloned().unwrap_or(Own::Null)
                }
                (Own::Map(members), Part::Name(name)) => {
                    let found = members.into_iter().find(|(known, _)| known == name);
                    found.map_or(Own::Null, |(_, value)| value)
                }
                _ => Own::Null,
            })
        }
        _ => Own::Null,
    }
}

pub(super) fn integer(number: usize) -> Own {
    i64::try_from(number).map_or(Own::Null, Own::Int)
}

/// Integers stay integers, and division of them is rounded down.
pub(super) fn arithmetic(operator: Operator, left: &Own, right: &Own) -> Option<Own> {
    if let (Own::Int(a), Own::Int(b)) = (left, right) {
        let (a, b) = (i128::from(*a), i128::from(*b));
        let result = match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide | Operator::Modulo if b == 0 => return None,
            // Towards smaller numbers: the remainder has the sign of the divisor.
            Operator::Divide => (a - ((a % b) + b) % b) / b,
            Operator::Modulo => a % b,
        };
        return i64::try_from(result).ok().map(Own::Int);
    }
    let (a, b) = (left.number()?, right.number()?);
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
    };
    result.is_finite().then_some(Own::Float(result))
}
