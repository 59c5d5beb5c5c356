//! What the tables tell about policies, as findings at the place of the rule.

use lang::Code;
use lang::policy::Policies;
use policy::lint::roles::{Places, Role};
use policy::lint::{Finding, What};
use policy::verdicts::RuleInfo;

use super::load::Ready;
use super::offer::Offer;
use super::{POLICIES_DIR, STATE_DIR, undecided};

/// Who must not be locked out of this host.
pub(crate) fn roles() -> Vec<Role> {
    let agent = std::env::current_exe().map(|path| path.display().to_string());
    policy::lint::roles::all(&Places {
        agent: agent.unwrap_or_else(|_| "/usr/bin/aegisbpf".to_owned()),
        policies: POLICIES_DIR.to_owned(),
        state: STATE_DIR.to_owned(),
        shell: std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned()),
    })
}

/// Adds all that the linter finds.
pub(crate) fn lint(ready: &mut Ready) {
    let found = policy::lint::lint(&ready.loaded.policies, &ready.compiled, &roles());
    for one in found {
        note(&mut ready.loaded, &ready.compiled.rules, &one);
    }
    unknown_names(ready);
}

fn note(loaded: &mut Policies, rules: &[RuleInfo], found: &Finding) {
    let Some(info) = rules.get(found.rule as usize) else { return };
    let name = |rule: &u32| rules.get(*rule as usize).map_or("?", |rule| rule.id.as_str());
    let at = |rule: &u32| {
        rules.get(*rule as usize).map(|rule| format!("{}:{}", rule.place.file, rule.place.line))
    };
    let id = info.id.as_str();
    let (code, message, label, help, word) = match &found.what {
        What::Contradicted(by) => (
            Code::Contradiction,
            format!("`{id}` allows what `{}` denies", name(by)),
            "this allows nothing".to_owned(),
            at(by).map(|at| format!("who denies outranks who allows: narrow `{}` at {at}, or make this an exception with `until`, `reason` and `author`", name(by))),
            "",
        ),
        What::Shadowed(by) => (
            Code::NeverReached,
            format!("`{id}` decides nothing: `{}` always comes first", name(by)),
            String::new(),
            at(by).map(|at| format!("`{}` is at {at}", name(by))),
            "",
        ),
        What::NeverArmed(by) => (
            Code::NeverReached,
            format!("`{id}` never holds: what must come before is denied by `{}`", name(by)),
            String::new(),
            at(by).map(|at| format!("`{}` is at {at}", name(by))),
            "after",
        ),
        What::Expired => (
            Code::NeverReached,
            format!("the exception `{id}` has ended"),
            String::new(),
            Some("take it out, or give it more time".to_owned()),
            "until",
        ),
        What::Idle => (
            Code::NeverReached,
            format!("`{id}` allows what nobody denies"),
            String::new(),
            Some("without an `allowOnly` list for the operation everything is allowed".to_owned()),
            "",
        ),
        What::Wide(pattern) => (
            Code::TooWide,
            format!("`{pattern}` fits nearly every file"),
            "names no directory and no name".to_owned(),
            Some("begin with the directory that is meant".to_owned()),
            pattern.as_str(),
        ),
        What::Everything(operation) => (
            Code::DeniesAll,
            format!("`{id}` denies {} to every program, of every file", operation.name()),
            String::new(),
            Some("give the rule a subject, or objects".to_owned()),
            "",
        ),
        What::LocksOut { role, program, needs } => {
            let needs: Vec<String> = needs.iter().map(|(operation, object)| {
                format!("{} {object}", operation.name()).trim_end().to_owned()
            }).collect();
            (
                Code::LocksOut,
                format!("`{id}` locks out {role} ({program}): it could no longer {}", needs.join(", ")),
                String::new(),
                Some("narrow the subject or the objects, or allow this by a rule of its own".to_owned()),
                "",
            )
        }
    };
    loaded.note(code, &info.place, (id, word), (message, label, help));
}

/// Users and groups that do not exist here.
fn unknown_names(ready: &mut Ready) {
    let symbols = &ready.compiled.symbols;
    let number = |name: &str| name.parse::<u32>().is_ok();
    let user = |name: &str| matches!(nix::unistd::User::from_name(name), Ok(None));
    let group = |name: &str| matches!(nix::unistd::Group::from_name(name), Ok(None));
    let users = symbols.users.iter().filter(|one| !number(one.0) && user(one.0));
    let groups = symbols.groups.iter().filter(|one| !number(one.0) && group(one.0));
    let all: Vec<(String, policy::Bits)> = users
        .map(|(name, bits)| (format!("user `{name}`"), *bits))
        .chain(groups.map(|(name, bits)| (format!("group `{name}`"), *bits)))
        .collect();
    for (name, bits) in all {
        let Some(info) = ready.compiled.rules.iter().find(|rule| bits.has(rule.bit)) else {
            continue;
        };
        let word = name.split('`').nth(1).unwrap_or_default();
        let message = format!("this host has no {name}: the rule fits nobody");
        let help =
            Some("it will, as soon as the name exists and the policy is applied again".to_owned());
        ready.loaded.note(
            Code::UnknownName,
            &info.place,
            (&info.id, word),
            (message, String::new(), help),
        );
    }
}

/// Names what nobody decides, and what this way of enforcing cannot do, unless that was accepted by
/// name.
pub(crate) fn degraded(ready: &mut Ready, offer: &Offer) {
    for one in undecided::find(&ready.loaded) {
        let message = format!("{} cannot be told apart yet", one.what);
        let help = format!("{}; until then such a rule would fit nobody", one.help);
        ready.loaded.note(
            Code::NotEnforced,
            &one.place,
            (&one.id, ""),
            (message, "asked for here".to_owned(), Some(help)),
        );
    }
    for info in &ready.compiled.rules {
        if offer.answers_otherwise(info) {
            let message = format!("`{}` denies files by EPERM here", info.id);
            let label = "the guard of files has no other answer".to_owned();
            ready.loaded.note(
                Code::OtherErrno,
                &info.place,
                (&info.id, "errno"),
                (message, label, None),
            );
        }
        let needs = policy::needs::of(info, &ready.compiled.selectors);
        for refusal in offer.refuses(&needs, ready.accepted) {
            ready.loaded.note(
                Code::NotEnforced,
                &info.place,
                (&info.id, refusal.word()),
                (
                    format!("{} cannot be enforced here", refusal.what()),
                    refusal.why().to_owned(),
                    Some(refusal.help()),
                ),
            );
        }
    }
}
