//! Policy files into [`model::policy::Policy`]: YAML (any number of documents a file) or TOML (one).
//! Rule files among them give what of their rules the kernel decides.
//!
//! | module | holds |
//! |---|---|
//! | `tree`, `yaml`, `toml` | both formats as one tree with places |
//! | `document` | `apiVersion`, `metadata`, `spec`, rules and allow-lists |
//! | `subject`, `object` | who and what |
//! | `includes` | what programs of the base system need, for allow-lists |
//! | `rules` | rules of rule files that deny |
//! | [`mod@write`] | policies as text again |

mod document;
mod includes;
mod limits;
mod object;
#[cfg(test)]
mod round_tests;
mod rules;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod schema_tests;
mod subject;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
pub mod write;
mod yaml;

use std::collections::HashMap;

use model::policy::{Place, Policy};

pub use document::{API_VERSION, KIND};
pub use includes::{NAMES as INCLUDES, text as include};
pub use limits::{MAX_FILE, MAX_OBJECTS, MAX_PATTERN, MAX_RULES};
pub use rules::NAME as RULES;

use crate::diagnostic::{Code, Diagnostic};
use crate::load::Source;

/// What policy files hold.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// All policies without an error.
    pub policies: Vec<Policy>,
    /// What is wrong, in the order of files and places.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for showing diagnostics.
    pub sources: Vec<Source>,
}

impl Policies {
    /// Whether a policy was left out.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads policy files, given as name and text.
pub fn load(files: impl IntoIterator<Item = (String, String)>) -> Policies {
    let mut all = Policies::default();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut rule_files = Vec::new();
    for (name, text) in files {
        if rules::are_in(&name, &text) {
            rule_files.push((name, text));
            continue;
        }
        let (policies, mut found) = read(&name, &text);
        for policy in policies {
            if let Some(other) = names.get(&policy.name) {
                let message =
                    format!("two policies are called `{}`, the other is in {other}", policy.name);
                found.push(Diagnostic::new(Code::DuplicateId, 0..0, message));
                continue;
            }
            names.insert(policy.name.clone(), name.clone());
            all.policies.push(policy);
        }
        found.truncate(limits::MAX_FOUND);
        all.diagnostics.extend(found.into_iter().map(|mut one| {
            one.file.clone_from(&name);
            one
        }));
        all.sources.push(Source { name, text });
    }
    if !rule_files.is_empty() {
        let (policy, found, sources) = rules::read(rule_files);
        all.policies.extend(policy);
        all.diagnostics.extend(found);
        all.sources.extend(sources);
    }
    all
}

impl Policies {
    /// Adds the text of includes, so that findings about their rules can be shown, too.
    #[must_use]
    pub fn with_includes(mut self) -> Policies {
        self.sources.extend(INCLUDES.iter().filter_map(|name| {
            Some(Source { name: format!("include:{name}"), text: include(name)?.to_owned() })
        }));
        self
    }

    /// Adds a finding about a rule or allow-list: at `word` if that stands there, else at its id.
    pub fn note(
        &mut self,
        code: Code,
        place: &Place,
        (id, word): (&str, &str),
        (message, label, help): (String, String, Option<String>),
    ) {
        let source = self.sources.iter().find(|one| one.name == place.file);
        let text = source.and_then(|one| one.text.get(place.bytes.clone())).unwrap_or_default();
        let at = [word, id].into_iter().filter(|one| !one.is_empty()).find_map(|one| {
            let at = text.find(one)?;
            Some(place.bytes.start + at..place.bytes.start + at + one.len())
        });
        let span = at.unwrap_or(place.bytes.start..place.bytes.start);
        let mut found = Diagnostic::new(code, span, message);
        found.file.clone_from(&place.file);
        found.rule = Some(id.to_owned());
        self.diagnostics.push(found.label(label).help_if(help));
    }

    /// Adds a finding about a file as a whole.
    pub fn note_file(&mut self, code: Code, file: &str, message: String) {
        let mut found = Diagnostic::new(code, 0..0, message);
        file.clone_into(&mut found.file);
        self.diagnostics.push(found);
    }
}

fn read(name: &str, text: &str) -> (Vec<Policy>, Vec<Diagnostic>) {
    if text.len() > MAX_FILE {
        let message = format!("the file has {} bytes, the limit is {MAX_FILE}", text.len());
        return (Vec::new(), vec![Diagnostic::new(Code::Limit, 0..0, message)]);
    }
    let (documents, found) =
        if name.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case("toml")) {
            let (document, found) = toml::read(text);
            (document.into_iter().collect(), found)
        } else {
            yaml::read(text)
        };
    let mut reader = document::Reader::new(name, text);
    if documents.is_empty() && found.is_empty() {
        reader.found.push(Diagnostic::new(Code::MissingKey, 0..0, "the file holds no policy"));
    }
    let policies = documents.iter().filter_map(|node| reader.policy(node)).collect();
    reader.found.splice(0..0, found);
    (policies, reader.found)
}
