//! A rule file: `[[rule]]` tables, each with its query and its tests.

use model::program::{Response, Rule, RuleMeta, Severity};
use toml::de::DeTable;

use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::dialect::{CaseMode, Dialect};
use crate::limits::{MAX_RULES, MAX_TEST_EVENTS, MAX_TESTS};
use crate::load::RuleTest;
use crate::query::CompiledQuery;
use crate::schema::{Schema, Unknown};
use crate::sigma::Taxonomy;
use crate::table::Table;
use crate::{event, query};

/// A rule without an error, its places, and its tests.
pub(crate) struct FoundRule {
    pub(crate) rule: Rule,
    /// Place of the value of `id`.
    pub(crate) id: Span,
    /// Place of the value of `query`.
    pub(crate) query: Span,
    pub(crate) tests: Vec<RuleTest>,
    /// How Sigma correlations refer to it, if it is Sigma.
    pub(crate) referred: Option<Referred>,
}

/// What Sigma correlations know of a Sigma rule.
#[derive(Debug)]
pub(crate) struct Referred {
    pub(crate) name: Option<String>,
    pub(crate) taxonomy: &'static Taxonomy,
}

/// Reads the rules of a file.
pub(crate) fn read(text: &str, schema: &mut Schema) -> (Vec<FoundRule>, Vec<Diagnostic>) {
    schema.unknown = Unknown::Error;
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut found: Vec<Diagnostic> = errors
        .iter()
        .map(|error| Diagnostic::new(Code::Toml, error.span().unwrap_or(0..0), error.message()))
        .collect();
    let mut top = Table::new(document.get_ref(), 0..0);
    let tables = top.tables("rule");
    // They are read before the rules of all files.
    top.get("script");
    found.append(&mut top.finish());
    if let Some((_, span)) = tables.get(MAX_RULES) {
        let message = format!("more than {MAX_RULES} rules in one file");
        found.push(Diagnostic::new(Code::Limit, span.clone(), message));
    }
    let mut rules = Vec::new();
    for (keys, span) in tables.into_iter().take(MAX_RULES) {
        let (rule, mut wrong) = read_rule(text, keys, span, schema);
        found.append(&mut wrong);
        rules.extend(rule);
    }
    (rules, found)
}

fn read_rule(
    text: &str,
    keys: &DeTable<'_>,
    span: Span,
    schema: &mut Schema,
) -> (Option<FoundRule>, Vec<Diagnostic>) {
    let mut table = Table::new(keys, span);
    let id = identifier(&mut table);
    let name = table.text("name").map(|(text, _)| text.to_owned());
    let description = table.text("description").map(|(text, _)| text.trim().to_owned());
    let severity = severity(&mut table);
    let attack = techniques(&mut table);
    let tags = owned(table.texts("tags"));
    let references = owned(table.texts("references"));
    let author = owned(table.texts("author"));
    let (responses, late) = (responses(&mut table), late(&mut table));
    let response_ttl = response_ttl(&mut table, &responses, late);
    let dialect = dialect(&mut table, schema.dialect);
    let query = table.text("query");
    let tests = read_tests(&mut table, id.as_ref().map(|(_, place)| place.clone()));
    let mut found = table.finish();

    let compiled = query.as_ref().and_then(|(query, place)| {
        let (compiled, wrong) = compile_in(text, query, place, dialect, schema);
        found.extend(wrong);
        Some((compiled?, place.clone()))
    });
    for one in &mut found {
        one.rule = id.as_ref().map(|(id, _)| id.clone());
    }
    let rule = (|| {
        let (id, id_span) = id?;
        let (compiled, query) = compiled?;
        let (name, description, severity) = (name?, description?, severity?);
        let meta = RuleMeta {
            id,
            name,
            description,
            severity,
            attack,
            tags,
            references,
            author,
            responses,
            response_ttl,
            late,
            ..RuleMeta::default()
        };
        let rule = compiled.rule(meta);
        Some(FoundRule { rule, id: id_span, query, tests, referred: None })
    })();
    (rule.filter(|_| !found.iter().any(Diagnostic::is_error)), found)
}

/// Compiles the query that is the TOML value at `place` of a file.
pub(crate) fn compile_in(
    text: &str,
    query: &str,
    place: &Span,
    dialect: Dialect,
    schema: &mut Schema,
) -> (Option<CompiledQuery>, Vec<Diagnostic>) {
    let map = QueryMap::new(text, place.clone(), query);
    let (compiled, wrong) = query::query(query, dialect, CaseMode::Sensitive, schema);
    (compiled, wrong.into_iter().map(|one| one.map_spans(|span| map.place(&span))).collect())
}

