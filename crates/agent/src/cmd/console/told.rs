//! What the agent tells, by the place where it stands; what is not there is empty.

use std::path::Path;

use serde_json::Value as Json;

use crate::client;
use crate::exit::Failure;
use crate::render::escape::piece;

/// A text, with what could deceive as escapes; of a number its digits.
pub(super) fn word(of: &Json, pointer: &str) -> String {
    match of.pointer(pointer) {
        Some(Json::String(text)) => piece(text),
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::Bool(true)) => "yes".to_owned(),
        Some(Json::Bool(false)) => "no".to_owned(),
        _ => String::new(),
    }
}

/// A number.
pub(super) fn count(of: &Json, pointer: &str) -> u64 {
    of.pointer(pointer).and_then(Json::as_u64).unwrap_or_default()
}

/// A list.
pub(super) fn list<'a>(of: &'a Json, pointer: &str) -> &'a [Json] {
    of.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// Whether something holds.
pub(super) fn is(of: &Json, pointer: &str) -> bool {
    of.pointer(pointer) == Some(&Json::Bool(true))
}

/// The first of these that is there.
pub(super) fn first(of: &Json, pointers: &[&str]) -> String {
    pointers
        .iter()
        .map(|pointer| word(of, pointer))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// One object of the agent.
pub(super) fn object(runtime: &Path, path: &str) -> Result<Json, Failure> {
    client::get(runtime, path, &[])?.json()
}

/// The alerts that the agent remembers, the oldest first.
pub(super) fn alerts(runtime: &Path) -> Result<Vec<Json>, Failure> {
    let mut answer = client::get(runtime, "/v1/alerts", &[])?;
    let mut alerts = Vec::new();
    while let Some(line) = answer.line()? {
        alerts.extend(serde_json::from_str::<Json>(&line));
    }
    Ok(alerts)
}
