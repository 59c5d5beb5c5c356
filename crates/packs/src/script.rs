//! Scripts of a pack: their files, and what they may do and use.
//!
//! A script has no capability of its own: it may do what all rules may that ask it, and no rule is
//! loaded that may less than its scripts ask for.

use std::collections::BTreeMap;

use lang::Loaded;
use model::capability::Capabilities;
use model::program::{Program, Rule};
use model::script::{Budget, Kind as ScriptKind, Script};

use crate::code::{Code, Refusal};
use crate::digest::Sha256;
use crate::manifest::Kind;

/// One script of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptView {
    /// Its name.
    pub name: String,
    /// How it is written.
    pub kind: ScriptKind,
    /// Its file in the pack.
    pub file: String,
    /// Bytes of the file.
    pub size: usize,
    /// Their digest.
    pub sha256: Sha256,
    /// Fields that it may read.
    pub fields: Vec<String>,
    /// Functions that rules ask.
    pub functions: Vec<String>,
    /// Names and texts of its regular expressions.
    pub regexes: Vec<(String, String)>,
    /// Names and texts of its wildcard patterns.
    pub globs: Vec<(String, String)>,
    /// What it asks for.
    pub asks: Capabilities,
    /// What it may do.
    pub may: Capabilities,
    /// What it may use.
    pub budget: Budget,
}

/// The name in a pack of a file that a rule file names.
pub fn beside(rule_file: &str, script: &str) -> String {
    match rule_file.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/{script}"),
        None => script.to_owned(),
    }
}

/// Puts the code of all scripts into the program; `file` tells what a file of the pack holds.
pub(crate) fn fill<'f>(
    loaded: &mut Loaded,
    file: &dyn Fn(&str) -> Option<&'f [u8]>,
    at: &dyn Fn(&str) -> String,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (script, origin) in loaded.program.scripts.iter_mut().zip(&loaded.scripts) {
        let name = beside(&origin.file, &script.file);
        if let Some(bytes) = file(&name) {
            script.code = bytes.into();
        } else {
            let what = format!("`{}` names `{name}`", script.name);
            refused.push(Refusal::new(Code::MissingFile, &at(&origin.file), what));
        }
    }
    refused
}

/// The kind of a rule that asks scripts: that of the one that is separated from us the least.
pub(crate) fn kind(rule: &Rule, program: &Program) -> Option<Kind> {
    let asked = rule.scripts(program);
    let mut scripts = asked.iter().filter_map(|number| program.script(*number));
    if scripts.any(|script| script.kind == ScriptKind::Lua) {
        return Some(Kind::Lua);
    }
    (!asked.is_empty()).then_some(Kind::Wasm)
}

/// What a reviewer wants to know of each script.
pub(crate) fn views(loaded: &Loaded) -> Vec<ScriptView> {
    let all = loaded.program.scripts.iter().zip(&loaded.scripts);
    let view = |(script, origin): (&Script, &lang::ScriptOrigin)| ScriptView {
        name: script.name.clone(),
        kind: script.kind,
        file: beside(&origin.file, &script.file),
        size: script.code.len(),
        sha256: Sha256::of(&script.code),
        fields: script
            .fields
            .iter()
            .map(|id| lang::fmt::field_name(*id, &loaded.program).to_owned())
            .collect(),
        functions: script.functions.clone(),
        regexes: script.regexes.clone(),
        globs: script.globs.clone(),
        asks: script.asks,
        may: script.may,
        budget: script.budget,
    };
    all.map(view).collect()
}

/// Gives each script what rules that ask it may do, and the budget of its level. `may` tells what a
/// rule may do by its number; none if it is not loaded.
pub fn grant(
    program: &mut Program,
    budget: &dyn Fn(usize) -> Option<Budget>,
    may: &dyn Fn(usize) -> Option<Capabilities>,
) {
    let mut granted: BTreeMap<u32, Capabilities> = BTreeMap::new();
    for (number, rule) in program.rules.iter().enumerate() {
        let Some(own) = may(number) else { continue };
        for script in rule.scripts(program) {
            granted.entry(script).and_modify(|all| *all = *all & own).or_insert(own);
        }
    }
    for (at, (number, script)) in (0..).zip(&mut program.scripts).enumerate() {
        script.may = script.asks & granted.get(&number).copied().unwrap_or(Capabilities::NONE);
        script.budget = budget(at).unwrap_or(script.budget);
    }
}
