//! The rules that the operator wants.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::packs::{Code, Refusal};
use files::{ReadError, Text, Trust};
use lang::{Diagnostic, Loaded, Origin};
use model::program::Rule;

use super::board::{LeftOut, RuleInfo, RuleSet};
use super::packs::{self, Admitted, Packs, Terms};
use super::scripts;
use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::operator;
use crate::rules::{About, Content, Kind};

/// Where rules are, unless said otherwise: those of the package, then those of the host.
const DIRECTORIES: &[&str] = &["/usr/lib/aegisbpf/rules", "/etc/aegisbpf/rules.d"];
/// Endings of rule files: rules of our own and of Elastic, and Sigma.
pub(super) const EXTENSIONS: &[&str] = &["toml", "yml", "yaml"];
/// Diagnostics printed at start; `kestrel check` shows all.
const SHOWN_MAX: usize = 20;
/// Rules that were left out and are told of by `aegisbpf rules`.
const LEFT_OUT_MAX: usize = 1_000;

/// Rules that were read.
#[derive(Debug)]
pub(crate) struct Rules {
    /// All sound rules.
    pub(crate) loaded: Loaded,
    /// What each of them may do and use, in the order of the program.
    pub(crate) terms: Vec<Terms>,
    /// What runs the scripts that they ask.
    pub(crate) scripts: scripts::Ready,
    /// Where they came from.
    pub(crate) directories: Vec<PathBuf>,
    /// How many findings kept a rule out (`--keep-going`).
    pub(crate) refused: usize,
    /// The rules that were left out, and why.
    pub(crate) left_out: Vec<LeftOut>,
    /// Whose word was enough for packs.
    pub(crate) operator: Option<operator::Files>,
    /// All that they were made of, or why that cannot be kept.
    pub(crate) contents: Result<Vec<Content>, String>,
}

impl Rules {
    /// What is told of them.
    pub(crate) fn set(&self) -> RuleSet {
        RuleSet {
            loaded: self.loaded.program.rules.len(),
            refused: self.refused,
            directories: self.directories.iter().map(|dir| dir.display().to_string()).collect(),
            left_out: self.left_out.clone(),
            reload: None,
            generation: None,
        }
    }

    /// What a recording tells of them.
    pub(crate) fn recorded(&self) -> capture::RuleSet {
        let texts = self.loaded.sources.iter();
        let texts = texts.map(|one| (one.name.as_str(), one.text.as_str()));
        capture::RuleSet::of(&self.loaded.program, texts)
    }

    /// What is told of each of them, in the order of the program.
    pub(crate) fn infos(&self) -> Arc<[RuleInfo]> {
        let program = &self.loaded.program;
        let rules = program.rules.iter().zip(&self.loaded.origins).zip(&self.terms);
        let info = |((rule, origin), terms): ((&Rule, &Origin), &Terms)| RuleInfo {
            id: rule.meta.id.clone(),
            name: rule.meta.name.clone(),
            severity: rule.meta.severity.as_str(),
            format: origin.format.as_str(),
            file: origin.file.clone(),
            placement: lang::placement::of(rule, program).place.as_str(),
            silent: rule.meta.silent,
            level: terms.level.as_str(),
            pack: terms.pack.clone(),
            signers: terms.signers.clone(),
            may: terms.may.words(),
            max_alerts: terms.alerts,
        };
        rules.map(info).collect()
    }
}

/// Where plain rules are looked for: nowhere where only packs are taken.
pub(super) fn directories(args: &RunArgs) -> Vec<PathBuf> {
    if args.strict {
        Vec::new()
    } else if args.rules.is_empty() {
        DIRECTORIES.iter().map(PathBuf::from).filter(|dir| files::exists(dir)).collect()
    } else {
        args.rules.clone()
    }
}

/// All places that rules and packs are read from, whether something is there or not.
pub(crate) fn places(args: &RunArgs) -> Vec<PathBuf> {
    let named = |named: &[PathBuf], usual: &mut dyn Iterator<Item = &str>| {
        if named.is_empty() { usual.map(PathBuf::from).collect() } else { named.to_vec() }
    };
    let mut all: Vec<PathBuf> = named(&args.rules, &mut DIRECTORIES.iter().copied());
    all.extend(named(&args.packs, &mut packs::DIRECTORIES.iter().map(|(path, _)| *path)));
    all
}

/// Whether the agent starts with these rules, or runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// The operator sees what is wrong, and mends it.
    Start,
    /// A pack that is refused must not keep others from being read.
    Reload,
}

