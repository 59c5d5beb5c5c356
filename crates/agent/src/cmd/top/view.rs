//! Where all of it stands on the screen: 80 by 24 is enough, and more room shows more lines.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};
use serde_json::Value as Json;

use super::look::{Look, Rates};
use super::tree::Tree;
use crate::exit::Failure;
use crate::render::escape::piece;

/// Lines of the head and of the health below it, with their borders.
const HEAD: u16 = 1;
const HEALTH: u16 = 6;
/// Rules that are shown where there is little room.
const RULES: u16 = 7;

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct Screen {
    look: Look,
    rates: Option<Rates>,
    /// Why the last look failed.
    failed: Option<String>,
    is_paused: bool,
    /// Lines of the tree that are above what is shown.
    above: usize,
    has_color: bool,
}

impl Screen {
    /// What the first look has seen.
    pub(super) fn new(look: Look) -> Screen {
        // https://no-color.org: any text but none.
        let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { look, rates: None, failed: None, is_paused: false, above: 0, has_color }
    }

    /// Takes another look.
    pub(super) fn take(&mut self, look: Result<Look, Failure>) {
        match look {
            _ if self.is_paused => {}
            Ok(look) => {
                self.rates = Some(Rates::between(&self.look, &look));
                (self.look, self.failed) = (look, None);
            }
            Err(failure) => {
                let text = failure.to_string();
                self.failed = Some(piece(text.lines().next().unwrap_or_default()));
            }
        }
    }

    /// Stands still, or goes on.
    pub(super) fn pause(&mut self) {
        self.is_paused = !self.is_paused;
    }

