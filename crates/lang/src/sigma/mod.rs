//! Sigma rules and correlations into the program.
//!
//! | module | does |
//! |---|---|
//! | `guard` | limits, before anything else reads the text |
//! | `adapter`, `tree` | the library's documents as ours |
//! | `taxonomy`, `audit` | log sources and field names in ECS; audit records in live events |
//! | `item`, `encode`, `pattern` | a field with modifiers and values |
//! | `condition` | conditions between searches |
//! | `correlate` | correlation rules |

mod adapter;
mod audit;
mod condition;
pub(crate) mod correlate;
mod encode;
mod guard;
mod item;
mod pattern;
mod taxonomy;
#[cfg(test)]
mod tests;
mod tree;

use model::field::FieldId;
use model::program::{Expr, Filter, Logic, Query, Rule, RuleMeta, Severity};

pub(crate) use self::correlate::Pending;
use self::item::{Context, Refused};
pub(crate) use self::taxonomy::Taxonomy;
use self::tree::{About, Detection, Document};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::limits::MAX_RULES;

/// A rule without an error, its places, and how correlations refer to it.
#[derive(Debug)]
pub(crate) struct SigmaRule {
    pub(crate) rule: Rule,
    /// Place of the value of `id`, or of the title.
    pub(crate) id: Span,
    /// Place of what is searched for.
    pub(crate) query: Span,
    pub(crate) name: Option<String>,
    pub(crate) taxonomy: &'static Taxonomy,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct SigmaFile {
    pub(crate) rules: Vec<SigmaRule>,
    /// Correlations, whose rules may be in files that are read later.
    pub(crate) correlations: Vec<Pending>,
    pub(crate) found: Vec<Diagnostic>,
}

/// Gives the number of an ECS field, known or only in documents.
pub(crate) type FieldOf<'a> = dyn FnMut(&str) -> Result<FieldId, String> + 'a;

/// Reads a Sigma file.
pub(crate) fn read(text: &str, field: &mut FieldOf<'_>) -> SigmaFile {
    let mut file = SigmaFile::default();
    let places = guard::documents(text);
    if places.is_empty() {
        file.found.push(Diagnostic::new(Code::Yaml, 0..0, "the file holds no rule"));
    }
    if let Some(place) = places.get(MAX_RULES) {
        let message = format!("more than {MAX_RULES} rules in one file");
        file.found.push(Diagnostic::new(Code::Limit, place.start..place.start, message));
    }
    for place in places.into_iter().take(MAX_RULES) {
        let part = text.get(place.clone()).unwrap_or_default();
        read_part(part, &place, field, &mut file);
    }
    file
}

fn read_part(text: &str, place: &Span, field: &mut FieldOf<'_>, file: &mut SigmaFile) {
    let shift = |span: Span| place.start + span.start..place.start + span.end;
    if let Err(wrong) = guard::check(text) {
        file.found.push(wrong.map_spans(shift));
        return;
    }
    let (documents, errors) = adapter::parse(text);
    for message in errors {
        let span = shift(title(text));
        file.found.push(Diagnostic::new(Code::SigmaSyntax, span, message));
    }
    for document in documents {
        match document {
            Document::Correlation(rule) => {
                let (meta, id) = (meta(&rule.about), shift(id_place(text, &rule.about)));
                file.correlations.push(Pending { meta, id, rule: *rule, file: String::new() });
            }
            Document::Rule(rule) => {
                let before = file.found.len();
                if let Some(sound) = lower(text, &rule, field, &mut file.found) {
                    let SigmaRule { id, query, .. } = sound;
                    file.rules.push(SigmaRule { id: shift(id), query: shift(query), ..sound });
                }
                for one in file.found.iter_mut().skip(before) {
                    one.rule = Some(meta(&rule.about).id);
                    *one = one.clone().map_spans(shift);
                }
            }
        }
    }
}