/// Reads packs and plain rules, and prints what is wrong with them on standard error. Without an audit
/// log they are only looked at: nothing is noted or kept.
pub(crate) fn read(args: &RunArgs, when: When, audit: Option<&Audit>) -> Result<Rules, Failure> {
    let directories = directories(args);
    let mut left_out = strict(args)?;
    let packs = packs::read(args, audit).map_err(|refused| unusable(&refused))?;
    if directories.is_empty() && packs.loaded.is_empty() && packs.refused.is_empty() {
        let message = format!("there are no rules: neither {} exists", DIRECTORIES.join(" nor "));
        return Err(Failure::new(Exit::RulesUnreadable, message)
            .help("name a directory of rules with --rules DIR, or packs with --packs DIR"));
    }
    let keep = args.keep_going;
    if when == When::Start && !keep && !packs.refused.is_empty() {
        let all: Vec<_> = packs.refused.iter().flat_map(|(_, refused)| refused).cloned().collect();
        return Err(unusable(&all));
    }
    let (texts, unreadable) = files::read_all(&directories, EXTENSIONS, Trust::Owner);
    if !keep && let Some(first) = unreadable.first() {
        let more = unreadable.len() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(Failure::new(
            Exit::RulesUnreadable,
            format!("cannot read rules: {first}{more}"),
        )
        .help("mend the path given with --rules, or start with --keep-going"));
    }
    for error in &unreadable {
        tracing::warn!(%error, "rules left out");
    }
    left_out.extend(unreadable.iter().map(LeftOut::from));
    let directories = directories.into_iter().chain(packs::origins(&packs)).collect();
    let unread = unreadable.len();
    load(Found { directories, packs, texts, left_out, unread }, keep, &scripts::plain)
}

/// Reads the rules of a generation again: its files, judged by the keys and the trust of now.
/// `strictly`: nothing is left out that ran then.
pub(crate) fn again(
    args: &RunArgs,
    (about, contents, place): (&About, Vec<Content>, PathBuf),
    strictly: bool,
    audit: Option<&Audit>,
) -> Result<Rules, Failure> {
    let (mut texts, mut stored, mut beside) = (Vec::new(), Vec::new(), HashMap::new());
    for Content { kind, name, bytes } in contents {
        match kind {
            Kind::Rules if args.strict => {
                let what = "plain rules, without signatures, and strict mode takes none";
                return Err(unusable(&[Refusal::new(Code::Plain, &name, what)]));
            }
            Kind::Rules => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                texts.push(Text { name, text });
            }
            Kind::Script { file } => drop(beside.insert((name, file), bytes)),
            kind => stored.extend(kind.place().map(|found| (found, name, bytes))),
        }
    }
    let packs = packs::again(args, stored, audit).map_err(|refused| unusable(&refused))?;
    if strictly && !packs.refused.is_empty() {
        let all: Vec<_> = packs.refused.iter().flat_map(|(_, refused)| refused).cloned().collect();
        return Err(unusable(&all));
    }
    let code = |rules: &str, script: &str| {
        let code = beside.get(&(rules.to_owned(), script.to_owned()));
        code.cloned().ok_or_else(|| "it did not run in this generation either".to_owned())
    };
    let keep = !strictly || about.refused > 0 || args.keep_going;
    let (directories, left_out) = (vec![place], Vec::new());
    load(Found { directories, packs, texts, left_out, unread: 0 }, keep, &code)
}

/// What rules are made of.
struct Found {
    directories: Vec<PathBuf>,
    packs: Packs,
    texts: Vec<Text>,
    /// What is not read at all.
    left_out: Vec<LeftOut>,
    /// Files of which could not be read.
    unread: usize,
}

/// Makes rules of it. `keep`: those that are sound, if some are not.
fn load(found: Found, keep: bool, beside: &scripts::Beside<'_>) -> Result<Rules, Failure> {
    let Found { directories, packs, texts, mut left_out, unread } = found;
    let plain = texts.clone();
    let Admitted { mut loaded, terms, scripts, left_out: not_admitted } =
        packs::admit(&packs, texts, beside);
    let refused = loaded.diagnostics.iter().filter(|one| one.is_error()).count();
    show(&mut loaded);
    if refused > 0 && !keep {
        let message = format!("the rules have {refused} errors; nothing is loaded");
        return Err(Failure::new(Exit::Config, message)
            .help("mend them (`kestrel check` shows them too), or start with --keep-going"));
    }
    for one in &not_admitted {
        let id = one.id.as_deref().unwrap_or_default();
        tracing::warn!(file = one.file, id, reason = one.reason, "left out");
    }
    let refused = refused + unread + not_admitted.len();
    left_out.extend(not_admitted);
    left_out.extend(loaded.diagnostics.iter().filter(|one| one.is_error()).map(LeftOut::from));
    left_out.truncate(LEFT_OUT_MAX);
    let contents = contents(plain, &packs, &scripts);
    let operator = packs.operator;
    let rules =
        Rules { loaded, terms, scripts, directories, refused, left_out, operator, contents };
    if rules.loaded.program.rules.is_empty() {
        let dirs = rules.set().directories.join(", ");
        tracing::warn!(directories = dirs, "no rules: there will be no alerts");
    }
    Ok(rules)
}

