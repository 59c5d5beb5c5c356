//! What is known before any event: values computed from literals.

use model::pattern;
use model::program::{Function, Literal as Value, Operator, Scalar};

use crate::ast::Literal;

/// The literal that a value is, as it would be written.
pub(super) fn written(scalar: &Scalar) -> Option<Literal> {
    Some(match scalar {
        Scalar::Null => Literal::Null,
        Scalar::Literal(Value::Bool(flag)) => Literal::Bool(*flag),
        Scalar::Literal(Value::Int(number)) => Literal::Int(*number),
        Scalar::Literal(Value::Float(number)) => Literal::Float(*number),
        Scalar::Literal(Value::Str(text)) => Literal::Text(String::from_utf8_lossy(text).into()),
        _ => return None,
    })
}

/// Arithmetic; done at once if both operands are numbers.
pub(super) fn arithmetic(operator: Operator, left: Scalar, right: Scalar) -> Scalar {
    let known = match (&left, &right) {
        (Scalar::Null, _) | (_, Scalar::Null) => Some(Scalar::Null),
        (Scalar::Literal(left), Scalar::Literal(right)) => numbers(operator, left, right),
        _ => None,
    };
    known.unwrap_or_else(|| Scalar::Arithmetic(operator, Box::new(left), Box::new(right)))
}

fn numbers(operator: Operator, left: &Value, right: &Value) -> Option<Scalar> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        if *right == 0 && matches!(operator, Operator::Divide | Operator::Modulo) {
            return Some(Scalar::Null);
        }
        let number = match operator {
            Operator::Add => left.checked_add(*right),
            Operator::Subtract => left.checked_sub(*right),
            Operator::Multiply => left.checked_mul(*right),
            // Floor, not towards zero; left to the engine where the two differ.
            Operator::Divide if *left >= 0 && *right > 0 => left.checked_div(*right),
            Operator::Modulo if *left >= 0 && *right > 0 => left.checked_rem(*right),
            Operator::Divide | Operator::Modulo => None,
        };
        return number.map(|number| Scalar::Literal(Value::Int(number)));
    }
    let (left, right) = (float(left)?, float(right)?);
    let number = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Modulo => return None,
    };
    number.is_finite().then_some(Scalar::Literal(Value::Float(number)))
}

#[expect(clippy::cast_precision_loss, reason = "as the language converts integers")]
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// A call; done at once if it is simple and its arguments are known.
pub(crate) fn call(function: Function, args: Vec<Scalar>, fold: bool) -> Scalar {
    let operator = match function {
        Function::Add => Some(Operator::Add),
        Function::Subtract => Some(Operator::Subtract),
        Function::Multiply => Some(Operator::Multiply),
        Function::Divide => Some(Operator::Divide),
        Function::Modulo => Some(Operator::Modulo),
        _ => None,
    };
    if let (Some(operator), [left, right]) = (operator, args.as_slice()) {
        return arithmetic(operator, left.clone(), right.clone());
    }
    let known = match (function, args.as_slice()) {
        (Function::Number, [Scalar::Literal(Value::Str(text))]) => number(text, None),
        (
            Function::Number,
            [Scalar::Literal(Value::Str(text)), Scalar::Literal(Value::Int(base))],
        ) => number(text, Some(*base)),
        (Function::Length, [Scalar::Literal(Value::Str(text))]) => {
            i64::try_from(pattern::characters(text)).ok().map(Value::Int)
        }
        (Function::String, [Scalar::Literal(Value::Int(number))]) => {
            Some(Value::Str(number.to_string().into_bytes()))
        }
        (Function::String, [Scalar::Literal(text @ Value::Str(_))]) => Some(text.clone()),
        _ => None,
    };
    match known {
        Some(value) => Scalar::Literal(value),
        None => Scalar::Call { function, args, fold },
    }
}

/// The number that a text stands for: decimal unless a base is given or it begins with `0x`.
fn number(text: &[u8], base: Option<i64>) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, base) {
        (Some(digits), None | Some(16)) => (digits, 16),
        (_, base) => (text, u32::try_from(base.unwrap_or(10)).ok()?),
    };
    if !(2..=36).contains(&radix) {
        return None;
    }
    if let Ok(number) = i64::from_str_radix(digits, radix) {
        return Some(Value::Int(number));
    }
    let float = text.parse::<f64>().ok().filter(|number| number.is_finite() && base.is_none());
    float.map(Value::Float)
}
