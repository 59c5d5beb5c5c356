//! Denials on their way to alerts. The guard tells of them beside the rings, so one may come before the records of the
//! process that was denied. It waits for these for a moment: what is known of a process puts its denials into the
//! incident of its tree.

use std::collections::VecDeque;
use std::time::Duration;

use engine::Engine;
use serde_json::{Map, Value as Json, json};

use super::publisher::shown;
use crate::render::denial;

/// How long a denial waits: records that are not there then were lost, or their process was never told of.
const WAIT: Duration = Duration::from_millis(500);
/// Denials that wait: ten messages of the guard. Beyond that the first is told as it is.
const WAITING_MAX: usize = 1_000;

/// Those that wait, the first one first, each with when it came.
#[derive(Debug, Default)]
pub(super) struct Denied(VecDeque<(u64, Json)>);

impl Denied {
    /// Takes what the guard told, `now` in nanoseconds since boot.
    pub(super) fn take(&mut self, text: &str, now: u64) {
        let list: Vec<Json> = serde_json::from_str(text).unwrap_or_default();
        self.0.extend(list.into_iter().map(|one| (now, one)));
    }

    /// The next one that is told now. The order stays as it was.
    pub(super) fn next(&mut self, engine: &Engine, now: u64) -> Option<Map<String, Json>> {
        let (came, denial) = self.0.front()?;
        let number = |name: &str| denial.get(name).and_then(Json::as_u64).filter(|one| *one != 0);
        let whose = number("pid").and_then(|pid| u32::try_from(pid).ok()).zip(number("start"));
        let mut known =
            whose.into_iter().flat_map(|(pid, start)| engine.find(pid, start)).peekable();
        let wait = u64::try_from(WAIT.as_nanos()).unwrap_or(u64::MAX);
        let waits =
            whose.is_some() && now.saturating_sub(*came) < wait && self.0.len() <= WAITING_MAX;
        if known.peek().is_none() && waits {
            return None;
        }
        let lineage: Vec<Json> = known.map(|one| shown(&one)).collect();
        let (_, denial) = self.0.pop_front()?;
        let mut document = denial::document(&denial);
        name(&mut document, lineage);
        Some(document)
    }
}

/// Says who it was, as other alerts do: the process itself comes first. What the guard saw at the time of the
/// denial holds.
fn name(document: &mut Map<String, Json>, lineage: Vec<Json>) {
    let mut lineage = lineage.into_iter();
    let (Some(Json::Object(own)), Some(process)) =
        (lineage.next(), document.get_mut("process").and_then(Json::as_object_mut))
    else {
        return;
    };
    for (name, value) in own.into_iter().filter(|(_, value)| !value.is_null()) {
        process.entry(name).or_insert(value);
    }
    let ancestors: Vec<Json> = lineage.collect();
    if let Some(parent) = ancestors.first() {
        process.insert("parent".to_owned(), parent.clone());
    }
    process.insert("Ext".to_owned(), json!({ "ancestors": ancestors }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::Host;
    use model::program::Program;
    use model::wire::{Builder, KIND_TASK, PROVIDER_PROC, RecHeader, RecTask, Record};
    use zerocopy::FromZeros;

    use super::*;

    const MS: u64 = 1_000_000;

    fn engine() -> Engine {
        Engine::new(Arc::new(Program::default()), Host::default()).unwrap()
    }

    /// Tells of a process that began 20 ms after boot.
    fn tell(engine: &mut Engine, pid: u32, exe: &str) {
        let h = RecHeader {
            time: 30 * MS,
            start: 20 * MS,
            pid,
            tid: pid,
            kind: u16::try_from(KIND_TASK).unwrap(),
            provider: u16::try_from(PROVIDER_PROC).unwrap(),
            ..RecHeader::new_zeroed()
        };
        let mut fixed = RecTask { h, ppid: 1, parent_start: MS, ..RecTask::new_zeroed() };
        let mut tail = Builder::<RecTask>::new();
        fixed.exe = tail.push(exe.as_bytes());
        let bytes = tail.finish(&fixed);
        engine.push(&Record::parse(&bytes).unwrap(), &mut |_, _| {});
    }

    fn denial(id: &str, start: u64) -> String {
        json!([{ "id": id, "pid": 7, "start": start, "uid": 0, "outcome": "denied", "operation": "read" }])
            .to_string()
    }

    #[test]
    fn a_denial_waits_for_who_it_was_and_says_so() {
        let (mut engine, mut denied) = (engine(), Denied::default());
        denied.take(&denial("a", 20 * MS), 40 * MS);
        assert!(denied.next(&engine, 41 * MS).is_none(), "the records may still come");
        tell(&mut engine, 7, "/bin/x");
        let told = denied.next(&engine, 42 * MS).unwrap();
        let process = &told["process"];
        assert_eq!((&process["pid"], &process["executable"]), (&json!(7), &json!("/bin/x")));
        let own = engine.find(7, 20 * MS).next().unwrap();
        assert_eq!(process["entity_id"], format!("{:032x}", own.entity_id));
        assert_eq!(process["parent"]["pid"], 1);
        assert_eq!(process["Ext"]["ancestors"][0]["pid"], 1);
        assert!(denied.next(&engine, 42 * MS).is_none());
    }

    #[test]
    fn who_is_never_known_is_told_as_the_guard_saw_it_and_in_order() {
        let (mut engine, mut denied) = (engine(), Denied::default());
        tell(&mut engine, 7, "/bin/x");
        // Another one that had the number, and one that is known.
        denied.take(&denial("a", 900 * MS), 1_000 * MS);
        denied.take(&denial("b", 20 * MS), 1_000 * MS);
        denied.take(&denial("c", 0), 1_000 * MS);
        assert!(denied.next(&engine, 1_400 * MS).is_none(), "the order stays");
        let mut next = || denied.next(&engine, 1_500 * MS).unwrap();
        let [a, b, c] = [next(), next(), next()];
        assert_eq!([&a, &b, &c].map(|one| one["alert"]["id"].as_str().unwrap()), ["a", "b", "c"]);
        assert_eq!(a["process"].get("entity_id"), None);
        assert!(b["process"].get("entity_id").is_some());
        assert_eq!(c["process"].get("entity_id"), None, "and nobody is waited for without a start");
    }
}
