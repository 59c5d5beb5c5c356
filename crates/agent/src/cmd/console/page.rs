//! What all pages look like, and the pieces that they are made of. `maud` escapes whatever is put between
//! its tags, and only literals of this program are tags: what a stranger wrote stays text.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::exit::Failure;

/// Pages, by address and name.
const TABS: &[(&str, &str)] = &[
    ("/", "Overview"),
    ("/incidents", "Incidents"),
    ("/alerts", "Alerts"),
    ("/rules", "Rules"),
    ("/policies", "Policies"),
    ("/responses", "Responses"),
    ("/suppressions", "Suppressions"),
    ("/health", "Health"),
];

/// A page.
#[derive(Debug)]
pub(super) struct Sheet {
    title: String,
    /// Seconds until it is asked for again, if it is.
    refresh: Option<u32>,
    body: Markup,
}

impl Sheet {
    /// With this heading.
    pub(super) fn new(title: impl Into<String>, body: Markup) -> Sheet {
        Sheet { title: title.into(), refresh: None, body }
    }

    /// The same, shown anew every so many seconds.
    pub(super) fn every(mut self, seconds: Option<u32>) -> Sheet {
        self.refresh = seconds;
        self
    }
}

/// How much one should look at something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Nothing special.
    Plain,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Plain => "plain",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }

    /// Good, or else that.
    pub(super) fn good_if(holds: bool, other: Tone) -> Tone {
        if holds { Tone::Good } else { other }
    }
}

/// A page as an answer.
pub(super) fn show(status: StatusCode, tab: &str, sheet: &Sheet) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&sheet.title, sheet.refresh))
            body {
                a .skip href="#main" { "Skip to the page" }
                header {
                    a .brand href="/" { img src="/icon.svg" alt="" width="26" height="26"; "AegisBPF" }
                    nav aria-label="Pages" {
                        @for (path, name) in TABS {
                            a href=(path) aria-current=[(*path == tab).then_some("page")] { (name) }
                        }
                    }
                }
                main #main tabindex="-1" {
                    h1 { (sheet.title) }
                    (sheet.body)
                }
                footer { "Times are UTC. Shown as the agent told it for this page." }
            }
        }
    };
    (status, Html(page.into_string())).into_response()
}

fn head(title: &str, refresh: Option<u32>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
            title { (title) " · AegisBPF" }
            link rel="stylesheet" href="/style.css";
            link rel="icon" href="/icon.svg" type="image/svg+xml";
        }
    }
}

/// A page for who is not let in, which says nothing of the host.
pub(super) fn refusal(status: StatusCode, why: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head("Not here", None))
            body .bare { main { h1 { "Not here" } p { (why) } p .muted { (status.as_u16()) } } }
        }
    };
    (status, Html(page.into_string())).into_response()
}

/// The page that leads on after the token was right.
pub(super) fn welcome() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0;url=/";
                title { "AegisBPF" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
            }
            body .bare { main { p { a href="/" { "Go on to the console" } } } }
        }
    };
    Html(page.into_string()).into_response()
}

/// A page that says what could not be told.
pub(super) fn failed(failure: &Failure) -> Sheet {
    let text = failure.to_string();
    let (what, help) = text.split_once("\n  help: ").unwrap_or((&text, ""));
    let body = html! {
        section .card.bad role="alert" {
            p .loud { (what) }
            @if !help.is_empty() { p { (help) } }
        }
    };
    Sheet::new("This cannot be shown", body)
}

/// A figure in a box of its own.
pub(super) fn figure(name: &str, value: &str, note: &str, tone: Tone) -> Markup {
    html! {
        div .figure.(tone.class()) {
            p .name { (name) }
            p .value { (value) }
            @if !note.is_empty() { p .note { (note) } }
        }
    }
}

/// A word in a colour; the colour says nothing that the word does not.
pub(super) fn chip(text: &str, tone: Tone) -> Markup {
    html! { span .chip.(tone.class()) { (text) } }
}

/// How bad something is.
pub(super) fn severity(text: &str) -> Markup {
    let known = ["informational", "low", "medium", "high", "critical"];
    let class = known.iter().find(|one| **one == text).copied().unwrap_or("informational");
    html! { span .chip.(class) { (if text.is_empty() { "unknown" } else { text }) } }
}

/// A time of RFC 3339 to the second; all of it for who points at it.
pub(super) fn time(text: &str) -> Markup {
    if text.is_empty() {
        return html! { span .muted { "never" } };
    }
    let day = text.get(.."2026-01-01".len()).unwrap_or(text);
    let clock = text.get("2026-01-01T".len().."2026-01-01T00:00:00".len()).unwrap_or_default();
    html! { time datetime=(text) title=(text) { span .day { (day) } " " (clock) } }
}

/// A name, a path or a command line, as it is.
pub(super) fn code(text: &str) -> Markup {
    html! { @if text.is_empty() { span .muted { "–" } } @else { code { (text) } } }
}

/// Plain text, a dash for none.
pub(super) fn plain(text: &str) -> Markup {
    html! { @if text.is_empty() { span .muted { "–" } } @else { (text) } }
}

/// A table; on a narrow screen each row becomes a card, and each cell says what it is.
pub(super) fn table(what: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div .wide {
            table aria-label=(what) {
                thead { tr { @for head in heads { th scope="col" { (capital(head)) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (cell, head) in row.iter().zip(heads) { td data-label=(capital(head)) { div { (cell) } } } }
                    }
                }
            }
        }
    }
}

/// With a capital letter, as what stands above a column.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A part of a page.
pub(super) fn part(heading: &str, body: &Markup) -> Markup {
    html! { section { h2 { (heading) } (body) } }
}

/// What stands where there is nothing to show.
pub(super) fn nothing(words: &str) -> Markup {
    html! { p .empty { (words) } }
}

/// Names and values below each other.
pub(super) fn pairs(all: &[(&str, Markup)]) -> Markup {
    html! { dl { @for (name, value) in all { div { dt { (name) } dd { (value) } } } } }
}

/// A number with its thousands apart.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `one alert`, `3 alerts`.
pub(super) fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", number(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((many(1, "alert"), many(0, "alert")), ("1 alert".into(), "0 alerts".into()));
    }

    #[test]
    fn what_strangers_wrote_is_text_wherever_it_stands() {
        let attack = "\"><script>alert(1)</script><b onload='x'>";
        let pieces = [
            code(attack),
            chip(attack, Tone::Bad),
            severity(attack),
            time(attack),
            figure(attack, attack, attack, Tone::Plain),
            table(attack, &["a"], &[vec![plain(attack)]]),
            pairs(&[("a", plain(attack))]),
        ];
        for piece in pieces {
            let text = piece.into_string();
            assert!(!text.contains("<script") && !text.contains("<b "), "{text}");
            assert!(text.contains("&lt;script&gt;"), "{text}");
            assert!(!text.contains("=\"\">"), "no attribute ends early: {text}");
        }
    }
}