/// A rule, or a diagnostic that says why it is not run.
fn lower(
    text: &str,
    rule: &Detection,
    field: &mut FieldOf<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<SigmaRule> {
    let taxonomy = match taxonomy::of(rule) {
        Ok(taxonomy) => taxonomy,
        Err(why) => {
            let message = format!("the rule is not run: {why}");
            let span = key_place(text, "logsource").unwrap_or_else(|| title(text));
            found.push(Diagnostic::new(Code::LogSource, span, message));
            return None;
        }
    };
    let mut context = Context { taxonomy, field };
    let condition = match expression(rule, &mut context) {
        Ok(condition) => condition,
        Err(Refused { key, why }) => {
            let span = key.and_then(|key| key_place(text, &key));
            let span = span.or_else(|| key_place(text, "condition"));
            let message = format!("the rule is not run: {why}");
            found.push(Diagnostic::new(
                Code::SigmaUnsupported,
                span.unwrap_or_else(|| title(text)),
                message,
            ));
            return None;
        }
    };
    let query = block_place(text, "detection").unwrap_or_else(|| title(text));
    let category = taxonomy.category.map(str::to_owned);
    let filter = Filter { category, condition };
    Some(SigmaRule {
        rule: Rule {
            meta: meta(&rule.about),
            logic: Logic::Complement,
            query: Query::Event(filter),
            pipes: Vec::new(),
        },
        id: id_place(text, &rule.about),
        query,
        name: rule.about.name.clone(),
        taxonomy,
    })
}

fn expression(rule: &Detection, context: &mut Context<'_>) -> Result<Expr, Refused> {
    let refuse = |why: String| Refused { key: Some("condition".to_owned()), why };
    if rule.timeframe {
        return Err(Refused {
            key: Some("timeframe".to_owned()),
            why: "`timeframe` is counted by correlation rules only".to_owned(),
        });
    }
    let mut searches = Vec::with_capacity(rule.searches.len());
    for (name, found) in &rule.searches {
        searches.push((name.clone(), item::search(found, context)?));
    }
    let mut any = Vec::with_capacity(rule.conditions.len());
    for one in &rule.conditions {
        any.push(condition::lower(one, &searches).map_err(refuse)?);
    }
    let condition = match any.len() {
        1 => any.pop().unwrap_or(Expr::Const(false)),
        _ => Expr::Or(any),
    };
    Ok(match context.taxonomy.constraint() {
        Some(constraint) => Expr::And(vec![constraint, condition]),
        None => condition,
    })
}

/// Metadata in our words.
fn meta(about: &About) -> RuleMeta {
    let (attack, tags): (Vec<&String>, Vec<&String>) =
        about.tags.iter().partition(|tag| technique(tag).is_some());
    RuleMeta {
        id: about.id.clone().or_else(|| about.name.clone()).unwrap_or_else(|| slug(&about.title)),
        name: about.title.clone(),
        description: about.description.trim().to_owned(),
        severity: match about.level.as_deref() {
            Some("informational") => Severity::Informational,
            Some("low") => Severity::Low,
            Some("high") => Severity::High,
            Some("critical") => Severity::Critical,
            _ => Severity::Medium,
        },
        attack: attack.into_iter().filter_map(|tag| technique(tag)).collect(),
        tags: tags.into_iter().cloned().collect(),
        references: about.references.clone(),
        author: about.author.iter().cloned().collect(),
        license: about.license.clone().unwrap_or_default(),
        ..RuleMeta::default()
    }
}

/// `attack.t1059.004` as `T1059.004`.
fn technique(tag: &str) -> Option<String> {
    let number = tag.strip_prefix("attack.t")?;
    let sound = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (sound && number.len() >= 4).then(|| format!("T{number}"))
}

/// A title as an id.
fn slug(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<String> =
        words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    words.join("-")
}

/// The title's line, where all else fails.
fn title(text: &str) -> Span {
    key_place(text, "title").unwrap_or(0..text.len().min(1))
}

fn id_place(text: &str, about: &About) -> Span {
    let id = about.id.as_deref().and_then(|id| {
        let key = key_place(text, "id")?;
        let rest = text.get(key.start..)?;
        let at = key.start + rest.find(id)?;
        Some(at..at + id.len())
    });
    id.unwrap_or_else(|| title(text))
}

/// Where a key is written: at the start of a line, before `:` or `|`.
fn key_place(text: &str, key: &str) -> Option<Span> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches([' ', '-', '\'', '"']);
        let rest = trimmed.strip_prefix(key);
        if rest.is_some_and(|rest| rest.starts_with([':', '|', '\'', '"'])) {
            let start = at + line.len() - trimmed.len();
            return Some(start..at + line.trim_end().len());
        }
        at += line.len();
    }
    None
}

/// A key at the margin with all that is indented below it.
fn block_place(text: &str, key: &str) -> Option<Span> {
    let start = key_place(text, key)?.start;
    let rest = text.get(start..)?;
    let mut end = start;
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        let outside = !line.starts_with([' ', '\t', '#']) && !line.trim().is_empty();
        if number > 0 && outside {
            break;
        }
        end += line.len();
    }
    let trimmed = text.get(start..end)?.trim_end().len();
    Some(start..start + trimmed)
}
