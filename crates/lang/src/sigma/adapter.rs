//! The one place that knows the library which parses Sigma.

use rsigma_parser as rsigma;

use super::tree::{
    About, Compare, Condition, Correlation, Detection, Document, Item, Modifier, Piece, Search,
    Value,
};

/// The documents of a text that [`super::guard`] let through, and what is wrong with the others.
pub(super) fn parse(text: &str) -> (Vec<Document>, Vec<String>) {
    let collection = match rsigma_parser::parse_sigma_yaml(text) {
        Ok(collection) => collection,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let mut wrong = collection.errors;
    let mut all: Vec<Document> = collection.rules.into_iter().map(detection).collect();
    all.extend(collection.correlations.into_iter().map(correlation));
    let filters = collection.filters.into_iter();
    wrong.extend(filters.map(|filter| {
        format!(
            "`{}` is a Sigma filter; filters are not run: add the condition to the rule itself",
            filter.title
        )
    }));
    (all, wrong)
}

fn detection(rule: rsigma::SigmaRule) -> Document {
    let mut searches: Vec<(String, Search)> =
        rule.detection.named.into_iter().map(|(name, found)| (name, search(found))).collect();
    // The library keeps them in a table without order; verdicts and messages must not depend on it.
    searches.sort_by(|(a, _), (b, _)| a.cmp(b));
    Document::Rule(Box::new(Detection {
        about: About {
            title: rule.title,
            id: rule.id,
            name: rule.name,
            description: rule.description.unwrap_or_default(),
            author: rule.author,
            license: rule.license,
            level: rule.level.map(|level| level.as_str().to_owned()),
            tags: rule.tags,
            references: rule.references,
        },
        category: rule.logsource.category,
        product: rule.logsource.product,
        service: rule.logsource.service,
        searches,
        conditions: rule.detection.conditions.into_iter().map(condition).collect(),
        timeframe: rule.detection.timeframe.is_some(),
    }))
}

fn correlation(rule: rsigma::CorrelationRule) -> Document {
    let (threshold, fields) = match rule.condition {
        rsigma::CorrelationCondition::Threshold { predicates, field, .. } => {
            let all = predicates.into_iter().map(|(how, count)| (compare(how), count)).collect();
            (Ok(all), field.unwrap_or_default())
        }
        rsigma::CorrelationCondition::Extended(expr) => (Err(expr.to_string()), Vec::new()),
    };
    let aliases = rule.aliases.into_iter().map(|alias| {
        let mut fields: Vec<(String, String)> = alias.mapping.into_iter().collect();
        fields.sort();
        (alias.alias, fields)
    });
    Document::Correlation(Box::new(Correlation {
        about: About {
            title: rule.title,
            id: rule.id,
            name: rule.name,
            description: rule.description.unwrap_or_default(),
            author: rule.author,
            license: rule.license,
            level: rule.level.map(|level| level.as_str().to_owned()),
            tags: rule.tags,
            references: rule.references,
        },
        kind: rule.correlation_type.as_str().to_owned(),
        rules: rule.rules,
        group_by: rule.group_by,
        seconds: rule.timespan.seconds,
        threshold,
        fields,
        aliases: aliases.collect(),
        generate: rule.generate,
        window: (rule.window != rsigma::WindowMode::Sliding)
            .then(|| rule.window.as_str().to_owned()),
    }))
}

fn compare(how: rsigma::ConditionOperator) -> Compare {
    use rsigma::ConditionOperator as C;
    match how {
        C::Lt => Compare::Less,
        C::Lte => Compare::LessEqual,
        C::Gt => Compare::Greater,
        C::Gte => Compare::GreaterEqual,
        C::Eq => Compare::Equal,
        C::Neq => Compare::NotEqual,
    }
}

fn condition(expr: rsigma::ConditionExpr) -> Condition {
    use rsigma::{ConditionExpr as E, Quantifier as Q, SelectorPattern as P};
    match expr {
        E::And(all) => Condition::All(all.into_iter().map(condition).collect()),
        E::Or(any) => Condition::Any(any.into_iter().map(condition).collect()),
        E::Not(inner) => Condition::Not(Box::new(condition(*inner))),
        E::Identifier(name) => Condition::Search(name),
        E::Selector { quantifier, pattern } => Condition::Of {
            least: match quantifier {
                Q::Any => Some(1),
                Q::All => None,
                Q::Count(count) => Some(count),
            },
            names: match pattern {
                P::Them => None,
                P::Pattern(pattern) => Some(pattern),
            },
        },
    }
}

fn search(detection: rsigma::Detection) -> Search {
    use rsigma::Detection as D;
    match detection {
        D::AllOf(items) => Search::All(items.into_iter().map(item).collect()),
        D::AnyOf(any) => Search::Any(any.into_iter().map(search).collect()),
        D::And(all) => Search::All(all.into_iter().map(search).collect()),
        D::Keywords(values) => Search::Item(Item {
            field: None,
            modifiers: Vec::new(),
            values: values.into_iter().map(|one| value(one, false)).collect(),
        }),
        D::ArrayMatch { field, .. } => Search::Refused(format!("the array selector on `{field}`")),
        D::Conditional { .. } => Search::Refused("a nested condition".to_owned()),
    }
}

fn item(item: rsigma::DetectionItem) -> Search {
    let modifiers: Vec<Modifier> = item.field.modifiers.iter().copied().map(modifier).collect();
    let raw = modifiers
        .iter()
        .any(|one| matches!(one, Modifier::Re | Modifier::Expand | Modifier::FieldRef));
    Search::Item(Item {
        field: item.field.name,
        modifiers,
        values: item.values.into_iter().map(|one| value(one, raw)).collect(),
    })
}

fn modifier(modifier: rsigma::Modifier) -> Modifier {
    use rsigma::Modifier as M;
    match modifier {
        M::All => Modifier::All,
        M::Base64 => Modifier::Base64,
        M::Base64Offset => Modifier::Base64Offset,
        M::Cased => Modifier::Cased,
        M::Cidr => Modifier::Cidr,
        M::Contains => Modifier::Contains,
        M::EndsWith => Modifier::EndsWith,
        M::Exists => Modifier::Exists,
        M::Expand => Modifier::Expand,
        M::FieldRef => Modifier::FieldRef,
        M::Gt => Modifier::Gt,
        M::Gte => Modifier::Gte,
        M::Lt => Modifier::Lt,
        M::Lte => Modifier::Lte,
        M::Neq => Modifier::Neq,
        M::Re => Modifier::Re,
        M::DotAll => Modifier::ReDotAll,
        M::IgnoreCase => Modifier::ReIgnoreCase,
        M::Multiline => Modifier::ReMultiline,
        M::StartsWith => Modifier::StartsWith,
        M::Minute | M::Hour | M::Day | M::Week | M::Month | M::Year => Modifier::TimePart,
        M::Utf16 => Modifier::Utf16,
        M::Utf16be => Modifier::Utf16Be,
        M::Wide => Modifier::Wide,
        M::WindAsh => Modifier::WinDash,
    }
}

fn value(value: rsigma::SigmaValue, raw: bool) -> Value {
    use rsigma::{SigmaValue as V, SpecialChar, StringPart};
    match value {
        V::Null => Value::Null,
        V::Bool(flag) => Value::Bool(flag),
        V::Integer(number) => Value::Int(number),
        V::Float(number) => Value::Float(number),
        V::String(text) if raw => Value::Raw(text.original),
        V::String(text) => Value::Text(
            text.parts
                .into_iter()
                .map(|part| match part {
                    StringPart::Plain(plain) => Piece::Plain(plain.into_bytes()),
                    StringPart::Special(SpecialChar::WildcardMulti) => Piece::Many,
                    StringPart::Special(SpecialChar::WildcardSingle) => Piece::One,
                })
                .collect(),
        ),
    }
}
