//! One program of all packs and plain files, each rule within its terms.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ::packs::Level;
use files::Text;
use lang::{Diagnostic, Loaded};
use model::capability::Capabilities;

use super::{Pack, Packs};
use crate::worker::board::LeftOut;
use crate::worker::scripts;

/// What a rule may do and use, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How far its author is trusted.
    pub(crate) level: Level,
    /// Id and version of its pack; none for a plain file.
    pub(crate) pack: Option<String>,
    /// Keys that vouch for the pack.
    pub(crate) signers: Vec<String>,
    /// What it may do.
    pub(crate) may: Capabilities,
    /// Alerts that it may raise in a minute; 0: as many as any.
    pub(crate) alerts: u64,
}

impl Terms {
    /// Of a plain file. It is the operator's own word: nobody else has to grant anything to it, and
    /// what it denies comes into force only by `aegisbpf policy apply`.
    fn plain() -> Terms {
        Terms::of(Level::Local, Capabilities::all())
    }

    pub(crate) fn of(level: Level, may: Capabilities) -> Terms {
        // Whom the operator trusts raises as many as the operator says (`--max-alerts`).
        let alerts = level.terms().alerts;
        let alerts = if alerts < Level::Local.terms().alerts { alerts.into() } else { 0 };
        Terms { level, pack: None, signers: Vec::new(), may, alerts }
    }
}

/// What is to run.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The program and where its rules come from; findings are of plain files alone.
    pub(crate) loaded: Loaded,
    /// The terms of each rule, in the order of the program.
    pub(crate) terms: Vec<Terms>,
    /// What runs the scripts that they ask.
    pub(crate) scripts: scripts::Ready,
    /// Rules and packs that do not run.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Makes one program. `beside` has the code of scripts that plain files name.
pub(crate) fn admit(packs: &Packs, plain: Vec<Text>, beside: &scripts::Beside<'_>) -> Admitted {
    let (mut groups, mut files) = (Vec::new(), HashMap::new());
    let own: Vec<(String, String)> = plain.into_iter().map(|one| (one.name, one.text)).collect();
    // The operator's own files stand before the packs of his directory, and before strangers.
    let before = packs.loaded.partition_point(|pack| level(pack) < Level::Local);
    for (number, pack) in packs.loaded.iter().enumerate() {
        if number == before {
            groups.push(own.clone());
        }
        groups.push(texts(number, pack, &mut files));
    }
    if before == packs.loaded.len() {
        groups.push(own);
    }
    let mut loaded = lang::load_groups(groups);
    let mut left_out = refused(packs);
    let mut terms = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for (number, (rule, origin)) in loaded.program.rules.iter_mut().zip(&loaded.origins).enumerate()
    {
        let (found, reason) = match files.get(&origin.file) {
            None => (Terms::plain(), None),
            Some((pack, file)) => of_pack(packs.loaded.get(*pack), file, &rule.meta.id),
        };
        if let Some(reason) = reason {
            gone.insert(number);
            let (id, file) = (Some(rule.meta.id.clone()), origin.file.clone());
            left_out.push(LeftOut { id, file, reason });
        }
        rule.meta.kept = Some(found.level.terms().kept);
        terms.insert(rule.meta.id.clone(), found);
    }
    for (id, counts) in loaded.leave_out(&gone) {
        let reason = format!("it counts `{counts}`, which does not run");
        left_out.push(LeftOut { id: Some(id), file: String::new(), reason });
    }
    let source = |file: &str| files.get(file).cloned();
    let scripts = scripts::prepare(&mut loaded, packs, (&source, beside), &terms);
    let (strange, own): (Vec<Diagnostic>, Vec<Diagnostic>) =
        std::mem::take(&mut loaded.diagnostics)
            .into_iter()
            .partition(|one| files.contains_key(&one.file));
    loaded.diagnostics = own;
    left_out.extend(strange.iter().filter(|one| one.is_error()).map(LeftOut::from));
    // Ids are unique in a program.
    let rules = loaded.program.rules.iter();
    let terms = rules.filter_map(|rule| terms.remove(&rule.meta.id)).collect();
    Admitted { loaded, terms, scripts, left_out }
}

fn level(pack: &Pack) -> Level {
    pack.compiled.verified().level()
}

/// Names and texts of the rule files of a pack.
fn texts(
    number: usize,
    pack: &Pack,
    files: &mut HashMap<String, (usize, String)>,
) -> Vec<(String, String)> {
    let texts = pack.compiled.texts(&|_| true).into_iter();
    let placed = |(name, text)| {
        let shown = format!("{}/{name}", pack.place);
        files.insert(shown.clone(), (number, name));
        (shown, text)
    };
    texts.map(placed).collect()
}

/// The terms of a rule of a pack, and why it does not run.
fn of_pack(pack: Option<&Pack>, file: &str, id: &str) -> (Terms, Option<String>) {
    let nobody = || Terms::of(Level::Untrusted, Capabilities::NONE);
    let Some(pack) = pack else { return (nobody(), Some("it is of no pack".to_owned())) };
    let rules = pack.compiled.rules().iter();
    let Some(rule) = rules.into_iter().find(|one| one.view.file == file && one.view.id == id)
    else {
        return (nobody(), Some("its pack was compiled without it".to_owned()));
    };
    let verified = pack.compiled.verified();
    let manifest = verified.manifest();
    let terms = Terms {
        pack: Some(format!("{} {}", manifest.id, manifest.version)),
        signers: verified.signers().iter().map(|one| one.key.to_string()).collect(),
        ..Terms::of(verified.level(), rule.may)
    };
    (terms, rule.refused.as_ref().map(ToString::to_string))
}

/// Packs that do not run, and those of which another version does.
fn refused(packs: &Packs) -> Vec<LeftOut> {
    let of = |place: &str, reason: String| LeftOut { id: None, file: place.to_owned(), reason };
    let whole = packs
        .refused
        .iter()
        .flat_map(|(place, refused)| refused.iter().map(move |one| of(place, one.to_string())));
    let instead = packs.loaded.iter().filter_map(|pack| {
        let why = pack.instead.as_ref()?;
        let version = &pack.compiled.verified().manifest().version;
        Some(of(&pack.place, format!("{version} runs instead, since {why}")))
    });
    whole.chain(instead).collect()
}
