//! `aegisbpf policy explain`

use std::io::Write;

use lang::policy::write;
use model::policy::Operation;
use policy::actor::Actor;
use policy::edit::{self, Edit};
use policy::explain::{Explanation, Part};
use policy::lint::decider;
use policy::question::{Question, Target};
use policy::verdicts::RuleInfo;
use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::policy::ExplainArgs;
use crate::exit::{Exit, Failure};
use crate::policy::load::Ready;
use crate::policy::words;
use crate::render::escape::piece;

/// The paragraph about precedence, as `docs/policy.md` has it.
const PRECEDENCE: &str = "an exception that has not ended, else who denies or kills, else who \
                          allows, else what an allowOnly list says, else allowed";

/// Where programs are looked for that are called by their name only.
const PROGRAMS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Answers the question.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let mut question =
        Question::parse(&args.question).map_err(|error| Failure::new(Exit::Usage, error))?;
    let ready = Ready::look(&args.files.paths, &args.files.vouch()).map_err(super::told)?;
    let notes = complete(&mut question, &ready);
    let answer = Answer::of(&ready, question, notes);
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", answer.document())?,
        Output::Text => write!(out, "{}", answer.text())?,
    }
    Ok(Exit::Ok)
}

/// The answer to a request of a process that is known.
pub(crate) fn of(ready: &Ready, request: &str, actor: Actor) -> Result<String, Failure> {
    let question = Question::parse(request).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(Answer::of(ready, Question { actor, ..question }, Vec::new()).text())
}

/// Fills in what was not said: where the program is, which user.
fn complete(question: &mut Question, ready: &Ready) -> Vec<String> {
    let mut notes = Vec::new();
    let mut find = |name: &mut String| {
        if name.is_empty() {
            policy::actor::ORDINARY.clone_into(name);
            notes.push(format!("no program was named; {name} is as good as any"));
        } else if !name.starts_with('/') {
            let known = ready.compiled.executables_called(name);
            let here = || PROGRAMS.iter().map(|dir| format!("{dir}/{name}"));
            let path = match known.as_slice() {
                [path, ..] => (*path).to_owned(),
                [] => here()
                    .find(|path| std::path::Path::new(path).is_file())
                    .unwrap_or_else(|| format!("/usr/bin/{name}")),
            };
            notes.push(format!("`{name}` is taken to be {path}"));
            *name = path;
        }
    };
    find(&mut question.actor.executable);
    if let Target::Process(target) = &mut question.target {
        find(&mut target.executable);
    }
    if let Target::Name(..) = question.target {
        notes.push("the name was not looked up: networks are not considered".to_owned());
    }
    let user = &mut question.actor.user;
    if let (Some(name), None) = (&user.name, user.id) {
        user.id = nix::unistd::User::from_name(name).ok().flatten().map(|one| one.uid.as_raw());
    } else if let (None, Some(id)) = (&user.name, user.id) {
        let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id));
        user.name = found.ok().flatten().map(|one| one.name);
    }
    notes
}

/// A question with all that is known of its answer.
pub(super) struct Answer<'a> {
    ready: &'a Ready,
    question: Question,
    notes: Vec<String>,
    found: Explanation,
    edit: Option<Edit>,
}

