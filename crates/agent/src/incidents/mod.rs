//! Alerts about one tree of processes, put together: an incident tells once what would otherwise be told
//! again and again, with counts.
//!
//! An alert belongs to the incident of its process or of the nearest ancestor that has one. If none has, it
//! opens one for the whole tree that its process stands in: from the service, container or login that this
//! began with. An incident is over when nothing was told about its tree for a while; what its tree does
//! later is another one. The alerts themselves are told as before, and name their incident.

mod incident;
mod kept;
mod lineage;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value as Json};

pub(crate) use incident::{Incident, Process};
pub(crate) use kept::{Keeper, read};
use lineage::Lineage;

/// Incidents that are known, those that are over included; the one that was quiet for the longest time is
/// forgotten first. An analyst does not go through more, and each may take some 40 KB.
const INCIDENTS_MAX: usize = 256;
/// Nothing new for so long, in seconds, and an incident is over.
const QUIET_S: u64 = 30 * 60;
/// How long one may go on, in seconds: a tree that raises alerts for ever is told again each day.
const LASTS_S: u64 = 24 * 60 * 60;

/// Where an alert belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The incident.
    pub(crate) id: String,
    /// How many alerts it has now.
    pub(crate) alerts: u64,
    /// How many of them are of the same rule about the same program.
    pub(crate) alike: u64,
}

/// All incidents that are known.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    known: BTreeMap<u64, Incident>,
    /// The incident of each process that stands in a tree.
    of: HashMap<String, u64>,
    next: u64,
    forgotten: u64,
    /// Those that changed since they were kept last, and the ids of those that were forgotten since.
    changed: BTreeSet<u64>,
    gone: Vec<String>,
}

impl Incidents {
    /// With those of a worker before this one, the oldest first.
    pub(crate) fn with(before: Vec<Incident>) -> Incidents {
        let mut incidents = Incidents::default();
        for incident in before {
            incidents.put(incident);
        }
        incidents.changed.clear();
        incidents.make_room();
        incidents
    }

    /// Takes an alert, `now` in seconds since boot. None: it is about no process.
    pub(crate) fn take(&mut self, alert: &Map<String, Json>, now: u64) -> Option<Place> {
        let lineage = Lineage::of(alert)?;
        let number = self.open(&lineage, now).unwrap_or_else(|| {
            let id = alert.get("alert").and_then(|it| it.get("id")).and_then(Json::as_str);
            let id = id.map_or_else(|| format!("{now}-{}", self.next), str::to_owned);
            self.put(Incident::begin(id, lineage.root(), now))
        });
        let incident = self.known.get_mut(&number)?;
        let alike = incident.add(alert, &lineage, now);
        for process in incident.processes() {
            self.of.insert(process.entity_id.clone(), number);
        }
        let place = Place { id: incident.id.clone(), alerts: incident.alerts, alike };
        self.changed.insert(number);
        self.make_room();
        Some(place)
    }

    /// The incident that goes on and that a process of this lineage, the nearest first, stands in.
    fn open(&self, lineage: &Lineage, now: u64) -> Option<u64> {
        let is_open = |number: &&u64| self.known.get(number).is_some_and(|one| one.is_open(now));
        lineage.ids().find_map(|id| self.of.get(id).filter(is_open)).copied()
    }

    fn put(&mut self, incident: Incident) -> u64 {
        let number = self.next;
        self.next += 1;
        self.changed.insert(number);
        for process in incident.processes() {
            self.of.insert(process.entity_id.clone(), number);
        }
        self.known.insert(number, incident);
        number
    }

    fn make_room(&mut self) {
        while self.known.len() > INCIDENTS_MAX {
            let quiet = |(number, one): &(&u64, &Incident)| (!one.over, one.last_s, **number);
            let quiet = self.known.iter().min_by_key(quiet);
            let Some(number) = quiet.map(|(number, _)| *number) else { break };
            self.gone.extend(self.known.remove(&number).map(|incident| incident.id));
            self.changed.remove(&number);
            self.of.retain(|_, of| *of != number);
            self.forgotten += 1;
        }
    }

    /// All of them, the one that was added to last at the end.
    pub(crate) fn list(&self) -> Vec<&Incident> {
        let mut all: Vec<&Incident> = self.known.values().collect();
        all.sort_by_key(|one| (!one.over, one.last_s));
        all
    }

    /// How many go on, and how many were forgotten for want of room.
    pub(crate) fn counts(&self, now: u64) -> (usize, u64) {
        (self.known.values().filter(|one| one.is_open(now)).count(), self.forgotten)
    }

    fn has_changed(&self) -> bool {
        !self.changed.is_empty() || !self.gone.is_empty()
    }

    /// What is to be kept, and what not any more.
    fn take_changes(&mut self) -> (BTreeSet<u64>, Vec<String>) {
        (std::mem::take(&mut self.changed), std::mem::take(&mut self.gone))
    }

    /// The same as it was: nothing was kept.
    fn give_back(&mut self, changed: BTreeSet<u64>, gone: Vec<String>) {
        self.changed.extend(changed);
        self.gone.extend(gone);
    }
}

#[cfg(test)]
mod tests;
