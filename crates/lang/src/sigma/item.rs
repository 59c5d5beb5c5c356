//! A field with its modifiers and values as a condition.

use std::net::IpAddr;

use model::field::{FieldId, FieldType, NETWORK_DIRECTION};
use model::pattern;
use model::program::{Expr, Function, Literal, Order, Place, Scalar, Test};

use super::encode;
use super::pattern::{Where, merge, test};
use super::taxonomy::{self, Taxonomy};
use super::tree::{Item, Modifier, Piece, Search, Value};
use crate::lower::not;

/// What lowering needs to know, and how it asks for a field by its ECS name.
pub(super) struct Context<'a> {
    pub(super) taxonomy: &'static Taxonomy,
    pub(super) field: &'a mut dyn FnMut(&str) -> Result<FieldId, String>,
}

impl Context<'_> {
    /// The fields of which any may hold what the rule calls by one name.
    fn fields(&mut self, names: &[String]) -> Result<Vec<FieldId>, String> {
        names.iter().map(|name| (self.field)(name)).collect()
    }
}

/// A search as an expression; the error says what cannot be run, and at which field.
pub(super) fn search(found: &Search, context: &mut Context<'_>) -> Result<Expr, Refused> {
    let mut each =
        |all: &[Search]| all.iter().map(|one| search(one, context)).collect::<Result<Vec<_>, _>>();
    match found {
        Search::All(all) => each(all).map(one_or(Expr::And)),
        Search::Any(any) => each(any).map(one_or(Expr::Or)),
        Search::Refused(what) => Err(Refused { key: None, why: format!("{what} is not run") }),
        Search::Item(item) => lower(item, context).map_err(|why| {
            // The key as it is written, so that the place can be found.
            let name = item.field.clone().unwrap_or_default();
            Refused { key: Some(name), why }
        }),
    }
}

/// Why a rule is not run.
#[derive(Debug)]
pub(super) struct Refused {
    /// Field of the item.
    pub(super) key: Option<String>,
    pub(super) why: String,
}

fn one_or(join: fn(Vec<Expr>) -> Expr) -> impl Fn(Vec<Expr>) -> Expr {
    move |mut all| match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            all.push(last);
            join(all)
        }
        (_, None) => join(Vec::new()),
    }
}

fn lower(item: &Item, context: &mut Context<'_>) -> Result<Expr, String> {
    let names: Vec<String> = match &item.field {
        Some(name) => context.taxonomy.fields(name),
        None => taxonomy::RAW.iter().map(|name| (*name).to_owned()).collect(),
    };
    let how = How::of(&item.modifiers, item.field.is_none())?;
    if item.field.as_deref() == Some("Initiated") && context.taxonomy.category == Some("network") {
        return item.values.iter().map(initiated).collect::<Result<_, _>>().map(one_or(Expr::Or));
    }
    if item.values.is_empty() {
        return Err("the list of values is empty".to_owned());
    }
    let fields = context.fields(&names)?;
    let mut all = Vec::new();
    for value in &item.values {
        let mut spellings = vec![value.clone()];
        for modifier in &how.encodings {
            let next = spellings.into_iter().map(|one| encode::apply(*modifier, one));
            spellings = next.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        }
        let any = spellings
            .iter()
            .map(|one| how.compare(one, &fields, item.field.as_deref(), context))
            .collect::<Result<Vec<_>, _>>()?;
        all.push(one_or(Expr::Or)(any));
    }
    if how.all {
        return Ok(one_or(Expr::And)(all));
    }
    Ok(one_or(Expr::Or)(gather(all)))
}

/// Alternatives that test the same field as one test.
fn gather(all: Vec<Expr>) -> Vec<Expr> {
    let mut by_field: Vec<(FieldId, Vec<Test>)> = Vec::new();
    let mut rest = Vec::new();
    let mut flat = all;
    while let Some(at) = flat.iter().position(|one| matches!(one, Expr::Or(_))) {
        if let Expr::Or(inner) = flat.remove(at) {
            flat.splice(at..at, inner);
        }
    }
    for one in flat {
        match one {
            Expr::Test(field, test) => {
                match by_field.iter_mut().find(|(known, _)| *known == field) {
                    Some((_, tests)) => tests.push(test),
                    None => by_field.push((field, vec![test])),
                }
            }
            other => rest.push(other),
        }
    }
    let tests = by_field.into_iter().flat_map(|(field, tests)| {
        merge(tests).into_iter().map(move |test| Expr::Test(field, test))
    });
    tests.chain(rest).collect()
}

