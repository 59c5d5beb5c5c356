//! Elastic's rule files, one rule a file, in the two layouts in which they are published: detection
//! rules (`rule_id`, `type`, threats inside `[rule]`) and endpoint behaviour rules (`id`, threats
//! and actions beside it). What they say that we have no use for is passed over.

use model::program::{Response, RuleMeta, Severity};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Diagnostic, Span};

/// Which of the two layouts, and so which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Detection rules.
    Siem,
    /// Endpoint behaviour rules.
    Endpoint,
}

/// A rule whose query is still text.
#[derive(Debug)]
pub(crate) struct ElasticRule {
    pub(crate) meta: RuleMeta,
    pub(crate) layout: Layout,
    /// Place of the id.
    pub(crate) id: Span,
    pub(crate) query: String,
    /// Place of the query.
    pub(crate) place: Span,
}

/// Whether a TOML document has Elastic's layout: one table `[rule]`, not a list of them.
pub(crate) fn is_elastic(document: &DeTable<'_>) -> bool {
    document.get("rule").is_some_and(|rule| rule.get_ref().is_table())
}

/// Reads the rule of a document.
pub(crate) fn read(document: &DeTable<'_>) -> (Option<ElasticRule>, Vec<Diagnostic>) {
    let Some(value) = document.get("rule") else { return (None, Vec::new()) };
    let Some(rule) = value.get_ref().as_table() else { return (None, Vec::new()) };
    let mut found = Vec::new();
    let layout = if rule.contains_key("rule_id") { Layout::Siem } else { Layout::Endpoint };
    let id_key = if layout == Layout::Siem { "rule_id" } else { "id" };
    let id = required(rule, id_key, &value.span(), &mut found);
    let name = required(rule, "name", &value.span(), &mut found);
    refuse_other_languages(rule, &mut found);
    let query = if found.iter().any(Diagnostic::is_error) {
        None
    } else {
        required(rule, "query", &value.span(), &mut found)
    };
    for one in &mut found {
        one.rule = id.as_ref().map(|(id, _)| id.clone());
    }
    let read = (|| {
        let ((id, id_place), (name, _), (query, place)) = (id?, name?, query?);
        let meta = RuleMeta { id, name, ..meta(document, rule, layout) };
        Some(ElasticRule { meta, layout, id: id_place, query, place })
    })();
    (read, found)
}

/// Rules of these files may also be queries of other languages, or thresholds and anomalies.
fn refuse_other_languages(rule: &DeTable<'_>, found: &mut Vec<Diagnostic>) {
    for key in ["type", "language"] {
        let Some(value) = rule.get(key) else { continue };
        let word = value.get_ref().as_str().unwrap_or_default();
        if word != "eql" {
            found.push(
                Diagnostic::new(
                    Code::NotEql,
                    value.span(),
                    format!("the rule is not run: its {key} is `{word}`"),
                )
                .label("only `eql` is run"),
            );
            return;
        }
    }
}

fn required(
    table: &DeTable<'_>,
    key: &str,
    outer: &Span,
    found: &mut Vec<Diagnostic>,
) -> Option<(String, Span)> {
    let Some(value) = table.get(key) else {
        let message = format!("`{key}` is missing");
        found.push(Diagnostic::new(Code::MissingKey, outer.clone(), message));
        return None;
    };
    match value.get_ref().as_str() {
        Some(text) if !text.trim().is_empty() => Some((text.to_owned(), value.span())),
        _ => {
            let message = format!("`{key}` must be text that is not empty");
            found.push(Diagnostic::new(Code::BadValue, value.span(), message));
            None
        }
    }
}

fn meta(document: &DeTable<'_>, rule: &DeTable<'_>, layout: Layout) -> RuleMeta {
    let threats = if layout == Layout::Siem { rule.get("threat") } else { document.get("threat") };
    RuleMeta {
        description: text(rule, "description").trim().to_owned(),
        // Endpoint rules name none: what they find is stopped there, but not all of it is grave.
        severity: Severity::from_name(text(rule, "severity")).unwrap_or(Severity::Medium),
        attack: techniques(threats.map(toml::Spanned::get_ref)),
        tags: texts(rule, "tags"),
        references: texts(rule, "references"),
        author: texts(rule, "author"),
        license: text(rule, "license").to_owned(),
        risk_score: rule.get("risk_score").and_then(|score| match score.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        }),
        responses: responses(document, rule),
        ..RuleMeta::default()
    }
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> &'t str {
    table.get(key).and_then(|value| value.get_ref().as_str()).unwrap_or_default()
}

/// A text, or a list of texts.
fn texts(table: &DeTable<'_>, key: &str) -> Vec<String> {
    let Some(value) = table.get(key) else { return Vec::new() };
    match value.get_ref() {
        DeValue::String(one) => vec![one.to_string()],
        DeValue::Array(all) => {
            all.iter().filter_map(|one| one.get_ref().as_str()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Ids of tactics, techniques and sub-techniques, in the order written, each once.
fn techniques(threats: Option<&DeValue<'_>>) -> Vec<String> {
    let mut all = Vec::new();
    for threat in tables(threats) {
        if let Some(tactic) = threat.get("tactic").and_then(|one| one.get_ref().as_table()) {
            all.push(text(tactic, "id"));
        }
        for technique in tables(threat.get("technique").map(toml::Spanned::get_ref)) {
            all.push(text(technique, "id"));
            for sub in tables(technique.get("subtechnique").map(toml::Spanned::get_ref)) {
                all.push(text(sub, "id"));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|id| !id.is_empty() && seen.insert(*id));
    all.into_iter().map(str::to_owned).collect()
}

/// The tables of a list of tables.
fn tables<'t, 'i>(value: Option<&'t DeValue<'i>>) -> impl Iterator<Item = &'t DeTable<'i>> {
    let all = value.and_then(DeValue::as_array);
    all.into_iter().flat_map(|all| all.iter()).filter_map(|one| one.get_ref().as_table())
}

/// Actions of endpoint rules beside the rule, response actions of detection rules inside it.
fn responses(document: &DeTable<'_>, rule: &DeTable<'_>) -> Vec<Response> {
    let mut all = Vec::new();
    for action in tables(document.get("actions").map(toml::Spanned::get_ref)) {
        let field = Some(text(action, "field")).filter(|field| !field.is_empty());
        all.push(Response {
            action: text(action, "action").to_owned(),
            field: field.map(str::to_owned),
        });
    }
    for action in tables(rule.get("response_actions").map(toml::Spanned::get_ref)) {
        let action = text(action, "action_type_id").to_owned();
        all.push(Response { action, field: None });
    }
    all.retain(|one| !one.action.is_empty());
    all.dedup();
    all
}
