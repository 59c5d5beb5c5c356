//! `aegisbpf doctor`: what this kernel really offers, found by loading and attaching.

use std::io::Write;
use std::path::Path;

use kernel::enforce::guard::offer::Extent;
use kernel::enforce::offer::{Row, offer};
use kernel::{State, Tier};
use policy::needs::Known;
use serde_json::{Value as Json, json};

use crate::cli::{DoctorArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::guard::{self, Doctor, capabilities, namespaces};
use crate::render::table;
use crate::seccomp;
use crate::worker::read_limited;

/// Bytes read of the files that tell of the kernel.
const FILE_MAX: u64 = 1024 * 1024;

/// The groups of the table, each with its first operation, in the order of all operations.
const GROUPS: &[(&str, &str)] = &[
    ("exec", "process life"),
    ("setuid", "credentials and session"),
    ("open", "files"),
    ("connect", "network"),
    ("ptrace", "acts on processes and the kernel"),
];

/// Probes, and prints what was found. Who may not is told what the running agent found.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    let found = match guard::privilege() {
        Ok(()) => probed()?,
        Err(needs_root) => match client::get(&args.runtime_dir, "/v1/doctor", &[]) {
            Err(failure) if matches!(failure.exit, Exit::NotRunning | Exit::Permission) => {
                return Err(needs_root);
            }
            answer => of_agent(answer?.json()?),
        },
    };
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{found:#}")?,
        Output::Text => write!(out, "{}", text(&found))?,
    }
    Ok(if sees_anything(&found) { Exit::Ok } else { Exit::Failed })
}

/// What an agent found, and the host says to anybody.
fn of_agent(mut found: Json) -> Json {
    if let Some(found) = found.as_object_mut() {
        found.insert("facts".to_owned(), facts());
    }
    found
}

/// Whether there is anything that the agent can see here.
fn sees_anything(found: &Json) -> bool {
    let operations = found.get("operations").and_then(Json::as_array);
    let absent = State::Absent.name();
    operations.is_some_and(|all| all.iter().any(|one| one["state"] != absent))
}

fn probed() -> Result<Json, Failure> {
    let report = kernel::probe::report().map_err(|error| guard::failure(&error))?;
    let mut found = Doctor::of(&report).json();
    if let Some(found) = found.as_object_mut() {
        found.insert("facts".to_owned(), facts());
        found.insert("policy".to_owned(), policy(report.tier == Tier::Lsm));
        let (backend, why) = script::Backend::pick();
        found.insert("capabilities".to_owned(), capabilities::table());
        found.insert("objects".to_owned(), objects()?);
        found.insert("seccomp".to_owned(), seccomp::lists());
        found.insert("wasm".to_owned(), json!({ "backend": backend.as_str(), "why": why }));
    }
    Ok(found)
}

/// What the host says of itself, beside what was found by trying.
fn facts() -> Json {
    let read = |path: &str| {
        let bytes = read_limited(Path::new(path), FILE_MAX).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let mounts = read("/proc/mounts").unwrap_or_default();
    let mounted = |kind: &str| {
        mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let point = words.next()?;
            (words.next()? == kind).then(|| point.to_owned())
        })
    };
    json!({
        "lsm_listed": read("/sys/kernel/security/lsm"),
        "cgroup2": mounted("cgroup2"),
        "bpffs": mounted("bpf"),
        "securityfs": mounted("securityfs"),
        "lockdown": read("/sys/kernel/security/lockdown"),
        "namespaces": namespaces::facts(),
    })
}

/// The BPF programs in this executable: what they are known by, and whether a release signed them.
fn objects() -> Result<Json, Failure> {
    let signer = kernel::embedded::signer().map_err(|error| guard::failure(&error))?;
    let list = kernel::embedded::list();
    let each = list.lines().filter_map(|line| line.split_once("  "));
    let each = each.map(|(sha256, name)| json!({ "name": name, "sha256": sha256 }));
    Ok(json!({ "signed": signer.is_some(), "key": signer, "all": each.collect::<Vec<_>>() }))
}

/// What policies can deny here.
fn policy(lsm: bool) -> Json {
    let offer = offer(lsm, None);
    let row = |one: &Row| {
        json!({
            "operation": one.operation.name(),
            "state": one.extent.name(),
            "accepted": one.extent == Extent::Enforced,
            "hook": one.hook,
            "why": one.why,
        })
    };
    // What only LSM programs know of processes is refused where none loads.
    let why = |one: Known| match (one, &offer.no_lsm) {
        (Known::Hash, _) => offer.no_hashes.clone(),
        (Known::Maker, None) => offer.no_makers.clone(),
        (Known::Wildcard, _) => kernel::answers::missing(),
        (_, Some(_)) => one.why().map(str::to_owned),
        (_, None) => None,
    };
    let unknown = Known::ALL.iter().filter_map(|one| Some((one.text(), why(*one)?)));
    json!({
        "tier": offer.tier,
        "no_lsm": offer.no_lsm,
        "refused": unknown.map(|(what, why)| json!({ "what": what, "why": why })).collect::<Vec<_>>(),
        "operations": offer.operations.iter().map(row).collect::<Vec<_>>(),
    })
}

