//! `kestrel explain`

use serde_json::json;

use super::{Place, QUERY, rule};

const EVENTS: &str = "\
{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"event.category\":\"process\",\"event.action\":\"exec\",\"process.name\":\"nc\",\"process.pid\":1}
{\"@timestamp\":\"2026-01-01T00:00:01Z\",\"event.category\":\"file\",\"event.action\":\"creation\",\"file.path\":\"/tmp/x\",\"process.pid\":1}
";

#[test]
fn each_predicate_has_its_value_and_what_it_read() {
    let place = Place::with(&[("r.toml", &rule("r", QUERY)), ("e.ndjson", EVENTS)]);
    let done = place.kestrel(&["explain", "r.toml", "--event", "e.ndjson", "-o", "json"]);
    let shown = &done.json()["rules"][0];
    assert_eq!((done.code, &shown["placement"]["place"]), (0, &json!("kernel")));
    assert_eq!(shown["operations"], json!(["exec"]));
    let name = shown["fields"].as_array().unwrap().iter().find(|one| one["name"] == "process.name");
    assert_eq!(name.unwrap()["tiers"]["lsm"], "tracepoint, iter");
    let step = &shown["events"][0]["steps"][0];
    assert_eq!((&step["matched"], &step["predicates"][1]["value"]), (&json!(true), &json!(true)));
    assert_eq!(step["predicates"][1]["fields"], json!({ "process.name": "nc" }));
    let step = &shown["events"][1]["steps"][0];
    assert_eq!((&step["matched"], &step["has_category"]), (&json!(false), &json!(false)));
    assert_eq!(step["predicates"][1]["fields"], json!({ "process.name": null }));
    assert_eq!(shown["alerts"], json!([{ "at": 1, "events": [1] }]));
}

#[test]
fn a_sequence_says_at_which_event_it_is_complete() {
    let query = "sequence by process.pid with maxspan=1m [process where process.name == \"nc\"] \
                 [file where file.path like \"/tmp/*\"]";
    let place = Place::with(&[("r.toml", &rule("r", query)), ("e.ndjson", EVENTS)]);
    let done = place.kestrel(&["explain", "r.toml", "--event", "e.ndjson"]);
    assert!(done.out.ends_with("\nalert at event 2; events: 1, 2\n"), "{}", done.out);
    assert!(done.out.contains("step 2: does not match, its category is not \"file\""));
    let first = EVENTS.lines().next().unwrap();
    let done = place.fed(&["explain", "r.toml", "--event", "-"], first);
    assert!(done.out.ends_with("\nno alert\n"), "{}", done.out);
}

#[test]
fn what_earlier_events_decide_is_unknown() {
    let query = "sequence with maxspan=1m [process where process.name == \"nc\"] as e0 \
                 [file where file.path like \"/tmp/*\" and process.pid == e0.process.pid]";
    let place = Place::with(&[("r.toml", &rule("r", query)), ("e.ndjson", EVENTS)]);
    let args = ["explain", "r.toml", "--event", "e.ndjson", "--dialect", "endpoint"];
    let done = place.kestrel(&[args.as_slice(), &["-o", "json"]].concat());
    let steps = |event: usize| done.json()["rules"][0]["events"][event]["steps"].clone();
    assert_eq!(steps(1)[1]["matched"], json!(null), "the pid is that of an earlier event");
    let predicates = [&steps(1)[1]["predicates"][0], &steps(1)[1]["predicates"][1]]
        .map(|one| one["value"].clone());
    assert_eq!(predicates, [json!(true), json!(null)]);
    assert_eq!(steps(0)[1]["matched"], json!(false), "whatever came before, this is no file");
    let done = place.kestrel(&args);
    assert!(done.out.contains("step 2: depends on earlier events\n"), "{}", done.out);
    assert!(done.out.ends_with("\nalert at event 2; events: 1, 2\n"), "{}", done.out);
}

#[test]
fn a_rule_that_is_not_there_is_an_error_that_names_the_others() {
    let text = [rule("one", QUERY), rule("two", &QUERY.replace("nc", "ncat"))].concat();
    let place = Place::with(&[("r.toml", &text), ("e.ndjson", "{}\nnonsense\n")]);
    let done = place.kestrel(&["explain", "r.toml", "--id", "three"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert_eq!(done.err, "error: no rule has the id `three`; there are: one, two\n");
    let one = place.kestrel(&["explain", "r.toml", "--id", "two"]);
    assert!(one.code == 0 && one.out.starts_with("Rule two (two, r.toml)\n"), "{}", one.out);
    assert!(!one.out.contains("(one,"));
    let done = place.kestrel(&["explain", "r.toml", "--id", "one", "--event", "gone"]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (1, "error: gone: No such file or directory (os error 2)\n")
    );
    let done = place.kestrel(&["explain", "r.toml", "--id", "one", "--event", "e.ndjson"]);
    assert!(done.code == 1 && done.err.starts_with("error: e.ndjson:2: "), "{}", done.err);
}
