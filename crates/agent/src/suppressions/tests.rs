//! Suppressions: what they cover, until when, and what is wrong in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::program::RuleMeta;

use super::*;

const NOW: i64 = 1_800_000_000;

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(dir.join(name), private).unwrap();
}

fn entry(id: &str, condition: &str, expires: &str) -> String {
    format!(
        "[[suppression]]\nid = \"{id}\"\nrule = \"shadow\"\nwhere = '{condition}'\nreason = \"backup\"\n\
         expires = {expires}\n"
    )
}

fn day(days: i64) -> String {
    let day = jiff::Timestamp::from_second(NOW + days * 86_400).unwrap();
    day.to_string()
}

fn event(executable: &str) -> Document {
    let json = json!({ "event.category": "file", "process.executable": executable });
    Document::new(json.as_object().unwrap()).unwrap()
}

fn read_in(dir: &Path) -> Result<Suppressions, Vec<String>> {
    let list = read(&[dir.to_owned()], files::Trust::Owner, NOW)?;
    Ok(Suppressions::new(list).unwrap())
}

#[test]
fn a_match_is_covered_until_its_day() {
    let dir = tempfile::tempdir().unwrap();
    let borg = r#"process.executable == "/usr/bin/borg""#;
    write(dir.path(), "a.toml", &entry("borg", borg, &day(10)));
    let mut all = read_in(dir.path()).unwrap();
    let rule = RuleMeta { id: "shadow".into(), ..RuleMeta::default() };
    let other = RuleMeta { id: "other".into(), ..RuleMeta::default() };
    let of = |rule| Match { rule, id: 1, members: &[1], earlier: &[], said: &[] };
    let matches = [of(&rule), of(&other)];
    let left = |all: &mut Suppressions, program: &str, now: i64| -> Vec<String> {
        let event = event(program);
        let left = all.left(Some(&event), &matches, &|| now);
        left.iter().map(|one| one.rule.id.clone()).collect()
    };
    assert_eq!(left(&mut all, "/usr/bin/borg", NOW), ["other"]);
    assert_eq!(left(&mut all, "/usr/bin/cat", NOW), ["shadow", "other"], "another program");
    assert!(all.ended(NOW).is_empty());
    let after = NOW + 11 * 86_400;
    assert_eq!(left(&mut all, "/usr/bin/borg", after), ["shadow", "other"], "it is over");
    let ended = all.ended(after);
    assert_eq!((ended.len(), ended[0].id.as_str()), (1, "borg"));
    assert!(all.ended(after).is_empty(), "told once");
    assert_eq!(all.covered(), 1);
    // What is read again as it was keeps its figures; what is gone is still counted.
    all.replace(read_in(dir.path()).unwrap());
    assert_eq!(all.document(NOW)["suppressions"][0]["covered"], 1);
    all.replace(Suppressions::default());
    assert_eq!((all.covered(), all.all.len()), (1, 0));
}

#[test]
fn what_only_time_decided_is_judged_by_its_last_event() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.toml", &entry("borg", r#"process.name == "borg""#, &day(1)));
    let mut all = read_in(dir.path()).unwrap();
    let rule = RuleMeta { id: "shadow".into(), ..RuleMeta::default() };
    let document = |name: &str| {
        let json = json!({ "process": { "name": name } });
        std::sync::Arc::new(json.as_object().unwrap().clone())
    };
    for (name, left) in [("borg", 0), ("cat", 1)] {
        let earlier = [(7, document(name))];
        let one = [Match { rule: &rule, id: 1, members: &[7], earlier: &earlier, said: &[] }];
        assert_eq!(all.left(None, &one, &|| NOW).len(), left, "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let ok = entry("a", "process.pid == 1", &day(1));
    let far = entry("a", "process.pid == 1", &day(DAYS_MAX + 2));
    let cases = [
        (entry("a", "process.nmae == 1", &day(1)), "process.nmae"),
        (far, "366 days"),
        (entry("a b", "process.pid == 1", &day(1)), "an id has"),
        (entry("a", "process.pid == 1", "2027-01-01T00:00:00"), "a time with its offset"),
        (ok.replace("\"backup\"", "\" \""), "`reason` says why"),
        (ok.replace("reason", "raeson"), "raeson"),
        (format!("{ok}{ok}"), "another one with this id"),
    ];
    for (text, wanted) in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x.toml", &text);
        let wrong = read_in(dir.path()).unwrap_err().join("\n");
        assert!(wrong.contains(wanted) && wrong.contains("x.toml"), "{wanted}: {wrong}");
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "x.toml", &ok);
    assert_eq!(read_in(dir.path()).unwrap().all.len(), 1, "the control");
    let anyone = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(dir.path().join("x.toml"), anyone).unwrap();
    let wrong = read_in(dir.path()).unwrap_err().join("\n");
    assert!(wrong.contains("x.toml"), "{wrong}");
}

#[test]
fn a_day_is_over_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system());
    write(dir.path(), "a.toml", &entry("a", "process.pid == 1", &today.date().to_string()));
    let list = read(&[dir.path().to_owned()], files::Trust::Owner, today.timestamp().as_second());
    let expires = list.unwrap()[0].expires;
    let left = expires - today.timestamp().as_second();
    assert!((0..=86_400).contains(&left), "{left}");
}

#[test]
fn a_place_that_nobody_named_may_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let later = dir.path().join("later");
    let usual = Places { paths: vec![later.clone()], may_lack: true };
    let before = usual.print();
    assert!(usual.open().unwrap().is_empty());
    let named = Places { may_lack: false, ..usual.clone() };
    let refused = named.open().unwrap_err();
    assert!(refused.contains("later") && refused.contains("No such file"), "{refused}");
    std::fs::create_dir(&later).unwrap();
    let day = jiff::Zoned::now().date().tomorrow().unwrap().to_string();
    write(&later, "a.toml", &entry("a", "true", &day));
    assert_ne!(usual.print(), before, "it is seen");
    assert_eq!(usual.open().unwrap().ids(), ["a"]);
}
