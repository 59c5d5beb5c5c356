//! What a recording tells of one process: its ancestors, what it started, and what they did.
//!
//! A recording is played twice. The first time tells who exists, who started whom, and which process
//! is meant; the second time the events of those that belong to it are kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

use capture::play::Heard;
use engine::View;
use model::field;
use model::value::{Fields, Value};
use serde_json::{Map, Value as Json, json};

use crate::cmd::recorded::play;
use crate::exit::{Exit, Failure};
use crate::redact::Redactor;
use crate::render::compact::Doc;
use crate::worker::ancestors;

/// Processes that are told apart; a day of a busy host has fewer. About 300 bytes each.
const PROCESSES_MAX: usize = 262_144;
/// Events whose process is remembered until the alert is found that names them.
const EVENTS_MAX: usize = 4 << 20;
/// Events that are shown, the latest; more are counted.
const SHOWN_MAX: usize = 10_000;
/// Generations that are followed up and down: no more than these can be told apart by eye.
const DEPTH_MAX: usize = 64;

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The last process that had this pid.
    Pid(u32),
    /// The process of the event that completed this alert.
    Alert(u128),
}

/// Identity of a process for ever.
pub(super) type Entity = u128;

/// A process.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) pid: String,
    pub(super) name: String,
    /// Its command line, or the executable where that is unknown; without secrets.
    pub(super) command: String,
    pub(super) parent: Option<Entity>,
    pub(super) children: Vec<Entity>,
}

/// An event, without secrets.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) document: Map<String, Json>,
    /// It is one of the alert.
    pub(super) is_member: bool,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) target: Entity,
    pub(super) nodes: HashMap<Entity, Node>,
    /// Ancestors of the process, the oldest first.
    pub(super) ancestors: Vec<Entity>,
    pub(super) events: VecDeque<Told>,
    /// Earlier events that were left out.
    pub(super) left_out: u64,
    /// The rule of the alert.
    pub(super) rule: Option<String>,
    /// What is missing in the recording.
    pub(super) gaps: u64,
}

/// Plays the recordings twice.
pub(super) fn collect(
    files: &[PathBuf],
    wanted: Wanted,
    redactor: &Redactor,
) -> Result<Story, Failure> {
    let mut first = First::new(wanted, redactor);
    let gaps = play(files, &mut |heard| first.hear(&heard))?;
    let Some(target) = first.target else {
        let what = match wanted {
            Wanted::Pid(pid) => format!("no process {pid} acted in what was recorded"),
            Wanted::Alert(id) => format!("no alert {id:032x} is in what was recorded"),
        };
        return Err(Failure::new(Exit::Failed, what)
            .help("name a recording that has it with --from, or keep a longer --history"));
    };
    let First { nodes, members, rule, .. } = first;
    let mut story = Story { target, nodes, rule, gaps, ..Story::default() };
    story.link();
    let family = story.family();
    let upwards: HashSet<Entity> = story.ancestors.iter().copied().collect();
    play(files, &mut |heard| {
        let Heard::Event(view, _) = &heard else { return };
        let Some(entity) = entity(view) else { return };
        // Of ancestors only what they ran is told: a shell or a service does much else.
        let is_exec = view.kind() == model::op::Kind::Exec;
        if family.contains(&entity) || (is_exec && upwards.contains(&entity)) {
            let is_member = number(view).is_some_and(|number| members.contains(&number));
            let mut document = model::json::document(*view);
            redactor.document(&mut document);
            story.events.push_back(Told { document, is_member });
            if story.events.len() > SHOWN_MAX {
                story.events.pop_front();
                story.left_out += 1;
            }
        }
    })?;
    Ok(story)
}

impl Story {
    /// Tells parents of their children, and finds the ancestors.
    fn link(&mut self) {
        let links: Vec<(Entity, Entity)> =
            self.nodes.iter().filter_map(|(child, node)| Some((node.parent?, *child))).collect();
        for (parent, child) in links {
            if let Some(node) = self.nodes.get_mut(&parent) {
                node.children.push(child);
            }
        }
        let mut here = self.nodes.get(&self.target).and_then(|node| node.parent);
        while let Some(parent) = here.filter(|_| self.ancestors.len() < DEPTH_MAX) {
            self.ancestors.insert(0, parent);
            here = self.nodes.get(&parent).and_then(|node| node.parent);
        }
    }

    /// The process and all that came of it.
    fn family(&mut self) -> HashSet<Entity> {
        let (mut family, mut level) = (HashSet::from([self.target]), vec![self.target]);
        for _ in 0..DEPTH_MAX {
            let below = level.iter().filter_map(|one| self.nodes.get(one));
            level = below.flat_map(|node| node.children.iter().copied()).collect();
            level.retain(|child| family.insert(*child));
        }
        family
    }
}

