//! Incidents: what belongs together, bounds, and what outlives a worker.

use serde_json::json;

use super::*;

fn ancestor(pid: u64, name: &str) -> Json {
    json!({ "pid": pid, "entity_id": format!("{pid:032x}"), "name": name,
        "executable": format!("/usr/bin/{name}"), "args": [name] })
}

/// An alert of a rule about a process, with its ancestors from the nearest on.
fn alert(
    rule: &str,
    severity: &str,
    own: (u64, &str),
    ancestors: &[(u64, &str)],
) -> Map<String, Json> {
    let mut process = ancestor(own.0, own.1);
    let ancestors: Vec<Json> = ancestors.iter().map(|(pid, name)| ancestor(*pid, name)).collect();
    process["Ext"] = json!({ "ancestors": ancestors });
    let json = json!({
        "@timestamp": "2026-01-02T03:04:05Z",
        "alert": { "id": format!("{}-{rule}", own.0) },
        "rule": { "id": rule, "name": rule, "severity": severity },
        "severity": severity,
        "process": process,
        "user": { "name": "www-data" },
        "threat": { "technique": { "id": ["T1059"] } },
    });
    json.as_object().unwrap().clone()
}

const SERVICE: &[(u64, &str)] = &[(10, "sh"), (5, "nginx"), (1, "systemd")];

#[test]
fn a_tree_is_one_incident_with_counts() {
    let mut incidents = Incidents::default();
    let first = incidents.take(&alert("shell", "medium", (11, "curl"), SERVICE), 100).unwrap();
    assert_eq!((first.alerts, first.alike), (1, 1));
    for time in 101..104 {
        incidents.take(&alert("shell", "low", (11, "curl"), SERVICE), time).unwrap();
    }
    // A sibling of the shell, found by the root alone.
    let other = alert("miner", "critical", (20, "xmrig"), &[(5, "nginx"), (1, "systemd")]);
    let last = incidents.take(&other, 104).unwrap();
    assert_eq!((last.id, last.alerts, last.alike), (first.id, 5, 1));
    let list = incidents.list();
    let [one] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!(
        (one.severity.as_str(), one.findings.len(), one.findings[0].count),
        ("critical", 2, 4)
    );
    let tree: Vec<_> = one.processes.iter().map(|it| (it.name.as_str(), it.alerts)).collect();
    assert_eq!(tree, [("nginx", 0), ("curl", 4), ("sh", 0), ("xmrig", 1)]);
    let parent = |name: &str| {
        let process = one.processes.iter().find(|it| it.name == name).unwrap();
        process.parent.clone()
    };
    assert_eq!(parent("curl"), Some(format!("{:032x}", 10)));
    assert_eq!((parent("sh"), parent("nginx")), (Some(format!("{:032x}", 5)), None));
    assert!(one.attack.contains("T1059") && one.users.contains("www-data"));
}

#[test]
fn trees_below_those_that_start_for_many_are_apart() {
    let mut incidents = Incidents::default();
    let of = |pid| alert("x", "low", (pid, "bash"), &[(7, "sshd"), (6, "sshd"), (1, "systemd")]);
    let (one, other) = (incidents.take(&of(8), 1).unwrap(), incidents.take(&of(9), 1).unwrap());
    assert_ne!(one.id, other.id, "two logins");
    let of = |pid| {
        let shim = &[(7, "containerd-shim-runc-v2"), (1, "systemd")];
        alert("x", "low", (pid, "sh"), shim)
    };
    let (one, other) = (incidents.take(&of(18), 1).unwrap(), incidents.take(&of(19), 1).unwrap());
    assert_ne!(one.id, other.id, "two containers");
    // And a process of a tree that was begun above it belongs to that.
    let tree = alert("x", "low", (30, "sh"), &[(18, "sh"), (7, "containerd-shim")]);
    assert_eq!(incidents.take(&tree, 1).unwrap().id, one.id);
}

