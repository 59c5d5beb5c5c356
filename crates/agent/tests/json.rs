//! What commands print as JSON is what `docs/reference/json.md` says: each key with its type, none that the page does
//! not know, and none that only the page knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::isolate::Cgroup;
use crate::lab::{AGENT, root};
use crate::metrics::{provoke, staged};

const PAGE: &str = include_str!("../../../docs/reference/json.md");
/// Types that other pages describe.
const ELSEWHERE: [&str; 3] = ["document", "line", "same"];

/// The types of keys by name, by section and by what holds them: `rules[]` holds `rules[].id`.
struct Page(BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>);

impl Page {
    fn read() -> Page {
        let mut page = Page(BTreeMap::new());
        let mut section = String::new();
        for line in PAGE.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                title.clone_into(&mut section);
            }
            let Some((key, rest)) =
                line.strip_prefix("| `").and_then(|line| line.split_once("` | "))
            else {
                continue;
            };
            let (holder, name) = key.rsplit_once('.').unwrap_or(("", key));
            let (types, is) = rest.split_once(" | ").unwrap();
            assert!(is.trim_end_matches('|').trim().len() > 2, "{section}: `{key}` says nothing");
            let types =
                types.split(", ").next().unwrap().split(" or ").map(str::to_owned).collect();
            let keys = page.0.entry((section.clone(), holder.to_owned())).or_default();
            let known = keys.insert(name.to_owned(), types);
            assert!(known.is_none(), "{section}: `{key}` comes twice");
        }
        page
    }

    /// What is wrong with a value that `holder` of a section holds.
    fn check(&self, section: &str, holder: &str, value: &Value, wrong: &mut BTreeSet<String>) {
        match value {
            Value::Array(all) => {
                let holder = format!("{holder}[]");
                for one in all {
                    self.check(section, &holder, one, wrong);
                }
            }
            Value::Object(all) => {
                let none = BTreeMap::new();
                let place = (section.to_owned(), holder.to_owned());
                let keys = self.0.get(&place).unwrap_or(&none);
                for (name, value) in all {
                    let Some((name, types)) = keys.get_key_value(name).or(keys.get_key_value("*"))
                    else {
                        wrong
                            .insert(format!("{section}: `{holder}` has `{name}`: not on the page"));
                        continue;
                    };
                    let key =
                        if holder.is_empty() { name.clone() } else { format!("{holder}.{name}") };
                    self.value(section, &key, types, value, wrong);
                }
                let missing = keys.iter().filter(|(name, types)| {
                    *name != "*" && !types.contains("absent") && !all.contains_key(*name)
                });
                for (name, _) in missing {
                    wrong.insert(format!("{section}: `{holder}` lacks `{name}` of the page"));
                }
            }
            _ => {}
        }
    }

    fn value(
        &self,
        section: &str,
        key: &str,
        types: &BTreeSet<String>,
        value: &Value,
        wrong: &mut BTreeSet<String>,
    ) {
        let own = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if let Some(other) = types.iter().find(|one| one.starts_with("aegisbpf ")) {
            self.check(other, "", value, wrong);
        } else if types.iter().any(|one| one == "any" || ELSEWHERE.contains(&one.as_str())) {
            // Described there.
        } else if types.contains(own) {
            self.check(section, key, value, wrong);
        } else {
            wrong.insert(format!("{section}: `{key}` is of type {own}, the page says {types:?}"));
        }
    }

    fn sections(&self) -> BTreeSet<&str> {
        self.0.keys().map(|(section, _)| section.as_str()).collect()
    }
}

#[test]
fn what_commands_print_is_what_the_page_says() {
    if !root("what_commands_print_is_what_the_page_says") {
        return;
    }
    let (scene, agent) = staged();
    let lab = &scene.lab;
    provoke(&scene, &mut || {});
    let cgroup = Cgroup::new(lab, "json");
    let begin = ["isolate", "begin", "--for", "10m", "--reason", "a test", "--cgroup"];
    let begun = scene.ask(&[&begin[..], &[cgroup.0.to_str().unwrap()]].concat());
    fs::write(lab.path("bad"), "bad").unwrap();
    let state = lab.path("state").display().to_string();
    let bad = lab.path("bad").display().to_string();
    let own = |words: &[&str]| std::process::Command::new(AGENT).args(words).output().unwrap();
    let taken = own(&["quarantine", "take", &bad, "--reason", "a test", "--state-dir", &state]);
    let mut said: BTreeMap<&str, _> = BTreeMap::new();
    said.insert("aegisbpf status", lab.ask(&["status", "-o", "json"]));
    said.insert("aegisbpf rules", lab.ask(&["rules", "-o", "json"]));
    said.insert("aegisbpf incidents", lab.ask(&["incidents", "-o", "json"]));
    said.insert("aegisbpf top", lab.ask(&["top", "-o", "json"]));
    said.insert("aegisbpf policy show", scene.ask(&["policy", "show", "-o", "json"]));
    said.insert("aegisbpf actions list", scene.ask(&["actions", "list", "-o", "json"]));
    said.insert("aegisbpf isolate status", scene.ask(&["isolate", "status", "-o", "json"]));
    said.insert("aegisbpf doctor", own(&["doctor", "-o", "json"]));
    let list = ["quarantine", "list", "-o", "json", "--state-dir", &state];
    said.insert("aegisbpf quarantine list", own(&list));
    // It ends the isolation, too: before anything is asserted, so that nothing stays behind.
    let off = scene.ask(&["emergency", "disable", "--reason", "a test"]);
    said.insert("aegisbpf emergency status", scene.ask(&["emergency", "status", "-o", "json"]));
    for done in [begun, taken, off] {
        assert!(done.status.success(), "{done:?}");
    }
    assert!(agent.stop().success());
    let page = Page::read();
    assert_eq!(said.keys().copied().collect::<BTreeSet<_>>(), page.sections());
    let mut wrong = BTreeSet::new();
    for (section, output) in said {
        assert!(output.status.success(), "{section}: {output:?}");
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        let values: Vec<Value> = values.collect::<Result<_, _>>().unwrap();
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        assert!(!values.is_empty() && !values.iter().any(is_empty), "{section} tells something");
        for value in &values {
            page.check(section, "", value, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The page is no net that everything falls through.
    let mut found = BTreeSet::new();
    let strange = serde_json::json!({ "isolations": [{ "id": 7, "new": 1 }] });
    page.check("aegisbpf isolate status", "", &strange, &mut found);
    let expected = ["has `new`", "is of type number", "lacks `seconds_left`", "lacks `dropped`"];
    for part in expected {
        assert!(found.iter().any(|one| one.contains(part)), "{part} in {found:?}");
    }
}