/// What the first time tells.
struct First<'r> {
    wanted: Wanted,
    redactor: &'r Redactor,
    nodes: HashMap<Entity, Node>,
    /// Processes of events by number, from the first one on.
    events: VecDeque<Entity>,
    next: u64,
    target: Option<Entity>,
    members: HashSet<u64>,
    rule: Option<String>,
}

impl<'r> First<'r> {
    fn new(wanted: Wanted, redactor: &'r Redactor) -> First<'r> {
        First {
            wanted,
            redactor,
            nodes: HashMap::new(),
            events: VecDeque::new(),
            next: 0,
            target: None,
            members: HashSet::new(),
            rule: None,
        }
    }

    fn hear(&mut self, heard: &Heard<'_, '_>) {
        match (heard, self.wanted) {
            (Heard::Event(view, _), _) => self.event(view),
            (Heard::Live(matched), Wanted::Alert(id)) if matched.id == id => {
                self.members = matched.members().collect();
                self.rule = Some(String::from_utf8_lossy(matched.rule).into_owned());
                let last = matched.members().max();
                let back = last.and_then(|last| usize::try_from(self.next.checked_sub(last)?).ok());
                let at = back.and_then(|back| self.events.len().checked_sub(back));
                self.target = at.and_then(|at| self.events.get(at)).copied().filter(|one| *one > 0);
            }
            _ => {}
        }
    }

    fn event(&mut self, view: &View<'_>) {
        let entity = entity(view);
        if let (Wanted::Alert(_), Some(number)) = (self.wanted, number(view)) {
            if number != self.next {
                // Another worker counts anew.
                self.events.clear();
            }
            self.next = number + 1;
            self.events.push_back(entity.unwrap_or(0));
            if self.events.len() > EVENTS_MAX {
                self.events.pop_front();
            }
        }
        let Some(entity) = entity else { return };
        if let (Wanted::Pid(pid), Value::Int(here)) = (self.wanted, view.get(field::PROCESS_PID))
            && here == i64::from(pid)
        {
            self.target = Some(entity);
        }
        let is_known = self.nodes.contains_key(&entity);
        let is_exec = view.kind() == model::op::Kind::Exec;
        if (is_known && !is_exec) || (!is_known && self.nodes.len() >= PROCESSES_MAX) {
            return;
        }
        let above = ancestors(view);
        let parent = above.first().and_then(identity);
        let document = model::json::document(view);
        let process = document.get("process").cloned().unwrap_or_default();
        self.put(entity, &process, parent);
        // Who did nothing itself while it was recorded is known from its children.
        for (number, one) in above.iter().enumerate() {
            let parent = above.get(number + 1).and_then(identity);
            if let Some(entity) = identity(one).filter(|one| !self.nodes.contains_key(one)) {
                self.put(entity, one, parent);
            }
        }
    }

    fn put(&mut self, entity: Entity, process: &Json, parent: Option<Entity>) {
        let mut document = Map::new();
        document.insert("process".to_owned(), process.clone());
        self.redactor.document(&mut document);
        let doc = Doc(&document);
        let arguments = doc.list("process.args").iter().filter_map(Json::as_str);
        let command: Vec<String> = arguments.map(crate::render::escape::argument).collect();
        let text = |name: &str| doc.text(name).unwrap_or_default();
        let command =
            if command.is_empty() { text("process.executable") } else { command.join(" ") };
        let (pid, name) = (text("process.pid"), text("process.name"));
        self.nodes.insert(entity, Node { pid, name, command, parent, children: Vec::new() });
    }
}

fn identity(process: &Json) -> Option<Entity> {
    u128::from_str_radix(process.get("entity_id")?.as_str()?, 16).ok()
}

fn entity(view: &View<'_>) -> Option<Entity> {
    let Value::Str(text) = view.get(field::PROCESS_ENTITY_ID) else { return None };
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn number(view: &View<'_>) -> Option<u64> {
    let Value::Int(number) = view.get(field::EVENT_SEQUENCE) else { return None };
    u64::try_from(number).ok()
}

/// As JSON, for programs.
pub(super) fn json(story: &Story) -> Json {
    let process = |entity: &Entity| {
        let node = story.nodes.get(entity).cloned().unwrap_or_default();
        let id = |entity: &Entity| format!("{entity:032x}");
        json!({
            "entity_id": id(entity), "pid": node.pid, "name": node.name, "command": node.command,
            "parent": node.parent.as_ref().map(id),
            "children": node.children.iter().map(id).collect::<Vec<_>>(),
        })
    };
    json!({
        "process": process(&story.target),
        "ancestors": story.ancestors.iter().map(process).collect::<Vec<_>>(),
        "rule": story.rule,
        "events": story.events.iter().map(|told| &told.document).collect::<Vec<_>>(),
        "events_left_out": story.left_out,
        "gaps": story.gaps,
    })
}
