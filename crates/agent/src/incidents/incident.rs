//! One incident: what is known of it, and how an alert is added.

use std::collections::BTreeSet;

use model::program::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::lineage::Lineage;
use super::{LASTS_S, QUIET_S};
use crate::render::compact::Doc;

/// Processes of a tree that are kept; more are counted. Those with alerts, and the way to them.
const PROCESSES_MAX: usize = 64;
/// Rules and programs told apart in one incident; more are counted together.
const FINDINGS_MAX: usize = 128;
/// Names kept of each kind (users, containers, tactics, techniques).
const NAMES_MAX: usize = 32;
/// Ids kept of the alerts: the first ones, and the newest.
const ALERTS_KEPT: usize = 32;
/// Letters kept of a command line.
const COMMAND_MAX: usize = 512;

/// A process in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// By what it is known, the same after a restart.
    pub(crate) entity_id: String,
    /// Its number.
    pub(crate) pid: u64,
    /// By what its parent is known, if that is in the tree.
    pub(crate) parent: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// Its program.
    pub(crate) executable: String,
    /// Its arguments, shortened.
    pub(crate) command_line: String,
    /// Its user.
    pub(crate) user: Option<String>,
    /// Alerts about it.
    pub(crate) alerts: u64,
}

fn text(object: &Json, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn shortened(text: &str) -> String {
    text.chars().take(COMMAND_MAX).collect()
}

impl Process {
    /// The one that an alert is about.
    pub(super) fn acting(alert: &Map<String, Json>) -> Option<Process> {
        let process = alert.get("process")?;
        let user = alert.get("user").unwrap_or(&Json::Null);
        let mut own = Process::of(process)?;
        own.user = text(user, "name").or_else(|| text(user, "id"));
        Some(own)
    }

    /// One of the ancestors that an alert lists.
    pub(super) fn ancestor(process: &Json) -> Option<Process> {
        Process::of(process)
    }

    fn of(process: &Json) -> Option<Process> {
        let pid = process.get("pid").and_then(Json::as_u64)?;
        let executable = text(process, "executable").unwrap_or_default();
        // A denial whose process no record told of knows it by number and program.
        let entity_id = text(process, "entity_id").unwrap_or_else(|| format!("{pid}:{executable}"));
        let line = text(process, "command_line").or_else(|| {
            let words = process.get("args").and_then(Json::as_array)?;
            Some(words.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "))
        });
        Some(Process {
            entity_id,
            pid,
            parent: None,
            name: text(process, "name").unwrap_or_default(),
            executable,
            command_line: shortened(&line.unwrap_or_default()),
            user: None,
            alerts: 0,
        })
    }
}

/// What one rule found about one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// The rule.
    pub(crate) rule: String,
    /// Its name for people.
    pub(crate) name: String,
    /// How bad it is.
    pub(crate) severity: String,
    /// The program that acted.
    pub(crate) executable: String,
    /// `denied`, `would deny` and so on, if a policy decided it.
    pub(crate) outcome: Option<String>,
    /// How often.
    pub(crate) count: u64,
    /// When first, RFC 3339.
    pub(crate) first: String,
    /// When last, RFC 3339.
    pub(crate) last: String,
}

/// What happened in one tree of processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// The id of the alert that it began with.
    pub(crate) id: String,
    /// The worst of its alerts.
    pub(crate) severity: String,
    /// When it began, RFC 3339.
    pub(crate) first: String,
    /// When something was added last, RFC 3339.
    pub(crate) last: String,
    /// The same two in seconds since boot.
    pub(crate) first_s: u64,
    /// See `first_s`.
    pub(crate) last_s: u64,
    /// It was over before this boot.
    #[serde(default)]
    pub(crate) over: bool,
    /// Its alerts.
    pub(crate) alerts: u64,
    /// Those of them that a policy denied.
    pub(crate) denied: u64,
    /// By what the process is known that the tree begins with.
    pub(crate) root: String,
    /// The tree: those with alerts, and the way to them.
    pub(crate) processes: Vec<Process>,
    /// Processes that had no room in it.
    pub(crate) processes_left_out: u64,
    /// What was found, in the order of the first time.
    pub(crate) findings: Vec<Finding>,
    /// Alerts whose rule and program had no room there.
    pub(crate) findings_left_out: u64,
    /// Users of the processes with alerts.
    pub(crate) users: BTreeSet<String>,
    /// Containers, by name or id.
    pub(crate) containers: BTreeSet<String>,
    /// ATT&CK tactics and techniques.
    pub(crate) attack: BTreeSet<String>,
    /// Ids of alerts: the first ones, and the newest.
    pub(crate) alert_ids: Vec<String>,
}

