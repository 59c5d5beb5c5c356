//! Scripts of the rules that run: their code is read, their terms are set, they are loaded, and what
//! becomes of them is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ::packs::{Code, Level, Verified};
use ::script::{Backend, Runtime};
use engine::NoScripts;
use files::Trust;
use lang::{Loaded, Refusal};
use model::script::{Incident, Script, Scripts, Standing};
use serde_json::{Value as Json, json};

use super::metrics;
use super::packs::{Packs, Terms};
use crate::audit::Audit;
use crate::metrics::Samples;

/// Scripts that are shown and counted one by one, as many as a program has.
const CAUSES_MAX: usize = 64;

/// A script as `aegisbpf rules` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    /// Its name in queries.
    pub(crate) name: String,
    /// `wasm` or `lua`.
    pub(crate) kind: &'static str,
    /// Its file.
    pub(crate) file: String,
    /// Id and version of its pack.
    pub(crate) pack: Option<String>,
    /// How far its author is trusted.
    pub(crate) level: &'static str,
    /// What it may do.
    pub(crate) may: Vec<&'static str>,
    /// Rules that ask it.
    pub(crate) rules: Vec<String>,
    /// Whether it is run at all.
    pub(crate) loaded: bool,
}

/// Scripts that are ready.
#[derive(Debug)]
pub(crate) struct Ready {
    /// What runs them.
    pub(crate) runtime: Box<dyn Scripts>,
    /// What they are, in the order of the program.
    pub(crate) infos: Arc<[Info]>,
    /// Those of plain rule files.
    pub(crate) own: Vec<Own>,
}

/// A script of a plain rule file: that file, what it calls the script, and its code.
pub(crate) type Own = (String, String, Arc<[u8]>);

/// The code of a script that a plain rule file names: the name of that file, and the script's in it.
pub(crate) type Beside<'a> = dyn Fn(&str, &str) -> Result<Vec<u8>, String> + 'a;

/// The pack, by its number, that a rule file is of, and its name there.
pub(crate) type Source<'a> = dyn Fn(&str) -> Option<(usize, String)> + 'a;

/// Whose a script is.
struct Author<'a> {
    /// Its pack, and its rule file there; none beside a plain rule file.
    pack: Option<(&'a Verified, String)>,
    /// How far he is trusted.
    level: Level,
}

impl<'a> Author<'a> {
    fn of(file: &str, packs: &'a Packs, source: &Source<'_>) -> Author<'a> {
        let pack = source(file).and_then(|(pack, file)| {
            let pack = packs.loaded.get(pack)?;
            Some((pack.compiled.verified(), file))
        });
        let level = pack.as_ref().map_or(Level::Local, |(pack, _)| pack.level());
        Author { pack, level }
    }

    /// The code of one of his scripts, if he may bring such.
    fn code(&self, rules: &str, script: &Script, beside: &Beside<'_>) -> Result<Arc<[u8]>, String> {
        if !self.level.terms().scripts.contains(&script.kind) {
            let (kind, level) = (script.kind.as_str(), self.level.as_str());
            return Err(format!("[{}] it is `{kind}`, and {level}", Code::Level.as_str()));
        }
        match &self.pack {
            Some((pack, file)) => packed(pack, file, script),
            None => beside(rules, &script.file).map(Into::into),
        }
    }

    /// Id and version of his pack.
    fn shown(&self) -> Option<String> {
        let manifest = self.pack.as_ref()?.0.manifest();
        Some(format!("{} {}", manifest.id, manifest.version))
    }
}