/// The same for people: what a policy may deny, by which hook, and what is left out.
fn policy_table(policy: &Json) -> String {
    let at = |key: &str| policy.get(key).and_then(Json::as_str);
    let mut text = match (at("tier"), at("no_lsm")) {
        (Some("lsm"), _) => "\npolicies are enforced by LSM programs\n".to_owned(),
        (_, why) => format!(
            "\npolicies are enforced without LSM programs: {}\n",
            why.unwrap_or("nothing was tried")
        ),
    };
    let rows = policy.get("operations").and_then(Json::as_array).cloned().unwrap_or_default();
    let cell = |one: &Json, key: &str| one.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let cells = |one: &Json| {
        let refused = one.get("accepted") == Some(&Json::Bool(false));
        let state = cell(one, "state");
        let state = if refused { format!("refused ({state})") } else { state };
        vec![format!("  {}", cell(one, "operation")), state, cell(one, "hook")]
    };
    text += &table::plain(&["DENY", "STATE", "HOOK"], rows.iter().map(cells));
    let whys = rows.iter().filter(|one| !cell(one, "why").is_empty());
    for one in whys {
        text.extend(["  ", &cell(one, "operation"), ": ", &cell(one, "why"), "\n"]);
    }
    let refused = policy.get("refused").and_then(Json::as_array).cloned().unwrap_or_default();
    for one in refused {
        text.extend(["  refused: ", &cell(&one, "what"), ": ", &cell(&one, "why"), "\n"]);
    }
    text
}

fn text(found: &Json) -> String {
    let at = |pointer: &str| found.pointer(pointer).and_then(Json::as_str);
    let mut head = Vec::new();
    let mut line = |name: &str, value: &str| head.push(format!("{name:12} {value}"));
    line("tier", &format!("{} ({})", at("/tier").unwrap_or("?"), tier(at("/tier"))));
    line("kernel", at("/kernel").unwrap_or("?"));
    let btf = found.get("btf") == Some(&Json::Bool(true));
    line("BTF", if btf { "yes" } else { "no" });
    line("LSM list", &lsm_line(at("/facts/lsm_listed"), at("/tier")));
    line(
        "cgroup v2",
        at("/facts/cgroup2").unwrap_or("not mounted: no cgroup hooks, no containers"),
    );
    line(
        "bpffs",
        at("/facts/bpffs").unwrap_or("not mounted (the agent does it when something is pinned)"),
    );
    if at("/facts/namespaces/pid") == Some("own") {
        line(
            "namespaces",
            "processes: one of its own, so nothing can be enforced (`--pid host`, `hostPID: true`)",
        );
    }
    if let Some(signed) = found.pointer("/objects/signed").and_then(Json::as_bool) {
        let words = match at("/objects/key").filter(|_| signed) {
            Some(key) => format!("as built, signed by the key {key}"),
            None => "as built, not signed".to_owned(),
        };
        line("programs", &words);
    }
    if let (Some(backend), Some(why)) = (at("/wasm/backend"), at("/wasm/why")) {
        line("Wasm", &format!("{backend} ({why})"));
    }
    let operations = found.get("operations").and_then(Json::as_array).cloned().unwrap_or_default();
    let taxing: Vec<&str> = operations
        .iter()
        .filter(|one| one.get("taxes") == Some(&Json::Bool(true)))
        .filter_map(|one| one.get("operation")?.as_str())
        .collect();
    let tax = if taxing.is_empty() {
        "no operation taxes every system call".to_owned()
    } else {
        format!("{}: each taxes every system call while a rule needs it", taxing.join(", "))
    };
    line("cost", &tax);
    let mut out = head.join("\n") + "\n\n" + &operations_table(&operations);
    if let Some(policy) = found.get("policy") {
        out += &policy_table(policy);
    }
    if let Some(rows) = found.get("capabilities").and_then(Json::as_array) {
        out += &capability_table(rows);
    }
    let notes = notes(&operations);
    if !notes.is_empty() {
        out.extend(["\nnotes\n", &notes, "\n"]);
    }
    out
}

/// What the privileged half of the agent keeps, and whether whoever runs this has it.
fn capability_table(rows: &[Json]) -> String {
    let row = |one: &Json| {
        let text = |key: &str| one.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let has = match one.get("has").and_then(Json::as_bool) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        vec![format!("  {}", text("capability")), has.to_owned(), text("for")]
    };
    "\n".to_owned() + &table::plain(&["CAPABILITY", "HERE", "FOR"], rows.iter().map(row))
}

