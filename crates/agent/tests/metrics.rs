//! The figures for Prometheus: each moves, they add up, and Prometheus itself reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::isolate::Cgroup;
use crate::lab::{AGENT, Agent, Lab, root, signal, until};
use crate::prevention::Scene;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Figures that nothing on a sound host moves within this test, and who causes what they count instead. That
/// each shows its own source is for all of them the unit test `each_figure_is_that_of_its_own_source`.
const STILL: &[(&str, &str)] = &[
    (
        "audit_broken",
        "a unit test of `audit/look.rs` breaks a log and sees it in what the guard counts",
    ),
    ("audit_lost_total", "a unit test of `audit.rs` counts a line for a log that is a link"),
    ("events_incomplete_total", "needs arguments that the kernel has paged out: tests of `kernel`"),
    ("events_malformed_total", "needs a kernel half that is not ours: `adds_up` counts with it"),
    (
        "events_unresolved_total",
        "needs a process that nobody told of: a test of the engine's table",
    ),
    ("processes_evicted_total", "needs as many processes as the table holds: the same"),
    ("partial_match_events_evicted_total", "needs a full store: a test of `engine/kept.rs`"),
    ("partial_matches_evicted_total", "needs a full store: `detect/bounds.rs` of the engine"),
    ("rules_slow", "`a_slow_rule_is_told_and_a_quick_one_is_not` looks at it"),
    ("rule_event_seconds", "the same"),
    (
        "rules_reverted_total",
        "`a_set_of_rules_that_floods_is_taken_back_and_a_good_one_is_not` looks at it",
    ),
    ("rules_unkept_total", "needs a full disk: the matrix of faults looks at it"),
    ("recording_frames_lost_total", "the same"),
    ("policy_untold_total", "`one_denial_among_thousands_of_another_process_is_told` looks at it"),
    (
        "policy_decisions_lost_total",
        "the same, that it is there and 0: the guard reads fast enough",
    ),
    (
        "policy_degraded_operations",
        "`an_agent_does_not_start_with_what_it_cannot_do_unless_that_is_accepted` looks at it",
    ),
    (
        "actions_waiting",
        "lasts as long as a process that reads rules: it is looked that it is told",
    ),
    ("actions_left_out_total", "needs a process that nobody can name"),
    ("output_dropped_total", "needs a reader that stops: a test of the queue counts it"),
    ("spool_dropped_total", "needs a disk slower than the alerts: it is the same queue"),
    ("recording_lost_total", "needs a disk slower than the events"),
    ("program_run_seconds_total", "the host does not measure its programs unless it is told to"),
    ("program_runs_total", "the same"),
    ("map_entries", "the maps are filled where LSM programs load"),
];

/// Where the guard tells what the page would show as 0 also if it were told under another name.
const TOLD: [&str; 5] = [
    "/actions/waiting",
    "/policy/decisions_lost",
    "/policy/degraded",
    "/policy/verdicts/untold",
    "/lost/life/args",
];