/// What is done besides the alert.
fn responses(table: &mut Table<'_, '_>) -> Vec<Response> {
    let all = table.texts("response");
    for (word, place) in &all {
        if !Response::ALL.contains(word) {
            let near = nearest(word, Response::ALL.iter().copied());
            table.found.push(
                Diagnostic::new(Code::BadValue, place.clone(), format!("`{word}` is no response"))
                    .help(format!("there are: {}", Response::ALL.join(", ")))
                    .help_if(near.map(|near| format!("`{near}` is one"))),
            );
        }
    }
    let asked = all.into_iter().filter(|(word, _)| *word != "alert");
    asked.map(|(word, _)| Response { action: word.to_owned(), field: None }).collect()
}

/// `response_ttl = "10m"`: how long what a response did stays in effect, in seconds.
fn response_ttl(table: &mut Table<'_, '_>, responses: &[Response], late: bool) -> Option<u32> {
    table.get("response_ttl")?;
    let (text, place) = table.text("response_ttl")?;
    // What is denied before the act is denied as long as the rule is in force.
    let lasts = |one: &Response| {
        Response::LASTING.contains(&one.action.as_str()) && (late || one.action != Response::DENY)
    };
    let (message, help) = match seconds(text) {
        Some(1..=Response::TTL_MAX) if !responses.iter().any(lasts) => (
            "no response of this rule ends by itself".to_owned(),
            format!(
                "these do: {}; `deny` only with `placement = \"any\"`",
                Response::LASTING.join(", ")
            ),
        ),
        Some(ttl @ 1..=Response::TTL_MAX) => return Some(ttl),
        Some(_) => (
            format!("`{text}` is not between 1s and 7d"),
            "the operator may shorten it further: `run --action-ttl`".to_owned(),
        ),
        None => (
            format!("`{}` is no time", text.escape_debug()),
            "write `90s`, `10m`, `2h` or `1d`".to_owned(),
        ),
    };
    table.found.push(Diagnostic::new(Code::BadValue, place, message).help(help));
    None
}

/// A number with its unit, in seconds; what is more than they can be is the most.
fn seconds(text: &str) -> Option<u32> {
    let units = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];
    let (digits, unit) =
        units.iter().find_map(|(word, unit)| Some((text.strip_suffix(word)?, *unit)))?;
    let is_number = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
    is_number.then(|| digits.parse::<u32>().unwrap_or(u32::MAX).saturating_mul(unit))
}

/// `placement = "any"`: a response may also come after the act.
fn late(table: &mut Table<'_, '_>) -> bool {
    if table.get("placement").is_none() {
        return false;
    }
    let Some((word, place)) = table.text("placement") else { return false };
    if word != "any" {
        let message = format!("`{word}` is no placement");
        table.found.push(
            Diagnostic::new(Code::BadValue, place, message).help(
                "`any` lets a response come after the act; without it `deny` must come before",
            ),
        );
    }
    word == "any"
}

/// What the rule says, or else `default`.
fn dialect(table: &mut Table<'_, '_>, default: Dialect) -> Dialect {
    if table.get("dialect").is_none() {
        return default;
    }
    let Some((word, place)) = table.text("dialect") else { return default };
    Dialect::from_name(word).unwrap_or_else(|| {
        let names: Vec<&str> = Dialect::ALL.iter().map(|one| one.as_str()).collect();
        let message = format!("`{word}` is no dialect");
        table.found.push(
            Diagnostic::new(Code::BadValue, place, message)
                .help(format!("there are: {}", names.join(", "))),
        );
        default
    })
}

fn identifier(table: &mut Table<'_, '_>) -> Option<(String, Span)> {
    let (text, place) = table.text("id")?;
    let sound = text.len() <= MAX_ID
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    if !sound {
        let message = format!("`{}` is no rule id", text.escape_debug());
        table.found.push(Diagnostic::new(Code::BadValue, place, message).help(format!(
            "use lower-case words, digits and single hyphens, at most {MAX_ID} bytes"
        )));
        return None;
    }
    Some((text.to_owned(), place))
}

/// Bytes of a rule id: it is printed in each alert.
const MAX_ID: usize = 100;

fn severity(table: &mut Table<'_, '_>) -> Option<Severity> {
    let (text, place) = table.text("severity")?;
    let known = Severity::from_name(text);
    if known.is_none() {
        let words: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        let near = nearest(text, words.iter().copied()).map(|near| format!("`{near}` is one"));
        table.found.push(
            Diagnostic::new(Code::BadValue, place, format!("`{text}` is no severity"))
                .help(format!("there are: {}", words.join(", ")))
                .help_if(near),
        );
    }
    known
}

/// ATT&CK ids: tactics `TA0001`, techniques `T1059`, sub-techniques `T1059.004`.
fn techniques(table: &mut Table<'_, '_>) -> Vec<String> {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let all = table.texts("attack");
    for (text, place) in &all {
        let sound = if let Some(tactic) = text.strip_prefix("TA") {
            digits(tactic, 4)
        } else {
            let number = text.strip_prefix('T').unwrap_or_default();
            let (technique, sub) = number.split_once('.').unwrap_or((number, "000"));
            digits(technique, 4) && digits(sub, 3)
        };
        if !sound {
            table.found.push(
                Diagnostic::new(Code::BadValue, place.clone(), format!("`{text}` is no ATT&CK id"))
                    .help("write `T1059`, `T1059.004` or `TA0002`"),
            );
        }
    }
    owned(all)
}