/// `Initiated` says whether this host opened the connection.
fn initiated(value: &Value) -> Result<Expr, String> {
    let flag = match value {
        Value::Bool(flag) => Some(*flag),
        Value::Text(pieces) => match pieces.as_slice() {
            [Piece::Plain(text)] if text.eq_ignore_ascii_case(b"true") => Some(true),
            [Piece::Plain(text)] if text.eq_ignore_ascii_case(b"false") => Some(false),
            _ => None,
        },
        _ => None,
    };
    let words: &[&str] = match flag {
        Some(true) => &["egress", "outbound"],
        Some(false) => &["ingress", "inbound"],
        None => return Err("`Initiated` is `true` or `false`".to_owned()),
    };
    let any = words.iter().map(|word| Literal::Str(word.as_bytes().to_vec())).collect();
    Ok(Expr::Test(NETWORK_DIRECTION, Test::Equals { any, fold: false }))
}

/// What the modifiers of an item say together.
struct How {
    kind: Kind,
    place: Where,
    fold: bool,
    all: bool,
    /// Flags of the regular expression: `i`, `m`, `s`.
    flags: String,
    encodings: Vec<Modifier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Regex,
    Cidr,
    Exists,
    Field,
    Order(Order),
    NotEqual,
}

impl How {
    fn of(modifiers: &[Modifier], keyword: bool) -> Result<How, String> {
        let place = if keyword { Where::At(Place::Anywhere) } else { Where::Whole };
        let mut how = How {
            kind: Kind::Text,
            place,
            fold: true,
            all: false,
            flags: String::new(),
            encodings: Vec::new(),
        };
        for modifier in modifiers {
            how.add(*modifier)?;
        }
        Ok(how)
    }

    fn add(&mut self, modifier: Modifier) -> Result<(), String> {
        use Modifier as M;
        match modifier {
            M::All => self.all = true,
            M::Cased => self.fold = false,
            M::Contains => self.place = Where::At(Place::Anywhere),
            M::StartsWith => self.place = Where::At(Place::Start),
            M::EndsWith => self.place = Where::At(Place::End),
            M::Base64 | M::Base64Offset | M::Utf16 | M::Utf16Be | M::Wide | M::WinDash => {
                self.encodings.push(modifier);
            }
            M::Re => return self.only(Kind::Regex),
            M::ReIgnoreCase => self.flags.push('i'),
            M::ReMultiline => self.flags.push('m'),
            M::ReDotAll => self.flags.push('s'),
            M::Cidr => return self.only(Kind::Cidr),
            M::Exists => return self.only(Kind::Exists),
            M::FieldRef => return self.only(Kind::Field),
            M::Gt => return self.only(Kind::Order(Order::Greater)),
            M::Gte => return self.only(Kind::Order(Order::GreaterEqual)),
            M::Lt => return self.only(Kind::Order(Order::Less)),
            M::Lte => return self.only(Kind::Order(Order::LessEqual)),
            M::Neq => return self.only(Kind::NotEqual),
            M::Expand => {
                return Err(
                    "`expand` needs values of placeholders, and nothing defines any".to_owned()
                );
            }
            M::TimePart => {
                return Err("parts of a time (`hour`, `day` …) are not compared".to_owned());
            }
        }
        Ok(())
    }

    fn only(&mut self, kind: Kind) -> Result<(), String> {
        if self.kind != Kind::Text {
            return Err("these modifiers exclude each other".to_owned());
        }
        self.kind = kind;
        Ok(())
    }

