//! A story for a terminal.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;

use super::collect::Story;
use super::generations;
use crate::render::compact;
use crate::render::escape::piece;

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The tree, then what happened.
pub(super) fn show(story: &Story, zone: &TimeZone) -> String {
    let mut out = String::new();
    // A string takes all that is written.
    if let Some(rule) = &story.rule {
        _ = writeln!(out, "{BAD}alert{BAD:#} of rule {}\n", piece(rule));
    }
    for (depth, entity) in generations(story) {
        let Some(node) = story.nodes.get(&entity) else { continue };
        let here = entity == story.target;
        let style = if here { BAD } else { BOLD };
        let branch = if depth == 0 { String::new() } else { "   ".repeat(depth - 1) + "└─ " };
        let (name, pid, command) = (&node.name, &node.pid, &node.command);
        _ = writeln!(out, "{branch}{style}{name}{style:#} ({pid})  {command}");
    }
    out.push('\n');
    if story.left_out > 0 {
        _ = writeln!(out, "{} earlier events are left out", story.left_out);
    }
    for told in &story.events {
        let mark = if told.is_member { format!("{BAD}!{BAD:#} ") } else { "  ".to_owned() };
        _ = writeln!(out, "{mark}{}", compact::line(&told.document, zone));
    }
    if story.gaps > 0 {
        _ = writeln!(out, "\nsomething is missing at {} places", story.gaps);
    }
    out
}