impl Incident {
    /// Of a tree that begins with this process.
    pub(super) fn begin(id: String, root: &Process, now: u64) -> Incident {
        Incident {
            id,
            severity: String::new(),
            first: String::new(),
            last: String::new(),
            first_s: now,
            last_s: now,
            over: false,
            alerts: 0,
            denied: 0,
            root: root.entity_id.clone(),
            processes: vec![root.clone()],
            processes_left_out: 0,
            findings: Vec::new(),
            findings_left_out: 0,
            users: BTreeSet::new(),
            containers: BTreeSet::new(),
            attack: BTreeSet::new(),
            alert_ids: Vec::new(),
        }
    }

    /// Whether more may be added.
    pub(crate) fn is_open(&self, now: u64) -> bool {
        !self.over
            && now.saturating_sub(self.last_s) < QUIET_S
            && now.saturating_sub(self.first_s) < LASTS_S
    }

    /// The processes of its tree.
    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Adds an alert; how many it has now that are alike.
    pub(super) fn add(&mut self, alert: &Map<String, Json>, lineage: &Lineage, now: u64) -> u64 {
        let at = |path: &str| Doc(alert).get(path)?.as_str();
        let time = at("@timestamp").unwrap_or_default().to_owned();
        if self.alerts == 0 {
            self.first.clone_from(&time);
        }
        self.last.clone_from(&time);
        self.last_s = now;
        self.alerts += 1;
        let severity = at("severity").unwrap_or_default();
        // What is none is below all.
        if Severity::from_name(severity) >= Severity::from_name(&self.severity) {
            severity.clone_into(&mut self.severity);
        }
        let outcome = at("event.reason").filter(|_| at("rule.ruleset").is_some());
        self.denied += u64::from(outcome == Some("denied"));
        self.name(alert, &at);
        self.grow(lineage);
        if let Some(id) = at("alert.id") {
            if self.alert_ids.len() == ALERTS_KEPT {
                self.alert_ids.remove(ALERTS_KEPT / 2);
            }
            self.alert_ids.push(id.to_owned());
        }
        let of = Finding {
            rule: at("rule.id").unwrap_or_default().to_owned(),
            name: at("rule.name").unwrap_or_default().to_owned(),
            severity: severity.to_owned(),
            executable: at("process.executable").unwrap_or_default().to_owned(),
            outcome: outcome.map(str::to_owned),
            count: 1,
            first: time.clone(),
            last: time,
        };
        self.find(of)
    }

    fn find(&mut self, new: Finding) -> u64 {
        let alike = |one: &&mut Finding| {
            (&one.rule, &one.executable, &one.outcome) == (&new.rule, &new.executable, &new.outcome)
        };
        if let Some(known) = self.findings.iter_mut().find(alike) {
            known.count += 1;
            known.last = new.last;
            return known.count;
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(new);
        } else {
            self.findings_left_out += 1;
        }
        1
    }

    fn name<'a>(&mut self, alert: &'a Map<String, Json>, at: &dyn Fn(&str) -> Option<&'a str>) {
        let note = |names: &mut BTreeSet<String>, name: Option<&str>| {
            if let Some(name) = name.filter(|_| names.len() < NAMES_MAX) {
                names.insert(name.to_owned());
            }
        };
        note(&mut self.users, at("user.name").or_else(|| at("user.id")));
        note(&mut self.containers, at("container.name").or_else(|| at("container.id")));
        for kind in ["tactic", "technique"] {
            let ids = alert.get("threat").and_then(|it| it.get(kind)?.get("id")?.as_array());
            for id in ids.into_iter().flatten() {
                note(&mut self.attack, id.as_str());
            }
        }
    }

    /// Takes the processes of a lineage into the tree.
    fn grow(&mut self, lineage: &Lineage) {
        for (depth, process) in lineage.processes().iter().enumerate() {
            let alerts = u64::from(depth == 0);
            let known = self.processes.iter_mut().find(|one| one.entity_id == process.entity_id);
            if let Some(known) = known {
                known.alerts += alerts;
                // The one that acts is known best; it may be another program since.
                if depth == 0 {
                    let (alerts, parent) = (known.alerts, known.parent.take());
                    *known = Process { alerts, ..process.clone() };
                    known.parent = known.parent.take().or(parent);
                }
            } else if self.processes.len() < PROCESSES_MAX {
                self.processes.push(Process { alerts, ..process.clone() });
            } else {
                self.processes_left_out += 1;
            }
        }
    }
}