    /// One value compared with any of the fields.
    fn compare(
        &self,
        value: &Value,
        fields: &[FieldId],
        name: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<Expr, String> {
        if self.kind == Kind::Field {
            return self.reference(value, fields, context);
        }
        let any = |test: &Test| {
            let fields = fields.iter().map(|id| on_field(*id, test));
            one_or(Expr::Or)(fields.chain(context.taxonomy.view(name, test)).collect())
        };
        match (self.kind, value) {
            (Kind::Exists, Value::Bool(flag)) => {
                let exists = any(&Test::Exists);
                Ok(if *flag { exists } else { not(exists) })
            }
            (Kind::Exists, _) => Err("`exists` is `true` or `false`".to_owned()),
            (Kind::Text, Value::Null) => Ok(not(any(&Test::Exists))),
            (Kind::NotEqual, Value::Null) => Ok(any(&Test::Exists)),
            (_, Value::Null) => Err("this modifier has no meaning for null".to_owned()),
            (Kind::Regex, value) => Ok(any(&self.regex(value)?)),
            (Kind::Cidr, value) => Ok(any(&Test::Cidr(vec![network(value)?]))),
            (Kind::Order(order), value) => Ok(any(&Test::Compare(order, number(value)?))),
            (Kind::NotEqual, value) => Ok(not(any(&self.text(value)))),
            (_, value) => Ok(any(&self.text(value))),
        }
    }

    fn text(&self, value: &Value) -> Test {
        let pieces = match (value, self.place) {
            (Value::Text(pieces), _) => pieces.clone(),
            (Value::Raw(text), _) => vec![Piece::Plain(text.clone().into_bytes())],
            (value, Where::Whole) => {
                return Test::Equals { any: vec![literal(value)], fold: self.fold };
            }
            (value, _) => vec![Piece::Plain(written(value).into_bytes())],
        };
        test(&pieces, self.place, self.fold)
    }

    /// Finds the expression anywhere unless it says otherwise.
    fn regex(&self, value: &Value) -> Result<Test, String> {
        if matches!(self.place, Where::At(Place::Start | Place::End)) {
            return Err("`re` is placed by `^` and `$` only".to_owned());
        }
        let text = match value {
            Value::Raw(text) => text.clone(),
            other => written(other),
        };
        let flags = &self.flags;
        let off = if flags.contains('s') { "" } else { "-s" };
        let whole = format!("(?s-u:.)*?(?{flags}{off}:{text})(?s-u:.)*?");
        pattern::regex(std::slice::from_ref(&whole), false).map_err(|error| {
            let error = error.to_string();
            let line = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the regular expression cannot be used: {line}")
        })?;
        Ok(Test::Regex { any: vec![whole], fold: false })
    }

    /// Another field of the same event.
    fn reference(
        &self,
        value: &Value,
        fields: &[FieldId],
        context: &mut Context<'_>,
    ) -> Result<Expr, String> {
        let Value::Raw(name) = value else {
            return Err("`fieldref` names a field".to_owned());
        };
        let others = context.fields(&context.taxonomy.fields(name))?;
        let pairs = fields.iter().flat_map(|left| others.iter().map(move |right| (*left, *right)));
        Ok(one_or(Expr::Or)(pairs.map(|(left, right)| self.two_fields(left, right)).collect()))
    }

    fn two_fields(&self, left: FieldId, right: FieldId) -> Expr {
        let (left, right) = (Scalar::Field(left), Scalar::Field(right));
        let function = match self.place {
            Where::Whole => {
                return Expr::Compare { left, order: Order::Equal, right, fold: self.fold };
            }
            Where::At(Place::Start) => Function::StartsWith,
            Where::At(Place::End) => Function::EndsWith,
            Where::At(Place::Anywhere) => Function::StringContains,
        };
        Expr::Truth(Scalar::Call { function, args: vec![left, right], fold: self.fold })
    }
}

/// A test of a field. Addresses are no texts: one that is written out is compared as an address, and
/// patterns of the text are asked of what the address looks like.
fn on_field(id: FieldId, test: &Test) -> Expr {
    let address = model::field::field(id)
        .is_some_and(|row| matches!(row.kind, FieldType::Ip | FieldType::Ips));
    let as_text = || {
        let args = vec![Scalar::Field(id)];
        let text = Scalar::Call { function: Function::String, args, fold: false };
        Expr::Computed(text, test.clone())
    };
    match test {
        Test::Equals { any, .. } if address => {
            let networks = any.iter().map(|one| match one {
                Literal::Str(text) => crate::literal::network(std::str::from_utf8(text).ok()?),
                _ => None,
            });
            let networks: Option<Vec<_>> = networks.collect();
            networks.map_or_else(as_text, |all| Expr::Test(id, Test::Cidr(all)))
        }
        Test::Wildcard { .. } | Test::Part { .. } | Test::Regex { .. } if address => as_text(),
        test => Expr::Test(id, test.clone()),
    }
}

fn literal(value: &Value) -> Literal {
    match value {
        Value::Int(number) => Literal::Int(*number),
        Value::Float(number) => Literal::Float(*number),
        Value::Bool(flag) => Literal::Bool(*flag),
        other => Literal::Str(written(other).into_bytes()),
    }
}

/// A value as text.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Raw(text) => text.clone(),
        Value::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Plain(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Piece::Many => "*".to_owned(),
                Piece::One => "?".to_owned(),
            })
            .collect(),
    }
}

fn number(value: &Value) -> Result<Literal, String> {
    let text = written(value);
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Literal::Int(number));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Literal::Float(number)),
        _ => Err(format!("`{text}` is no number")),
    }
}

fn network(value: &Value) -> Result<(IpAddr, u8), String> {
    let text = written(value);
    crate::literal::network(&text).ok_or_else(|| format!("`{text}` is no address or network"))
}