impl Answer<'_> {
    /// With the smallest edit that would change it.
    pub(super) fn of(ready: &Ready, question: Question, notes: Vec<String>) -> Answer<'_> {
        let compiled = &ready.compiled;
        let process = compiled.process(&question.actor);
        let labels = question.labels(compiled);
        let found = compiled.explain(&process, question.operation, &labels);
        let edit = edit::smallest(&ready.loaded.policies, compiled, &ready.options, &question);
        Answer { ready, question, notes, found, edit }
    }

    fn rule(&self, number: u32) -> Option<&RuleInfo> {
        self.ready.compiled.rules.get(number as usize)
    }

    fn decider(&self) -> Option<&RuleInfo> {
        self.rule(decider(self.found.decision.why)?)
    }

    fn text(&self) -> String {
        let decision = &self.found.decision;
        let mut text = String::new();
        let mut line = |words: String| text.extend([words.as_str(), "\n"]);
        line(format!(
            "{}: {}",
            piece(&words::question(&self.question)),
            words::verdict(decision.verdict)
        ));
        line(format!("because {}", words::why(decision.why, self.decider())));
        if let Some(rule) = self.decider() {
            line(format!("     at {}", words::rule_place(rule)));
        }
        if let Some((verdict, why)) = decision.would {
            let rule = decider(why).and_then(|rule| self.rule(rule));
            let name = rule.map(words::rule_name).unwrap_or_default();
            line(format!("if all were enforced: {} by {name}", words::verdict(verdict)));
        }
        for note in &self.notes {
            line(format!("   note {note}"));
        }
        line(format!("the order is {PRECEDENCE}"));
        if !self.found.fits.is_empty() {
            line("\nrules that fit".to_owned());
            for rule in self.found.fits.iter().filter_map(|rule| self.rule(*rule)) {
                line(format!("  {}", described(rule)));
            }
        }
        if !self.found.near.is_empty() {
            line("\nrules that nearly fit".to_owned());
            for (rule, part) in &self.found.near {
                let Some(rule) = self.rule(*rule) else { continue };
                line(format!("  {}: another {}", described(rule), part_name(*part)));
            }
            if self.found.more > 0 {
                line(format!("  and {} more", self.found.more));
            }
        }
        if let Some(edit) = &self.edit {
            line("\nthe smallest edit that would allow it".to_owned());
            for one in self.edit_lines(edit) {
                line(format!("  {one}"));
            }
        }
        text
    }

    /// What to write where, so that it is allowed; nothing if no edit helps.
    pub(super) fn exception(&self) -> Vec<String> {
        self.edit.as_ref().map(|edit| self.edit_lines(edit)).unwrap_or_default()
    }

    /// What to write where.
    fn edit_lines(&self, edit: &Edit) -> Vec<String> {
        match edit {
            Edit::Object { rule, object } => {
                let Some(rule) = self.rule(*rule) else { return Vec::new() };
                let (key, value) = write::object_text(object).unwrap_or(("files", Json::Null));
                vec![format!(
                    "in {} ({}), add to `{key}`: {value}",
                    words::rule_name(rule),
                    words::rule_place(rule)
                )]
            }
            Edit::Operation { rule, operation } => {
                let Some(rule) = self.rule(*rule) else { return Vec::new() };
                vec![format!(
                    "in {} ({}), add to `allow`: {}",
                    words::rule_name(rule),
                    words::rule_place(rule),
                    operation.name()
                )]
            }
            Edit::Rule { policy, rule } => {
                let mut lines = vec![format!("in the policy {policy}, add to `rules`:")];
                let written = write::yaml(&[Json::Array(vec![write::rule(rule)])]);
                lines.extend(written.lines().map(|line| format!("  {line}")));
                lines
            }
        }
    }

    fn document(&self) -> Json {
        let decision = &self.found.decision;
        let rule = |rule: &RuleInfo| {
            json!({
                "rule": words::rule_name(rule),
                "file": rule.place.file,
                "line": rule.place.line,
                "does": words::effect(rule),
                "enforced": rule.enforced,
            })
        };
        let fits: Vec<Json> =
            self.found.fits.iter().filter_map(|one| self.rule(*one)).map(rule).collect();
        let near: Vec<Json> = (self.found.near.iter())
            .filter_map(|(one, part)| {
                let mut near = rule(self.rule(*one)?);
                near.as_object_mut()?.insert("differs".into(), part_name(*part).into());
                Some(near)
            })
            .collect();
        json!({
            "request": words::question(&self.question),
            "verdict": words::verdict(decision.verdict),
            "why": words::why(decision.why, self.decider()),
            "decided_by": self.decider().map(rule),
            "would": decision.would.map(|one| words::verdict(one.0)),
            "precedence": PRECEDENCE,
            "notes": self.notes,
            "fits": fits,
            "near": near,
            "edit": self.edit.as_ref().map(|edit| self.edit_lines(edit).join("\n")),
        })
    }
}

/// A rule in a line.
pub(crate) fn described(rule: &RuleInfo) -> String {
    let mut text = words::rule_name(rule);
    text.extend([" ", words::effect(rule)]);
    let operations: Vec<&str> = rule.operations.iter().map(Operation::name).collect();
    text.extend([" ", operations.join(", ").as_str()]);
    if !rule.enforced {
        text.push_str(" (only reported)");
    }
    text.extend(["  ", words::rule_place(rule).as_str()]);
    text
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Subject => "subject",
        Part::After => "deed before",
        Part::Operation => "operation",
        Part::Object => "object",
    }
}
