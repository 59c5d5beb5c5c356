//! Policy files into [`model::policy::Policy`]: YAML (any number of documents a file) or TOML (one).
//!
//! | module | holds |
//! |---|---|
//! | `tree`, `yaml`, `toml` | both formats as one tree with places |
//! | `document` | `apiVersion`, `metadata`, `spec`, rules and allow-lists |
//! | `subject`, `object` | who and what |
//! | `includes` | what programs of the base system need, for allow-lists |

mod document;
mod includes;
mod limits;
mod object;
mod subject;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod yaml;

use std::collections::HashMap;

use model::policy::Policy;

pub use document::{API_VERSION, KIND};
pub use includes::{NAMES as INCLUDES, text as include};
pub use limits::{MAX_FILE, MAX_OBJECTS, MAX_PATTERN, MAX_RULES};

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
    for (name, text) in files {
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
    all
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
