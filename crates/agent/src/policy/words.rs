//! Requests, answers and rules in words.

use model::policy::{Errno, Mode, Verdict};
use policy::Why;
use policy::question::{Question, Target};
use policy::verdicts::{Effect, RuleInfo};

/// What becomes of a request.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Audit => "allowed and reported",
        Verdict::Deny(Errno::Perm) => "denied (EPERM)",
        Verdict::Deny(Errno::Access) => "denied (EACCES)",
        Verdict::Deny(Errno::NoEntry) => "denied (ENOENT)",
        Verdict::Deny(Errno::Refused) => "denied (ECONNREFUSED)",
        Verdict::Kill => "denied, and the process killed",
    }
}

/// What a rule does.
pub(crate) fn effect(rule: &RuleInfo) -> &'static str {
    match rule.effect {
        Effect::Deny if rule.list => "allows only what is listed",
        Effect::Deny if rule.answer == policy::verdicts::Answer::Kill => "kills",
        Effect::Deny => "denies",
        Effect::Except => "exception",
        Effect::Allow => "allows",
        Effect::Audit => "reports",
        Effect::Trigger => "arms",
        Effect::Expired => "ended",
    }
}

/// Policy and id of a rule.
pub(crate) fn rule_name(rule: &RuleInfo) -> String {
    format!("{}/{}", rule.policy, rule.id)
}

/// File and line of a rule.
pub(crate) fn rule_place(rule: &RuleInfo) -> String {
    format!("{}:{}", rule.place.file, rule.place.line)
}

/// Why a request is answered so, given the rule that decided.
pub(crate) fn why(why: Why, rule: Option<&RuleInfo>) -> String {
    let name = rule.map(rule_name).unwrap_or_default();
    match why {
        Why::Default => "no rule is about it, and what nobody denies is allowed".to_owned(),
        Why::Rule(_) => match rule.map(|rule| rule.effect) {
            Some(Effect::Except) => {
                format!("the exception {name} outranks every denial until it ends")
            }
            Some(Effect::Allow) => format!("{name} allows it, and no rule denies it"),
            _ => format!("{name} denies it; only an exception outranks who denies"),
        },
        Why::Implied(_) => {
            format!("{name} denies what this would get around, and no rule allows this by its name")
        }
        Why::List(_) => format!("{name} allows only what rules allow, and no rule allows this"),
        Why::Unresolved => {
            "what it is could not be found out, and something of the kind is denied".to_owned()
        }
    }
}

/// A request as it may be asked again.
pub(crate) fn question(question: &Question) -> String {
    let mut text = question.operation.name().to_owned();
    let object = match &question.target {
        Target::Path(path) => path.clone(),
        Target::Peer(peer) | Target::Name(_, peer) => {
            let host = match &question.target {
                Target::Name(name, _) => name.clone(),
                _ if peer.address.is_ipv6() => format!("[{}]", peer.address),
                _ => peer.address.to_string(),
            };
            format!("{host}:{}/{}", peer.port, peer.protocol)
        }
        Target::Capability(number) => {
            model::names::capability(*number).unwrap_or("CAP_NONE").to_owned()
        }
        Target::Process(actor) => actor.executable.clone(),
        Target::Nothing => String::new(),
    };
    if !object.is_empty() {
        text.extend([" ", object.as_str()]);
    }
    let actor = &question.actor;
    if !actor.executable.is_empty() {
        text.extend([" as ", actor.executable.as_str()]);
    }
    let user = actor.user.name.clone().or(actor.user.id.map(|id| id.to_string()));
    let mut detail = |key: &str, value: &str| text.extend([" ", key, "=", value]);
    if let Some(user) = user.filter(|user| *user != policy::actor::ORDINARY_ID.to_string()) {
        detail("user", &user);
    }
    for group in &actor.groups {
        let word = group.name.clone().or(group.id.map(|id| id.to_string())).unwrap_or_default();
        detail("group", &word);
    }
    if !actor.cgroup.is_empty() && actor.cgroup != "/system.slice/other.service" {
        detail("cgroup", &actor.cgroup);
    }
    for ancestor in &actor.ancestors {
        detail("ancestor", ancestor);
    }
    if let Some(script) = &actor.script {
        detail("script", script);
    }
    if let Some(container) = &actor.container {
        detail("container", container.name.as_deref().unwrap_or("?"));
    }
    if actor.login {
        text.push_str(" login");
    }
    if actor.armed {
        text.push_str(" armed");
    }
    text
}

/// What becomes of verdicts.
pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Audit => "only reported",
        Mode::Enforce => "enforced",
    }
}
