//! A story as one page that needs nothing else: no script, no picture, no other file.
//!
//! What stands in it comes from strangers, so each piece is escaped twice: control characters as
//! everywhere, then what means something in HTML. The page forbids itself to load or run anything.

use std::fmt::Write;

use jiff::tz::TimeZone;

use super::collect::Story;
use super::generations;
use crate::render::compact;
use crate::render::escape::piece;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<style>\n\
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }\n\
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em }\n\
pre { font: 13px/1.5 ui-monospace, monospace; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }\n\
.node { padding: 1px 0 } .here { background: #fde8e8; font-weight: bold }\n\
.event { border-bottom: 1px solid #eee; padding: 2px 4px } .member { background: #fde8e8 }\n\
.note { color: #777 }\n\
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1a1a1a }\n\
.here, .member { background: #4a2020 } .event { border-color: #333 } }\n\
</style>\n";

/// The page.
pub(super) fn page(story: &Story, zone: &TimeZone) -> String {
    let mut out = HEAD.to_owned();
    let node = story.nodes.get(&story.target).cloned().unwrap_or_default();
    let title = match &story.rule {
        Some(rule) => format!("Alert of rule {}", piece(rule)),
        None => format!("Process {} ({})", node.name, node.pid),
    };
    let title = escaped(&title);
    // A string takes all that is written.
    _ = writeln!(out, "<title>{title}</title></head><body>\n<h1>{title}</h1>");
    out.push_str("<h2>Processes</h2>\n");
    for (depth, entity) in generations(story) {
        let Some(node) = story.nodes.get(&entity) else { continue };
        let here = if entity == story.target { " here" } else { "" };
        let branch = if depth == 0 { String::new() } else { "   ".repeat(depth - 1) + "└─ " };
        let text = format!("{branch}{} ({})  {}", node.name, node.pid, node.command);
        _ = writeln!(out, "<pre class=\"node{here}\">{}</pre>", escaped(&text));
    }
    out.push_str("<h2>What happened</h2>\n");
    if story.left_out > 0 {
        _ = writeln!(out, "<p class=\"note\">{} earlier events are left out.</p>", story.left_out);
    }
    for told in &story.events {
        let member = if told.is_member { " member" } else { "" };
        let line = compact::line(&told.document, zone);
        let line = anstream::adapter::strip_str(&line).to_string();
        _ = writeln!(out, "<pre class=\"event{member}\">{}</pre>", escaped(&line));
    }
    if story.gaps > 0 {
        _ = writeln!(out, "<p class=\"note\">Something is missing at {} places.</p>", story.gaps);
    }
    out.push_str("</body></html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::tree::collect::{Node, Told};
    use serde_json::json;

    #[test]
    fn what_strangers_wrote_is_text_and_no_page() {
        let attack = "<script>alert(1)</script>\u{1b}[2J'\"&";
        let document = json!({
            "event": { "action": "exec" },
            "process": { "pid": 7, "name": attack, "args": [attack], "executable": attack },
        });
        let node = Node {
            pid: "7".to_owned(),
            name: piece(attack),
            command: piece(attack),
            ..Node::default()
        };
        let story = Story {
            target: 1,
            nodes: [(1, node)].into(),
            events: [Told { document: document.as_object().unwrap().clone(), is_member: true }]
                .into(),
            rule: Some(attack.to_owned()),
            ..Story::default()
        };
        let page = page(&story, &TimeZone::UTC);
        assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
        assert!(page.matches("&lt;script&gt;").count() >= 4, "{page}");
        assert!(page.contains("class=\"event member\"") && page.contains("node here"), "{page}");
        assert!(page.contains("default-src 'none'"));
    }
}
