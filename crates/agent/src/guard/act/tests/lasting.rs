//! How long an action stays in effect, and how it ends.

use super::*;

#[test]
fn what_was_stopped_goes_on_when_an_operator_says_so_or_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let ttl = ["--enforce", "--action-ttl", "60s"];
    let mut first = actor(dir.path(), &ttl);
    let (one, two) = (Victim::new("sleep 60"), Victim::new("sleep 60"));
    for victim in [&one, &two] {
        first.act(&victim.asks("all", Verb::Stop), SCENE);
        until("it is stopped", || state(victim.pid()) == Some('T'));
    }
    let kept = first.keep.of(|_| true);
    let undo = |id| Undo { what: What::One(id), uid: 7, reason: "a mistake".into() };
    let missing = first.undo(&undo(9_999));
    assert!(missing["error"].as_str().unwrap().contains("is no action"), "{missing}");
    let done = first.undo(&undo(kept[0].id));
    assert_eq!(
        (&done["undone"][0]["id"], &done["undone"][0]["error"]),
        (&kept[0].id.into(), &Json::Null)
    );
    until("the first goes on", || state(one.pid()) == Some('S'));
    assert_eq!(state(two.pid()), Some('T'), "the control");
    let again = first.undo(&undo(kept[0].id));
    assert!(again["error"].as_str().unwrap().contains("in effect no more"), "{again}");
    drop(first);
    // Another agent, later.
    let mut second = actor(dir.path(), &ttl);
    second.begin().unwrap();
    assert_eq!(state(two.pid()), Some('T'), "its time is not over");
    second.expire(now() + 61);
    until("the second goes on", || state(two.pid()) == Some('S'));
    assert!(second.keep.of(|_| true).is_empty() && Keep::open(dir.path()).of(|_| true).is_empty());
    let ends: Vec<Json> =
        lines(dir.path()).into_iter().filter(|line| line["action"] == "response-undo").collect();
    assert_eq!((&ends[0]["decision"], &ends[0]["uid"]), (&"rolled-back".into(), &7.into()));
    assert_eq!((&ends[1]["decision"], &ends[1]["of"]), (&"expired".into(), &kept[1].id.into()));
    let killed = Victim::new("sleep 60");
    second.act(&killed.asks("all", Verb::Kill), SCENE);
    let id = lines(dir.path()).iter().rev().find_map(|line| line["of"].as_u64()).unwrap();
    let never = second.undo(&undo(id));
    assert!(never["error"].as_str().unwrap().contains("cannot be undone"), "{never}");
    is_sound(dir.path());
}

#[test]
fn a_rule_may_let_what_it_does_last_less_than_the_operator_but_not_more() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Victim::new("sleep 60"), Victim::new("sleep 60"));
    let mut long = actor(dir.path(), &["--enforce", "--action-ttl", "60s"]);
    long.act(&one.asks("brief", Verb::Stop), SCENE);
    long.act(&two.asks("all", Verb::Stop), SCENE);
    for victim in [&one, &two] {
        until("it is stopped", || state(victim.pid()) == Some('T'));
    }
    long.expire(now() + 31);
    until("its own time is over", || state(one.pid()) == Some('S'));
    assert_eq!(state(two.pid()), Some('T'), "the control");
    long.expire(now() + 61);
    until("the operator's time is over", || state(two.pid()) == Some('S'));
    drop(long);
    let mut short = actor(dir.path(), &["--enforce", "--action-ttl", "10s"]);
    short.act(&one.asks("brief", Verb::Stop), SCENE);
    until("it is stopped", || state(one.pid()) == Some('T'));
    short.expire(now() + 11);
    until("the operator's time is over first", || state(one.pid()) == Some('S'));
    let told = lines(dir.path());
    let told: Vec<&Json> = told.iter().filter(|line| line["decision"] == "do").collect();
    let seconds: Vec<&Json> = told.iter().map(|line| &line["ttl_s"]).collect();
    assert_eq!(seconds, [&json!(30), &json!(60), &json!(10)]);
}
