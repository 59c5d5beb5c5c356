//! The page of figures: each row has what its source says, and no other.

use super::*;

fn told(fill: impl FnOnce(&mut Samples)) -> Vec<String> {
    let mut samples = Samples::default();
    fill(&mut samples);
    let text = samples.text();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_generation_has_its_figures() {
    let generation = super::super::board::Generation {
        number: Some(7),
        began: 100,
        trial_until: Some(160),
        ..Default::default()
    };
    let set = RuleSet { generation: Some(generation), loaded: 3, ..RuleSet::default() };
    let expected = [
        "aegisbpf_rules_loaded 3",
        "aegisbpf_rules_refused 0",
        "aegisbpf_rules_generation 7",
        "aegisbpf_rules_age_seconds 30",
        "aegisbpf_rules_trial_left_seconds 30",
        "aegisbpf_rules_held_back 0",
        "aegisbpf_rules_reverted_total 0",
        "aegisbpf_rules_unkept_total 0",
    ];
    assert_eq!(told(|samples| super::generation(samples, &set, 130)), expected);
}

#[test]
fn actions_are_counted_by_rule_verb_and_outcome() {
    let counts =
        serde_json::json!([{ "rule": "a", "verb": "kill", "outcome": "done", "count": 3 }]);
    let counters = serde_json::json!({
        "actions": { "counts": counts, "in_effect": 2, "breaker": "tripped", "waiting": 1 },
    });
    let expected = [
        "aegisbpf_actions_total{rule=\"a\",verb=\"kill\",outcome=\"done\"} 3",
        "aegisbpf_actions_in_effect 2",
        "aegisbpf_actions_breaker_tripped 1",
        "aegisbpf_actions_waiting 1",
    ];
    assert_eq!(told(|samples| actions(samples, &counters)), expected);
    let none = told(|samples| actions(samples, &Json::Null));
    assert!(none.contains(&"aegisbpf_actions_breaker_tripped 0".to_owned()), "{none:?}");
}

#[test]
fn each_output_has_its_figures_and_how_long_something_waits() {
    let one = |name: &str, state: &str, since: Option<&str>| {
        serde_json::json!({ "name": name, "state": state, "sent": 5, "passed_over": 1, "refused": 0,
            "lost": 2, "failures": 3, "backlog_bytes": 70, "waiting_since": since })
    };
    let all = [one("a", "retrying", Some("1970-01-01T00:01:40.5Z")), one("b", "ok", None)];
    let counters = serde_json::json!({
        "outputs": { "all": all, "restarts": 1, "spool_bytes": 4096 },
    });
    let told = told(|samples| outputs(samples, &counters, 130));
    for line in [
        "aegisbpf_output_items_total{output=\"a\",outcome=\"delivered\"} 5",
        "aegisbpf_output_items_total{output=\"a\",outcome=\"lost\"} 2",
        "aegisbpf_output_failures_total{output=\"a\"} 3",
        "aegisbpf_output_delivering{output=\"a\"} 0",
        "aegisbpf_output_delivering{output=\"b\"} 1",
        "aegisbpf_output_waiting_bytes{output=\"a\"} 70",
        "aegisbpf_output_waiting_seconds{output=\"a\"} 30",
        "aegisbpf_output_waiting_seconds{output=\"b\"} 0",
        "aegisbpf_output_forwarder_restarts_total 1",
        "aegisbpf_spool_size_bytes 4096",
    ] {
        assert!(told.iter().any(|one| one == line), "{line} in {told:?}");
    }
    assert_eq!(told.len(), 2 * (4 + 4) + 2, "{told:?}");
}

#[test]
fn what_never_came_is_kept_apart_from_what_came_in_part() {
    let counters = serde_json::json!({
        "sent": { "exec": 7 },
        "lost": { "life": { "ring_full": 2, "args": 1 } },
    });
    let expected = [
        "aegisbpf_events_sent_total{operation=\"exec\"} 7",
        "aegisbpf_events_dropped_total{ring=\"life\",cause=\"ring_full\"} 2",
        "aegisbpf_events_incomplete_total{ring=\"life\",cause=\"args\"} 1",
    ];
    assert_eq!(told(|samples| kernel(samples, &counters)), expected);
}

#[test]
fn incidents_of_scripts_have_their_cause() {
    let violations = [("own", "state", 1), ("own", "trap", 5)];
    let expected = [
        "aegisbpf_script_calls_total 7",
        "aegisbpf_script_quarantined 1",
        "aegisbpf_script_violations_total{script=\"own\",cause=\"state\"} 1",
        "aegisbpf_script_violations_total{script=\"own\",cause=\"trap\"} 5",
    ];
    assert_eq!(told(|samples| scripts(samples, (7, 1), violations.into_iter())), expected);
}

#[test]
fn processor_time_is_told_and_goes_on() {
    let begin = processor_time("self").unwrap();
    while processor_time("self").unwrap() == begin {}
    assert_eq!(processor_time("0"), None);
}

/// Figures that tell a time or memory of this process, and the two that the event thread writes itself: the test of
/// a running agent sees them move.
const OF_THE_MOMENT: &[Metric] = &[
    Metric::StartTime,
    Metric::WorkerStartTime,
    Metric::ResidentBytes,
    Metric::CpuSeconds,
    Metric::OutputLines,
    Metric::EventsDelivered,
    Metric::EventSeconds,
    Metric::RingBytes,
    Metric::RingSize,
];

/// What the event thread publishes, each figure with a number of its own.
fn published() -> Figures {
    Figures {
        malformed: 101,
        events: 102,
        unresolved: 103,
        processes_evicted: 104,
        image_bytes: 105,
        member_bytes: 106,
        members_evicted: 107,
        partials_evicted: 108,
        rules_slow: vec![String::new(); 109],
        rules_noisy: vec![String::new(); 110],
        alerts: 111,
        alerts_covered: 112,
        alerts_repeated: 113,
        actions_asked: 114,
        actions_left_out: 115,
        output_dropped: 116,
        spool_dropped: 117,
        clients: 118,
        recordings: 119,
        recording_lost: 120,
        recording_frames_lost: 121,
        processes: 122,
        processes_ended: 123,
        audit_lost: 124,
        // What the page has by rule, by script or by operation, or not at all.
        seen: serde_json::Map::new(),
        alerts_suppressed: 901,
        script_calls: 902,
        script_violations: 903,
        script_quarantined: 904,
    }
}

/// What the guard counts, the same.
fn counted() -> Json {
    let output = serde_json::json!({ "name": "o", "state": "ok", "sent": 301, "passed_over": 302,
        "refused": 303, "lost": 304, "failures": 305, "backlog_bytes": 306,
        "waiting_since": "1970-01-01T00:00:00Z" });
    serde_json::json!({
        "sent": { "exec": 201 },
        "lost": { "life": { "ring_full": 202, "args": 203 } },
        "programs": [{ "name": "p", "run_ns": 204, "runs": 205 }],
        "maps": [{ "name": "m", "entries": 206, "max": 207 }],
        "policy": {
            "mode": "enforce", "disabled": true, "tier": "fallback", "generation": 208, "made": 0,
            "degraded": 209, "decisions_lost": 210, "verdicts": { "denied": 211, "untold": 212 },
            "rules": [{ "rule": "r", "outcome": "denied", "count": 213 }],
        },
        "audit": { "lines": 214, "lost": 215, "broken": true },
        "isolations": 216,
        "actions": { "in_effect": 217, "waiting": 218, "breaker": "tripped",
            "counts": [{ "rule": "r", "verb": "kill", "outcome": "done", "count": 219 }] },
        "outputs": { "all": [output], "restarts": 220, "spool_bytes": 221 },
    })
}

/// The rows that come of them, and of what [`filled`] adds: name, labels, value.
const ROWS: &[(&str, &str, &str)] = &[
    ("events_malformed_total", "", "101"),
    ("events_total", "", "102"),
    ("events_unresolved_total", "", "103"),
    ("processes_evicted_total", "", "104"),
    ("process_table_bytes", "", "105"),
    ("partial_match_bytes", "", "106"),
    ("partial_match_events_evicted_total", "", "107"),
    ("partial_matches_evicted_total", "", "108"),
    ("rules_slow", "", "109"),
    ("rules_noisy", "", "110"),
    ("alerts_total", "", "111"),
    ("alerts_covered_total", "", "112"),
    ("alerts_repeated_total", "", "113"),
    ("actions_asked_total", "", "114"),
    ("actions_left_out_total", "", "115"),
    ("output_dropped_total", "", "116"),
    ("spool_dropped_total", "", "117"),
    ("clients", "", "118"),
    ("recordings", "", "119"),
    ("recording_lost_total", "", "120"),
    ("recording_frames_lost_total", "", "121"),
    ("processes", "state=running", "122"),
    ("processes", "state=ended", "123"),
    ("audit_lost_total", "process=worker", "124"),
    ("events_sent_total", "operation=exec", "201"),
    ("events_dropped_total", "ring=life,cause=ring_full", "202"),
    ("events_incomplete_total", "ring=life,cause=args", "203"),
    ("program_run_seconds_total", "program=p", "0.000000204"),
    ("program_runs_total", "program=p", "205"),
    ("map_entries", "map=m", "206"),
    ("map_entries_max", "map=m", "207"),
    ("policy_generation", "", "208"),
    ("policy_degraded_operations", "", "209"),
    ("policy_decisions_lost_total", "", "210"),
    ("policy_verdicts_total", "outcome=denied", "211"),
    ("policy_untold_total", "", "212"),
    ("policy_rule_verdicts_total", "rule=r,outcome=denied", "213"),
    ("policy_tier_info", "tier=fallback", "1"),
    ("emergency", "", "1"),
    ("audit_lines", "", "214"),
    ("audit_lost_total", "process=guard", "215"),
    ("audit_broken", "", "1"),
    ("isolations", "", "216"),
    ("actions_in_effect", "", "217"),
    ("actions_waiting", "", "218"),
    ("actions_total", "rule=r,verb=kill,outcome=done", "219"),
    ("actions_breaker_tripped", "", "1"),
    ("output_items_total", "output=o,outcome=delivered", "301"),
    ("output_items_total", "output=o,outcome=passed_over", "302"),
    ("output_items_total", "output=o,outcome=refused", "303"),
    ("output_items_total", "output=o,outcome=lost", "304"),
    ("output_failures_total", "output=o", "305"),
    ("output_waiting_bytes", "output=o", "306"),
    ("output_delivering", "output=o", "1"),
    ("output_forwarder_restarts_total", "", "220"),
    ("spool_size_bytes", "", "221"),
    ("worker_restarts_total", "", "401"),
    ("tier_info", "tier=lsm", "1"),
    ("operations", "state=denied", "2"),
    ("operations", "state=absent", "1"),
    ("mode", "mode=enforce", "1"),
    ("mode", "mode=audit", "0"),
    ("history_bytes", "", "402"),
    ("rules_loaded", "", "403"),
    ("rules_refused", "", "404"),
    ("rules_generation", "", "405"),
    ("rules_age_seconds", "", "406"),
    ("rules_trial_left_seconds", "", "407"),
    ("rules_reverted_total", "", "408"),
    ("rules_unkept_total", "", "409"),
    ("rules_held_back", "", "0"),
    ("rule_matches_total", "rule=r", "501"),
    ("rule_alerts_total", "rule=r", "502"),
    ("rule_alerts_suppressed_total", "rule=r", "503"),
    ("rule_event_seconds", "rule=r", "0.000000504"),
    ("script_calls_total", "", "505"),
    ("script_quarantined", "", "506"),
    ("script_violations_total", "script=s,cause=trap", "507"),
];

/// All sources filled, and what the page says of them.
fn filled() -> Vec<String> {
    let state = tempfile::tempdir().unwrap();
    let history = state.path().join(super::super::HISTORY);
    std::fs::create_dir(&history).unwrap();
    std::fs::write(history.join("1.rec"), [0; 402]).unwrap();
    let board = Board::new();
    let operations =
        ["denied", "denied", "absent"].map(|state| serde_json::json!({ "state": state }));
    board.put_report(&serde_json::json!({ "tier": "lsm", "operations": operations }).to_string());
    board.put_counters(&counted().to_string());
    let confined = status::Confined { seccomp: true, landlock: None };
    let about = About { user: "x".into(), started: 1, worker_started: 2, restarts: 401, confined };
    let generation = super::super::board::Generation {
        number: Some(405),
        began: 1_000 - 406,
        trial_until: Some(1_000 + 407),
        reverted: 408,
        unkept: 409,
        ..Default::default()
    };
    let set =
        RuleSet { loaded: 403, refused: 404, generation: Some(generation), ..RuleSet::default() };
    let infos = [RuleInfo { id: "r".to_owned(), ..RuleInfo::default() }];
    let counters = engine::Counters { matches: 501, ..Default::default() };
    let of_rule = health::Figures {
        counters,
        alerts: 502,
        suppressed: 503,
        cost_ns: Some(504),
        ..Default::default()
    };
    told(|samples| {
        figures(samples, &published());
        super::generation(samples, &set, 1_000);
        rules(samples, &infos, &[of_rule]);
        scripts(samples, (505, 506), [("s", "trap", 507)].into_iter());
        agent(samples, &about, &board, state.path());
    })
}

#[test]
fn each_figure_is_that_of_its_own_source() {
    let told = filled();
    for (name, labels, value) in ROWS {
        let pairs = labels.split(',').filter_map(|label| label.split_once('='));
        let pairs: Vec<_> = pairs.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels =
            if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        let row = format!("aegisbpf_{name}{labels} {value}");
        let there = told.iter().filter(|line| **line == row).count();
        assert_eq!(there, 1, "{row} in {told:#?}");
    }
    // Ages are those of now.
    let aged = ["policy_age_seconds", "output_waiting_seconds"];
    for name in aged {
        let line = told.iter().find(|line| line.starts_with(&format!("aegisbpf_{name}"))).unwrap();
        let (_, age) = line.rsplit_once(' ').unwrap();
        assert!(age.parse::<u64>().unwrap() > 1_000_000_000, "since 1970: {line}");
    }
    let known = |metric: &Metric| {
        let name = metric.name().trim_start_matches("aegisbpf_");
        let version = *metric == Metric::BuildInfo;
        version || aged.contains(&name) || ROWS.iter().any(|(row, ..)| *row == name)
    };
    let unknown: Vec<_> = Metric::ALL
        .iter()
        .filter(|metric| !known(metric) && !OF_THE_MOMENT.contains(metric))
        .collect();
    assert!(unknown.is_empty(), "nobody looks at these: {unknown:?}");
}
