//! Processes with alerts, below those that started them.

use serde_json::{Value as Json, json};

use crate::render::escape::piece;

/// Processes of one tree that are followed down: deeper ones hang at the last.
const DEPTH_MAX: usize = 32;

/// A process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    /// What tells it from others.
    key: String,
    /// Its name and number.
    label: String,
    children: Vec<Node>,
    alerts: u64,
    /// Severity and rule of its last alert.
    last: Option<(String, String)>,
}

/// All of them, those with the newest alerts first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    roots: Vec<Node>,
}

/// A line of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// How deep it stands.
    pub(super) depth: usize,
    /// The process.
    pub(super) label: String,
    /// Its alerts.
    pub(super) alerts: u64,
    /// Severity and rule of the last one.
    pub(super) last: Option<(String, String)>,
}

impl Tree {
    /// The tree of these alerts, the oldest first.
    pub(super) fn of(alerts: &[Json]) -> Tree {
        let mut tree = Tree::default();
        for alert in
            alerts.iter().filter(|alert| alert.pointer("/event/kind") == Some(&json!("alert")))
        {
            let Some(process) = alert.get("process") else { continue };
            let ancestors = process.pointer("/Ext/ancestors").and_then(Json::as_array);
            let above = ancestors.map_or(&[][..], Vec::as_slice);
            let mut path: Vec<&Json> = above.iter().rev().collect();
            path.push(process);
            if let Some(far) = path.len().checked_sub(DEPTH_MAX) {
                path.drain(..far);
            }
            let text =
                |pointer: &str| piece(alert.pointer(pointer).and_then(Json::as_str).unwrap_or("?"));
            let last = (text("/rule/severity"), text("/rule/id"));
            hang(&mut tree.roots, &path, last);
        }
        tree
    }

    /// Its lines, from above.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for root in &self.roots {
            put(root, 0, &mut lines);
        }
        lines
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Json {
        self.roots.iter().map(node).collect()
    }
}

/// Hangs a path of processes into the tree. What has the newest alert comes first among its like.
fn hang(nodes: &mut Vec<Node>, path: &[&Json], last: (String, String)) {
    let Some((process, below)) = path.split_first() else { return };
    let key = key(process);
    let mut node = match nodes.iter().position(|node| node.key == key) {
        Some(at) => nodes.remove(at),
        None => Node { key, label: label(process), ..Node::default() },
    };
    if below.is_empty() {
        node.alerts += 1;
        node.last = Some(last);
    } else {
        hang(&mut node.children, below, last);
    }
    nodes.insert(0, node);
}

fn key(process: &Json) -> String {
    match process.get("entity_id").and_then(Json::as_str) {
        Some(id) => id.to_owned(),
        None => label(process),
    }
}

fn label(process: &Json) -> String {
    let name = process.get("name").and_then(Json::as_str).map_or_else(|| "?".to_owned(), piece);
    match process.get("pid").and_then(Json::as_u64) {
        Some(pid) => format!("{name} ({pid})"),
        None => name,
    }
}

fn put(node: &Node, depth: usize, lines: &mut Vec<Line>) {
    let (label, alerts, last) = (node.label.clone(), node.alerts, node.last.clone());
    lines.push(Line { depth, label, alerts, last });
    for child in &node.children {
        put(child, depth + 1, lines);
    }
}

fn node(node: &Node) -> Json {
    let (severity, rule) = node.last.clone().unzip();
    let below: Json = node.children.iter().map(self::node).collect();
    json!({ "process": node.label, "alerts": node.alerts, "severity": severity, "rule": rule, "below": below })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An alert about a process below a shell.
    pub(in super::super) fn alert(pid: u64, rule: &str) -> Json {
        json!({
            "event": { "kind": "alert" },
            "rule": { "id": rule, "severity": "high" },
            "process": {
                "pid": pid, "entity_id": format!("e{pid}"), "name": "x\u{1b}[2J",
                "Ext": { "ancestors": [
                    { "pid": 7, "entity_id": "e7", "name": "bash" }, { "pid": 1, "entity_id": "e1", "name": "init" },
                ] },
            },
        })
    }

    #[test]
    fn processes_hang_below_those_that_started_them_and_nothing_reaches_the_terminal() {
        let notice = json!({ "event": { "kind": "pipeline_error" }, "process": { "pid": 99 } });
        let tree = Tree::of(&[alert(40, "a"), notice, alert(41, "b"), alert(40, "c")]);
        let lines = tree.lines();
        let shown: Vec<(usize, &str, u64)> =
            lines.iter().map(|line| (line.depth, line.label.as_str(), line.alerts)).collect();
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert_eq!(shown[..2], [(0, "init (1)", 0), (1, "bash (7)", 0)]);
        assert!(shown[2].1.ends_with("(40)") && shown[2].2 == 2, "the newest first: {shown:?}");
        assert!(!shown[2].1.contains('\u{1b}'), "{shown:?}");
        assert_eq!(lines[2].last, Some(("high".to_owned(), "c".to_owned())));
        assert_eq!(tree.json()[0]["below"][0]["below"][1]["rule"], "b");
    }

    #[test]
    fn a_process_without_ancestors_stands_alone() {
        let denial = json!({
            "event": { "kind": "alert" }, "rule": { "id": "no" }, "process": { "pid": 3, "name": "cat" },
        });
        let lines = Tree::of(&[denial.clone(), denial]).lines();
        assert_eq!((lines.len(), lines[0].alerts, lines[0].label.as_str()), (1, 2, "cat (3)"));
    }
}