fn tier(name: Option<&str>) -> &'static str {
    match name {
        Some("lsm") => "BPF LSM programs load and attach",
        Some("fallback") => "no BPF LSM; cgroup programs load and attach",
        _ => "operations can only be reported",
    }
}

/// The list proves nothing: what counts is whether such a program loads.
fn lsm_line(listed: Option<&str>, tier: Option<&str>) -> String {
    let loads = tier == Some("lsm");
    match listed {
        None => "securityfs is not mounted: the list cannot be read".to_owned(),
        Some(list) => {
            let lists = list.split(',').any(|name| name == "bpf");
            let verdict = match (lists, loads) {
                (true, true) => "bpf is listed and loads",
                (true, false) => "bpf is listed, but the kernel refuses its programs",
                (false, _) => "bpf is not listed: boot with it in lsm=",
            };
            format!("{list} ({verdict})")
        }
    }
}

fn operations_table(operations: &[Json]) -> String {
    let mut text = String::new();
    let mut rows = Vec::new();
    let cell = |one: &Json, key: &str| one.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    for one in operations {
        let name = cell(one, "operation");
        if let Some((_, group)) = GROUPS.iter().find(|(first, _)| *first == name) {
            rows.push(vec![(*group).to_uppercase()]);
        }
        let keys = ["state", "provider", "hook"].map(|key| cell(one, key));
        let [state, provider, hook] = keys;
        rows.push(vec![format!("  {name}"), state, provider, hook]);
    }
    text.push_str(&table::plain(&["OPERATION", "STATE", "BY", "HOOK"], rows));
    text
}

/// What is lost, and what would help; operations with the same words share a line.
fn notes(operations: &[Json]) -> String {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for key in ["note", "improve"] {
        for one in operations {
            let words = one.get(key).and_then(Json::as_str).unwrap_or_default();
            let name = one.get("operation").and_then(Json::as_str).unwrap_or_default();
            if words.is_empty() {
                continue;
            }
            let words =
                if key == "improve" { format!("better: {words}") } else { words.to_owned() };
            match lines.iter_mut().find(|(known, _)| *known == words) {
                Some((_, names)) => names.push(name.to_owned()),
                None => lines.push((words, vec![name.to_owned()])),
            }
        }
    }
    let shown = lines.iter().map(|(words, names)| format!("  {}: {words}", names.join(", ")));
    shown.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_lsm_that_does_not_load_is_told_so() {
        let line = lsm_line(Some("capability,bpf"), Some("fallback"));
        assert!(line.contains("listed, but the kernel refuses"), "{line}");
        assert!(lsm_line(Some("capability"), Some("fallback")).contains("boot with it"));
        assert!(lsm_line(None, None).contains("securityfs"));
    }

    #[test]
    fn the_table_has_groups_and_shared_notes() {
        let row = |name: &str, note: &str| {
            json!({ "operation": name, "state": "observed", "provider": "tracepoint",
                "hook": "sched_x", "taxes": false, "note": note, "improve": "a newer kernel" })
        };
        let found = json!({ "tier": "observe", "kernel": "6.1", "btf": true, "facts": {},
            "operations": [row("exec", ""), row("fork", "no argv"), row("connect", "no argv")] });
        let text = text(&found);
        assert!(text.contains("PROCESS LIFE") && text.contains("NETWORK"), "{text}");
        assert!(text.contains("fork, connect: no argv"), "{text}");
        assert!(text.contains("exec, fork, connect: better: a newer kernel"), "{text}");
        assert!(text.contains("no operation taxes"), "{text}");
    }

    #[test]
    fn each_operation_of_a_policy_is_shown_with_its_hook_and_why_it_is_refused() {
        let row = |name: &str, state: &str, why: &str| {
            json!({ "operation": name, "state": state, "accepted": state == "enforced",
                "hook": "fanotify", "why": why })
        };
        let rows =
            [row("read", "enforced", ""), row("write", "partly", "only opening is asked about")];
        let text =
            policy_table(&json!({ "tier": "fallback", "no_lsm": "EPERM", "operations": rows }));
        assert!(text.contains("without LSM programs: EPERM"), "{text}");
        let line = |word: &str| text.lines().find(|line| line.starts_with(word)).unwrap();
        assert!(
            line("  read").contains("enforced") && line("  read").contains("fanotify"),
            "{text}"
        );
        assert!(line("  write").contains("refused (partly)"), "{text}");
        assert!(text.contains("write: only opening is asked about"), "{text}");
        let text = policy_table(&json!({ "tier": "lsm", "operations": rows }));
        assert!(text.contains("are enforced by LSM programs"), "{text}");
    }

    #[test]
    fn each_group_begins_at_an_operation() {
        for (first, _) in GROUPS {
            assert!(crate::render::kind_by_name(first).is_some(), "{first}");
        }
    }
}