#[test]
fn denials_count_and_what_has_no_process_is_in_none() {
    let mut incidents = Incidents::default();
    let denial = json!({
        "alert": { "id": "3-17" }, "severity": "high", "event": { "reason": "denied" },
        "rule": { "id": "no-net", "ruleset": "web" },
        "process": { "pid": 7, "executable": "/usr/sbin/nginx" },
    });
    let denial = denial.as_object().unwrap();
    let place = incidents.take(denial, 1).unwrap();
    assert_eq!((place.id.as_str(), place.alike), ("3-17", 1));
    assert_eq!(incidents.take(denial, 1).unwrap().alike, 2);
    assert_eq!(incidents.list()[0].denied, 2);
    let notice = json!({ "message": "a rule is slow" });
    assert_eq!(incidents.take(notice.as_object().unwrap(), 1), None);
}

#[test]
fn quiet_trees_are_over_and_long_ones_are_told_again() {
    let mut incidents = Incidents::default();
    let alert = alert("x", "low", (11, "curl"), SERVICE);
    incidents.take(&alert, 1_000).unwrap();
    assert_eq!(incidents.take(&alert, 1_000 + QUIET_S - 1).unwrap().alerts, 2);
    assert_eq!(incidents.counts(1_000 + 2 * QUIET_S).0, 0);
    let second = incidents.take(&alert, 1_000 + 2 * QUIET_S).unwrap();
    assert_eq!(second.alerts, 1, "it is another");
    let mut time = 1_000 + 2 * QUIET_S;
    let mut most = 0;
    for _ in 0..=LASTS_S / (QUIET_S / 2) {
        time += QUIET_S / 2;
        most = incidents.take(&alert, time).unwrap().alerts.max(most);
    }
    assert_eq!(most, LASTS_S / (QUIET_S / 2), "a new one begins after a day");
}

#[test]
fn all_of_it_is_bounded() {
    let mut incidents = Incidents::default();
    for pid in 0..2 * INCIDENTS_MAX as u64 {
        incidents.take(&alert("x", "low", (100 + pid, "sh"), &[(1, "systemd")]), pid).unwrap();
    }
    assert_eq!((incidents.list().len(), incidents.of.len()), (INCIDENTS_MAX, INCIDENTS_MAX));
    assert_eq!(incidents.counts(1_000).1, INCIDENTS_MAX as u64);
    assert_eq!(incidents.list()[0].processes[0].pid, 100 + INCIDENTS_MAX as u64);
    for number in 0..1_000 {
        let rule = format!("r{number}");
        let one = alert(&rule, "low", (10_000 + number, "sh"), &[(5_000, "x"), (1, "systemd")]);
        incidents.take(&one, 2_000).unwrap();
    }
    let list = incidents.list();
    let last = list.last().unwrap();
    assert_eq!(last.alerts, 1_000);
    assert_eq!(last.processes.len() as u64 + last.processes_left_out, 1_001);
    assert_eq!(last.findings.len() as u64 + last.findings_left_out, 1_000);
    let bytes = serde_json::to_string(last).unwrap().len();
    assert!(bytes < 200_000, "{bytes}");
}

#[test]
fn they_outlive_the_worker_and_are_over_after_a_boot() {
    let dir = tempfile::tempdir().unwrap();
    let mut incidents = Incidents::default();
    let alert = alert("x", "high", (11, "curl"), SERVICE);
    let place = incidents.take(&alert, 50).unwrap();
    Keeper::start(dir.path(), "boot-1").unwrap().finish(&mut incidents);
    let mut again = Incidents::with(read(dir.path(), "boot-1"));
    assert_eq!(again.list(), incidents.list());
    let next = again.take(&alert, 60).unwrap();
    assert_eq!((&next.id, next.alerts, next.alike), (&place.id, 2, 2), "it goes on");
    let mut other = Incidents::with(read(dir.path(), "boot-2"));
    assert_eq!(other.counts(51).0, 0, "it is over");
    assert_eq!(other.take(&alert, 51).unwrap().alerts, 1);
    // What cannot be read is left out, and keeps nothing else from being read.
    std::fs::write(dir.path().join(kept::DIRECTORY).join("bad.json"), "{").unwrap();
    assert_eq!(read(dir.path(), "boot-1").len(), 1);
}