    /// Moves the tree by a line.
    pub(super) fn scroll(&mut self, lines: isize) {
        self.above = self.above.saturating_add_signed(lines);
    }

    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = [
            Constraint::Length(HEAD),
            Constraint::Length(HEALTH),
            Constraint::Min(4),
            Constraint::Length(RULES),
        ];
        let [head, health, tree, rules] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(self.head(), head);
        let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
        let [left, right] = Layout::horizontal(halves).areas(health);
        frame.render_widget(self.health(), left);
        frame.render_widget(self.happens(), right);
        self.tree(frame, tree);
        frame.render_widget(self.rules(rules), rules);
    }

    fn style(&self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    /// How something is shown that is wrong.
    fn alarm(&self, is_wrong: bool) -> Style {
        if is_wrong { self.style(Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() }
    }

    fn text(&self, pointer: &str) -> String {
        match self.look.status.pointer(pointer) {
            Some(Json::String(text)) => piece(text),
            Some(Json::Null) | None => "?".to_owned(),
            Some(other) => other.to_string(),
        }
    }

    fn head(&self) -> Paragraph<'_> {
        if let Some(why) = &self.failed {
            return Paragraph::new(why.as_str()).style(self.alarm(true));
        }
        let minutes = self.look.number("/uptime_s") / 60;
        let paused = if self.is_paused { ", paused" } else { "" };
        let head = format!(
            "aegisbpf {}: {}, tier {}, {minutes} min{paused}",
            self.text("/version"),
            self.text("/mode"),
            self.text("/tier"),
        );
        let keys = "   q end  p pause  ↑↓ tree";
        Paragraph::new(Line::from(vec![
            Span::styled(head, Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(keys),
        ]))
    }

    fn health(&self) -> Paragraph<'_> {
        let look = &self.look;
        let (lost, restarts) = (look.lost(), look.number("/worker/restarts"));
        let breaker = self.text("/kernel_counters/actions/breaker");
        let off =
            look.status.pointer("/kernel_counters/policy/disabled") == Some(&Json::Bool(true));
        let mib = |pointer: &str| look.number(pointer).div_ceil(1024);
        let (guard, worker) = (mib("/guard/rss_kib"), mib("/worker/rss_kib"));
        let switched = if off { "enforcement switched off" } else { "" };
        let lines = vec![
            Line::from(vec![
                Span::styled(format!("lost {lost}"), self.alarm(lost > 0)),
                Span::raw("  "),
                Span::styled(format!("restarts {restarts}"), self.alarm(restarts > 0)),
                Span::raw(format!("  memory {guard} + {worker} MiB")),
            ]),
            Line::from(vec![
                Span::styled(format!("breaker {breaker}"), self.alarm(breaker == "tripped")),
                Span::raw("  "),
                Span::styled(switched, self.alarm(true)),
            ]),
            Line::from(format!(
                "rules {}, {} refused  processes {}",
                self.text("/rules/loaded"),
                self.text("/rules/refused"),
                self.text("/events/processes"),
            )),
        ];
        Paragraph::new(lines).block(Block::bordered().title("Health"))
    }

    fn happens(&self) -> Paragraph<'_> {
        let look = &self.look;
        let line = |name: &str, sum: u64, rate: fn(&Rates) -> u64| {
            let rate =
                self.rates.as_ref().map_or_else(|| "-".to_owned(), |all| rate(all).to_string());
            format!("{name:8} {sum:>10} {rate:>6}/s")
        };
        let lines = vec![
            Line::from(line("events", look.number("/events/events"), |all| all.events)),
            Line::from(line("alerts", look.number("/events/alerts"), |all| all.alerts)),
            Line::from(line("denied", look.denials(), |all| all.denials)),
            Line::from(line("acted", look.actions(), |all| all.actions)),
        ];
        Paragraph::new(lines).block(Block::bordered().title("What happens"))
    }

    fn tree(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let lines = Tree::of(&self.look.alerts).lines();
        let room = usize::from(area.height.saturating_sub(2));
        self.above = self.above.min(lines.len().saturating_sub(room));
        let block = Block::bordered().title("Alerts, by the processes that they are about");
        let shown = lines.iter().skip(self.above).take(room).map(|line| {
            let mut spans = vec![Span::raw(format!("{}{}", "  ".repeat(line.depth), line.label))];
            if let Some((severity, rule)) = &line.last {
                let many =
                    if line.alerts == 1 { String::new() } else { format!(" × {}", line.alerts) };
                spans.push(Span::raw("  "));
                spans.push(Span::styled(
                    format!("{severity} {rule}{many}"),
                    self.severity(severity),
                ));
            }
            Line::from(spans)
        });
        let shown: Vec<Line<'_>> = shown.collect();
        let shown = if shown.is_empty() { vec![Line::from("none yet")] } else { shown };
        frame.render_widget(Paragraph::new(shown).block(block), area);
    }

    fn severity(&self, severity: &str) -> Style {
        match severity {
            "critical" | "high" => self.alarm(true),
            "medium" => self.style(Color::Yellow),
            _ => Style::new(),
        }
    }

    fn rules(&self, area: Rect) -> Table<'_> {
        let rules = self.look.rules.get("rules").and_then(Json::as_array);
        let mut rules: Vec<&Json> = rules.into_iter().flatten().collect();
        let number = |rule: &Json, name: &str| rule.get(name).and_then(Json::as_u64);
        rules.sort_by_key(|rule| {
            std::cmp::Reverse((number(rule, "cost_ns"), number(rule, "matches")))
        });
        let rows = rules.into_iter().take(usize::from(area.height.saturating_sub(3))).map(|rule| {
            let text = |name: &str| piece(rule.get(name).and_then(Json::as_str).unwrap_or("?"));
            let count =
                |name: &str| number(rule, name).map_or_else(|| "-".to_owned(), |n| n.to_string());
            let state = text("state");
            let style = self.alarm(state != "ok");
            let cells = [
                text("id"),
                count("cost_ns"),
                count("matches"),
                count("alerts"),
                count("suppressed"),
                state,
            ];
            Row::new(cells).style(style)
        });
        let widths = [
            Constraint::Min(20),
            Constraint::Length(9),
            Constraint::Length(9),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(11),
        ];
        let names = ["rule", "ns/event", "matches", "alerts", "counted", "state"];
        let head = Row::new(names).style(Style::new().add_modifier(Modifier::BOLD));
        Table::new(rows, widths).header(head).block(Block::bordered().title("Rules that cost most"))
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::look::tests::look;
    use super::super::tree::tests::alert;
    use super::*;

    /// What stands on a screen of that size.
    fn shown(screen: &mut Screen, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn all_of_it_fits_on_the_smallest_screen_and_larger_ones_show_more() {
        let alerts: Vec<Json> = (10..40).map(|pid| alert(pid, "scratch")).collect();
        let mut screen = Screen::new(look(100, 0, Vec::new()));
        assert!(shown(&mut screen, (80, 24)).contains("none yet"));
        screen.take(Ok(look(300, 2, alerts)));
        let small = shown(&mut screen, (80, 24));
        for part in [
            "enforce, tier lsm",
            "lost 6",
            "restarts 1",
            "init (1)",
            "high scratch",
            "slow",
            "denied            5",
        ] {
            assert!(small.contains(part), "{part}: {small}");
        }
        assert!(small.find("slow  ") < small.find("quick  "), "what costs most is first: {small}");
        let count = |text: &str| text.matches("high scratch").count();
        assert!(count(&shown(&mut screen, (120, 50))) > count(&small));
        screen.scroll(1_000);
        assert!(!shown(&mut screen, (80, 24)).contains("init (1)"), "it is above");
        // Nothing is drawn where there is no room, and nothing breaks.
        shown(&mut screen, (10, 3));
    }

    #[test]
    fn a_pause_holds_and_an_agent_that_has_gone_is_told() {
        let mut screen = Screen::new(look(100, 0, Vec::new()));
        screen.pause();
        screen.take(Ok(look(1, 1, vec![alert(9, "late")])));
        assert!(!shown(&mut screen, (80, 24)).contains("late"));
        screen.pause();
        screen.take(Ok(look(1, 1, vec![alert(9, "late")])));
        assert!(shown(&mut screen, (80, 24)).contains("late"), "the control");
        let gone = Failure::new(crate::exit::Exit::NotRunning, "no agent answers");
        screen.take(Err(gone));
        assert!(shown(&mut screen, (80, 24)).contains("no agent answers"));
    }
}