/// Reads and loads all scripts of a program. Rules that ask one that is not run are left out, and the
/// findings say why.
pub(crate) fn prepare(
    loaded: &mut Loaded,
    packs: &Packs,
    (source, beside): (&Source<'_>, &Beside<'_>),
    terms: &BTreeMap<String, Terms>,
) -> Ready {
    if loaded.program.scripts.is_empty() {
        return Ready { runtime: Box::new(NoScripts), infos: Arc::default(), own: Vec::new() };
    }
    let (mut refused, mut infos, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let authors: Vec<Author<'_>> =
        loaded.scripts.iter().map(|origin| Author::of(&origin.file, packs, source)).collect();
    let asked = asked(loaded);
    grant(loaded, &authors, terms);
    let scripts = loaded.program.scripts.iter_mut().zip(&loaded.scripts);
    for (number, ((script, origin), (author, rules))) in
        (0..).zip(scripts.zip(authors.iter().zip(asked)))
    {
        match author.code(&origin.file, script, beside) {
            Ok(code) => {
                if author.pack.is_none() {
                    own.push((origin.file.clone(), script.file.clone(), Arc::clone(&code)));
                }
                script.code = code;
            }
            Err(message) => {
                let help =
                    "put the file beside the rule file, and see that nobody else can write it";
                refused.push(Refusal { script: number, message, help: help.to_owned() });
            }
        }
        infos.push(Info {
            name: script.name.clone(),
            kind: script.kind.as_str(),
            file: format!("{}: {}", origin.file, script.file),
            pack: author.shown(),
            level: author.level.as_str(),
            may: script.may.words(),
            rules,
            loaded: true,
        });
    }
    let (runtime, more) = Runtime::load(&loaded.program, Backend::pick().0);
    refused.extend(more.into_iter().map(|one| Refusal {
        script: one.script,
        message: format!("[{}] {}", one.code, one.message),
        help: one.help.to_owned(),
    }));
    for one in &refused {
        let info = usize::try_from(one.script).ok().and_then(|script| infos.get_mut(script));
        if let Some(info) = info {
            info.loaded = false;
        }
    }
    loaded.refuse_scripts(&refused);
    Ready { runtime: Box::new(runtime), infos: infos.into(), own }
}

/// What scripts may do and use: several rules may ask one, and it may do what each of them may.
fn grant(loaded: &mut Loaded, authors: &[Author<'_>], terms: &BTreeMap<String, Terms>) {
    let rules = loaded.program.rules.iter();
    let may: Vec<_> = rules.map(|rule| terms.get(&rule.meta.id).map(|terms| terms.may)).collect();
    let budget = |script: usize| authors.get(script).map(|one| one.level.terms().budget);
    ::packs::grant_scripts(&mut loaded.program, &budget, &|rule| may.get(rule).copied().flatten());
}

/// Ids of the rules that ask each script.
fn asked(loaded: &Loaded) -> Vec<Vec<String>> {
    let program = &loaded.program;
    let mut asked = vec![Vec::new(); program.scripts.len()];
    for rule in &program.rules {
        for script in rule.scripts(program) {
            let rules = usize::try_from(script).ok().and_then(|script| asked.get_mut(script));
            if let Some(rules) = rules {
                rules.push(rule.meta.id.clone());
            }
        }
    }
    asked
}

/// The code of a script of a pack: bytes that were verified with the rest.
fn packed(pack: &Verified, rules: &str, script: &Script) -> Result<Arc<[u8]>, String> {
    let name = ::packs::beside(rules, &script.file);
    let code = pack.file(&name).ok_or_else(|| format!("the pack has no file `{name}`"))?;
    Ok(code.into())
}

/// The code of a script beside a plain rule file.
pub(crate) fn plain(rules: &str, script: &str) -> Result<Vec<u8>, String> {
    let code = files::read_beside(Path::new(rules), script, files::MAX_BYTES, Trust::Owner);
    code.map_err(|error| error.to_string())
}

/// What scripts did beyond their terms, counted by script and cause.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    infos: Arc<[Info]>,
    violations: BTreeMap<(String, &'static str), u64>,
    calls_before: u64,
}

/// What is to be told of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its name.
    pub(crate) name: String,
    /// The sentence.
    pub(crate) message: String,
    /// The same for programs.
    pub(crate) details: Json,
}

impl Watch {
    /// Other scripts run from here on.
    pub(crate) fn replace(&mut self, infos: Arc<[Info]>) {
        self.infos = infos;
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }

    /// The name of a script, and ids of the rules that ask it.
    pub(crate) fn asking(&self, script: u32) -> Option<(&str, &[String])> {
        let info = self.infos.get(usize::try_from(script).ok()?)?;
        Some((&info.name, &info.rules))
    }

    /// Counts incidents, writes them down, and says which scripts are in quarantine since.
    pub(crate) fn take(&mut self, incidents: Vec<Incident>, audit: &Audit) -> Vec<Told> {
        let mut told = Vec::new();
        for incident in incidents {
            let at = usize::try_from(incident.script).unwrap_or(usize::MAX);
            let Some(info) = self.infos.get(at) else { continue };
            let key = (info.name.clone(), incident.cause);
            if self.violations.len() < CAUSES_MAX * self.infos.len().max(1)
                || self.violations.contains_key(&key)
            {
                *self.violations.entry(key).or_default() += 1;
            }
            let mut about = json!({
                "script": info.name,
                "kind": info.kind,
                "pack": info.pack,
                "level": info.level,
                "rules": info.rules,
                "cause": incident.cause,
                "detail": incident.detail,
                "event": incident.number,
            });
            let refused = incident.cause == "refused";
            if let Some(about) = about.as_object_mut().filter(|_| refused) {
                about.insert("granted".to_owned(), false.into());
            }
            let action = if refused { "action-refused" } else { "script-violation" };
            audit.note_of(&format!("{} {}", info.name, incident.cause), action, about.clone());
            if incident.quarantined && incident.cause != "refused" && incident.cause != "state" {
                audit.note("script-quarantined", about.clone());
                let (name, cause, detail) = (&info.name, incident.cause, &incident.detail);
                told.push(Told {
                    name: name.clone(),
                    message: format!(
                        "script `{name}` is in quarantine ({cause}: {detail}): rules that ask it \
                         find nothing until `aegisbpf rules release {name}`"
                    ),
                    details: about,
                });
            }
        }
        told
    }

    /// The numbers of scripts of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<u32> {
        let numbered = (0_u32..).zip(self.infos.iter());
        numbered.filter(|(_, info)| info.name == name).map(|(number, _)| number).collect()
    }

    /// How all scripts fare, for `aegisbpf rules`.
    pub(crate) fn list(&self, scripts: &dyn Scripts) -> Vec<Json> {
        let numbered = (0_u32..).zip(self.infos.iter());
        numbered.map(|(number, info)| self.one(info, &scripts.standing(number))).collect()
    }

    fn one(&self, info: &Info, standing: &Standing) -> Json {
        let causes = self.violations.iter().filter(|((name, _), _)| *name == info.name);
        let causes: serde_json::Map<String, Json> =
            causes.map(|((_, cause), count)| ((*cause).to_owned(), (*count).into())).collect();
        let state = match (&standing.quarantined, info.loaded) {
            (_, false) => "refused",
            (Some(_), _) => "quarantined",
            (None, _) => "ok",
        };
        json!({
            "name": info.name,
            "kind": info.kind,
            "file": info.file,
            "pack": info.pack,
            "level": info.level,
            "may": info.may,
            "rules": info.rules,
            "state": state,
            "quarantined": standing.quarantined,
            "calls": standing.calls,
            "work": standing.work,
            "violations": standing.violations,
            "causes": causes,
            "remembered": { "entries": standing.entries, "bytes": standing.bytes },
        })
    }

    /// Sums for the status: calls, violations, and how many are in quarantine.
    pub(crate) fn sums(&self, scripts: &dyn Scripts) -> (u64, u64, u64) {
        let mut sums = (self.calls_before, self.violations.values().sum(), 0);
        for (number, _) in (0_u32..).zip(self.infos.iter()) {
            let standing = scripts.standing(number);
            sums.0 += standing.calls;
            sums.2 += u64::from(standing.quarantined.is_some());
        }
        sums
    }

    /// Calls up to now are kept: those of the next runtime begin at nothing.
    pub(crate) fn keep_calls(&mut self, scripts: &dyn Scripts) {
        self.calls_before = self.sums(scripts).0;
    }

    /// The figures for Prometheus.
    pub(crate) fn metrics(&self, scripts: &dyn Scripts, samples: &mut Samples) {
        let (calls, _, quarantined) = self.sums(scripts);
        let violations = self.violations.iter();
        let violations = violations.map(|((name, cause), count)| (name.as_str(), *cause, *count));
        metrics::scripts(samples, (calls, quarantined), violations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(cause: &'static str, quarantined: bool) -> Incident {
        Incident { script: 0, number: 7, time: 1, cause, detail: "it did".to_owned(), quarantined }
    }

    fn audited(state: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(state.join("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        lines.map(|line| line["action"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_a_script_does_beyond_its_terms_is_counted_written_down_and_told_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        let info = Info {
            name: "packed".to_owned(),
            kind: "wasm",
            file: "r.toml: packed.wasm".to_owned(),
            pack: Some("p 1.0.0".to_owned()),
            level: "untrusted",
            may: vec!["alert"],
            rules: vec!["one".to_owned()],
            loaded: true,
        };
        let mut watch = Watch::default();
        watch.replace([info].into());
        assert_eq!(
            watch.take(vec![incident("refused", false), incident("trap", false)], &audit),
            []
        );
        let told = watch.take(vec![incident("trap", true)], &audit);
        assert_eq!(told.len(), 1);
        assert!(told[0].message.contains("trap: it did") && told[0].details["pack"] == "p 1.0.0");
        // The same is written once a minute; the end always.
        assert_eq!(
            audited(dir.path()),
            ["action-refused", "script-violation", "script-quarantined"]
        );
        let counted: Vec<_> = watch.violations.iter().map(|((_, cause), n)| (*cause, *n)).collect();
        assert_eq!(counted, [("refused", 1), ("trap", 2)]);
        assert_eq!((watch.named("packed"), watch.named("other")), (vec![0], vec![]));
        assert_eq!(watch.take(vec![Incident { script: 9, ..incident("trap", true) }], &audit), []);
    }
}
