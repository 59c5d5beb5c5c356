//! Scripts of rules: their files are read, compiled, and asked.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use engine::NoScripts;
use lang::{Loaded, Refusal};
use model::escape::escaped;
use model::program::{Program, Rule};
use model::script::{Incident, Kind, Script, Scripts};
use script::limits::{MAX_MODULE_BYTES, MAX_SOURCE_BYTES};
use script::{Backend, Refused, Runtime};

/// What runs Wasm modules in this process.
static BACKEND: OnceLock<Backend> = OnceLock::new();

/// Takes this back end, and not the one that fits the system. Said once, before rules are read.
pub(crate) fn choose(backend: Option<Backend>) {
    if let Some(backend) = backend {
        BACKEND.get_or_init(|| backend);
    }
}

fn backend() -> Backend {
    *BACKEND.get_or_init(|| Backend::pick().0)
}

/// Reads the files of all scripts and compiles them; rules whose scripts are refused are left out.
/// Who runs rules here runs his own, or those that he looks at: they may do what they ask for, and
/// nothing is done here beyond telling it.
pub(crate) fn prepare(loaded: &mut Loaded) {
    if loaded.program.scripts.is_empty() {
        return;
    }
    let mut refused = Vec::new();
    let all = loaded.program.scripts.iter_mut().zip(&loaded.scripts);
    for (number, (script, origin)) in (0..).zip(all) {
        script.may = script.asks;
        match read(&origin.file, script) {
            Ok(code) => script.code = code,
            Err(message) => {
                let help = "the file lies beside its rule file or below; links are not followed";
                refused.push(Refusal { script: number, message, help: help.to_owned() });
            }
        }
    }
    refused.extend(refusals(&loaded.program).into_iter().map(refusal));
    loaded.refuse_scripts(&refused);
}

/// Why scripts of a program cannot be run.
pub(crate) fn refusals(program: &Program) -> Vec<Refused> {
    if program.scripts.is_empty() { Vec::new() } else { Runtime::load(program, backend()).1 }
}

fn refusal(Refused { script, code, message, help }: Refused) -> Refusal {
    Refusal { script, message: format!("{code}: {message}"), help: help.to_owned() }
}

/// What the file of a script holds.
fn read(rules: &str, script: &Script) -> Result<Arc<[u8]>, String> {
    let limit = match script.kind {
        Kind::Wasm => MAX_MODULE_BYTES,
        Kind::Lua => MAX_SOURCE_BYTES,
    };
    files::read_beside(Path::new(rules), &script.file, limit as u64, files::Trust::Anyone)
        .map(Arc::from)
        .map_err(|error| format!("the script cannot be read: {error}"))
}

/// An incident for people.
pub(crate) fn told(incident: &Incident, program: &Program) -> String {
    let name = program.script(incident.script).map_or("?", |script| script.name.as_str());
    let Incident { cause, detail, quarantined, .. } = incident;
    let end = if *quarantined { "; it is asked no more" } else { "" };
    format!("script `{name}`: {cause}: {}{end}", escaped(detail))
}

/// A runtime of all scripts of a program that remembers nothing yet.
pub(crate) fn start(program: &Program) -> Box<dyn Scripts> {
    if program.scripts.is_empty() {
        return Box::new(NoScripts);
    }
    Box::new(Runtime::load(program, backend()).0)
}

/// The same for what one rule asks: the others are not compiled.
pub(crate) fn start_for(program: &Program, rule: &Rule) -> Box<dyn Scripts> {
    let asked = rule.scripts(program);
    if asked.is_empty() {
        return Box::new(NoScripts);
    }
    let scripts = (0..).zip(&program.scripts).map(|(number, script)| {
        let code = if asked.contains(&number) { Arc::clone(&script.code) } else { Arc::from([]) };
        Script { code, ..script.clone() }
    });
    let (fields, lineages) = (program.fields.clone(), program.lineages.clone());
    let alone = Program { rules: vec![rule.clone()], fields, lineages, scripts: scripts.collect() };
    start(&alone)
}
