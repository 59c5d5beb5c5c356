//! One file of the configuration, and the environment.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, keys};
use super::{Origin, Setting, wrong};
use crate::exit::Failure;

/// Bytes of a file.
const FILE_MAX: u64 = 256 << 10;
/// Values of one list.
const VALUES_MAX: usize = 256;
/// What a variable of ours begins with; a table and a key follow, with two underscores between them.
const VARIABLE: &str = "AEGISBPF_";

/// What a file says.
pub(super) fn file(path: &Path) -> Result<Vec<Setting>, Failure> {
    let shown = path.display();
    // It is obeyed, so nobody else may be able to write it.
    let bytes = files::read_bytes(path, FILE_MAX, files::Trust::Owner)
        .map_err(|error| wrong(&"configuration", &error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&shown, &error))?;
    let at = |place: usize| Origin::File(path.to_owned(), line(text, place));
    let document = DeTable::parse(text)
        .map_err(|error| wrong(&at(error.span().unwrap_or(0..0).start), &error.message()))?;
    let mut settings = Vec::new();
    for (section, inner) in document.get_ref() {
        let DeValue::Table(inner) = inner.get_ref() else {
            let what = format!("`{}` stands in no table", section.get_ref());
            return Err(wrong(&at(section.span().start), &(what + &near(section.get_ref()))));
        };
        if !keys().any(|key| key.section == section.get_ref()) {
            let what = format!("there is no table `{}`", section.get_ref());
            return Err(wrong(&at(section.span().start), &what));
        }
        for (name, value) in inner {
            let origin = at(name.span().start);
            let full = format!("{}.{}", section.get_ref(), name.get_ref());
            let Some(key) = Key::named(section.get_ref(), name.get_ref()) else {
                return Err(wrong(&origin, &format!("there is no `{full}`{}", near(&full))));
            };
            let values =
                values(key, value).map_err(|what| wrong(&at(value.span().start), &what))?;
            settings.push(Setting { key, values, origin });
        }
    }
    Ok(settings)
}

/// What the environment says.
pub(super) fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Setting>, Failure> {
    let mut settings = Vec::new();
    for (name, value) in all {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        let origin = Origin::Variable(name.to_owned());
        let key = keys().find(|key| key.variable() == name);
        let key = key.ok_or_else(|| wrong(&origin, &"there is no such key"))?;
        let text = value.to_str().ok_or_else(|| wrong(&origin, &"it is no text"))?;
        // A list is written as in a file; everything else is what it is.
        let values = if key.kind() == Kind::List && text.starts_with('[') {
            let value = DeValue::parse(text).map_err(|error| wrong(&origin, &error.message()))?;
            values(key, &value)
        } else {
            Ok(vec![text.to_owned()])
        };
        let values = values.and_then(|values| match key.kind() {
            Kind::Switch if !["true", "false"].contains(&text) => {
                Err(format!("`{key}` is `true` or `false`"))
            }
            _ => Ok(values),
        });
        settings.push(Setting {
            key,
            values: values.map_err(|what| wrong(&origin, &what))?,
            origin,
        });
    }
    Ok(settings)
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(VARIABLE).is_some_and(|rest| rest.contains("__"))
}

/// The values of a key, as texts.
fn values(key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(format!("`{key}` holds text")),
    };
    match (key.kind(), value.get_ref()) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (Kind::Switch, _) => Err(format!("`{key}` is `true` or `false`")),
        (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => {
            Ok(vec![number.as_str().to_owned()])
        }
        (Kind::Number, _) => Err(format!("`{key}` is a number")),
        (Kind::List, DeValue::Array(all)) if all.len() > VALUES_MAX => {
            Err(format!("`{key}` has more than {VALUES_MAX} values"))
        }
        (Kind::List, DeValue::Array(all)) => all.iter().map(|value| one(value.get_ref())).collect(),
        (_, value) => Ok(vec![one(value)?]),
    }
}

/// The line of a place, from 1.
fn line(text: &str, place: usize) -> usize {
    text.get(..place).unwrap_or_default().matches('\n').count() + 1
}

/// A key that may have been meant.
fn near(name: &str) -> Cow<'static, str> {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().replace('-', "_");
    let wanted = last(name);
    let same = |key: &&Key| key.name == wanted || key.option.replace('-', "_") == wanted;
    match keys().find(same) {
        Some(key) => format!("; `{key}` is meant, perhaps").into(),
        None => "".into(),
    }
}
