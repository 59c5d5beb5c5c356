//! Leaves rules out of what was loaded, after all of them were read: those that may not do what they
//! need, or whose scripts cannot be run.

use std::collections::BTreeSet;

use model::program::Query;

use crate::load::Loaded;

impl Loaded {
    /// Takes these rules out, by number, and correlations that count one of them: a count of less
    /// would mean another thing. Says which those are, by id, with the id of what they count.
    pub fn leave_out(&mut self, rules: &BTreeSet<usize>) -> Vec<(String, String)> {
        let mut gone = rules.clone();
        let mut followed = Vec::new();
        // A correlation counts only what comes before it, so one round finds all of them.
        for (number, rule) in self.program.rules.iter().enumerate() {
            let Query::Correlation(it) = &rule.query else { continue };
            let counted = it.rules.iter().filter_map(|one| usize::try_from(*one).ok());
            let missing = counted.filter(|one| gone.contains(one)).min();
            if let Some(missing) = missing
                && gone.insert(number)
            {
                let counts = self.program.rules.get(missing).map(|rule| rule.meta.id.clone());
                followed.push((rule.meta.id.clone(), counts.unwrap_or_default()));
            }
        }
        let mut stays = (0..self.program.rules.len()).map(|number| !gone.contains(&number));
        let mut numbers = Vec::with_capacity(self.program.rules.len());
        let mut next = 0_u32;
        for stay in stays.by_ref() {
            numbers.push(stay.then_some(next));
            next += u32::from(stay);
        }
        let number = |old: usize| numbers.get(old).copied().flatten();
        retain(&mut self.program.rules, &numbers);
        retain(&mut self.origins, &numbers);
        for rule in &mut self.program.rules {
            if let Query::Correlation(it) = &mut rule.query {
                let new = |old: &u32| number(usize::try_from(*old).ok()?);
                it.rules = it.rules.iter().filter_map(new).collect();
            }
        }
        self.tests.retain_mut(|test| match number(test.rule) {
            Some(new) => {
                test.rule = usize::try_from(new).unwrap_or(usize::MAX);
                true
            }
            None => false,
        });
        followed
    }
}

/// Keeps those that have a number.
fn retain<T>(all: &mut Vec<T>, numbers: &[Option<u32>]) {
    let mut numbers = numbers.iter();
    all.retain(|_| numbers.next().is_some_and(Option::is_some));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_groups;

    fn rule(id: &str) -> String {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\nquery = \
             '''process where process.name == \"{id}\"'''\n\
             [[rule.test]]\nname = \"t\"\nalert = true\nevent = {{ event.category = \"process\", \
             process.name = \"{id}\" }}\n"
        )
    }

    fn sigma(id: &str, counts: &str) -> String {
        format!(
            "title: C\nid: {id}\ncorrelation:\n  type: event_count\n  rules:\n    - {counts}\n  \
             group-by:\n    - User\n  timespan: 1m\n  condition:\n    gte: 2\n"
        )
    }

    fn ids(loaded: &Loaded) -> Vec<&str> {
        loaded.program.rules.iter().map(|rule| rule.meta.id.as_str()).collect()
    }

    fn named(name: &str, text: String) -> (String, String) {
        (name.to_owned(), text)
    }

    #[test]
    fn what_counts_a_rule_that_is_left_out_is_left_out_too() {
        let first = sigma("5f0d8d4e-7f3e-4f3c-9a55-0f4e3c2b1a00", "a");
        let second = sigma("5f0d8d4e-7f3e-4f3c-9a55-0f4e3c2b1a01", "c");
        let rules = named("r.toml", rule("a") + &rule("b") + &rule("c"));
        let group = vec![rules, named("c.yml", first), named("d.yml", second)];
        let mut loaded = load_groups([group]);
        let all: Vec<String> = ids(&loaded).into_iter().map(str::to_owned).collect();
        assert_eq!(all.len(), 5, "{:?}", loaded.diagnostics);
        let followed = loaded.leave_out(&BTreeSet::from([0]));
        assert_eq!(followed, [(all[3].clone(), "a".to_owned())]);
        assert_eq!(ids(&loaded), [all[1].as_str(), all[2].as_str(), all[4].as_str()]);
        assert_eq!(loaded.origins.len(), 3);
        let Query::Correlation(it) = &loaded.program.rules[2].query else { panic!() };
        assert_eq!(it.rules, [1], "`c` has another number now");
        let tests: Vec<usize> = loaded.tests.iter().map(|test| test.rule).collect();
        assert_eq!(tests, [0, 1]);
    }

    #[test]
    fn groups_know_nothing_of_each_other() {
        let counts = sigma("5f0d8d4e-7f3e-4f3c-9a55-0f4e3c2b1a00", "a");
        let together =
            load_groups([vec![named("r.toml", rule("a")), named("c.yml", counts.clone())]]);
        assert!(together.program.rules[0].meta.silent, "the control: its own correlation may");
        let apart = load_groups([vec![named("r.toml", rule("a"))], vec![named("c.yml", counts)]]);
        assert_eq!(ids(&apart), ["a"]);
        assert!(!apart.program.rules[0].meta.silent, "a stranger silences nobody");
        assert!(apart.diagnostics.iter().any(|one| one.message.contains("no rule has that id")));
        // The id is whose came first.
        let twice = load_groups([vec![named("x", rule("a"))], vec![named("y", rule("a"))]]);
        assert_eq!((ids(&twice), twice.origins[0].file.as_str()), (vec!["a"], "x"));
        let again = twice.diagnostics.iter().find(|one| one.code == crate::Code::DuplicateId);
        assert_eq!(again.map(|one| one.file.as_str()), Some("y"));
    }
}