/// Figures by name, then by labels.
pub(crate) type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// What `aegisbpf metrics` says now; nothing while no worker answers.
fn text(lab: &Lab) -> Option<String> {
    let output = lab.ask(&["metrics"]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

pub(crate) fn figures(lab: &Lab) -> Figures {
    let mut all = Figures::new();
    for line in text(lab).unwrap_or_default().lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = name.trim_start_matches("aegisbpf_").to_owned();
        all.entry(name)
            .or_default()
            .insert(labels.trim_end_matches('}').to_owned(), value.parse().unwrap());
    }
    all
}

pub(crate) fn sum(figures: &Figures, name: &str, labels: &str) -> f64 {
    let series = figures.get(name).into_iter().flatten();
    series.filter(|(key, _)| key.contains(labels)).map(|(_, value)| value).sum()
}

/// A program of the lab under another name.
fn program(lab: &Lab, name: &str) {
    fs::copy("/bin/sleep", lab.path(name)).unwrap();
}

/// A rule about a program of the lab, with more lines.
fn rule(lab: &Lab, id: &str, name: &str, more: &str, condition: &str) {
    let text = format!(
        "{more}\nquery = '''process where event.type == \"start\" and process.executable == \"{}\"{condition}'''\n",
        lab.path(name).display()
    );
    let (tables, more) = text.split_once("---\n").unwrap_or(("", &text));
    let head = format!(
        "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\nseverity = \"low\"\n"
    );
    fs::write(lab.path("rules").join(format!("{id}.toml")), format!("{tables}{head}{more}"))
        .unwrap();
}

/// A scene with a rule for everything that has a figure, and an agent that enforces.
pub(crate) fn staged() -> (Scene, Agent) {
    let scene = Scene::new();
    let lab = &scene.lab;
    program(lab, "noisy");
    program(lab, "killed");
    program(lab, "stopped");
    program(lab, "asked");
    rule(lab, "noisy", "noisy", "", "");
    rule(lab, "kills", "killed", "response = [\"kill\"]", "");
    rule(lab, "stops", "stopped", "response = [\"stop\"]", "");
    fs::write(lab.path("rules/own.luau"), "return { f = function(path)\n  error(\"no\")\nend }\n")
        .unwrap();
    let script = "[[script]]\nname = \"own\"\nfile = \"own.luau\"\n---\n";
    rule(lab, "asks", "asked", script, " and own.f(process.executable)");
    fs::write(lab.path("rules/bad.toml"), "[[rule]]\nid = \"bad\"\n").unwrap();
    told_once_or_not_at_all(lab);
    let policy = scene.policy("p.yaml", &scene.denying());
    let words = ["--enforce", "--policy", policy.to_str().unwrap(), "--keep-going"];
    // One receiver that takes everything, and one that is not there.
    let file = format!("file:{}#name=kept", lab.path("kept.json").display());
    let outputs = ["--forward", &file, "--forward", "http://127.0.0.1:1/#name=away"];
    let quiet = lab.path("suppressions").display().to_string();
    let limits = ["--max-alerts", "2", "--breaker", "3", "--suppressions", &quiet];
    let agent = scene.start(&[&words[..], &limits, &outputs].concat());
    (scene, agent)
}

/// A rule that says the same only once, one of which the operator wants to hear nothing, and one that waits for
/// something that never happens.
fn told_once_or_not_at_all(lab: &Lab) {
    let rule = |id: &str, query: &str| {
        let text = format!(
            "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\nseverity = \"low\"\n\
             query = '''{query}'''\n"
        );
        fs::write(lab.path("rules").join(format!("{id}.toml")), text).unwrap();
    };
    let starts = |name: &str| {
        let path = lab.path(name).display().to_string();
        format!("process where event.type == \"start\" and process.executable == \"{path}\"")
    };
    let written = lab.path("written").display().to_string();
    let change = "file where event.action == \"modification\"";
    rule("written", &format!("{change} and file.path == \"{written}\""));
    rule("quiet", &starts("quiet"));
    let steps = ["quiet", "never"].map(|name| format!("[{}]", starts(name)));
    rule("waits", &format!("sequence by user.id with maxspan=1h {}", steps.join(" ")));
    program(lab, "quiet");
    fs::write(&written, "").unwrap();
    let day = jiff::Zoned::now().date().tomorrow().unwrap();
    let text = format!(
        "[[suppression]]\nid = \"quiet\"\nrule = \"quiet\"\nwhere = 'process.name == \"quiet\"'\nreason = \"a test\"\nexpires = {day}\n"
    );
    fs::create_dir(lab.path("suppressions")).unwrap();
    fs::write(lab.path("suppressions/quiet.toml"), text).unwrap();
}

/// Runs a program of the lab, as it may or may not live.
fn run(lab: &Lab, name: &str) {
    Command::new(lab.path(name)).arg("0.2").status().unwrap();
}

/// Somebody who was stopped; ended with this value.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Makes everything happen that has a figure and can happen on a sound host; `look` is called in between.
pub(crate) fn provoke(scene: &Scene, look: &mut dyn FnMut()) {
    let lab = &scene.lab;
    scene.connect("/bin/bash").unwrap();
    assert!(scene.connect(lab.path("x").to_str().unwrap()).is_err(), "the policy holds");
    let stopped = Command::new(lab.path("stopped")).arg("300").spawn().unwrap();
    let stopped = Stopped(stopped);
    let now = |name: &str, labels: &str| sum(&figures(lab), name, labels);
    until("one is stopped", PATIENCE, || now("actions_in_effect", "") > 0.0);
    look();
    run(lab, "quiet");
    until("what is suppressed is counted", PATIENCE, || now("alerts_covered_total", "") > 0.0);
    // With a pause: fanotify tells what one process does to one file again while the first waits as the same.
    let written = lab.path("written").display().to_string();
    let again = format!("for i in 1 2 3 4; do echo x > {written}; sleep 0.2; done");
    assert!(Command::new("/bin/sh").args(["-c", &again]).status().unwrap().success());
    until("what is repeated is counted", PATIENCE, || now("alerts_repeated_total", "") > 0.0);
    for _ in 0..6 {
        run(lab, "noisy");
        run(lab, "asked");
        run(lab, "killed");
    }
    until("the noise is counted", PATIENCE, || now("rule_alerts_suppressed_total", "noisy") >= 4.0);
    until("the breaker trips", PATIENCE, || now("actions_breaker_tripped", "") > 0.0);
    until("the script is in quarantine", PATIENCE, || now("script_quarantined", "") > 0.0);
    let items =
        |output: &str| now("output_items_total", &format!("{output}\",outcome=\"delivered"));
    until("one output delivers", PATIENCE, || items("kept") >= 3.0);
    until("what the other has waits", PATIENCE, || now("output_waiting_seconds", "away") >= 1.0);
    assert!(items("away") + now("output_delivering", "away") < 1.0);
    assert!(now("output_failures_total", "away") >= 1.0, "and is tried");
    assert!(now("output_delivering", "kept") >= 1.0, "the control");
    look();
    drop(stopped);
}

#[test]
fn each_figure_moves_and_they_add_up() {
    if !root("each_figure_moves_and_they_add_up") {
        return;
    }
    let (scene, agent) = staged();
    let lab = &scene.lab;
    let moved = std::cell::RefCell::new(BTreeSet::new());
    let look = || {
        for (name, series) in figures(lab) {
            if series.values().any(|value| *value > 0.0) {
                let name = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(&name)
                    .to_owned();
                moved.borrow_mut().insert(name);
            }
        }
    };
    provoke(&scene, &mut || look());
    let mut reader = Command::new(AGENT);
    reader.args(["alerts", "--follow", "--runtime-dir"]).arg(lab.path("run")).stdout(Stdio::null());
    let mut reader = reader.spawn().unwrap();
    until("somebody reads", PATIENCE, || sum(&figures(lab), "clients", "") > 0.0);
    look();
    reader.kill().unwrap();
    reader.wait().unwrap();
    fs::remove_file(lab.path("rules/bad.toml")).unwrap();
    until("rules are on trial", PATIENCE, || {
        sum(&figures(lab), "rules_trial_left_seconds", "") > 0.0
    });
    look();
    let back = lab.ask(&["rules", "rollback", "--reason", "a test"]);
    assert!(back.status.success(), "{back:?}");
    told_by_the_guard(lab);
    isolated(&scene, &look);
    // Bytes wait in a ring for as long as a wait of the event thread.
    until("something waits", PATIENCE, || {
        run(lab, "noisy");
        look();
        moved.borrow().contains("ring_bytes")
    });
    adds_up(lab);
    look();
    let worker = u32::try_from(lab.status().unwrap()["worker"]["pid"].as_u64().unwrap()).unwrap();
    signal(worker, Signal::SIGKILL);
    until("there is another worker", PATIENCE, || {
        sum(&figures(lab), "worker_restarts_total", "") > 0.0
    });
    signal(forwarder(lab), Signal::SIGKILL);
    until("there is another forwarder", PATIENCE, || {
        sum(&figures(lab), "output_forwarder_restarts_total", "") > 0.0
    });
    look();
    assert!(agent.stop().success());
    let moved = moved.into_inner();
    let list = Command::new(AGENT).args(["metrics", "--list"]).output().unwrap().stdout;
    let list = String::from_utf8(list).unwrap();
    let names =
        list.lines().filter_map(|line| line.strip_prefix("| `aegisbpf_")?.split('`').next());
    let still: BTreeSet<&str> = names.filter(|name| !moved.contains(*name)).collect();
    let known: BTreeSet<&str> = STILL.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = still.difference(&known).collect();
    assert!(unknown.is_empty(), "these never moved, and nobody says why: {unknown:?}");
    for (name, why) in STILL.iter().filter(|(name, _)| still.contains(name)) {
        println!("did not move here: {name}: {why}");
    }
}

fn told_by_the_guard(lab: &Lab) {
    let told = lab.status().unwrap()["kernel_counters"].clone();
    for pointer in TOLD {
        let is_number = told.pointer(pointer).is_some_and(serde_json::Value::is_u64);
        assert!(is_number, "{pointer}: {told:#}");
    }
}

/// The child of the guard that hands alerts over.
fn forwarder(lab: &Lab) -> u32 {
    let guard = lab.status().unwrap()["guard"]["pid"].as_u64().unwrap();
    let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
    let mut pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.find(|pid| name(pid).starts_with("aegisbpf-output")).expect("there is one")
}

/// A cgroup that is cut off, until all enforcement is switched off.
fn isolated(scene: &Scene, look: &dyn Fn()) {
    let lab = &scene.lab;
    let cgroup = Cgroup::new(lab, "metrics");
    let begin = ["isolate", "begin", "--for", "10m", "--reason", "a test", "--cgroup"];
    let begun = scene.ask(&[&begin[..], &[cgroup.0.to_str().unwrap()]].concat());
    let told = begun.status.success() && sum(&figures(lab), "isolations", "") > 0.0;
    look();
    // It ends the isolation too: before anything is asserted, so that nothing stays behind.
    let off = scene.ask(&["emergency", "disable", "--reason", "a test"]);
    let is_off = sum(&figures(lab), "emergency", "") > 0.0;
    look();
    assert!(told, "an isolation is told: {begun:?}");
    assert!(off.status.success() && is_off, "{off:?}");
}

/// What was seen is what was delivered and what was dropped, also of a flood that no ring holds. Other
/// processes of the host go on, so three looks in a row are compared: what was sent at the first one has been
/// delivered at the second, and what was delivered then has been sent at the third.
fn adds_up(lab: &Lab) {
    /// More than fit into the ring of process life, with an argument of this many bytes each.
    const PROCESSES: u32 = 400;
    const ARGUMENT: usize = 30_000;
    let dropped = |now: &Figures| sum(now, "events_dropped_total", "");
    let sent = |now: &Figures| sum(now, "events_sent_total", "");
    let delivered = |now: &Figures| {
        sum(now, "events_delivered_total", "") + sum(now, "events_malformed_total", "")
    };
    let before = figures(lab);
    let worker = u32::try_from(lab.status().unwrap()["worker"]["pid"].as_u64().unwrap()).unwrap();
    signal(worker, Signal::SIGSTOP);
    let script = format!("i=0; while [ $i -lt {PROCESSES} ]; do /bin/true $0; i=$((i+1)); done");
    let flooded = Command::new("/bin/sh").args(["-c", &script, &"x".repeat(ARGUMENT)]).status();
    signal(worker, Signal::SIGCONT);
    assert!(flooded.unwrap().success());
    let first = figures(lab);
    let mut second = figures(lab);
    until("all that was sent is delivered", PATIENCE, || {
        second = figures(lab);
        first["events_sent_total"].iter().all(|(operation, count)| {
            second["events_delivered_total"].get(operation).is_some_and(|there| there >= count)
        })
    });
    let third = figures(lab);
    assert!(delivered(&second) <= sent(&third), "nothing is delivered that was not sent");
    let seen = |now: &Figures| sent(now) + dropped(now);
    let accounted = delivered(&second) + dropped(&second);
    assert!(
        seen(&first) <= accounted && accounted <= seen(&third),
        "{first:?} {second:?} {third:?}"
    );
    let full =
        |now: &Figures| sum(now, "events_dropped_total", "ring=\"life\",cause=\"ring_full\"");
    assert!(full(&first) > full(&before), "the ring was full: {first:?}");
    let starts = seen(&first) - seen(&before);
    assert!(starts >= f64::from(PROCESSES), "each start was seen, {starts}");
}

/// A process that answers at the address that its first line says; ended with this value.
pub(crate) struct Server(Child, pub(crate) String);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `aegisbpf metrics --listen` of a lab.
fn exporter(lab: &Lab) -> Server {
    let mut command = Command::new(AGENT);
    command.args(["metrics", "--listen", "127.0.0.1:0", "--runtime-dir"]).arg(lab.path("run"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Server(child, line.trim().to_owned())
}

/// Prometheus itself, that reads a lab each second.
fn prometheus(lab: &Lab, target: &str) -> Option<Server> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/prometheus/alerts.yml");
    let target = target.trim_start_matches("http://").trim_end_matches("/metrics");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\nscrape_configs:\n  \
         - job_name: aegisbpf\n    static_configs: [{{targets: ['{target}']}}]\n"
    );
    fs::write(lab.path("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", lab.path("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", lab.path("tsdb").display()));
    command.arg(format!("--web.listen-address={free}"));
    let log = fs::File::create(lab.path("prometheus.log")).unwrap();
    let child = command.stdout(Stdio::null()).stderr(log).spawn().ok()?;
    Some(Server(child, format!("http://{free}")))
}

/// How many series a query has; what is wrong with it.
fn query(server: &Server, expression: &str) -> Result<usize, String> {
    let url = format!("{}/api/v1/query", server.1);
    let mut answer = ureq::get(url).query("query", expression).call().map_err(|e| e.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|e| e.to_string())?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    json["data"]["result"].as_array().map(Vec::len).ok_or(text)
}

/// Queries that have data only where something is wrong, or on another host, and why.
const EMPTY: &[(&str, &str)] = &[
    ("aegisbpf_program_run_seconds_total", "the host does not measure its programs"),
    ("aegisbpf_rule_event_seconds", "costs are believed after 32 measured events"),
];

#[test]
fn each_query_of_the_dashboard_has_data_of_a_running_agent() {
    let test = "each_query_of_the_dashboard_has_data_of_a_running_agent";
    if !root(test) {
        return;
    }
    let (scene, agent) = staged();
    let lab = &scene.lab;
    let exporter = exporter(lab);
    let Some(server) = prometheus(lab, &exporter.1) else {
        println!("SKIP {test}: there is no prometheus");
        return;
    };
    let log = || fs::read_to_string(lab.path("prometheus.log")).unwrap();
    until("Prometheus reads the agent", PATIENCE, || {
        query(&server, "up{job=\"aegisbpf\"} == 1") == Ok(1)
    });
    provoke(&scene, &mut || {});
    let text = include_str!("../../../config/grafana/aegisbpf.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    assert!(expressions.len() > 20, "{}", expressions.len());
    for expression in expressions {
        let asked = expression.replace("$__rate_interval", "30s").replace("$instance", ".*");
        assert!(!asked.contains('$'), "a variable that nobody fills in: {asked}");
        // It is right whether it has data or not.
        query(&server, &asked).unwrap_or_else(|error| panic!("{asked}: {error}\n{}", log()));
        match EMPTY.iter().find(|(name, _)| asked.contains(name)) {
            Some((_, why)) => println!("no data is asked of `{asked}`: {why}"),
            None => drop(until(&asked, PATIENCE, || query(&server, &asked).unwrap() > 0)),
        }
    }
    // Alerts that this host deserves fire, and no expression fails.
    until("the breaker is told", PATIENCE, || {
        query(&server, "ALERTS{alertname=\"AegisActionsBreakerOpen\",alertstate=\"firing\"}")
            == Ok(1)
    });
    assert_eq!(query(&server, "ALERTS{alertname=\"AegisAgentDown\"}"), Ok(0), "the control");
    assert_eq!(query(&server, "prometheus_rule_evaluation_failures_total > 0"), Ok(0), "{}", log());
    assert!(agent.stop().success());
}

#[test]
fn prometheus_own_checker_has_nothing_to_say() {
    let test = "prometheus_own_checker_has_nothing_to_say";
    if !root(test) {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let file = lab.path("figures.prom");
    let put = lab.ask(&["metrics", "--file", file.to_str().unwrap()]);
    assert!(put.status.success(), "{put:?}");
    let input = fs::File::open(&file).unwrap();
    match Command::new("promtool").args(["check", "metrics"]).stdin(input).output() {
        Ok(said) => assert!(said.status.success(), "{said:?}"),
        Err(error) => println!("SKIP {test}: no promtool: {error}"),
    }
    assert!(agent.stop().success());
    let gone = lab.ask(&["metrics"]);
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
}
