//! What a policy may say and no way of enforcing decides yet. It is refused by name: a rule that
//! fits nobody would only look as if it were in force.

use lang::policy::Policies;
use model::policy::{Object, Place, Subject};

/// One thing that cannot be decided.
#[derive(Debug)]
pub(super) struct Undecided {
    /// Where the rule is.
    pub(super) place: Place,
    /// Its id.
    pub(super) id: String,
    /// What is asked for.
    pub(super) what: &'static str,
    /// What would do instead.
    pub(super) help: &'static str,
}

/// All that the policies say and nobody decides.
pub(super) fn find(loaded: &Policies) -> Vec<Undecided> {
    let mut found = Vec::new();
    let mut note = |place: &Place, id: &str, (what, help): (&'static str, &'static str)| {
        found.push(Undecided { place: place.clone(), id: id.to_owned(), what, help });
    };
    for policy in &loaded.policies {
        for rule in &policy.rules {
            let after = rule.after.iter().flat_map(|after| &after.objects);
            let objects = rule.objects.iter().chain(after).filter_map(of_object);
            for one in objects.chain(of_subject(&rule.subject)) {
                note(&rule.place, &rule.id, one);
            }
        }
        for list in &policy.allow_lists {
            if let Some(one) = of_subject(&list.subject) {
                note(&list.place, &list.id, one);
            }
        }
    }
    found
}

fn of_object(object: &Object) -> Option<(&'static str, &'static str)> {
    Some(match object {
        Object::Domain { name, .. } if name.starts_with("*.") => {
            ("addresses by DNS names with a wildcard", "give each name, or the networks")
        }
        Object::Hash(_) => ("files by hash", "name their paths"),
        Object::CreatedBy(_) => ("files by who created them", "name the directories"),
        Object::Process(subject) => return of_subject(subject),
        _ => return None,
    })
}

fn of_subject(subject: &Subject) -> Option<(&'static str, &'static str)> {
    (!subject.hashes.is_empty()).then_some(("executables by hash", "name their paths"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undecided(rule: &str) -> Vec<&'static str> {
        let text = format!(
            "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  \
             rules: [{{id: a, {rule}}}]\n"
        );
        let loaded = lang::policy::load([("p.yaml".to_owned(), text)]);
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        find(&loaded).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn what_nobody_decides_is_named_and_what_is_like_it_is_not() {
        let hash = "ab".repeat(32);
        for (rule, what) in [
            ("deny: connect, domains: ['*.example.org']", "addresses by DNS names with a wildcard"),
            (&format!("deny: execute, hashes: [{hash}]"), "files by hash"),
            (&format!("subject: {{hash: {hash}}}, deny: read, files: [/a]"), "executables by hash"),
        ] {
            assert_eq!(undecided(rule), [what], "{rule}");
        }
        for rule in [
            "deny: connect, peers: [192.0.2.1]",
            "deny: connect, domains: ['example.org:443']",
            "deny: execute, files: [/a]",
            "subject: {executable: /b}, deny: read, files: [/a]",
            "subject: {container: {name: 0123456789ab}}, deny: read, files: [/a]",
            "subject: {container: {name: web}}, deny: read, files: [/a]",
            "subject: {container: {image: 'nginx:*'}}, deny: read, files: [/a]",
        ] {
            assert!(undecided(rule).is_empty(), "{rule}");
        }
    }
}
