//! Scripts: `[[script]]` tables of rule files, and queries that ask them.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use model::capability::{Capabilities, Capability};
use model::field::{self, FIELDS, FieldId};
use model::program::{Expr, Scalar};
use model::script::{Kind, Script};
use toml::de::DeTable;

use crate::ast::Node;
use crate::diagnostic::{Code, Diagnostic, Span, nearest};
use crate::elastic;
use crate::limits::{
    MAX_FILE, MAX_SCRIPT_ARGS, MAX_SCRIPT_FIELDS, MAX_SCRIPT_FUNCTIONS, MAX_SCRIPT_NAME,
    MAX_SCRIPT_PATTERNS, MAX_SCRIPT_TEXT, MAX_SCRIPTS,
};
use crate::load::Loaded;
use crate::lower::Lower;
use crate::table::Table;

/// Where a script of the program was declared.
#[derive(Debug, Clone)]
pub struct ScriptOrigin {
    /// Name of the rule file; the file of the script is named beside it.
    pub file: String,
    /// The value of `name`.
    pub name: Span,
    /// The value of `file`.
    pub code: Span,
}

/// Why a script is not run: whoever reads and runs its file says so.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Number of the script in the program.
    pub script: u32,
    /// What is wrong, with the code under which the documentation has it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The scripts of all files.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) scripts: Vec<Script>,
    pub(crate) origins: Vec<ScriptOrigin>,
    /// What is wrong with the tables of each file, by its name.
    pub(crate) found: HashMap<String, Vec<Diagnostic>>,
    /// Names that a table has whose script cannot be asked, and why.
    pub(crate) broken: HashMap<String, String>,
    /// The first script of the files at hand.
    pub(crate) first: usize,
}

impl Declared {
    /// The scripts that are declared from here on are those of other files, which know nothing of
    /// those before.
    pub(crate) fn next_group(&mut self) {
        self.first = self.scripts.len();
        self.broken.clear();
    }

    /// Reads the tables of a file.
    pub(crate) fn read(&mut self, file: &str, text: &str) {
        // Rule files without scripts are not parsed twice.
        if text.len() > MAX_FILE || !text.contains("script") || !is_toml(file) {
            return;
        }
        let (document, _) = DeTable::parse_recoverable(text);
        let mut top = Table::new(document.get_ref(), 0..0);
        let tables = top.tables("script");
        let mut found = std::mem::take(&mut top.found);
        if elastic::is_elastic(document.get_ref()) {
            found.extend(tables.first().map(|(_, span)| {
                Diagnostic::new(Code::Script, span.clone(), "a rule of Elastic asks no scripts")
                    .help("declare the script in a rule file of our own form")
            }));
        } else {
            for (keys, span) in tables {
                let mut table = Table::new(keys, span);
                let name = self.declare(file, &mut table);
                let mut wrong = table.finish();
                if let (Some(name), true) = (name, wrong.iter().any(Diagnostic::is_error)) {
                    self.broken.entry(name).or_insert_with(|| "its table has an error".to_owned());
                }
                found.append(&mut wrong);
            }
        }
        if !found.is_empty() {
            self.found.insert(file.to_owned(), found);
        }
    }

    /// Takes a table; says which name it has, if that is its own.
    fn declare(&mut self, file: &str, table: &mut Table<'_, '_>) -> Option<String> {
        let name = name(table);
        let code = code(table);
        let (fields, patterns) = (fields(table), ["regexes", "globs"].map(|key| texts(table, key)));
        let asks = capabilities(table);
        let (name, place) = name?;
        let Some((path, kind, at)) = code else { return Some(name) };
        if !self.unique(file, table, &name, &place) {
            return None;
        }
        if self.scripts.len() >= MAX_SCRIPTS {
            let message = format!("more than {MAX_SCRIPTS} scripts");
            table.found.push(Diagnostic::new(Code::Limit, place, message));
            return Some(name);
        }
        let [regexes, globs] = patterns;
        let base = Script::new(name.clone(), kind, path);
        self.scripts.push(Script { fields, regexes, globs, asks, ..base });
        let file = file.to_owned();
        self.origins.push(ScriptOrigin { file, name: place, code: at });
        Some(name)
    }

