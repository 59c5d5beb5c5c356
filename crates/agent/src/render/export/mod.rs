//! Alerts in the forms of other tools. Each is made from the document in ECS names, and what a form has no
//! place for is left out, or handed over as it is.

mod cef;
mod ecs;
mod falco;
mod ocsf;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json};

use super::compact::Doc;

pub(crate) use cef::{line as cef, notice as cef_notice};
pub(crate) use ecs::document as ecs;
pub(crate) use falco::document as falco;
pub(crate) use ocsf::document as ocsf;

/// Who made it.
const VENDOR: &str = "AegisBPF";
/// What.
const PRODUCT: &str = "aegisbpf";

/// What is at a place of a document.
fn at<'a>(document: &'a Map<String, Json>, path: &str) -> Option<&'a Json> {
    Doc(document).get(path).filter(|value| !value.is_null())
}

/// The text at a place.
fn text(document: &Map<String, Json>, path: &str) -> Option<String> {
    match at(document, path)? {
        Json::String(text) => Some(text.clone()),
        Json::Array(all) => all.first()?.as_str().map(str::to_owned),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The number at a place, also where it is written as text.
fn number(document: &Map<String, Json>, path: &str) -> Option<i64> {
    match at(document, path)? {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Milliseconds since 1970 at a place that holds a time.
fn millis(document: &Map<String, Json>, path: &str) -> Option<i64> {
    let time: jiff::Timestamp = text(document, path)?.parse().ok()?;
    Some(time.as_millisecond())
}

/// Whether it is about something that was refused, as far as it says.
fn outcome(document: &Map<String, Json>) -> Option<&'static str> {
    match text(document, "event.reason")?.as_str() {
        "denied" => Some("denied"),
        "would be denied" => Some("would be denied"),
        _ => None,
    }
}