/// All files that rules were made of, in the order in which they count.
fn contents(
    plain: Vec<Text>,
    packs: &Packs,
    scripts: &scripts::Ready,
) -> Result<Vec<Content>, String> {
    let mut all: Vec<Content> = Vec::new();
    let mut add = |kind, name: &str, bytes: Vec<u8>| {
        all.push(Content { kind, name: name.to_owned(), bytes });
    };
    for Text { name, text } in plain {
        add(Kind::Rules, &name, text.into_bytes());
    }
    for (rules, file, code) in &scripts.own {
        add(Kind::Script { file: file.clone() }, rules, code.to_vec());
    }
    for pack in &packs.loaded {
        let shipped = pack.found == ::packs::Level::Shipped;
        let bytes = pack.compiled.verified().to_file().map_err(|refusal| refusal.to_string())?;
        add(Kind::Pack { shipped }, &pack.place, bytes);
    }
    let operator = packs.operator.clone().unwrap_or_default();
    if let Some((name, bytes)) = operator.trust {
        add(Kind::Trust, &name, bytes);
    }
    for (name, bytes) in operator.keys {
        add(Kind::Key, &name, bytes);
    }
    Ok(all)
}

/// In strict mode plain files are refused: those that were named, with the reason, and those of the
/// usual places by leaving them out.
fn strict(args: &RunArgs) -> Result<Vec<LeftOut>, Failure> {
    if !args.strict {
        return Ok(Vec::new());
    }
    let refuse = |path: &PathBuf| {
        let what = "plain rules, without signatures, and strict mode takes none";
        Refusal::new(Code::Plain, &path.display().to_string(), what)
    };
    if !args.rules.is_empty() {
        return Err(unusable(&args.rules.iter().map(refuse).collect::<Vec<_>>()));
    }
    let there = DIRECTORIES.iter().map(PathBuf::from).filter(|dir| files::exists(dir));
    let left_out = |path: PathBuf| LeftOut {
        id: None,
        file: path.display().to_string(),
        reason: refuse(&path).to_string(),
    };
    Ok(there.map(left_out).collect())
}

/// All reasons on standard error, one a line, and how the agent ends.
fn unusable(refused: &[Refusal]) -> Failure {
    use std::io::Write;
    let mut err = anstream::stderr().lock();
    for one in refused.iter().take(SHOWN_MAX) {
        // Nothing can be done when standard error is gone.
        drop(writeln!(err, "error: {one}"));
    }
    let first = refused.first().map(ToString::to_string).unwrap_or_default();
    let more = refused.len().saturating_sub(1);
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Failure::new(Exit::Config, format!("packs are refused: {first}{more}"))
        .help("`kestrel pack verify` tells the same; --keep-going starts without them")
}

impl From<&ReadError> for LeftOut {
    fn from(error: &ReadError) -> LeftOut {
        LeftOut { reason: error.to_string(), ..LeftOut::default() }
    }
}

impl From<&Diagnostic> for LeftOut {
    fn from(one: &Diagnostic) -> LeftOut {
        let reason = format!("{}: {}", one.code.as_str(), one.message);
        LeftOut { id: one.rule.clone(), file: one.file.clone(), reason }
    }
}

/// Errors in full; warnings are the rule author's business and only counted.
fn show(loaded: &mut Loaded) {
    use std::io::Write;
    let mut err = anstream::stderr().lock();
    let (errors, warnings): (Vec<&Diagnostic>, Vec<_>) =
        loaded.diagnostics.iter().partition(|one| one.is_error());
    for one in errors.iter().take(SHOWN_MAX) {
        // Nothing can be done when standard error is gone.
        drop(writeln!(err, "{}\n", lang::render::text(one, &loaded.sources, true)));
    }
    if errors.len() > SHOWN_MAX {
        drop(writeln!(err, "and {} more errors", errors.len() - SHOWN_MAX));
    }
    if !warnings.is_empty() {
        tracing::info!(count = warnings.len(), "rules have warnings; `kestrel check` shows them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::path::Path;

    const GOOD: &str = r#"[[rule]]
id = "a"
name = "a"
description = "a"
severity = "low"
query = 'process where event.type == "start"'
"#;

    fn from(dir: &Path, more: &[&str]) -> Result<Rules, Failure> {
        let dir = dir.to_str().unwrap();
        let words = ["aegisbpf", "run", "--rules", dir].into_iter().chain(more.iter().copied());
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        read(&args, When::Start, Some(&Audit::at(Path::new("/nonexistent-state"))))
    }

    #[test]
    fn a_missing_directory_is_named() {
        let failure = from(Path::new("/nonexistent-rules"), &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::RulesUnreadable);
        assert!(failure.to_string().contains("/nonexistent-rules"), "{failure}");
    }

    #[test]
    fn an_empty_directory_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(from(dir.path(), &[]).unwrap().loaded.program.rules.is_empty());
    }

    #[test]
    fn a_malformed_rule_stops_the_start_unless_told_to_keep_going() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("good.toml"), GOOD).unwrap();
        assert_eq!(from(dir.path(), &[]).unwrap().loaded.program.rules.len(), 1);
        let bad = GOOD.replace("\"a\"", "\"b\"").replace("event.type ==", "event.tpye ==");
        std::fs::write(dir.path().join("bad.toml"), bad).unwrap();
        assert_eq!(from(dir.path(), &[]).unwrap_err().exit, Exit::Config);
        let kept = from(dir.path(), &["--keep-going"]).unwrap();
        assert_eq!((kept.loaded.program.rules.len(), kept.refused), (1, 1));
    }
}