    /// Whether no other script has the name; the diagnostic names both places.
    fn unique(&mut self, file: &str, table: &mut Table<'_, '_>, name: &str, place: &Span) -> bool {
        let mut own = self.scripts.iter().zip(&self.origins).skip(self.first);
        let Some((_, origin)) = own.find(|(script, _)| script.name == name) else { return true };
        let message = format!("there is another script `{name}`");
        let twice = Diagnostic::new(Code::Script, place.clone(), message).label("used again here");
        table.found.push(if origin.file == file {
            twice.also(origin.name.clone(), "first used here").help("give one another name")
        } else {
            twice.help(format!("the other is in {}: give one another name", origin.file))
        });
        false
    }
}

impl Loaded {
    /// Leaves out the rules that ask scripts which are not run, and says why: of several reasons for
    /// one script, the first. The scripts keep their numbers. Says, as [`Loaded::leave_out`] does,
    /// which other rules go with them.
    pub fn refuse_scripts(&mut self, refused: &[Refusal]) {
        let asked: Vec<BTreeSet<u32>> =
            self.program.rules.iter().map(|rule| rule.scripts(&self.program)).collect();
        let (mut known, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for Refusal { script, message, help } in refused {
            let origin = usize::try_from(*script).ok().and_then(|script| self.scripts.get(script));
            let (Some(origin), Some(told)) = (origin, self.program.script(*script)) else {
                continue;
            };
            if !known.insert(*script) {
                continue;
            }
            let found = Diagnostic::new(Code::Script, origin.code.clone(), message.clone());
            let found = found.help(help.clone());
            let mut more = vec![Diagnostic { file: origin.file.clone(), ..found }];
            let rules = self.program.rules.iter().zip(&self.origins).zip(&asked).enumerate();
            for (number, ((rule, origin), _)) in rules.filter(|(_, (_, it))| it.contains(script)) {
                gone.insert(number);
                let message = format!("the script `{}` is not run", told.name);
                let found = Diagnostic::new(Code::Script, origin.query.clone(), message);
                let (file, rule) = (origin.file.clone(), Some(rule.meta.id.clone()));
                more.push(Diagnostic { file, rule, ..found });
            }
            self.diagnostics.append(&mut more);
        }
        self.leave_out(&gone);
    }
}

/// `[a-z_][a-z0-9_]*`
fn name(table: &mut Table<'_, '_>) -> Option<(String, Span)> {
    let (text, place) = table.text("name")?;
    if is_name(text) {
        return Some((text.to_owned(), place));
    }
    let message = format!("`{}` is no name of a script", text.escape_debug());
    table.found.push(Diagnostic::new(Code::BadValue, place, message).help(format!(
        "use lower-case letters, digits and `_`, not a digit first, at most {MAX_SCRIPT_NAME} bytes"
    )));
    None
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    text.len() <= MAX_SCRIPT_NAME
        && text.bytes().next().is_some_and(is_letter)
        && text.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// The file, which lies beside the rule file or below.
fn code(table: &mut Table<'_, '_>) -> Option<(String, Kind, Span)> {
    let (path, place) = table.text("file")?;
    let mut wrong = |message: String, help: &str| {
        table.found.push(Diagnostic::new(Code::BadValue, place.clone(), message).help(help));
        None
    };
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if path.len() > MAX_SCRIPT_TEXT || !path.split('/').all(is_plain) {
        return wrong(
            format!("`{}` is no file of a script", path.escape_debug()),
            "name a file beside the rule file or below: letters, digits, `.`, `_` and `-` between \
             `/`, no `..`, not from the root",
        );
    }
    match Kind::of_file(path) {
        Some(kind) => Some((path.to_owned(), kind, place)),
        None => wrong(
            format!("`{path}` is neither Wasm nor Luau"),
            "its name ends in `.wasm` (a WebAssembly module) or `.luau` (source)",
        ),
    }
}

/// The fields that it may read, each once.
fn fields(table: &mut Table<'_, '_>) -> Vec<FieldId> {
    let mut all = Vec::new();
    for (name, place) in table.texts("fields") {
        let Some(id) = field::by_name(name) else {
            let near = nearest(name, FIELDS.iter().map(|row| row.name));
            table.found.push(
                Diagnostic::new(Code::UnknownField, place, format!("no field `{name}`"))
                    .label("no sensor fills this")
                    .help("`kestrel fields` lists all of them")
                    .help_if(near.map(|near| format!("there is a field `{near}`"))),
            );
            continue;
        };
        if all.contains(&id) {
            let message = format!("`{name}` stands here twice");
            table.found.push(Diagnostic::new(Code::BadValue, place, message));
        } else if all.len() >= MAX_SCRIPT_FIELDS {
            let message = format!("more than {MAX_SCRIPT_FIELDS} fields of one script");
            table.found.push(Diagnostic::new(Code::Limit, place, message));
            break;
        } else {
            all.push(id);
        }
    }
    all
}

/// Names and texts of patterns, in the order in which they are written.
fn texts(table: &mut Table<'_, '_>, key: &'static str) -> Vec<(String, String)> {
    let Some(value) = table.get(key) else { return Vec::new() };
    let Some(keys) = value.get_ref().as_table() else {
        table.wrong::<()>(value, format!("`{key}` must be a table of names and texts"));
        return Vec::new();
    };
    let mut all: Vec<(Span, (String, String))> = Vec::new();
    for (name, text) in keys {
        let (place, name) = (name.span(), name.get_ref().as_ref());
        if !is_name(name) {
            let message = format!("`{}` is no name of a pattern", name.escape_debug());
            let help = "use lower-case letters, digits and `_`, not a digit first";
            table.found.push(Diagnostic::new(Code::BadValue, place, message).help(help));
            continue;
        }
        let Some(pattern) = text.get_ref().as_str() else {
            table.wrong::<()>(text, format!("`{key}` holds texts only"));
            continue;
        };
        if pattern.len() > MAX_SCRIPT_TEXT {
            let message = format!("a pattern has more than {MAX_SCRIPT_TEXT} bytes");
            table.found.push(Diagnostic::new(Code::Limit, text.span(), message));
            continue;
        }
        if let Err(reason) = check(key, pattern) {
            let message = format!("the regular expression cannot be used: {reason}");
            table.found.push(Diagnostic::new(Code::BadRegex, text.span(), message));
            continue;
        }
        all.push((place, (name.to_owned(), pattern.to_owned())));
    }
    if all.len() > MAX_SCRIPT_PATTERNS {
        let message = format!("more than {MAX_SCRIPT_PATTERNS} `{key}` of one script");
        table.found.push(Diagnostic::new(Code::Limit, value.span(), message));
    }
    // Their numbers are those of the text, whatever the table sorts by.
    all.sort_by_key(|(place, _)| place.start);
    all.into_iter().map(|(_, pattern)| pattern).collect()
}

fn check(key: &str, pattern: &str) -> Result<(), String> {
    if key != "regexes" {
        return Ok(());
    }
    model::pattern::regex(&[pattern.to_owned()], false).map(drop).map_err(|error| {
        // The last line says what is wrong, those before show where.
        error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned()
    })
}

fn is_toml(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|ending| ending == "toml")
}

/// What it asks for; it may always raise alerts.
fn capabilities(table: &mut Table<'_, '_>) -> Capabilities {
    let mut asks = Capabilities::ALERT;
    for (word, place) in table.texts("capabilities") {
        if let Some(one) = Capability::from_name(word) {
            asks = asks | Capabilities::of(&[one]);
            continue;
        }
        let words = Capability::ALL.iter().map(|one| one.as_str());
        let near = nearest(word, words).map(|near| format!("`{near}` is one"));
        let message = format!("`{word}` is no capability");
        let all = Capabilities::all().words().join(", ");
        table.found.push(
            Diagnostic::new(Code::BadValue, place, message)
                .help(format!("there are: {all}"))
                .help_if(near),
        );
    }
    asks
}

impl Lower<'_> {
    /// Whether a call is of a script: the number of the script, or why it cannot be asked.
    pub(crate) fn script_of(&self, name: &str) -> Option<Result<usize, String>> {
        let (script, _) = name.split_once('.')?;
        if let Some(why) = self.schema.broken.get(script) {
            return Some(Err(format!("the script `{script}` cannot be asked: {why}")));
        }
        let first = self.schema.first_script;
        let mut own = self.schema.scripts.iter().skip(first);
        own.position(|known| known.name == script).map(|at| Ok(first + at))
    }

