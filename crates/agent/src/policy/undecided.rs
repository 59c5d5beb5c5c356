//! What a policy may say and no way of enforcing decides yet. It is refused by name: a rule that
//! fits nobody would only look as if it were in force.

use lang::policy::Policies;
use model::policy::{Object, Operation, Operations, Place, Rule};

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
            for one in objects.chain(unhashed(rule)) {
                note(&rule.place, &rule.id, one);
            }
        }
    }
    found
}

fn of_object(object: &Object) -> Option<(&'static str, &'static str)> {
    Some(match object {
        Object::Process(subject) if !subject.hashes.is_empty() => {
            ("processes that are acted on, by hash,", "name the paths of their executables")
        }
        _ => return None,
    })
}

/// Files are hashed when they are executed, and by no other way of using them.
fn unhashed(rule: &Rule) -> Option<(&'static str, &'static str)> {
    let only = Operations::default().with(Operation::Execute);
    let is_hash = |object: &Object| matches!(object, Object::Hash(_));
    let after = rule.after.as_ref().filter(|after| after.objects.iter().any(is_hash));
    let other = |of: Operations| of.0 & !only.0 != 0;
    let asked = rule.objects.iter().any(is_hash) && other(rule.operations)
        || after.is_some_and(|after| other(after.operations));
    asked.then_some((
        "files by hash, other than to execute them,",
        "deny `execute`, or name their paths",
    ))
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
            (
                &format!("deny: signal, processes: {{hash: {hash}}}"),
                "processes that are acted on, by hash,",
            ),
            (
                &format!("deny: map-code, hashes: [{hash}]"),
                "files by hash, other than to execute them,",
            ),
        ] {
            assert_eq!(undecided(rule), [what], "{rule}");
        }
        for rule in [
            &format!("deny: execute, hashes: [{hash}]"),
            &format!("subject: {{hash: {hash}}}, deny: read, files: [/a]"),
            "deny: connect, peers: [192.0.2.1]",
            "deny: connect, domains: ['example.org:443', '*.example.org']",
            "deny: execute, files: [/a]",
            "deny: read, createdBy: {executable: /b}",
            "subject: {executable: /b}, deny: read, files: [/a]",
            "subject: {container: {name: 0123456789ab}}, deny: read, files: [/a]",
            "subject: {container: {name: web}}, deny: read, files: [/a]",
            "subject: {container: {image: 'nginx:*'}}, deny: read, files: [/a]",
        ] {
            assert!(undecided(rule).is_empty(), "{rule}");
        }
    }
}