fn owned(texts: Vec<(&str, Span)>) -> Vec<String> {
    texts.into_iter().map(|(text, _)| text.to_owned()).collect()
}

/// Tests of a rule; a warning if there is none that must match, or none that must not.
fn read_tests(rule: &mut Table<'_, '_>, id: Option<Span>) -> Vec<RuleTest> {
    let tables = rule.tables("test");
    if let Some((_, span)) = tables.get(MAX_TESTS) {
        let message = format!("more than {MAX_TESTS} tests of one rule");
        rule.found.push(Diagnostic::new(Code::Limit, span.clone(), message));
    }
    let written: Vec<bool> = tables
        .iter()
        .filter_map(|(keys, _)| keys.get("alert").and_then(|value| value.get_ref().as_bool()))
        .collect();
    let lacks = match (written.contains(&true), written.contains(&false)) {
        (true, true) => None,
        (false, false) => Some("the rule has no test"),
        (true, false) => Some("no test shows an event that must not match"),
        (false, true) => Some("no test shows an event that must match"),
    };
    if let (Some(message), Some(place)) = (lacks, id) {
        rule.found.push(Diagnostic::new(Code::NoTest, place, message).help(
            "add `[[rule.test]]` tables with `name`, `alert` and `event`: one that matches, and \
             one that differs from it in the decisive field",
        ));
    }
    let mut tests = Vec::new();
    for (keys, span) in tables.into_iter().take(MAX_TESTS) {
        let mut table = Table::new(keys, span);
        let name = table.text("name").map(|(text, _)| text.to_owned());
        let alert = table.flag("alert");
        let given = table.tables("events");
        if let Some((_, span)) = given.get(MAX_TEST_EVENTS) {
            let message = format!("more than {MAX_TEST_EVENTS} events of one test");
            table.found.push(Diagnostic::new(Code::Limit, span.clone(), message));
        }
        let recording = table.get("recording").is_some().then(|| table.text("recording")).flatten();
        let mut events: Vec<_> = given.into_iter().map(|(keys, _)| keys).collect();
        if events.is_empty() && recording.is_none() {
            events.extend(table.table("event"));
        }
        let events: Vec<_> = events
            .into_iter()
            .take(MAX_TEST_EVENTS)
            .map(|keys| event::read(keys, &mut table.found))
            .collect();
        rule.found.append(&mut table.finish());
        let recording = recording.map(|(file, _)| file.to_owned());
        let is_empty = events.is_empty() && recording.is_none();
        if let (Some(name), Some(alert), false) = (name, alert, is_empty) {
            tests.push(RuleTest { rule: 0, name, alert, events, recording });
        }
    }
    tests
}

/// Where the bytes of a query are in the file.
struct QueryMap {
    /// For each byte of the query, and its end, the byte of the file.
    offsets: Vec<usize>,
    value: Span,
}

impl QueryMap {
    /// `value` is the TOML string with its quotes, `query` what it stands for.
    fn new(text: &str, value: Span, query: &str) -> Self {
        let raw = text.get(value.clone()).unwrap_or_default();
        let multi = raw.starts_with("\"\"\"") || raw.starts_with("'''");
        let mut at = if multi { 3 } else { 1 };
        if multi {
            let rest = raw.get(at..).unwrap_or_default();
            at += usize::from(rest.starts_with('\n')) + 2 * usize::from(rest.starts_with("\r\n"));
        }
        let escapes = raw.starts_with('"');
        let bytes = raw.as_bytes();
        let mut offsets = Vec::with_capacity(query.len() + 1);
        for character in query.chars() {
            while escapes && continues_line(bytes, at) {
                at += 1 + bytes.iter().skip(at + 1).take_while(|b| b.is_ascii_whitespace()).count();
            }
            offsets.extend(std::iter::repeat_n(value.start + at, character.len_utf8()));
            at += match (bytes.get(at), bytes.get(at + 1)) {
                (Some(b'\\'), Some(b'U')) if escapes => 10,
                (Some(b'\\'), Some(b'u')) if escapes => 6,
                (Some(b'\\'), Some(b'x')) if escapes => 4,
                (Some(b'\\'), _) if escapes => 2,
                (Some(b'\r'), Some(b'\n')) if character == '\n' => 2,
                _ => character.len_utf8(),
            };
        }
        offsets.push(value.start + at);
        QueryMap { offsets, value }
    }

    fn place(&self, span: &Span) -> Span {
        let of = |at: usize| self.offsets.get(at).copied().unwrap_or(self.value.end);
        let (start, end) = (of(span.start), of(span.end));
        let start = start.min(self.value.end);
        start..end.clamp(start, self.value.end)
    }
}

/// Whether a backslash joins this line with the next.
fn continues_line(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b'\\') && bytes.get(at + 1).is_some_and(u8::is_ascii_whitespace)
}