    /// A call of a script.
    pub(crate) fn script_call(
        &mut self,
        script: Result<usize, String>,
        (name, place): (&str, &Span),
        args: &[Node],
        fold: bool,
        span: &Span,
    ) -> Option<Expr> {
        let function = name.split_once('.').map_or(name, |(_, function)| function);
        match script {
            Ok(at) => self.question(at, function, args, fold, (place, span)),
            Err(message) => self.fail(Diagnostic::new(Code::Script, place.clone(), message)),
        }
    }

    fn question(
        &mut self,
        at: usize,
        function: &str,
        args: &[Node],
        fold: bool,
        (place, span): (&Span, &Span),
    ) -> Option<Expr> {
        let mut refuse = |code, message: String, help: &str| {
            self.found.push(Diagnostic::new(code, place.clone(), message).help(help));
        };
        if self.schema.foreign {
            let message = "a rule of Elastic asks no scripts".to_owned();
            refuse(Code::Script, message, "write the rule in a rule file of our own form");
            return None;
        }
        if self.in_pipe {
            let message = "a pipe cannot ask a script".to_owned();
            let help = "ask in the condition of the event: it may be gone when results come";
            refuse(Code::Script, message, help);
            return None;
        }
        if !is_function(function) {
            let message = format!("`{}` is no function of a script", function.escape_debug());
            let help = "write `script.function(…)`: letters, digits and `_`";
            refuse(Code::UnknownFunction, message, help);
            return None;
        }
        if fold {
            let message = "a script is asked without `~`".to_owned();
            refuse(Code::BadArguments, message, "what it does with case is its own affair");
            return None;
        }
        if args.len() > MAX_SCRIPT_ARGS {
            let message = format!("more than {MAX_SCRIPT_ARGS} arguments of a script");
            let found = Diagnostic::new(Code::Limit, span.clone(), message);
            return self.fail(found.help("a script can read the fields that its table declares"));
        }
        let args: Vec<Option<Scalar>> =
            args.iter().map(|node| Some(self.subject(node)?.scalar)).collect();
        let args = args.into_iter().collect::<Option<Vec<Scalar>>>()?;
        let script = self.schema.scripts.get_mut(at)?;
        let known = script.functions.iter().position(|known| known == function);
        let number = known.unwrap_or_else(|| {
            script.functions.push(function.to_owned());
            script.functions.len() - 1
        });
        if number >= MAX_SCRIPT_FUNCTIONS {
            script.functions.truncate(MAX_SCRIPT_FUNCTIONS);
            let message = format!("more than {MAX_SCRIPT_FUNCTIONS} functions of one script");
            return self.fail(Diagnostic::new(Code::Limit, span.clone(), message));
        }
        let (script, function) = (u32::try_from(at).ok()?, u32::try_from(number).ok()?);
        Some(Expr::Script { script, function, args })
    }
}

fn is_function(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SCRIPT_NAME
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests;
